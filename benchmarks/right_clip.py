"""Whether a run of MMN fails at content or at borders: the right clip, with the borders given.

    python -m benchmarks.right_clip WORKDIR --split val

For data whose videos are clips end to end, such as real/msrvtt_1ka: the moments that a video's
queries name are its clips. "right clip" is the share of queries whose clip's nearest cell has the
largest score among the nearest cells of all clips of the video; the other columns rank all cells.
A row a score: s^iou, s^c, and their fusion at several powers.
"""

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.report import show
from vmr_jax.data.batches.data_paths import read_batch
from vmr_jax.data.batches.domain import Domain
from vmr_jax.data.batches.pairs import VideoIndex
from vmr_jax.data.batches.splits import evaluation_domain
from vmr_jax.data.text.tokens import vocabulary_size
from vmr_jax.datasets import evaluation_dataset
from vmr_jax.evaluation.restore import Restored, restore_run
from vmr_jax.layers.moment_map import cell_iou, map_cells
from vmr_jax.metrics.moments import TOLERANCE
from vmr_jax.models.mmn.network import MMN
from vmr_jax.models.mmn.system import fuse_scores, iou_logits
from vmr_jax.models.normalized_inputs import network_params, standardize
from vmr_jax.models.statistics import as_variables
from vmr_jax.training.checkpoint import checkpoint_directory
from vmr_jax.types import INPUTS

POWERS = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workdir", type=Path)
    parser.add_argument("--split", default="val")
    args = parser.parse_args()
    run = restore_run(None, checkpoint_directory(args.workdir))
    domain = evaluation_domain(run.config, evaluation_dataset(run.config), args.split)
    reached: dict[str, list[np.ndarray]] = {}
    for row in range(len(domain.video_row)):
        for name, values in _of_video(run, domain, row).items():
            reached.setdefault(name, []).append(values)
    table = []
    for name, values in reached.items():
        right, half, most = 100 * np.concatenate(values, axis=1).mean(axis=1)
        row = {"right clip": float(right), "R@1,IoU=0.5": float(half), "R@1,IoU=0.7": float(most)}
        table.append({"score": name} | row)
    show(f"{args.workdir} / {args.split}, percent", table)


def _of_video(run: Restored, domain: Domain, row: int) -> dict[str, np.ndarray]:
    """Of each score (3, T) of a video's T queries: right clip, IoU of 0.5, of 0.7 reached."""
    config, cells = run.config, map_cells(run.config.map)
    own = np.flatnonzero(domain.pairs.video == row).astype(np.int32)
    ones = np.ones(len(own), np.float32)
    index = VideoIndex(np.array([row]), ones[:1], own, np.zeros(len(own), np.int32), ones)
    batch = read_batch(domain, index)
    clips = jnp.asarray(batch.video, jnp.float32)
    if INPUTS in run.params:
        clips = standardize(
            clips, batch.video_mask, **run.params[INPUTS]["target"], mode=config.target.normalize
        )
    network = MMN(config, domain.spec.video_dim, vocabulary_size(config.text), domain.spec.word_dim)
    variables = as_variables(network_params(run.params))
    found, asked = network.apply(variables, batch._replace(video=clips), train=False)
    iou = np.asarray(jax.nn.sigmoid(iou_logits(config, found, asked, batch.owner)))
    contrastive = np.asarray(asked.contrastive @ found.contrastive[0].T)
    moments = np.concatenate([domain.moments[query] for query in own])
    clip, which = np.unique(moments, axis=0, return_inverse=True)
    overlap = np.asarray(cell_iou(cells, clip[None], batch.duration))[0]
    nearest = overlap.argmax(axis=1)
    scores = {"s^iou": iou, "s^c": contrastive} | {
        f"fused, power {power}": np.asarray(fuse_scores(iou, contrastive, "mmn_pow", power))
        for power in POWERS
    }
    reached = {}
    for name, score in scores.items():
        best = overlap[which, score.argmax(axis=1)] + TOLERANCE
        right = score[:, nearest].argmax(axis=1) == which
        reached[name] = np.stack([right, best >= 0.5, best >= 0.7])
    return reached


if __name__ == "__main__":
    main()
