"""Simulated data: the embedded pair of domains, and features for real annotations.

The generative process and its equations stand in planting.py, the embedded pair's sentences and
moments in grammar.py.

The constants were chosen once, by three conditions on the embedded pair, with small reference
matchers (the scores of mean-pooled proposals against a pooled query), before EVA was run on it:

1. `location_prior` lies far below a trained model;
2. a model trained on the target's own boundaries stays clearly below 100 %;
3. a model trained on the source alone loses at least a third of that on the target.
"""

import hashlib
import json
from pathlib import Path

from vmr_jax.data import grammar
from vmr_jax.data.build import write_dataset
from vmr_jax.data.datasets import read_annotations
from vmr_jax.data.features import from_arrays
from vmr_jax.data.planting import PROCESS, plant
from vmr_jax.data.progress import Progress, quiet
from vmr_jax.data.text import load_glove, tokenize

EMBEDDED = tuple(grammar.DOMAINS)
FEATURE_NAME = "simulated"
_WIDTH = 64  # F of the embedded pair
_VERSION = 1  # of the code: raise it when the same settings give other data


def build_simulated(data_dir: str | Path, name: str) -> None:
    """Write one domain of the embedded pair to data_dir/name, unless these settings' is there.

    Raises ValueError when the name is not in EMBEDDED.
    """
    if name not in EMBEDDED:
        raise ValueError(f"no simulated dataset {name!r}; known are {', '.join(EMBEDDED)}")
    domain = grammar.DOMAINS[name]
    settings = json.dumps([_VERSION, _WIDTH, domain, PROCESS, grammar.LEXICON])
    stamp = Path(data_dir) / name / "generator.sha256"
    digest = hashlib.sha256(settings.encode()).hexdigest()
    if stamp.is_file() and stamp.read_text() == digest:
        return
    annotations = grammar.annotate(domain)
    vectors = grammar.word_vectors(domain.side)
    features = dict(plant(annotations, vectors, _WIDTH, domain.clip_seconds))
    stamp.unlink(missing_ok=True)
    write_dataset(
        data_dir, annotations, from_arrays(features), FEATURE_NAME, vectors, overwrite=True
    )
    stamp.write_text(digest)


def simulate_features(
    dataset: str,
    annotations_dir: Path,
    glove: Path,
    width: int,
    out: Path,
    *,
    name: str = "",
    clip_seconds: float = 1.0,
    overwrite: bool = False,
    progress: Progress = quiet,
) -> dict[str, int]:
    """Plant features into real annotations: an HDF5 dataset (N, width) float16 a video.

    Args:
        dataset: a key of the annotation readers.
        name: what the domain's transform is drawn from; "" takes `dataset`.
        clip_seconds: a clip's length; N is the duration over it, rounded, at least 1.

    Returns:
        Counts: videos, clips, words (with a vector), unknown (words without), silent (queries
        without a known word or without a label, which plant nothing).

    Raises:
        FileNotFoundError: the annotations or the vectors are not there.
        ValueError: `out` is there and not `overwrite`; the dataset is not known; a number is not
            positive; no word has a vector.
    """
    import h5py

    out = Path(out)
    if out.exists() and not overwrite:
        raise ValueError(f"{out} is there already; --overwrite replaces it")
    if width < 1 or not clip_seconds > 0:
        raise ValueError(f"--width {width} and --clip-seconds {clip_seconds} must be positive")
    annotations = read_annotations(dataset, annotations_dir)
    annotations = annotations._replace(name=name or dataset)
    records = [record for split in annotations.splits.values() for record in split]
    words = {word for record in records for word in tokenize(record.sentence)}
    vectors = load_glove(glove, words)
    if not vectors:
        raise ValueError(f"{glove} has no vector for any of the {len(words)} words of {dataset}")
    counts = {"videos": 0, "clips": 0, "words": len(vectors), "unknown": len(words) - len(vectors)}
    counts["silent"] = sum(
        not len(record.moments) or not any(w in vectors for w in tokenize(record.sentence))
        for record in records
    )
    planted = plant(annotations, vectors, width, clip_seconds)
    partial = out.with_name(f".{out.name}.building")
    try:
        with h5py.File(partial, "w") as file:
            label = f"{annotations.name}: planting"
            for video, clips in progress(planted, label, len(annotations.durations)):
                file[video] = clips
                counts["videos"] += 1
                counts["clips"] += len(clips)
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)
    return counts
