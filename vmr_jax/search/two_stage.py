"""The second stage of a search: moments in the videos that the first stage retrieved."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from vmr_jax.decoding.corpus_moments import Readout, best_moments
from vmr_jax.search.code_store import CodeStore, fetch
from vmr_jax.types import Localizer, Moments, Params, Queries

# Clips that are looked at at a time, about. On a CPU what a Transformer layer makes of so many
# stays in the cache: queries one by one are a third faster than eight together.
_CPU_CLIPS, _CLIPS = 1000, 16_000


def make_finder(localizer: Localizer, settings: Readout) -> Callable[..., Moments]:
    """How the moments of queries are found in the videos that were retrieved for them.

    Returns find(params, queries of B, score (B, C), row (B, C), store) -> Moments (B, K). Rows and
    scores are those of `exact.top_videos`, the store has the localizer's codes of the corpus.
    A few queries are looked at together; their videos are padded to a few lengths, for each of
    which a program is compiled once.
    """

    @jax.jit
    def locate(params: Params, queries: Queries, code, mask, score, row, duration) -> Moments:
        code = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), code)
        start, end = localizer.locate(params, localizer.encode_queries(params, queries), code, mask)
        return best_moments(start, end, mask, score, row, duration, settings)

    def find(params: Params, queries: Queries, score, row, store: CodeStore) -> Moments:
        score, row = np.asarray(score), np.asarray(row)
        clips = _CPU_CLIPS if jax.default_backend() == "cpu" else _CLIPS
        size = clips // max(1, row.shape[1] * int(store.num_clips.max()))
        found, size = [], min(max(1, size), len(row))
        for first in range(0, len(row), size):
            # The last queries are filled up with others, whose moments are cut off again.
            some = np.minimum(np.arange(first, first + size), len(row) - 1)
            code, mask, duration = fetch(store, row[some])
            asked = jax.tree.map(lambda leaf, some=some: leaf[some], queries)
            found.append(locate(params, asked, code, mask, score[some], row[some], duration))
            jax.block_until_ready(found[-2:-1])  # the codes of two steps are in memory, no more
        return jax.tree.map(lambda *parts: jnp.concatenate(parts)[: len(row)], *found)

    return find
