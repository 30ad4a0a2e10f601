"""Search a split's corpus for its queries, score it beside the baselines, write the report."""

import json
from collections.abc import Mapping
from pathlib import Path

import jax
import numpy as np
from jax.sharding import Mesh
from rich.console import Console

from vmr_jax import models
from vmr_jax.data.batches.domain import Domain
from vmr_jax.data.batches.splits import evaluation_corpus
from vmr_jax.datasets import evaluation_dataset
from vmr_jax.decoding.corpus_moments import readout
from vmr_jax.evaluation.linear_match import match_corpus
from vmr_jax.evaluation.moment_report import report_folder
from vmr_jax.evaluation.moments import check_widths, refuse_nan
from vmr_jax.evaluation.predictions import write_predictions
from vmr_jax.evaluation.report import BASELINES, beside_linear_match, metrics_table
from vmr_jax.evaluation.submission import write_submission
from vmr_jax.metrics.intervals import bootstrap_intervals, paired_intervals
from vmr_jax.metrics.retrieval import MOST, corpus_metrics, corpus_recalls
from vmr_jax.metrics.retrieval_baselines import corpus_baselines
from vmr_jax.output_files import write_whole
from vmr_jax.search.code_store import CodeStore, make_store
from vmr_jax.search.first_stage import (
    FirstStage,
    RankedVideos,
    encode_corpus,
    first_stage,
    query_batches,
    rank_videos,
)
from vmr_jax.search.trained import Trained
from vmr_jax.search.two_stage import make_finder
from vmr_jax.training.logs import track
from vmr_jax.types import Config, Evaluation, Localizer, Moments, Params, Retriever

Tasks = dict[str, Moments]  # VR, and of a localizer SVMR and VCMR


def make_evaluation(
    config: Config, trained: Mapping[str, int], split: str, mesh: Mesh, console: Console
) -> Evaluation:
    """How a retriever or a localizer is scored: by what it finds in the corpus of a split.

    `trained` are the sizes that it was trained with; `split` chooses checkpoints, "" where none
    does. A localizer searches the videos that the first stage ranks best. Raises ValueError for an
    unknown split, features of other widths and settings that cannot be searched with.
    """
    dataset = evaluation_dataset(config)
    corpora = {name: evaluation_corpus(config, dataset, name) for name in (split,) if name}
    corpora[config.target.eval_split] = evaluation_corpus(config, dataset, config.target.eval_split)
    reported = corpora[config.target.eval_split]
    check_widths(reported, trained)
    search = _search_of(config, reported, mesh, console)

    def select(params: Params) -> dict[str, float]:
        return _score(search(params, split, corpora[split]), corpora[split])

    def report(params: Params, checkpoint: Mapping, workdir: Path) -> dict:
        tasks = search(params, config.target.eval_split, reported)
        return _write_report(tasks, reported, config, checkpoint, workdir, console)

    return Evaluation(select, report)


def _search_of(config: Config, reported: Domain, mesh: Mesh, console: Console):
    """search(params, split, its corpus) -> Tasks."""
    spec = reported.spec
    system = models.make(config, {role: spec for role in models.of(config).domains(config)})

    if isinstance(system, Retriever):

        def retrieve(params: Params, split: str, corpus: Domain) -> Tasks:
            del split
            trained = Trained(config, system, params, spec, {})
            ranking = rank_videos(trained, corpus, MOST, mesh, console)
            refuse_nan(ranking.score, corpus)
            return {"VR": ranking.as_moments()}

        return retrieve
    if not isinstance(system, Localizer):
        raise ValueError(f"{config.system} is not scored in a corpus: it finds moments in a video")
    first, finder, rankings = first_stage(config), make_finder(system, readout(config)), {}

    def localize(params: Params, split: str, corpus: Domain) -> Tasks:
        if split not in rankings:
            rankings[split] = _rank(first, config, split, corpus, mesh, console)
        trained = Trained(config, system, params, spec, {})
        ranking, store = rankings[split], encode_localizer(trained, corpus, console)
        best = RankedVideos(*(part[:, : config.first.retrieve] for part in ranking))
        truth = corpus.pairs.video[:, None]
        given = RankedVideos(np.zeros(truth.shape, np.float32), truth)
        wanted = {"VCMR": best} | ({"SVMR": given} if (truth >= 0).all() else {})
        parts = {task: [] for task in wanted}
        batches = list(query_batches(corpus))
        for rows, queries in track(batches, f"searching {corpus.dataset.name}", console):
            for task, of_task in wanted.items():
                found = finder(params, queries, of_task.score[rows], of_task.row[rows], store)
                parts[task].append(jax.device_get(found))
        join = lambda *parts: np.concatenate(parts)[: len(truth)]  # noqa: E731
        moments = {task: jax.tree.map(join, *found) for task, found in parts.items()}
        for of_task in moments.values():
            refuse_nan(of_task.score, corpus)
        return {"VR": ranking.as_moments()} | moments

    return localize


