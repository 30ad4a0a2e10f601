"""How far do class names bring a frame to its sentence? Zero-shot features beside chance.

    python -m benchmarks.concepts LABELS.jsonl FEATURES.h5 [FEATURES.h5 ...] [--seconds 2]

FEATURES are rows of `vmr extract --encoder concepts` or `concepts-actions`, or of
efficientnet-lite0, which go through its classifier and the class names here; of several files the
videos' mean rows are added. LABELS are queries in the jsonl format whose moments are the parts of
their videos, a row each --seconds; or clips, {"vid": ..., "sentences": [...]} a line, a dataset
each. What is scored is the cosine of a mean row and the sentence.

    right     the right one of the video's moments, their borders given; of clips: of it and four
              others, seeded; chance beside it
    R@1, mIoU of the best of the sliding windows of 6, 7, 9 and 12 rows
"""

import argparse
import json
from pathlib import Path

import h5py
import numpy as np

from benchmarks.report import show
from vmr_jax.encoders import concepts, efficientnet
from vmr_jax.encoders.sentence import open_sentence_encoder
from vmr_jax.weights.registry import weights_path

WINDOWS = (6, 7, 9, 12)  # rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("labels", type=Path)
    parser.add_argument("features", type=Path, nargs="+")
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--json", default="")
    args = parser.parse_args()
    lines = [json.loads(line) for line in args.labels.read_text("utf-8").splitlines()]
    encoder = open_sentence_encoder(weights_path(concepts.SENTENCES))
    rows = [read_rows(path) for path in args.features]
    names = [path.name for path in args.features]
    if "sentences" in lines[0]:
        lines = [line for line in lines if all(line["vid"] in part for part in rows)]
        sentences = [sentence for line in lines for sentence in line["sentences"]]
        spoken = concepts.sentence_vectors(encoder, sentences)
        results = [_of_clips(lines, spoken, [part]) for part in rows]
        results += [_of_clips(lines, spoken, rows)] if len(rows) > 1 else []
        names += [" + ".join(names)] if len(rows) > 1 else []
    else:
        spoken = concepts.sentence_vectors(encoder, [line["query"] for line in lines])
        results = [_of_moments(lines, spoken, part, args.seconds) for part in rows]
    table = [{"features": name, **result} for name, result in zip(names, results, strict=True)]
    show(f"{len(spoken):,} sentences of {args.labels}", table, args.json)


def read_rows(path: Path) -> dict[str, np.ndarray]:
    """The rows of each video in the sentence encoder's space."""
    with h5py.File(path) as file:
        rows = {str(name): np.asarray(file[name], np.float32) for name in file}
    if next(iter(rows.values())).shape[1] != efficientnet.WIDTH:
        return rows
    load = efficientnet.load_efficientnet
    weights = weights_path("efficientnet-lite0")
    params = concepts.load_concepts(weights, load, "imagenet-names")
    classes = params["classifier"]["classes"]
    return {
        name: np.asarray(
            concepts.project(x @ classes["kernel"] + classes["bias"], params["vectors"])
        )
        for name, x in rows.items()
    }


def _of_moments(lines: list[dict], spoken: np.ndarray, rows: dict, seconds: float) -> dict:
    """Queries against the moments and windows of their videos."""
    parts: dict[str, set[tuple[int, int]]] = {}
    truths = [tuple(round(x / seconds) for x in line["relevant_windows"][0]) for line in lines]
    for line, truth in zip(lines, truths, strict=True):
        parts.setdefault(line["vid"], set()).add(truth)
    right, overlaps = [], []
    for line, truth, sentence in zip(lines, truths, spoken, strict=True):
        video, moments = rows[line["vid"]], sorted(parts[line["vid"]])
        right.append(moments[best_span(video, moments, sentence)] == truth)
        starts = [(first, first + n) for n in WINDOWS for first in range(len(video) - n + 1)]
        begin, end = starts[best_span(video, starts, sentence)]
        shared = max(0, min(end, truth[1]) - max(begin, truth[0]))
        overlaps.append(shared / (max(end, truth[1]) - min(begin, truth[0])))
    chance = np.mean([1 / len(parts[line["vid"]]) for line in lines])
    overlap = np.array(overlaps)
    shares = {"right": np.mean(right), "chance": chance}
    shares |= {f"R@1,IoU={m}": np.mean(overlap >= m) for m in (0.5, 0.7)}
    return {name: 100 * float(x) for name, x in {**shares, "mIoU": overlap.mean()}.items()}


def best_span(video: np.ndarray, spans: list[tuple[int, int]], sentence: np.ndarray) -> int:
    """Which of the spans of rows has the highest cosine with a sentence."""
    sums = np.concatenate([np.zeros_like(video[:1]), np.cumsum(video, axis=0)])
    begin, end = np.array(spans).T
    means = sums[end] - sums[begin]
    return int(np.argmax(means @ sentence / np.linalg.norm(means, axis=1)))


def _of_clips(lines: list[dict], spoken: np.ndarray, parts: list[dict]) -> dict:
    """Sentences against their clip and four others."""
    means = [np.stack([part[line["vid"]].mean(axis=0) for line in lines]) for part in parts]
    clips = sum(mean / np.linalg.norm(mean, axis=1, keepdims=True) for mean in means)
    clips /= np.linalg.norm(clips, axis=1, keepdims=True)
    own = np.repeat(np.arange(len(lines)), [len(line["sentences"]) for line in lines])
    rng, right = np.random.default_rng(0), []
    for clip, scores in zip(own, spoken @ clips.T, strict=True):
        others = rng.permutation(np.delete(np.arange(len(lines)), clip))[:4]
        right.append(scores[clip] > scores[others].max())
    return {"clips": len(lines), "right": 100 * float(np.mean(right)), "chance": 20.0}


if __name__ == "__main__":
    main()
