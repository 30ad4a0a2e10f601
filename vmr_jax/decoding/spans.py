"""Start x end search: spans of clips by what a model says of their first and their last clip.

A span is first ... last, inclusive clip indices. Of equal ones that with the smaller first, then
that with the smaller last clip comes first: the order of `list_spans`.
"""

import functools
import operator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, Int32

from vmr_jax.types import AnyArray, Array

_COMBINE = {"sum": operator.add, "product": operator.mul}


class Spans(NamedTuple):
    """K spans each, best first; one that is missing is 0 ... 0 with score -inf."""

    first: Int[Array, "*batch K"]
    last: Int[Array, "*batch K"]
    score: Float[Array, "*batch K"]

    @property
    def valid(self) -> Bool[Array, "*batch K"]:
        """Which are not missing."""
        return self.score > -jnp.inf


def list_spans(
    clips: int, shortest: int = 0, longest: int | None = None
) -> tuple[Int32[np.ndarray, "P"], Int32[np.ndarray, "P"]]:
    """First and last clips of the P spans of N = `clips` clips.

    Those with shortest <= last - first <= longest; None is no limit.
    """
    first, last = np.triu_indices(clips, shortest)
    kept = last - first <= (clips if longest is None else longest)
    return first[kept].astype(np.int32), last[kept].astype(np.int32)


@functools.partial(jax.jit, static_argnames=("combine", "shortest", "longest"))
def score_spans(
    start: Float[AnyArray, "*batch N"],
    end: Float[AnyArray, "*batch N"],
    mask: Bool[AnyArray, "*batch N"],
    combine: str = "sum",
    shortest: int = 0,
    longest: int | None = None,
    added: Float[AnyArray, "*batch P"] | None = None,
) -> Float[Array, "*batch P"]:
    """Score all P spans of `list_spans` by start_i + end_j, or by the "product", and `added`.

    The mask is true on real clips, which come first; a span with clips that are not real has -inf.
    Sources: EVA, section 3.2; PREM, Eq. 12.
    """
    first, last = list_spans(start.shape[-1], shortest, longest)
    score = _COMBINE[combine](start[..., first], end[..., last])
    if added is not None:
        score += added
    return jnp.where(mask[..., last], score, -jnp.inf)


@functools.partial(
    jax.jit, static_argnames=("most", "combine", "shortest", "longest", "whole_if_short")
)
def search_spans(
    start: Float[AnyArray, "*batch N"],
    end: Float[AnyArray, "*batch N"],
    mask: Bool[AnyArray, "*batch N"],
    most: int,
    combine: str = "sum",
    shortest: int = 0,
    longest: int | None = None,
    whole_if_short: bool = False,
) -> Spans:
    """The K = `most` best spans by `score_spans`.

    With `whole_if_short` a video with clips, but without a span of `shortest`, has one span: the
    whole of it. No gradient passes.
    """
    first, last = list_spans(start.shape[-1], shortest, longest)
    listed = len(first)
    score = score_spans(start, end, mask, combine, shortest, longest)
    count = mask.sum(axis=-1, keepdims=True)
    final = jnp.maximum(count - 1, 0)
    if whole_if_short:  # it is listed last
        whole = _COMBINE[combine](start[..., :1], jnp.take_along_axis(end, final, axis=-1))
        whole = jnp.where((count > 0) & (count <= shortest), whole, -jnp.inf)
        score = jnp.concatenate([score, whole], axis=-1)
    missing = max(most - score.shape[-1], 0)
    padding = [(0, 0)] * (score.ndim - 1) + [(0, missing)]
    score = jnp.pad(jax.lax.stop_gradient(score), padding, constant_values=-jnp.inf)
    score, place = jax.lax.top_k(score, most)
    first, last = (jnp.append(clip, 0)[jnp.minimum(place, listed)] for clip in (first, last))
    last = jnp.where(place < listed, last, final)
    found = score > -jnp.inf
    return Spans(jnp.where(found, first, 0), jnp.where(found, last, 0), score)
