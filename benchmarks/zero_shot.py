"""Moments without training on stored features, beside sliding windows and the location prior.

    python -m benchmarks.zero_shot LABELS FEATURES.h5 --train LABELS [--seconds 2]

FEATURES and --seconds are those of benchmarks.concepts. LABELS are queries in the jsonl format, or
a JSON file of ActivityNet Captions; the location prior is fitted on those of --train.

    found           the best of `find_moments`; "found, of 5" the best of its first five
    windows         the sliding windows of benchmarks.concepts, of lengths that the clips have
    location_prior  the same place in each video
"""

import argparse
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.concepts import WINDOWS, best_span, read_rows
from benchmarks.report import show
from vmr_jax.encoders import concepts
from vmr_jax.encoders.sentence import open_sentence_encoder
from vmr_jax.metrics.baselines import fit_location_prior
from vmr_jax.metrics.intervals import bootstrap_intervals
from vmr_jax.metrics.linear_match import unit
from vmr_jax.metrics.moments import temporal_iou
from vmr_jax.weights.registry import weights_path
from vmr_jax.zero_shot.moments import GENERIC, find_moments


class Query(NamedTuple):
    """A sentence and its moment."""

    video: str
    sentence: str
    moment: tuple[float, float]  # seconds
    duration: float  # seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("labels", type=Path)
    parser.add_argument("features", type=Path)
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--json", default="")
    args = parser.parse_args()
    queries, rows = read_queries(args.labels), read_rows(args.features)
    encoder = open_sentence_encoder(weights_path(concepts.SENTENCES))
    generic = concepts.sentence_vectors(encoder, list(GENERIC))
    spoken = concepts.sentence_vectors(encoder, [query.sentence for query in queries])
    overlaps: dict[str, list[float]] = {"found": [], "found, of 5": [], "windows": []}
    for query, sentence in zip(queries, spoken, strict=True):
        video = rows[query.video]
        found = [_iou(m[:2], query) for m in _found(video, sentence, generic, args.seconds)]
        overlaps["found"].append(found[0])
        overlaps["found, of 5"].append(max(found))
        starts = [(first, first + n) for n in WINDOWS for first in range(len(video) - n + 1)]
        span = np.array(starts[best_span(video, starts, sentence)]) * args.seconds
        overlaps["windows"].append(_iou(span, query))
    overlaps["location_prior"] = _prior(read_queries(args.train), queries)
    video = np.unique([query.video for query in queries], return_inverse=True)[1]
    values = {name: _reached(np.array(overlap)) for name, overlap in overlaps.items()}
    values["found - windows"] = {
        name: values["found"][name] - values["windows"][name] for name in values["found"]
    }
    table = []
    for name, of in values.items():
        table.append({"moments": name} | _cells(of, bootstrap_intervals(of, video)))
    show(f"{len(queries):,} sentences of {args.labels}", table, args.json)


def read_queries(path: Path) -> list[Query]:
    """The queries of a file of labels."""
    if path.suffix == ".jsonl":
        lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        return [
            Query(x["vid"], x["query"], tuple(x["relevant_windows"][0]), x["duration"])
            for x in lines
        ]
    return [
        Query(video, sentence, tuple(moment), of["duration"])
        for video, of in json.loads(path.read_text("utf-8")).items()
        for sentence, moment in zip(of["sentences"], of["timestamps"], strict=True)
    ]


def _found(video: np.ndarray, sentence: np.ndarray, generic: np.ndarray, seconds: float):
    rows, times = unit(video), (np.arange(len(video)) + 0.5) * seconds
    return find_moments(rows @ sentence, rows @ generic.T, times, len(video) * seconds)


def _prior(train: list[Query], queries: list[Query]) -> list[float]:
    moments = [np.array([query.moment]) for query in train]
    ((begin, end),) = fit_location_prior(moments, [query.duration for query in train], 1)
    return [_iou((begin * q.duration, end * q.duration), q) for q in queries]


def _iou(span, query: Query) -> float:
    clipped = np.minimum(np.asarray(span, np.float64), query.duration)
    return float(temporal_iou(clipped, np.array(query.moment)))


def _reached(overlap: np.ndarray) -> dict[str, np.ndarray]:
    """What each query gives to each metric, (Q,) each."""
    return {f"IoU={m}": 1.0 * (overlap >= m) for m in (0.3, 0.5, 0.7)} | {"mIoU": overlap}


def _cells(values: dict[str, np.ndarray], intervals: dict[str, list[float]]) -> dict[str, str]:
    """Means in percent with their 95 % intervals over videos."""
    return {
        name: f"{100 * of.mean():.2f} [{intervals[name][0]:.1f}, {intervals[name][1]:.1f}]"
        for name, of in values.items()
    }


if __name__ == "__main__":
    main()
