"""What PREM's Fig. 6 shows, as JSON: the weights of words, and the confidence in boundaries."""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from vmr_jax import models
from vmr_jax.data.batches.data_paths import query_batch, video_batch
from vmr_jax.decoding.corpus_moments import best_moments, readout
from vmr_jax.models.normalized_inputs import network_params
from vmr_jax.plots.queries import Run, about, rows_of, words_of
from vmr_jax.training.steps import as_float32
from vmr_jax.types import Array, Localizer, Moments, Params, Queries, Videos


def words_content(run: Run, qids: Sequence[str]) -> list[dict]:
    """PREM's Fig. 6a of each query: how much each word counts for each modality's query vector.

    `weights` has alpha of Eq. 5 for each modality, whose sum over the words is 1. Raises
    ValueError for an unknown query id, and where the retriever pools words without weights.
    """
    rows = rows_of(run, qids)
    word_weights = models.of(run.config).word_weights
    if word_weights is None:
        raise ValueError(f"{run.config.system} weighs no words for modalities")
    weigh = jax.jit(functools.partial(word_weights, run.config, run.domain.spec))
    contents = []
    for row in rows:
        queries = as_float32(query_batch(run.domain, np.array([row])))
        weights = weigh(network_params(run.params), queries)[0]
        asked = words_of(run.domain, row)
        each = np.asarray(weights, np.float64)[:, : len(asked["words"])].tolist()
        contents.append(
            {"figure": "words"}
            | about(run, row)
            | asked
            | {"weights": dict(zip(run.config.modalities, each, strict=True))}
        )
    return contents


def boundaries_content(run: Run, qids: Sequence[str]) -> list[dict]:
    """PREM's Fig. 6b of each query: where its moment starts and ends in the true video.

    `clips` has the confidence of each clip, the softmax of the logits over the video's clips;
    clip i is between edges i and i + 1, in seconds. `predictions` are all that are kept of the
    spans with `span_clips` clips, the best first; their score is the sum of both logits. Raises
    ValueError for an unknown query id, and for one whose video is hidden.
    """
    rows = rows_of(run, qids)
    hidden = [qid for qid, row in zip(qids, rows, strict=True) if run.domain.pairs.video[row] < 0]
    if hidden:
        raise ValueError(
            f"the video of query {', '.join(map(repr, hidden))} is hidden in "
            f"{run.domain.dataset.name} / {run.config.target.eval_split}: boundaries are shown in "
            "the true video, choose another --split"
        )
    locate, settings = _make_locate(run), readout(run.config)
    contents = []
    for row in rows:
        video = run.domain.pairs.video[row : row + 1]
        videos = as_float32(video_batch(run.domain, video))
        queries = as_float32(query_batch(run.domain, np.array([row])))
        start, end, found = locate(run.params, videos, queries, run.domain.pairs.duration[video])
        clips = int(run.domain.pairs.num_clips[video[0]])
        asked = about(run, row)
        ranked = np.stack((found.start, found.end, found.score), axis=-1)[0].astype(np.float64)
        ranked = ranked[~np.isneginf(ranked[:, 2])]
        edges = settings.clip_seconds * np.arange(clips + 1)
        edges[-1] = np.clip(asked["duration"], edges[-2], edges[-1])
        contents.append(
            {"figure": "boundaries"}
            | asked
            | {
                "clips": {
                    "edges": edges.tolist(),
                    "start": _softmax(start[:clips]).tolist(),
                    "end": _softmax(end[:clips]).tolist(),
                },
                "span_clips": [settings.min_l + 1, settings.max_l + 1],
                "predictions": dict(zip(("start", "end", "score"), ranked.T.tolist(), strict=True)),
            }
        )
    return contents


def _make_locate(run: Run):
    """jit: (params, a video, a query, duration (1,)) -> logits (N,) and (N,), Moments (1, K)."""
    localizer, settings = run.system, readout(run.config)
    if not isinstance(localizer, Localizer):
        raise ValueError(f"{run.config.system} is no localizer: it finds no boundaries")

    @jax.jit
    def locate(
        params: Params, videos: Videos, queries: Queries, duration: Array
    ) -> tuple[Array, Array, Moments]:
        code = jax.tree.map(lambda leaf: leaf[:, None], localizer.encode_videos(params, videos))
        query = localizer.encode_queries(params, queries)
        mask = jnp.asarray(videos.video_mask)[:, None]
        start, end = localizer.locate(params, query, code, mask)
        given = np.zeros((1, 1), np.float32), np.zeros((1, 1), np.int32)  # score and row
        found = best_moments(start, end, mask, *given, duration[:, None], settings)
        return start[0, 0], end[0, 0], found

    return locate


def _softmax(logits: np.ndarray) -> np.ndarray:
    """(N,) -> (N,) float64 with sum 1."""
    logits = np.asarray(logits, np.float64)
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()
