"""The shapes and contracts that every module shares.

Shape legend, used in every docstring:

    B  queries in a batch            D  model width
    N  clips of a video (padded)     K  predictions a query
    F  width of a clip feature       V  videos of a corpus
    M  words of a query (padded)     T  queries of a batch of videos
    E  width of a word feature       A  annotators of a query
    P  proposals of a video          W  words of a vocabulary
    G  segment groups of a video     L  windows of a group
    R  rows of an attention map      J  modalities of a video: image, subtitles
    S  width of a subtitle feature   C  candidate videos of a query

Times are float32 seconds at every public border. Clip indices are half-open [start, end)
inside the library, except `Batch.span`, which is inclusive, as i_s and i_e of EVA, Eq. 6.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Num
from ml_collections import ConfigDict

Array = jax.Array
AnyArray = jax.Array | np.ndarray  # where a static list or a host's array serves as well
Params = Mapping[str, Any]

if TYPE_CHECKING:

    class Config(ConfigDict):
        """A ConfigDict: what stands at a key has the type that the config's file gives it."""

        def __init__(self, values: "Mapping[str, Any] | Config | None" = None) -> None: ...

        def __getattr__(self, key: str) -> Any: ...

        def __getitem__(self, key: str) -> Any: ...

        def __setattr__(self, key: str, value: Any) -> None: ...

        def get(self, key: str, default: Any = None) -> Any: ...

        def lock(self) -> "Config": ...

else:
    Config = ConfigDict


class Batch(NamedTuple):
    """B video-query pairs of one domain. Padded clips and words are zero.

    Where boundaries are hidden (weak supervision) `moment` is NaN and `span` is -1.
    """

    video: Array  # (B, N, F) float32 clip features
    video_mask: Array  # (B, N) bool, true on real clips
    num_clips: Array  # (B,) int32
    query: Array  # (B, M, E) float32 word features
    query_mask: Array  # (B, M) bool, true on real words
    duration: Array  # (B,) float32 seconds
    video_id: Array  # (B,) int32 row of the videos table: equal ids are the same video
    query_id: Array  # (B,) int32 row of the split's moments table
    moment: Array  # (B, 2) float32 seconds
    span: Array  # (B, 2) int32 inclusive clip indices (first, last)
    weight: Array  # (B,) float32, 1 on real pairs, 0 on the padding of a last batch
    sub: Array | None = None  # (B, N, S) subtitles of the same clips, where the config names them
    # Where training learns all of a query's moments (training_moment=all):
    moments: Array | None = None  # (B, A, 2) float32 seconds, padded with NaN
    saliency: Array | None = None  # (B, N) float32 of each clip, -1 outside of the moments


class CandidateBatch(NamedTuple):
    """B queries with C videos each, of which the first is the one that the query is about."""

    video: Array  # (B, C, N, F) float32 clip features
    video_mask: Array  # (B, C, N) bool
    num_clips: Array  # (B, C) int32
    duration: Array  # (B, C) float32 seconds
    video_id: Array  # (B, C) int32 row of the videos table
    query: Array  # (B, M, E) float32
    query_mask: Array  # (B, M) bool
    query_id: Array  # (B,) int32
    moment: Array  # (B, 2) float32 seconds, in the first video; NaN where hidden
    weight: Array  # (B,) float32
    sub: Array | None = None  # (B, C, N, S)


class VideoBatch(NamedTuple):
    """B videos with all their queries, T in all. Padding has weight 0.

    Queries are token ids of a text encoder, or with text.encoder=features the stored features of
    their tokens. Where boundaries are hidden `moment` is NaN. The
    optional fields are there where the config asks for them: the queries' noun chunks alone
    (static) and the rest alone (dynamic), see data/text/masking.py; and for L frames at the centres
    of L equal parts of the video G patches, a square grid row by row, and the frame's own feature.
    Neither patches nor patch_cls are normalised.
    """

    video: Array  # (B, N, F) float32 clip features
    video_mask: Array  # (B, N) bool
    num_clips: Array  # (B,) int32
    duration: Array  # (B,) float32 seconds
    video_id: Array  # (B,) int32 row of the videos table
    weight: Array  # (B,) float32, 1 on real videos
    tokens: Array  # (T, M) int32, or (T, M, E) features
    token_mask: Array  # (T, M) bool
    owner: Array  # (T,) int32 which of the B videos a query is about
    query_id: Array  # (T,) int32 row of the split's moments table
    moment: Array  # (T, 2) float32 seconds
    query_weight: Array  # (T,) float32, 1 on real queries
    static_tokens: Array | None = None  # (T, M) int32
    static_mask: Array | None = None  # (T, M) bool, true on the tokens to attend to
    static_ok: Array | None = None  # (T,) bool, false where the query has no such words
    dynamic_tokens: Array | None = None  # (T, M) int32
    dynamic_mask: Array | None = None  # (T, M) bool
    dynamic_ok: Array | None = None  # (T,) bool
    patches: Array | None = None  # (B, L, G, F) float32
    patch_cls: Array | None = None  # (B, L, F) float32


class HybridBatch(NamedTuple):
    """A labelled source half and a weakly labelled target half (EVA, section 3.3)."""

    source: Batch
    target: Batch


