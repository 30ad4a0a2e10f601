"""Predict the moments of a split: what is evaluated, and checks before it is."""

from collections.abc import Mapping
from pathlib import Path

import jax
import numpy as np
from jax.sharding import Mesh
from rich.console import Console

from vmr_jax import models
from vmr_jax.data.batches import data_paths
from vmr_jax.data.batches.domain import Domain
from vmr_jax.data.batches.pairs import queries_of
from vmr_jax.data.batches.sampler import in_order
from vmr_jax.data.batches.splits import evaluation_domain
from vmr_jax.data.tables.dataset import Dataset
from vmr_jax.datasets import evaluation_dataset
from vmr_jax.evaluation.moment_report import score, write_report
from vmr_jax.evaluation.predictions import Predicted, per_two_seconds
from vmr_jax.layers.moment_map import Cells
from vmr_jax.metrics import didemo
from vmr_jax.training.logs import track
from vmr_jax.training.mesh import along_batch, check_batch_size, local_rows
from vmr_jax.training.steps import make_predict
from vmr_jax.types import Config, Evaluation, MomentSystem, Params


def make_evaluation(
    config: Config, trained: Mapping[str, int], split: str, mesh: Mesh, console: Console
) -> Evaluation:
    """How moments in given videos are scored; `split` chooses checkpoints, "" where none does.

    `trained` are the sizes of the domain that the system is trained on. The split is one of
    Description.chooser's domain. Raises as `reported_domain` does, and ValueError where it hides
    labels.
    """
    dataset = evaluation_dataset(config)
    reported = reported_domain(config, dataset, trained)
    system = _system(config, reported)
    predict = make_predict(system, mesh)
    if split and models.of(config).chooser(config) == "source":
        chooser = evaluation_domain(config, evaluation_dataset(config, "source"), split, "source")
        choosing = Config(config.to_dict())
        choosing.metric.didemo = ""  # asked for by the target
        if system.predict_source is None:
            raise ValueError(f"{config.system} cannot be chosen by the source's labels")
        choose = make_predict(system._replace(predict=system.predict_source), mesh)
    elif split:
        chooser, choosing, choose = evaluation_domain(config, dataset, split), config, predict

    if split:
        _check_labels(chooser, split)
        if not any(map(len, chooser.moments)):
            raise ValueError(
                f"{chooser.dataset.name} / {split} has no labels to choose a checkpoint by: use "
                "--config.select=last"
            )

    def select(params: Params) -> dict[str, float]:
        return score_split(choose, params, chooser, choosing, mesh, console)[1]

    def report(params: Params, checkpoint: Mapping, workdir: Path) -> dict:
        scored = score_split(predict, params, reported, config, mesh, console)
        return write_report(scored, dataset, reported, config, checkpoint, workdir, console)

    return Evaluation(select, report)


def _system(config: Config, domain: Domain) -> MomentSystem:
    """The system for batches of the evaluated split."""
    system = models.make(config, {role: domain.spec for role in models.of(config).domains(config)})
    if not isinstance(system, MomentSystem):
        raise ValueError(f"{config.system} is scored in a corpus, not in given videos")
    return system


def reported_domain(config: Config, dataset: Dataset, trained: Mapping[str, int]) -> Domain:
    """The evaluation split of the target, checked: what fails here would fail after training.

    `trained` are the sizes of the domain that the system was trained on. Raises ValueError for
    an unknown split, one of which only some labels are hidden, other widths, and settings that
    cannot be scored with. Where all labels are hidden there are predictions and no metrics.
    """
    check_batch_size(config.eval.batch_size, "eval.batch_size")
    if config.metric.iou_cmp not in ("ge", "gt"):
        raise ValueError(f"metric.iou_cmp is {config.metric.iou_cmp!r}; it must be 'ge' or 'gt'")
    if config.metric.didemo not in ("", *didemo.RULES):
        raise ValueError(
            f"metric.didemo is {config.metric.didemo!r}; it must be '' (the data are not DiDeMo), "
            "'official' or 'any'"
        )
    split = config.target.eval_split
    domain = evaluation_domain(config, dataset, split)
    _check_labels(domain, split)
    check_widths(domain, trained)
    if config.metric.didemo:
        _check_didemo(domain, config)
    return domain


def _check_labels(domain: Domain, split: str) -> None:
    """Raise ValueError for a split of which only some labels are hidden."""
    hidden = [
        query
        for query, moments in zip(domain.table.query_id, domain.moments, strict=True)
        if not len(moments)
    ]
    if 0 < len(hidden) < len(domain.moments):
        raise ValueError(
            f"{len(hidden)} of {len(domain.moments)} queries of {domain.dataset.name} / {split} "
            f"have no labels to score with, e.g. {', '.join(hidden[:3])}: put them into a split of "
            "their own, of which there are predictions and no metrics"
        )


def score_split(
    predict, params: Params, domain: Domain, config: Config, mesh: Mesh, console: Console
) -> tuple[Predicted, dict[str, float]]:
    """What is predicted of each query, and the metrics of the moments.

    There are no metrics, {}, where the labels are hidden.
    """
    predictions = predict_split(predict, params, domain, config, mesh, console)
    labelled = any(map(len, domain.moments))
    return predictions, score(predictions.moments, domain, config) if labelled else {}


