"""A localizer's codes of a corpus, from which those of a few videos are fetched."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from vmr_jax.search.encoding import padded_length


class CodeStore(NamedTuple):
    """Codes of V videos on the host, in memory or mapped from files."""

    parts: tuple[Any, ...]  # trees of arrays (R, ...): clips of some videos, one after the other
    part: np.ndarray  # (V,) in which part a video is
    first: np.ndarray  # (V,) its first row there
    num_clips: np.ndarray  # (V,)
    duration: np.ndarray  # (V,) float32 seconds


def make_store(
    parts: Sequence[Any], num_clips: Sequence[np.ndarray], duration: np.ndarray
) -> CodeStore:
    """Gather codes: for each part a tree of arrays (R, ...), and the clips of its videos.

    Raises ValueError where the arrays do not have as many rows as the videos have clips.
    """
    for tree, counts in zip(parts, num_clips, strict=True):
        for leaf in jax.tree.leaves(tree):
            if len(leaf) != counts.sum():
                raise ValueError(
                    f"the videos have {counts.sum()} clips, but there are codes of {len(leaf)}"
                )
    return CodeStore(
        parts=tuple(parts),
        part=np.repeat(np.arange(len(parts)), [len(counts) for counts in num_clips]),
        first=np.concatenate([np.cumsum(counts) - counts for counts in num_clips]),
        num_clips=np.concatenate(num_clips),
        duration=np.asarray(duration, np.float32),
    )


def fetch(store: CodeStore, row: np.ndarray) -> tuple[Any, np.ndarray, np.ndarray]:
    """Codes (B, C, N, ...), mask (B, C, N) and durations (B, C) of the videos `row` (B, C).

    N is the `padded_length` of the longest of them. Row -1 is a video without clips. Codes keep
    their type and are zero on padding.
    """
    count = np.where(row < 0, 0, store.num_clips[row])
    longest = padded_length(max(int(count.max()), 1))
    leaves, tree = jax.tree.flatten(store.parts[0])
    columns = list(zip(*map(jax.tree.leaves, store.parts), strict=True))
    codes = [np.zeros((*row.shape, longest, *leaf.shape[1:]), leaf.dtype) for leaf in leaves]
    for place in zip(*np.nonzero(count), strict=True):
        video = row[place]
        begin, clips = store.first[video], count[place]
        for code, column in zip(codes, columns, strict=True):
            code[place][:clips] = column[store.part[video]][begin : begin + clips]
    mask = np.arange(longest) < count[..., None]
    return tree.unflatten(codes), mask, np.where(row < 0, 0, store.duration[row])
