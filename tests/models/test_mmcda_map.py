"""MMCDA on MMN's map (base=map2d): its readout and its losses against their formulas."""

import jax
import mmcda_cases as cases
import numpy as np

from vmr_jax.layers.moment_map import moment_cells
from vmr_jax.models.mmcda.network import MMCDA
from vmr_jax.models.statistics import as_variables
from vmr_jax.types import STATISTICS

CELLS = moment_cells(5, (4,))


def _map_views(c, params, batch, role, train):
    """What the network gives with a map, in float64."""
    run = lambda v, b: MMCDA(c).apply(v, b, role, train, mutable=["batch_stats"])  # noqa: E731
    views, _ = cases.jit(run)(as_variables(params), batch)
    return views._replace(
        **{name: np.asarray(getattr(views, name), np.float64) for name in ("logits", "clips")}
    )


def _scored_cells(c, views, batch, i):
    """(start s, end s, score) of each cell of pair i, by MMCDA M11."""
    n, duration = int(batch.num_clips[i]), float(batch.duration[i])
    s = views.clips[i, :n] @ np.asarray(views.sentence[i], np.float64)
    # Each of the 5 parts is n pieces, each clip 5
    part = np.repeat(s, 5).reshape(5, n).mean(axis=1)
    found = []
    for logit, a, b in zip(views.logits[i], CELLS.row, CELLS.column, strict=True):
        outside = np.r_[part[:a], part[b + 1 :]]
        contrast = part[a : b + 1].mean() - (outside.mean() if len(outside) else 0)
        score = -np.logaddexp(0, -logit) + c.infer.eta * contrast
        found.append((a * duration / 5, (b + 1) * duration / 5, score))
    return found


def _cell_loss(views, moment, duration):
    """Eq. 7 of VDI of each cell, (B, P), with moments in seconds."""
    start, end = (np.outer(duration, side) / 5 for side in (CELLS.row, CELLS.column + 1))
    first, last = np.moveaxis(np.asarray(moment, np.float64)[..., None], 1, 0)
    inter = np.maximum(np.minimum(end, last) - np.maximum(start, first), 0)
    iou = inter / (np.maximum(end, last) - np.minimum(start, first))
    label = np.clip((iou - 0.5) / 0.5, 0, 1)
    return np.logaddexp(0, views.logits) - label * views.logits


def test_predictions_of_the_map_are_its_cells_by_their_scores():
    c = cases.config(base="map2d", eval__nms=1.0, eval__top_k=len(CELLS.row))
    made, params = cases.system(c)
    assert c.infer.eta == 1
    batch = cases.example(c).target
    found = cases.jit(made.predict)(params, batch)
    views = _map_views(c, params, batch, "target", False)
    for i in range(4):
        expected = sorted(_scored_cells(c, views, batch, i), key=lambda cell: -cell[2])
        for ours, side in zip((found.start, found.end, found.score), range(3), strict=True):
            theirs = [cell[side] for cell in expected]
            np.testing.assert_allclose(ours[i], theirs, rtol=1e-4, atol=1e-4)


def test_the_map_learns_scaled_ious_of_labels_and_of_its_own_best_cells():
    c = cases.config(base="map2d", modules__da=False, pseudo_labels=True)
    made, params = cases.system(c)
    batches = cases.example(c)
    run = lambda p, b: made.loss(p, b, jax.random.key(0), cases.END).terms  # noqa: E731
    terms = cases.jit(run)(params, batches)
    views = _map_views(c, params, batches.source, "source", True)
    expected = _cell_loss(views, batches.source.moment, batches.source.duration)
    total, count = terms["iou"]
    assert count == expected.size == 4 * len(CELLS.row)
    np.testing.assert_allclose(total, expected.sum(), rtol=1e-5)
    target = batches.target
    views = _map_views(c, params, target, "target", False)
    best = [
        max(range(len(CELLS.row)), key=lambda cell, i=i: scored[cell][2])
        for i, scored in enumerate(_scored_cells(c, views, target, i) for i in range(4))
    ]
    moment = [_scored_cells(c, views, target, i)[cell][:2] for i, cell in enumerate(best)]
    probability = 1 / (1 + np.exp(-views.logits[range(4), best]))
    own = _cell_loss(views, moment, target.duration).mean(axis=1)
    total, count = terms["pseudo_iou"]
    np.testing.assert_allclose(total / count, (probability * own).mean(), rtol=1e-4)


def test_the_maps_statistics_follow_the_labelled_half_alone():
    c = cases.config(base="map2d")
    made, params = cases.system(c)
    batches = cases.example(c)
    run = cases.jit(lambda b: made.loss(params, b, jax.random.key(0), cases.END).statistics)
    other_target = batches._replace(target=cases.pairs("target", seed=5))
    doubled = batches.source._replace(video=2 * batches.source.video)
    plain = run(batches)
    assert jax.tree.structure(plain) == jax.tree.structure(params[STATISTICS])
    jax.tree.map(np.testing.assert_array_equal, plain, run(other_target))
    changed = jax.tree.map(
        lambda a, b: np.abs(a - b).max(), plain, run(batches._replace(source=doubled))
    )
    assert max(jax.tree.leaves(changed)) > 1e-4
