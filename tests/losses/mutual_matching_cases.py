"""MMN's losses in plain NumPy float64 loops, random matches, and the golden inputs."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from vmr_jax.layers.moment_map import cell_iou, moment_cells
from vmr_jax.losses.mutual_matching import Matches, best_cells

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "mmn.json").read_text())
CELLS = moment_cells(8, (3, 2))
OWNER = np.array([0, 0, 1], np.int32)
_iou = jax.jit(lambda moment, duration: cell_iou(CELLS, moment[:, None], duration)[:, 0])
_best_cells = jax.jit(best_cells, static_argnums=1)


def golden_input(name):
    spec = GOLDEN["inputs"][name]
    n = np.arange(np.prod(spec["shape"])) + 1
    values = spec["offset"] + spec["scale"] * np.sin(spec["freq"] * n)
    return jnp.asarray(values.reshape(spec["shape"]), jnp.float32)


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def golden_cosine(space):
    """Cosine of each query and each cell of each video, (T, B, P), of "c" or "iou"."""
    maps = np.asarray(golden_input(f"feat_{space}"))[:, :, CELLS.row, CELLS.column]
    queries = unit(np.asarray(golden_input(f"q_{space}")))
    return jnp.asarray(np.einsum("td,bpd->tbp", queries, unit(maps.swapaxes(1, 2))))


def golden_iou(name):
    """IoU (T, P) of the cells, and the moments (T, 2), of a golden case."""
    case = GOLDEN["cases"][name]
    moment = jnp.asarray(np.concatenate(case["moments"]), jnp.float32)
    duration = np.asarray(case["duration"], np.float32)[OWNER]
    return _iou(moment, duration), moment


def golden_matches(name, count):
    iou, moment = golden_iou(name)
    return Matches(
        golden_cosine("c"), iou, _best_cells(iou, count), moment, OWNER, jnp.ones(3), jnp.ones(2)
    )


def random_matches(count=2, seed=0):
    """Seven queries of four videos; the last video and two queries are padding."""
    rng = np.random.default_rng(seed)
    owner = np.array([0, 0, 1, 2, 2, 0, 3], np.int32)
    moment = np.sort(rng.uniform(0, 16, (7, 2)), axis=1).astype(np.float32)
    moment[1] = moment[0] + 0.1  # not a negative of the first
    iou = _iou(moment, np.full(7, 16, np.float32))
    return Matches(
        score=jnp.asarray(rng.uniform(-1, 1, (7, 4, len(CELLS.row))), jnp.float32),
        iou=iou,
        best=_best_cells(iou, count),
        moment=jnp.asarray(moment),
        owner=owner,
        weight=jnp.array([1.0, 1, 1, 1, 1, 0, 0]),
        video_weight=jnp.array([1.0, 1, 1, 0]),
    )


def _overlap(one, other):
    inter = min(one[1], other[1]) - max(one[0], other[0])
    return max(inter, 0) / (max(one[1], other[1]) - min(one[0], other[0]))


def slow_moment_to_sentence(m, margin, tau, group=0):
    m = Matches(*(np.asarray(x, np.float64) for x in m))
    owner, best = m.owner.astype(int), m.best.astype(int)
    terms = []
    for i in np.flatnonzero(m.weight):
        for cell in best[i]:
            score = lambda j: m.score[j, owner[i], cell]  # noqa: B023, E731
            positive = np.exp((score(i) - margin) / tau)
            negative = 0.0
            for j in np.flatnonzero(m.weight):
                if owner[j] == owner[i]:
                    rival = j != i and _overlap(m.moment[i], m.moment[j]) < 0.5
                else:
                    rival = not group or owner[j] // group == owner[i] // group
                negative += np.exp(score(j) / tau) if rival else 0
            terms.append(-np.log(positive / (positive + negative)))
    return np.mean(terms)


def slow_sentence_to_moment(m, margin, tau, epsilon, negatives, group=0):
    m = Matches(*(np.asarray(x, np.float64) for x in m))
    owner, best = m.owner.astype(int), m.best.astype(int)
    terms = []
    for i in np.flatnonzero(m.weight):
        for cell in best[i]:
            positive = np.exp((m.score[i, owner[i], cell] - margin) / tau)
            negative = epsilon
            for v in np.flatnonzero(m.video_weight):
                if v != owner[i]:
                    if not group or v // group == owner[i] // group:
                        negative += np.exp(m.score[i, v] / tau).sum()
                    continue
                for p in range(m.score.shape[2]):
                    if m.iou[i, p] >= 0.5:
                        negative += negatives == "legacy_one"
                    elif negatives == "legacy_one" or p not in best[i]:
                        negative += np.exp(m.score[i, v, p] / tau)
            terms.append(-np.log(positive / (positive + negative)))
    return np.mean(terms)