AnyBatch = Batch | CandidateBatch | VideoBatch | HybridBatch


class Moments(NamedTuple):
    """K ranked predictions a query, best first; padding has score -inf.

    Where a corpus was searched `video` tells the rows of the videos; padding is -1. A system that
    tells how salient each clip of the video is has `saliency`, -inf on padding.
    """

    start: AnyArray  # (B, K) float32 seconds
    end: AnyArray  # (B, K) float32 seconds
    score: AnyArray  # (B, K) float32
    video: AnyArray | None = None  # (B, K) int32
    saliency: AnyArray | None = None  # (B, N) float32


class Moment(NamedTuple):
    """One moment that was found in a video."""

    start_s: float  # seconds
    end_s: float  # seconds
    score: float  # higher is better; comparable within one query


class DataSpec(NamedTuple):
    """Static sizes of a domain's batches."""

    video_dim: int  # F
    word_dim: int  # E
    max_clips: int  # N
    max_words: int  # M
    sub_dim: int = 0  # S; 0 without subtitles


class Videos(NamedTuple):
    """B videos without their queries."""

    video: AnyArray  # (B, N, F) float32 clip features
    video_mask: AnyArray  # (B, N) bool
    sub: AnyArray | None = None  # (B, N, S)


class Queries(NamedTuple):
    """B queries without their videos."""

    query: AnyArray  # (B, M, E) float32 word features
    query_mask: AnyArray  # (B, M) bool


# A weighted sum and its count: means are right over padding and over devices.
Term = tuple[Float[Array, ""], Num[Array, ""]]
LossTerms = dict[str, Term]  # by name


# The part of the parameters that a step replaces and does not train, such as running means.
STATISTICS = "statistics"
# The part that is set when a run starts, from its data: role -> "mean" and "scale" (F,) of clips.
INPUTS = "inputs"


class Losses(NamedTuple):
    """What a step minimises, the sum of the means of `terms`, and what it only logs.

    `statistics` are the new params[STATISTICS] of a system that has them.
    """

    terms: LossTerms
    watched: LossTerms
    statistics: Params | None = None


class Progress(NamedTuple):
    """How far a training run is, all () arrays."""

    step: Array  # int32, steps done
    epoch: Array  # int32, epochs done
    fraction: Array  # float32, the share of the run that is done


class AttentionMap(NamedTuple):
    """What a system looks at in B pairs, for figures: R proposals or clips by M words.

    What `words` holds is told by Description.words_show.
    """

    start: Array  # (B, R) float32 seconds
    end: Array  # (B, R) float32 seconds
    valid: Array  # (B, R) bool
    strength: Array  # (B, R) float32, what ranks the rows; larger is better
    words: Array  # (B, R, M) float32, how strongly each row and word meet


class MomentSystem(NamedTuple):
    """A method that finds moments in a given video, as pure functions.

    With one domain `init` and `loss` take that domain's Batch; with two ("source", "target") a
    HybridBatch. `predict` and `attention` take a Batch of the target and are deterministic. A
    system of videos (Description.batch) takes a VideoBatch in the place of a Batch, and predicts
    for its T queries.
    """

    init: Callable[[Array, Any], Params]  # (key, batch) -> params
    loss: Callable[[Params, Any, Array, Progress], Losses]  # (params, batch, key, progress)
    predict: Callable[[Params, Any], Moments]
    # The same for a Batch of the source, of a system that the source's labels may choose
    predict_source: Callable[[Params, Any], Moments] | None = None
    attention: Callable[[Params, Any], AttentionMap] | None = None  # of a system with such a figure


class Retriever(NamedTuple):
    """A method that searches a corpus for videos, by the largest cosine of a query with a clip.

    The score of a video is the mean over the modalities of the largest product over its valid
    clips (PREM, Eq. 6). All vectors have length 1, or are zero.
    """

    init: Callable[[Array, Any], Params]
    loss: Callable[[Params, Any, Array, Progress], Losses]
    encode_videos: Callable[[Params, Videos], Array]  # -> (B, N, J, D) float32; padding is zero
    encode_queries: Callable[[Params, Queries], Array]  # -> (B, J, D) float32


class Localizer(NamedTuple):
    """A method that finds the moments of a query in videos that are encoded once.

    A code is a tree of arrays: (B, N, ...) float32 of B videos, (B, ...) of B queries.
    """

    init: Callable[[Array, Any], Params]
    loss: Callable[[Params, Any, Array, Progress], Losses]
    encode_videos: Callable[[Params, Videos], Any]
    encode_queries: Callable[[Params, Queries], Any]
    # (params, codes of B queries, codes (B, C, N, ...) of C videos a query, mask (B, C, N))
    # -> logits of start and end clips, each (B, C, N), -1e10 on padding
    locate: Callable[[Params, Any, Any, Array], tuple[Array, Array]]


System = MomentSystem | Retriever | Localizer  # what the house must know of it: a Description


class Evaluation(NamedTuple):
    """How a system is scored on its target. Both are called by every process."""

    # params -> metrics in percent on the split that chooses checkpoints, where there is one
    select: Callable[[Params], dict[str, float]]
    # (params, {"step", "selected_by"}, folder) -> the report, written under the folder
    report: Callable[[Params, Mapping[str, Any], Path], dict]
