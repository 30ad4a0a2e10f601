"""PREM's retriever, which ranks the videos of a corpus, as a System (Hou et al., ICMR 2024).

It learns from pairs of a query and a video with the moment's boundaries; the other videos and
queries of the batch are negatives. Source: PREM, section 3.3.
"""

import functools
from collections.abc import Mapping
from typing import cast

from vmr_jax.layers.clip_spans import seconds_to_clips
from vmr_jax.layers.sequences import unit_rows
from vmr_jax.models.description import Description
from vmr_jax.models.prem.network import EncodedQueries, PremEncoder
from vmr_jax.models.prem.retriever_losses import POSITIVES, SCOPES, Pairs, retrieval_losses
from vmr_jax.models.prem.switches import RANGES, check_config, check_spec
from vmr_jax.types import (
    Array,
    Batch,
    Config,
    DataSpec,
    Losses,
    Params,
    Progress,
    Queries,
    Retriever,
    Videos,
)


def build(config: Config, specs: Mapping[str, DataSpec]) -> Retriever:
    """Build the retriever for batches of the sizes in `specs["target"]`.

    Raises ValueError for a switch with an unknown value, and for missing subtitles.
    """
    spec = specs["target"]
    check_spec(config, spec)
    network = PremEncoder(config, spec.max_clips, spec.max_words)
    return Retriever(
        init=lambda key, batch: network.init(key, *_sides(batch))["params"],
        loss=functools.partial(_loss, network, config),
        encode_videos=functools.partial(_encode_videos, network),
        encode_queries=functools.partial(_encode_queries, network),
    )


def domains(config: Config) -> tuple[str, ...]:
    """The only domain is the target. Raises ValueError for a bad switch."""
    check_config(config, {"positive": POSITIVES, "vq.neg_scope": SCOPES})
    return ("target",)


def _sides(batch: Batch) -> tuple[Videos, Queries]:
    videos = Videos(batch.video, batch.video_mask, batch.sub)
    return videos, Queries(batch.query, batch.query_mask)


def _loss(
    network: PremEncoder,
    config: Config,
    params: Params,
    batch: Batch,
    key: Array,
    progress: Progress,
) -> Losses:
    """L^v + L^q (PREM, section 3.3) over the whole batch."""
    del progress
    found = network.apply({"params": params}, *_sides(batch), key)
    video, queries = cast(tuple[Array, EncodedQueries], found)
    pairs = Pairs(
        query=unit_rows(queries.vectors),
        video=unit_rows(video),
        mask=batch.video_mask,
        span=seconds_to_clips(batch.moment, batch.num_clips, config.clip_seconds, config.end_label),
        video_id=batch.video_id,
        weight=batch.weight,
    )
    return retrieval_losses(pairs, config)


def _encode_videos(network: PremEncoder, params: Params, videos: Videos) -> Array:
    return unit_rows(cast(Array, network.apply({"params": params}, videos, method="videos")))


def _encode_queries(network: PremEncoder, params: Params, queries: Queries) -> Array:
    found = network.apply({"params": params}, queries, method="queries")
    return unit_rows(cast(EncodedQueries, found).vectors)


def word_weights(config: Config, spec: DataSpec, params: Params, queries: Queries) -> Array:
    """alpha (PREM, Eq. 5), what each word counts for each modality: (B, J, M) float32 (Fig. 6).

    Raises ValueError where `config.pooling` has no such weights.
    """
    if config.pooling != "modality":
        raise ValueError(f"config.pooling={config.pooling!r} weighs no words: use 'modality'.")
    network = PremEncoder(config, spec.max_clips, spec.max_words)
    weigh = functools.partial(network.apply, {"params": params})
    words = cast(EncodedQueries, weigh(queries, method="queries")).words
    return cast(Array, weigh(words, queries.query_mask, method="word_weights"))


SYSTEM = Description(
    name="prem_retriever",
    paper="Hou et al., ICMR 2024",
    supervision="boundaries",
    kind="retriever",
    build=build,
    domains=domains,
    selected_by="VR/SumR",
    reads=("precision",),
    ranges=RANGES,
    subtitles=True,
    word_weights=word_weights,
)
