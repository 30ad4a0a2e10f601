"""An index of video files on real videos: the 55 clips of msrvtt_raw, alone and in a row.

    VMR_DATA_DIR=DATA python -m benchmarks.video_index OUT [--encoder concepts]

DATA/real has msrvtt_raw; OUT is a folder for films and indexes, which are kept. Its sentences, 20 a
clip, are searched without training. A clip is a video of its own, one of about five neighbours, of
all in a row, or of all thrice in other orders (any of the three counts). Beside it, what blind
answers reach: for the right clip one over the number of clips, for moments the whole video and
random spans.
"""

import argparse
import json
import os
import resource
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np

from benchmarks.report import show
from vmr_jax.metrics.intervals import bootstrap_intervals
from vmr_jax.output_files import whole_path
from vmr_jax.video.decode import sample_frames
from vmr_jax.video.sampling import Sampling
from vmr_jax.video.sources import VideoFile
from vmr_jax.video_index.build import build_index
from vmr_jax.video_index.corpus import Corpus
from vmr_jax.video_index.found import Found
from vmr_jax.zero_shot.joint_space import JointSpace, Sentences, open_joint_space

_RATE, _SIZE = 5, (320, 240)  # of the films, frames a second and pixels
_GROUP = 5  # neighbours


class Clip(NamedTuple):
    """A clip of msrvtt_raw."""

    id: str
    path: Path
    sentences: tuple[str, ...]


class Film(NamedTuple):
    """Clips one after the other."""

    id: str
    clips: list[Clip]
    borders: np.ndarray  # (C + 1,) seconds