def _rank(
    first: FirstStage, config: Config, split: str, corpus: Domain, mesh: Mesh, console: Console
) -> RankedVideos:
    """The videos of the first stage, at least those that the metrics count."""
    top_k = max(MOST, config.first.retrieve)
    return first.rank(split, corpus, top_k, mesh, console)


def encode_localizer(trained: Trained[Localizer], corpus: Domain, console: Console) -> CodeStore:
    """The localizer's codes of a corpus."""
    codes = encode_corpus(trained, trained.system.encode_videos, corpus, console)
    return make_store([codes], [corpus.pairs.num_clips], corpus.pairs.duration)


def _score(tasks: Tasks, corpus: Domain) -> dict[str, float]:
    return corpus_metrics(tasks, corpus.pairs.video, corpus.moments, corpus.table.query_id)


def _recalls(tasks: Tasks | Mapping[str, np.ndarray], corpus: Domain) -> dict[str, np.ndarray]:
    """The metrics of each query, (Q,) each."""
    return corpus_recalls(tasks, corpus.pairs.video, corpus.moments, corpus.table.query_id)


def _write_report(
    tasks: Tasks,
    corpus: Domain,
    config: Config,
    checkpoint: Mapping,
    workdir: Path,
    console: Console,
) -> dict:
    """Print the table, write the submission and metrics.json; without labels no metrics."""
    dataset, table, pairs = corpus.dataset, corpus.table, corpus.pairs
    labelled = (pairs.video >= 0).all() and all(len(moments) for moments in corpus.moments)
    report = {
        "dataset": dataset.name,
        "split": config.target.eval_split,
        "queries": len(table.query_id),
        "videos": len(corpus.video_row),
        "checkpoint": dict(checkpoint),
        "system": models.of(config).shown,
    }
    if labelled:
        report["model"] = _score(tasks, corpus)
        train = dataset.splits.get(config.target.train_split)
        learnt_from = train and (train.moments, dataset.videos.duration[train.video])
        durations = dataset.videos.duration[table.video]
        beside = corpus_baselines(corpus.moments, durations, len(corpus.video_row), learnt_from)
        for name, metrics in beside.items():
            report[name] = {metric: metrics[metric] for metric in report["model"]}
        matched = match_corpus(config, corpus)
        recalls = _recalls(tasks, corpus)
        report["intervals"] = {"model": bootstrap_intervals(recalls, pairs.video)}
        if matched is not None:
            linear = _recalls({task: matched[task] for task in tasks}, corpus)
            report["linear_match"] = {n: 100 * float(v.mean()) for n, v in linear.items()}
            paired = paired_intervals(recalls, linear, pairs.video)
            report["intervals"]["model - linear_match"] = paired
    if jax.process_index():
        return report
    _print_report(report, "SVMR" in tasks, console)
    folder = report_folder(workdir, config)
    folder.mkdir(parents=True, exist_ok=True)
    videos = [dataset.videos.video_id[row] for row in corpus.video_row]
    asked = table.query_id, table.sentence
    write_submission(folder / "submission.json", videos, *asked, tasks)
    if "SVMR" in tasks:
        found = tasks["SVMR"]
        rows = np.stack((found.start, found.end, found.score), axis=-1)
        about = [videos[row] for row in pairs.video]
        write_predictions(folder / "predictions.jsonl", *asked, about, rows)
    write_whole(folder / "metrics.json", json.dumps(report, indent=2) + "\n")
    console.print(f"written to {folder}")
    return report


def _print_report(report: Mapping, finds_moments: bool, console: Console) -> None:
    """Print what was searched, and the metrics beside the baselines' where there are labels."""
    checkpoint = report["checkpoint"]
    console.print(
        f"{report['dataset']} / {report['split']}: {report['queries']} queries, "
        f"{report['videos']} videos, checkpoint of step {checkpoint['step']} (selected by: "
        f"{checkpoint['selected_by']})"
    )
    if "model" in report:
        # The prior is of moments: where only videos are found it is as good as chance.
        names = [n for n in BASELINES if n in report and (finds_moments or n != "location_prior")]
        systems = {report["system"]: report["model"]} | {name: report[name] for name in names}
        console.print(metrics_table(systems, report["intervals"]["model"]))
        if "linear_match" in report:
            console.print(beside_linear_match(report))
    else:
        console.print("the labels of this split are hidden: no metrics, only the submission")
