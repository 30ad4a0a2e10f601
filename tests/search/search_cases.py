"""Small corpora, and slow searches of them."""

import numpy as np

from vmr_jax.search.table import Clips


def unit(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Random vectors of length 1, float32."""
    x = rng.standard_normal(shape)
    return (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float32)


def make_part(rng: np.random.Generator, num_clips, modalities: int = 2, width: int = 8) -> Clips:
    """Videos of so many random clips."""
    num_clips = np.asarray(num_clips)
    vectors = tuple(unit(rng, num_clips.sum(), width) for _ in range(modalities))
    return Clips(vectors, num_clips)


def search_slowly(query: np.ndarray, parts: list[Clips], top_k: int):
    """Score and row (B, k) in float64 by plain loops; removed videos are left out."""
    rows = []
    number = 0
    for part in parts:
        ends = np.cumsum(part.num_clips)
        for video, end in enumerate(ends):
            if part.kept is None or part.kept[video]:
                clips = slice(end - part.num_clips[video], end)
                each = [
                    _floats(part, modality, clips) @ query[:, modality].astype(np.float64).T
                    for modality in range(len(part.vectors))
                ]
                rows.append((number, np.mean([x.max(axis=0) for x in each], axis=0)))
            number += 1
    score = np.full((len(query), top_k), -np.inf)
    row = np.full((len(query), top_k), -1)
    for item in range(len(query)):
        ranked = sorted((-float(np.float32(s[item])), r) for r, s in rows)[:top_k]
        score[item, : len(ranked)] = [-s for s, _ in ranked]
        row[item, : len(ranked)] = [r for _, r in ranked]
    return score, row


def _floats(part: Clips, modality: int, clips: slice) -> np.ndarray:
    vectors = part.vectors[modality][clips].astype(np.float64)
    return vectors * part.scale[modality][clips, None] if part.scale else vectors