def predict_split(
    predict, params: Params, domain: Domain, config: Config, mesh: Mesh, console: Console
) -> Predicted:
    """Run `predict` over all queries of a split, in batches of the form that the system takes."""
    form, video = models.of(config).batch, domain.pairs.video
    batches = in_order(form, video, config.eval.batch_size, jax.device_count())

    def read(step: int):
        return data_paths.read_batch(domain, jax.tree.map(local_rows, batches[step]))

    stream = data_paths.stream(read, 0, len(batches), config.data.threads, config.data.prefetch)
    sharding = along_batch(mesh)
    found = []
    for _ in track(range(len(batches)), f"predicting {domain.dataset.name}", console):
        batch = jax.tree.map(
            lambda leaf: jax.make_array_from_process_local_data(sharding, leaf), next(stream)
        )
        found.append(predict(params, batch))
    found = jax.device_get(found)
    rows, weight = (np.concatenate(x) for x in zip(*map(queries_of, batches), strict=True))

    def by_query(tables: list[np.ndarray]) -> np.ndarray:
        table = np.concatenate(tables).astype(np.float64)
        of_queries = np.empty_like(table, shape=(len(video), *table.shape[1:]))
        of_queries[rows[weight > 0]] = table[weight > 0]
        refuse_nan(of_queries, domain)
        return of_queries

    ranked = by_query([np.stack((m.start, m.end, m.score), axis=-1) for m in found])
    moments = [of_query[~np.isneginf(of_query[:, 2])] for of_query in ranked]
    if found[0].saliency is None:
        return Predicted(moments)
    salient = by_query([m.saliency for m in found])
    seconds = domain.pairs.duration[video]
    return Predicted(
        moments, [per_two_seconds(x, s) for x, s in zip(salient, seconds, strict=True)]
    )


def refuse_nan(found: np.ndarray, domain: Domain) -> None:
    """Raise ValueError that names the queries of which predictions (Q, ...) are no numbers."""
    wrong = np.flatnonzero(np.isnan(found.reshape(len(found), -1)).any(axis=1))
    if len(wrong):
        ids = ", ".join(domain.table.query_id[row] for row in wrong[:3])
        raise ValueError(
            f"{len(wrong)} of {len(found)} queries of {domain.dataset.name} have scores or times "
            f"that are not numbers (NaN), e.g. {ids}: a parameter or a feature of theirs is NaN "
            "or overflows; nothing was scored"
        )


def check_widths(domain: Domain, trained: Mapping) -> None:
    """Raise ValueError where features are not as wide as those that a system was trained with."""
    units = {"video_dim": "clip features", "word_dim": "word vectors", "sub_dim": "subtitles"}
    for name, unit in units.items():
        found = getattr(domain.spec, name)
        if found != trained.get(name, 0):  # checkpoints of older versions know no subtitles
            raise ValueError(
                f"the {unit} of {domain.dataset.name} have width {found}, but the checkpoint was "
                f"trained with {trained.get(name, 0)}: evaluate on features of the same kind"
            )


def _check_didemo(domain: Domain, config: Config) -> None:
    """Refuse settings and data that DiDeMo's metric cannot be computed with."""
    if config.eval.top_k < len(didemo.MOMENTS) or config.eval.nms < 1:
        raise ValueError(
            f"DiDeMo's metric needs all {len(didemo.MOMENTS)} moments ranked: set "
            f"eval.top_k={len(didemo.MOMENTS)} (is {config.eval.top_k}) and eval.nms=1.0 (is "
            f"{config.eval.nms}), or --config.metric.didemo='' to leave it out"
        )
    for table in domain.dataset.splits.values():
        marked = {i: m for i, m in zip(table.query_id, table.moments, strict=True) if len(m)}
        if marked:
            didemo.annotated_segments(list(marked.values()), list(marked))
    rows, seconds = domain.pairs.num_clips, domain.pairs.duration
    cells = models.of(config).moment_map(config)
    parts = rows if cells is None else cells.clips
    off = abs(seconds - didemo.SEGMENT * parts) > didemo.TOLERANCE * didemo.SEGMENT
    wrong = np.flatnonzero(off)
    video = domain.dataset.videos.video_id[domain.video_row[wrong[0]]] if len(wrong) else ""
    if cells is not None:
        _check_segments_of_map(cells, seconds, wrong, video)
    elif len(wrong):
        raise ValueError(
            f"{len(wrong)} of {len(rows)} videos of {domain.dataset.name} do not have one row of "
            f"features for each {didemo.SEGMENT:g} s, e.g. {video}: {rows[wrong[0]]} rows for "
            f"{seconds[wrong[0]]:g} s. DiDeMo's metric needs that: prepare such features (`vmr "
            "prepare didemo` leaves out zero rows after a video's last segment), or set "
            "--config.metric.didemo='' to leave it out"
        )


def _check_segments_of_map(
    cells: Cells, seconds: np.ndarray, wrong: np.ndarray, video: str
) -> None:
    """Refuse a map whose cells are not all moments of DiDeMo; `wrong` videos have another grid."""
    unit, advice = didemo.SEGMENT, "set --config.metric.didemo='' to leave DiDeMo's metric out"
    if len(wrong):
        raise ValueError(
            f"config.map.clips={cells.clips} clips are DiDeMo's segments only in videos of "
            f"{unit * cells.clips:g} s, but {len(wrong)} of {len(seconds)} have another length, "
            f"e.g. {video}: {seconds[wrong[0]]:g} s. Use a system that ranks spans of clips, or "
            f"{advice}"
        )
    every = cells.clips * (cells.clips + 1) // 2
    if len(cells.row) < every:
        raise ValueError(
            f"config.map.pooling_counts leaves {len(cells.row)} of the map's {every} moments, but "
            f"DiDeMo's metric needs all: use ({cells.clips - 1},), or {advice}"
        )
