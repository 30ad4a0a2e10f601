"""The two localizers of MMCDA, boundaries of spans and MMN's map: L_loc and the readout."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vmr_jax.decoding.spans import list_spans, score_spans
from vmr_jax.layers.clip_spans import spans_to_seconds, split_clips
from vmr_jax.layers.moment_map import cell_iou, map_cells, stretch_clips
from vmr_jax.layers.sequences import masked_log_softmax
from vmr_jax.losses.boundary import boundary_loss
from vmr_jax.losses.mutual_matching import iou_loss, scale_iou
from vmr_jax.losses.relevant_content import relevant_content_loss
from vmr_jax.models.mmcda.network import SpanLogits, Views
from vmr_jax.types import Array, Batch, Config, LossTerms

_ALIKE = 1e-6  # a deviation of similarities that says nothing


class Candidates(NamedTuple):
    """The P moments that a localizer ranks, in `units` equal parts of each video."""

    first: np.ndarray  # (P,) int32 parts
    last: np.ndarray  # (P,) int32, inclusive
    units: Array | int  # (B,) int32 the video's clips, or the map's
    score: Array  # (B, P) float32 (MMCDA M11); -inf where a video has no such moment
    probability: Array  # (B, P) float32, P_s P_e or the cell's sigmoid


def localization(config: Config, views: Views, batch: Batch) -> LossTerms:
    """MMCDA M1 on the `span` of a batch, or with base=map2d on its `moment` (VDI, Eq. 7)."""
    if not isinstance(views.logits, SpanLogits):
        moment = jnp.where(batch.weight[:, None] > 0, batch.moment, 0)
        iou = cell_iou(map_cells(config.map), moment[:, None], batch.duration)[:, 0]
        label = scale_iou(iou, config.iou.min, config.iou.max)
        return {"iou": iou_loss(views.logits, label, batch.weight)}
    boundary, logit = views.logits
    start, end = boundary[..., 0], boundary[..., 1]
    mask = views.video_mask
    inside, outside = split_clips(batch.span, mask)
    return {
        "boundary": boundary_loss(start, end, batch.span, mask, batch.weight, "softmax"),
        "inside": relevant_content_loss(logit, inside, logit, outside, batch.weight),
    }


def candidates(config: Config, views: Views, batch: Batch) -> Candidates:
    """All spans of a video, or all cells of its map, with their scores (MMCDA M11)."""
    if isinstance(views.logits, SpanLogits):
        return _spans(config, views, views.logits, batch)
    return _cells(config, views, views.logits, batch)


def pseudo_labelled(config: Config, views: Views, batch: Batch) -> tuple[Batch, Array]:
    """The batch with the model's own best moments and their probabilities as weights (MMCDA C9).

    Also returns the weighted mean of those probabilities. No gradient passes.
    """
    found = jax.lax.stop_gradient(candidates(config, views, batch))
    best = jnp.argmax(found.score, axis=1)
    start, end = spans_to_seconds(found.first, found.last + 1, found.units, batch.duration)
    pick = lambda values: jnp.take_along_axis(values, best[:, None], axis=1)[:, 0]  # noqa: E731
    weight = batch.weight * pick(found.probability)
    labelled = batch._replace(
        span=jnp.stack([jnp.asarray(side)[best] for side in (found.first, found.last)], axis=-1),
        moment=jnp.stack([pick(start), pick(end)], axis=-1),
        weight=weight,
    )
    return labelled, jnp.sum(weight) / jnp.maximum(jnp.sum(batch.weight), 1e-9)


def _spans(config: Config, views: Views, logits: SpanLogits, batch: Batch) -> Candidates:
    """log P_s(i) + log P_e(j) + beta mean r + eta times the span's similarity."""
    mask = views.video_mask
    first, last = list_spans(mask.shape[1])
    start, end = masked_log_softmax(jnp.moveaxis(logits.boundary, -1, 0), mask)
    inside, _ = inside_outside_means(logits.inside, mask)
    similar = _span_similarity(config, views.similarity, mask)
    added = config.infer.beta * inside + config.infer.eta * similar
    score = score_spans(start, end, mask, added=added[:, first, last])
    probability = jnp.exp(start[:, first] + end[:, last])
    return Candidates(first, last, batch.num_clips, score, probability)


def _cells(config: Config, views: Views, logits: Array, batch: Batch) -> Candidates:
    """log sigmoid of the cell's logit + eta times the cell's similarity."""
    cells = map_cells(config.map)
    similarity = stretch_clips(views.similarity[..., None], batch.num_clips, cells.clips)[..., 0]
    similar = _span_similarity(config, similarity, jnp.ones(similarity.shape, bool))
    similar = similar[:, cells.row, cells.column]
    score = jax.nn.log_sigmoid(logits) + config.infer.eta * similar
    probability = jax.nn.sigmoid(logits)
    return Candidates(cells.row, cells.column, cells.clips, score, probability)


def _span_similarity(config: Config, similarity: Array, mask: Array) -> Array:
    """What s (B, N) says of each span (MMCDA M11): (B, N, N) float32, first clip by last clip.

    "contrast": its mean inside less its mean outside. "sum": the sum inside of how many of the
    video's deviations s lies above its mean, less `threshold`; 0 where all clips are alike.
    """
    if config.infer.similar == "contrast":
        inside, outside = inside_outside_means(similarity, mask)
        return inside - outside
    mean = jnp.mean(similarity, axis=1, where=mask, keepdims=True)
    deviation = jnp.std(similarity, axis=1, where=mask, keepdims=True)
    above = (similarity - mean) / jnp.maximum(deviation, _ALIKE) - config.infer.threshold
    return _span_sums(jnp.where(deviation > _ALIKE, above, 0), mask)


def inside_outside_means(values: Array, mask: Array) -> tuple[Array, Array]:
    """Mean over the clips i ... j, and over the video's other clips, 0 where there are none.

    Values and valid clips, which come first, (B, N) -> two (B, N, N) float32, first clip by last
    clip; they mean something where i <= j and j is valid. From prefix sums: their rounding error
    is about N epsilon of the largest value, and a product with all N^3 memberships is not needed.
    """
    inside, clip = _span_sums(values, mask), jnp.arange(mask.shape[1])
    length = jnp.maximum(clip - clip[:, None] + 1, 1)
    others = mask.sum(axis=1)[:, None, None] - length
    outside = (inside[:, :1, -1:] - inside) / jnp.maximum(others, 1)
    return inside / length, jnp.where(others > 0, outside, 0)


def _span_sums(values: Array, mask: Array) -> Array:
    """The sum over the clips i ... j, 0 on padding: (B, N) -> (B, N, N) float32."""
    values = jnp.where(mask, values.astype(jnp.float32), 0)
    sums = jnp.pad(jnp.cumsum(values, axis=1), ((0, 0), (1, 0)))
    return sums[:, None, 1:] - sums[:, :-1, None]
