"""The best spans of clips from start and end probabilities."""

import jax
import jax.numpy as jnp

from vmr_jax.types import Array


def search_spans(
    start_prob: Array, end_prob: Array, mask: Array, min_len: int, max_len: int, k: int
) -> tuple[Array, Array, Array]:
    """Rank all spans (first, last) of one video by start_prob[first] * end_prob[last].

    start_prob, end_prob are (N,); mask is (N,) bool, true on the n real clips, which come
    first. A span is allowed when both ends are real and min_len <= last - first <= max_len.
    Ties go to the smaller first, then to the smaller last clip. When no span is allowed, the
    whole video (0, n - 1) is the only one. Works under jit and vmap with a static k.

    Returns first, last, both inclusive, (k,) int32, and score (k,), best first, padded with
    0, 0, -inf. Source: docs/metrics.md, Span search.
    """
    n = mask.shape[0]
    clip = jnp.arange(n)
    length = clip[None, :] - clip[:, None]  # (N, N): first clip by last clip, minus one
    real = mask[:, None] & mask[None, :]
    allowed = real & (length >= jnp.maximum(min_len, 0)) & (length <= max_len)
    whole = real & (length == jnp.sum(mask) - 1)
    allowed = jnp.where(jnp.any(allowed), allowed, whole)
    score = jnp.where(allowed, start_prob[:, None] * end_prob[None, :], -jnp.inf)
    # The k extra entries are the padding of a short list; top_k keeps the order of ties.
    score, best = jax.lax.top_k(jnp.pad(score.ravel(), (0, k), constant_values=-jnp.inf), k)
    found = score != -jnp.inf
    return jnp.where(found, best // n, 0), jnp.where(found, best % n, 0), score