def main() -> None:
    """Make the films, index and search them, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--encoder", default="concepts")
    parser.add_argument("--json", type=Path, help="write the table here too")
    args = parser.parse_args()
    clips = _clips(Path(os.environ["VMR_DATA_DIR"]) / "real" / "msrvtt_raw")
    thrice = [clips[at] for seed in range(3) for at in np.random.default_rng(seed).permutation(55)]
    groups = [clips[at : at + _GROUP] for at in range(0, len(clips), _GROUP)]
    space = _with_vectors_kept(open_joint_space(args.encoder), clips)
    films = {
        "a clip each": [[clip] for clip in clips],
        f"{_GROUP} neighbours": groups,
        "all in a row": [clips],
        "all thrice": [thrice],
    }
    rows = [_row(name, made, space, args.out) for name, made in films.items()]
    within = f"{_GROUP} neighbours, in the right film"
    rows.insert(2, _row(within, groups, space, args.out, within=True))
    show(f"msrvtt_raw, encoder {args.encoder}: percent [95 %]", rows, args.json)
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


def _clips(folder: Path) -> list[Clip]:
    lines = (folder / "clips.jsonl").read_text("utf-8").splitlines()
    return [
        Clip(one["vid"], folder / Path(one["file"]).name, tuple(one["sentences"]))
        for one in map(json.loads, lines)
    ]


def _with_vectors_kept(space: JointSpace, clips: list[Clip]) -> JointSpace:
    """The space, which encodes each sentence once."""
    texts = list(dict.fromkeys([text for clip in clips for text in clip.sentences]))
    texts += space.generic
    vectors = dict(zip(texts, space.sentences(texts), strict=True))
    return space._replace(sentences=lambda asked: np.stack([vectors[text] for text in asked]))


def _row(name: str, films: list[list[Clip]], space: JointSpace, out: Path, within=False) -> dict:
    """Index the films and ask all sentences; `within` asks those of a film in it alone."""
    folder = out / name.partition(",")[0].replace(" ", "_")
    made = [_film(folder / "films", f"film{number}", film) for number, film in enumerate(films)]
    index, began = folder / f"{space.images.name}.index", time.monotonic()
    done = build_index(
        index,
        [VideoFile(film.id, folder / "films" / f"{film.id}.mp4") for film in made],
        space,
    )
    took, seconds = time.monotonic() - began, sum(film.borders[-1] for film in made)
    corpus = Corpus(index, Sentences(space.sentences, space.images.weights))
    answers, truths = [], []
    for film in made:
        asked = [(clip, text) for clip in dict.fromkeys(film.clips) for text in clip.sentences]
        texts = [text for _, text in asked]
        answers += corpus.search_all(texts, 5, [film.id] if within else None)
        truths += [_spans(made, clip) for clip, _ in asked]
    values = {
        "right clip": [_right(f[:1], t) for f, t in zip(answers, truths, strict=True)],
        "of five": [_right(f, t) for f, t in zip(answers, truths, strict=True)],
    }
    for bound in (0.5, 0.7):
        values[f"R@1,IoU={bound}"] = [
            any(_iou(f[0], span) >= bound for span in t) if f else False
            for f, t in zip(answers, truths, strict=True)
        ]
    group = np.repeat(np.arange(len(answers) // 20), 20)
    intervals = bootstrap_intervals({k: np.array(v, float) for k, v in values.items()}, group)
    shown = {
        k: f"{100 * np.mean(v):.1f} [{intervals[k][0]:.1f}, {intervals[k][1]:.1f}]"
        for k, v in values.items()
    }
    chance = 100 / (_GROUP if within else len({clip.id for film in films for clip in film}))
    speed = f"{seconds / took:.1f}" if done.report.added else ""
    return (
        {"films": name, "minutes": f"{seconds / 60:.1f}"}
        | shown
        | {
            "blind clip": f"{chance:.1f}",
            "blind moment": f"{_blind(made, within):.1f}",
            "x realtime": speed,
        }
    )


def _spans(films: Sequence[Film], clip: Clip) -> list[tuple]:
    """Where a clip is: (film, start, end), seconds."""
    return [
        (film.id, film.borders[place], film.borders[place + 1])
        for film in films
        for place, other in enumerate(film.clips)
        if other.id == clip.id
    ]


def _right(found: Sequence[Found], spans: list[tuple]) -> bool:
    """Whether the middle of one of the moments lies in the clip."""
    return any(
        moment.video == film and start <= (moment.start_s + moment.end_s) / 2 < end
        for moment in found
        for film, start, end in spans
    )


def _iou(moment: Found, span: tuple) -> float:
    film, start, end = span
    if moment.video != film:
        return 0.0
    inter = max(0.0, min(moment.end_s, end) - max(moment.start_s, start))
    return inter / (max(moment.end_s, end) - min(moment.start_s, start))


def _blind(films: Sequence[Film], within: bool) -> float:
    """R@1,IoU=0.5 of spans drawn at random, of the mean length of a clip, where it may lie."""
    rng, hits = np.random.default_rng(0), []
    length = np.mean([gap for film in films for gap in np.diff(film.borders)])
    for film in films:
        for place in range(len(film.clips)):
            span = (film.id, film.borders[place], film.borders[place + 1])
            for _ in range(200):
                other = film if within else films[rng.integers(len(films))]
                start = rng.uniform(0, max(other.borders[-1] - length, 0))
                guess = Found(other.id, Path(), start, start + length, 0.0)
                hits.append(_iou(guess, span) >= 0.5)
    return 100 * float(np.mean(hits))


def _film(folder: Path, name: str, clips: list[Clip]) -> Film:
    """Write the clips one after the other into a film, unless it is there."""
    path, times = folder / f"{name}.mp4", folder / f"{name}.json"
    if not times.exists():
        folder.mkdir(parents=True, exist_ok=True)
        counts = []
        with whole_path(path) as draft, av.open(str(draft), "w") as file:
            stream = file.add_stream("libx264", rate=_RATE)
            stream.width, stream.height, stream.pix_fmt = *_SIZE, "yuv420p"
            for clip in clips:
                counts.append(0)
                for frame in sample_frames(clip.path, Sampling(fps=_RATE)):
                    image = av.VideoFrame.from_ndarray(frame.image, format="rgb24")
                    file.mux(stream.encode(image.reformat(*_SIZE, format="yuv420p")))
                    counts[-1] += 1
            file.mux(stream.encode())
        times.write_text(json.dumps((np.cumsum([0, *counts]) / _RATE).tolist()))
    return Film(name, clips, np.array(json.loads(times.read_text())))


if __name__ == "__main__":
    main()
