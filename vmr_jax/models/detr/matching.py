"""Which slot answers for which moment: the cheapest assignment of each pair, on the device.

Source: Carion et al., "End-to-End Object Detection with Transformers" (ECCV 2020), section 3.1, on
spans of time: Moment-DETR, section 4.
"""

import jax
import jax.numpy as jnp
from optax.assignment import hungarian_algorithm

from vmr_jax.types import AnyArray, Array, Config

_NEVER = 1e6  # the cost of a slot that is not a number


def edges_of(span: AnyArray) -> Array:
    """Centre and width -> start and end."""
    centre, width = jnp.asarray(span[..., 0]), jnp.asarray(span[..., 1])
    return jnp.stack([centre - width / 2, centre + width / 2], axis=-1)


def span_of(edges: AnyArray) -> Array:
    """Start and end -> centre and width."""
    start, end = jnp.asarray(edges[..., 0]), jnp.asarray(edges[..., 1])
    return jnp.stack([(start + end) / 2, end - start], axis=-1)


def generalized_iou(one: AnyArray, other: AnyArray) -> Array:
    """IoU minus the share of the hull that neither covers, in (-1, 1], of starts and ends.

    Source: Rezatofighi et al., "Generalized Intersection over Union" (CVPR 2019). Two empty spans
    at one place have 0.
    """
    one, other = jnp.asarray(one), jnp.asarray(other)
    inner = jnp.minimum(one[..., 1], other[..., 1]) - jnp.maximum(one[..., 0], other[..., 0])
    inner = jnp.maximum(inner, 0)
    union = (one[..., 1] - one[..., 0]) + (other[..., 1] - other[..., 0]) - inner
    hull = jnp.maximum(one[..., 1], other[..., 1]) - jnp.minimum(one[..., 0], other[..., 0])
    share = lambda part, whole: jnp.where(whole > 0, part / jnp.where(whole > 0, whole, 1), 0)  # noqa: E731
    return share(inner, union) - share(hull - union, hull)


def matching_cost(
    span: AnyArray,
    logit: AnyArray,
    truth: AnyArray,
    weights: Config,
) -> Array:
    """What slot q pays for moment a: L1 of the spans, minus IoU, minus the probability of a moment.

    `span` (B, Q, 2), `logit` (B, Q, 2), `truth` (B, A, 2) -> (B, Q, A); `weights` has `span`, `iou`
    and `label`.
    """
    distance = jnp.abs(span[:, :, None] - truth[:, None]).sum(axis=-1)
    overlap = generalized_iou(edges_of(span)[:, :, None], edges_of(truth)[:, None])
    chance = jax.nn.softmax(logit, axis=-1)[..., 0]
    return weights.span * distance - weights.iou * overlap - weights.label * chance[..., None]


def match(cost: AnyArray, real: AnyArray) -> Array:
    """The cheapest assignment: each `real` moment has one slot, a slot at most one moment.

    `cost` (B, Q, A), `real` (B, A) -> (B, Q, A) bool.
    Q is at least A. Padded moments cost the same everywhere, so they take slots that are left. A
    cost that is no number is the highest: the loss then says so, and the search ends.
    """
    cost = jnp.nan_to_num(jax.lax.stop_gradient(cost), nan=_NEVER, posinf=_NEVER, neginf=-_NEVER)
    cost = jnp.where(real[:, None], cost, 0)
    slot, moment = jax.vmap(hungarian_algorithm)(cost)
    chosen = jax.nn.one_hot(slot, cost.shape[1], axis=1, dtype=bool)  # (B, Q, pairs)
    of_moment = jax.nn.one_hot(moment, cost.shape[2], dtype=bool)  # (B, pairs, A)
    assigned = (chosen[..., None] & of_moment[:, None]).any(axis=2)
    return assigned & real[:, None]
