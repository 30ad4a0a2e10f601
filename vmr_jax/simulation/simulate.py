"""Features planted into real annotations, as files that `vmr prepare` reads."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vmr_jax.data.datasets import read_annotations
from vmr_jax.data.datasets.faults import refuse_faults
from vmr_jax.data.datasets.records import Annotations, MomentRecord
from vmr_jax.data.sources.features import SIMULATED
from vmr_jax.data.text.noun_chunks import Chunker, make_chunker
from vmr_jax.data.text.vocabulary import load_glove, tokenize
from vmr_jax.output_files import whole_path
from vmr_jax.progress import Progress, quiet
from vmr_jax.simulation.planting import plant
from vmr_jax.simulation.planting_patches import plant_patches
from vmr_jax.simulation.planting_subtitles import about, plant_subtitles


class Planted(NamedTuple):
    """What `simulate_features` wrote."""

    videos: int
    clips: int
    words: int  # different words that have a vector
    unknown: int  # different words without one; they carry nothing
    queries: int
    silent: int  # queries that plant nothing: no label, or no word with a vector


def simulate_features(
    dataset: str,
    annotations_dir: Path,
    glove: Path,
    width: int,
    out: Path,
    *,
    name: str = "",
    clip_seconds: float = 1.0,
    patches: Path | None = None,
    noun_chunks: str = "rules",
    subtitles: Path | None = None,
    subtitle_width: int = 768,
    overwrite: bool = False,
    progress: Progress = quiet,
) -> Planted:
    """Plant features into real annotations: an HDF5 dataset (N, width) float16 a video.

    Args:
        dataset: a key of the annotation readers.
        patches: receives patches of the same clips, an HDF5 dataset (N, 49, width) a video.
        noun_chunks: how to find what moves and how in a sentence; see `make_chunker`.
        subtitles: receives subtitle features of the same clips, an HDF5 dataset (N, subtitle_width)
            a video. Then the queries that are only about what is said (TVR's type t) are planted
            there and not in the features, those that are only about what is shown not there.
        name: what the domain's transform is drawn from; "" takes `dataset`.
        clip_seconds: a clip's length; N is the duration over it, rounded, at least 1.

    Raises:
        FileNotFoundError: the annotations or the word vectors are not there.
        ValueError: `out` is there and not `overwrite`; the dataset is not known, or is at fault
            beyond repair; a number is not positive; no word has a vector, or no query a moment.
    """
    if min(width, subtitle_width) < 1 or not clip_seconds > 0:
        raise ValueError(
            f"width {min(width, subtitle_width)} and clip seconds {clip_seconds} must be positive"
        )
    there = [path for path in (out, patches, subtitles) if path and path.exists()]
    if there and not overwrite:
        raise ValueError(f"{there[0]} is there already; --overwrite replaces it")
    chunk, _ = make_chunker(noun_chunks)
    annotations = read_annotations(dataset, annotations_dir)._replace(name=name or dataset)
    refuse_faults(annotations)
    queries = [record for split in annotations.splits.values() for record in split]
    words = {word for record in queries for word in tokenize(record.sentence)}
    vectors = load_glove(glove, words)
    if not vectors:
        raise ValueError(f"{glove} has a vector for none of the {len(words)} words of {dataset}")
    videos = len(annotations.durations)

    def write(path: Path, what: str, planted: Iterable[tuple[str, np.ndarray]]) -> int:
        return _write_hdf5(path, progress(planted, f"{annotations.name}: planting {what}", videos))

    shown = about(annotations, "v") if subtitles else annotations
    clips = write(out, "features", plant(shown, vectors, width, clip_seconds))
    if patches:
        chunks = _find_chunks(annotations, chunk)
        moving = plant_patches(annotations, vectors, chunks, width, clip_seconds)
        write(patches, "patches", moving)
    if subtitles:
        said = plant_subtitles(about(annotations, "t"), vectors, subtitle_width, clip_seconds)
        write(subtitles, "subtitles", said)
    return Planted(
        videos=videos,
        clips=clips,
        words=len(vectors),
        unknown=len(words) - len(vectors),
        queries=len(queries),
        silent=sum(_is_silent(record, vectors) for record in queries),
    )


def _find_chunks(annotations: Annotations, chunk: Chunker) -> dict[str, list[np.ndarray]]:
    """The noun chunks (C, 2) of each split's queries."""
    return {
        split: list(chunk(record.sentence for record in records))
        for split, records in annotations.splits.items()
    }


def _is_silent(query: MomentRecord, vectors: Mapping[str, np.ndarray]) -> bool:
    """Tell whether a query plants nothing."""
    return not len(query.moments) or vectors.keys().isdisjoint(tokenize(query.sentence))


def _write_hdf5(out: Path, planted: Iterable[tuple[str, np.ndarray]]) -> int:
    """Write a dataset a video, marked as simulated; returns the number of clips."""
    import h5py

    out.parent.mkdir(parents=True, exist_ok=True)
    clips = 0
    with whole_path(out) as draft, h5py.File(draft, "w") as file:
        file.attrs[SIMULATED] = True
        for video, features in planted:
            file[video] = features
            clips += len(features)
    return clips
