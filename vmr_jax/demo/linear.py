"""The yardstick `linear_match` on the demo's videos, fitted on some of its training worlds."""

from collections.abc import Mapping, Sequence

import numpy as np

from vmr_jax.demo.snippets import SNIPPET, snippets_of
from vmr_jax.demo.world import Scene
from vmr_jax.metrics.linear_match import (
    QUANTILES,
    best_windows,
    fit,
    fit_scale,
    unit,
    window_means,
    windows,
)
from vmr_jax.zero_shot.joint_space import JointSpace

_BATCH = 32  # snippets encoded at once
_PER_VIDEO = 5  # moments


class LinearSearch:
    """The best windows of a linear match: a ridge from the encoder's rows to its sentences."""

    def __init__(self, scenes: Sequence[Scene], space: JointSpace):
        """Learn from scenes, which are drawn and encoded."""
        encode = space.images.compiled()
        rows = [_encode(snippets_of(scene), encode) for scene in scenes]
        scale = fit_scale(np.concatenate(rows))
        means, sentences, counts = [], [], []
        for own, scene in zip(rows, scenes, strict=True):
            for event in scene.events:
                first, last = round(event.start / SNIPPET), round(event.end / SNIPPET)
                means.append(own[first:last].mean(axis=0))
                sentences.append(event.sentence)
                counts.append(last - first)
        self._match = fit(scale, scale(np.stack(means)), space.sentences(sentences))
        self._lengths = {round(length) for length in np.quantile(counts, QUANTILES)}

    def search(self, videos: Mapping[int, np.ndarray], sentences: np.ndarray) -> list[np.ndarray]:
        """Rows (K, 4) of video, start s, end s, score, best first, of sentences (Q, E).

        `videos` are rows of snippets (N, F) by number; each gives 5 moments at most.
        """
        queries = unit(self._match.queries(sentences))
        parts = []
        for number, rows in videos.items():
            spans = windows(len(rows), self._lengths)
            means = unit(window_means(self._match.map_clips(rows), spans))
            best, score = best_windows(queries @ means.T, spans, min(_PER_VIDEO, len(spans)))
            which = np.full(best.shape, number)
            parts.append(np.stack([which, *(spans[best] * SNIPPET).transpose(2, 0, 1), score], -1))
        found = np.concatenate(parts, axis=1)
        return [own[np.argsort(-own[:, 3], kind="stable")] for own in found]


def _encode(snippets: np.ndarray, encode) -> np.ndarray:
    """The rows (N, width) of snippets, encoded in batches of one shape."""
    count = len(snippets)
    padded = np.zeros((-(-count // _BATCH) * _BATCH, *snippets.shape[1:]), np.uint8)
    padded[:count] = snippets
    parts = [encode(padded[at : at + _BATCH]) for at in range(0, len(padded), _BATCH)]
    return np.concatenate(parts)[:count]
