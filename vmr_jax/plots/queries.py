"""The run and the queries that a figure is about."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from vmr_jax import models
from vmr_jax.data.batches.domain import Domain
from vmr_jax.data.batches.splits import evaluation_corpus, evaluation_domain
from vmr_jax.data.text.vocabulary import UNKNOWN, tokenize
from vmr_jax.datasets import evaluation_dataset
from vmr_jax.evaluation.moments import check_widths
from vmr_jax.evaluation.restore import restore_run
from vmr_jax.models import Description
from vmr_jax.training.checkpoint import checkpoint_directory
from vmr_jax.types import Config, MomentSystem, Params, Retriever, System

_ATTENTION, _RETRIEVER, _LOCALIZER = "an attention map", "a retriever", "a localizer"
_SALIENCY = "the saliency of clips"
_SHOWS = {  # figure -> what it shows of a system
    "attention": _ATTENTION,
    "timeline": _ATTENTION,
    "saliency": _SALIENCY,
    "words": _RETRIEVER,
    "boundaries": _LOCALIZER,
}


class Run(NamedTuple):
    """A trained system, and the split that is drawn."""

    config: Config
    system: System
    params: Params
    domain: Domain  # of a system that searches a corpus, the corpus of the split
    checkpoint: dict  # {"step", "selected_by"}


def open_split(
    figure: str, checkpoint: str | Path, split: str = "", data_dir: str | Path = ""
) -> Run:
    """The best checkpoint of a run, with a split of its target, labelled or not.

    `checkpoint` is a workdir or its checkpoints directory; without `split` and `data_dir` the
    run's own are taken. Raises FileNotFoundError where there is no checkpoint or no data,
    ValueError for an unknown split, for features of other widths than the run was trained with,
    and for a system without what the figure shows.
    """
    directory = checkpoint_directory(checkpoint)
    restored = restore_run(None, directory)
    config = restored.config
    if data_dir:
        config.data_dir = str(data_dir)
    if split:
        config.target.eval_split = split
    read = {"moments": evaluation_domain, "corpus": evaluation_corpus}[models.of(config).task]
    domain = read(config, evaluation_dataset(config), config.target.eval_split)
    check_widths(domain, restored.trained)
    system = models.make(config, {role: domain.spec for role in models.of(config).domains(config)})
    described = models.of(config)
    check_figure(figure, system, described, f"{directory}: this {config.system}")
    return Run(config, system, restored.params, domain, restored.checkpoint)


def check_figure(figure: str, system: System, described: Description, who: str) -> None:
    """Raise ValueError where `system`, which the message calls `who`, lacks what is shown."""
    shown = _shown_of(system, described)
    if _SHOWS[figure] not in shown:
        has = [name for name, needed in _SHOWS.items() if needed in shown]
        raise ValueError(
            f"{who} has no figure {figure}, which shows {_SHOWS[figure]}; of the figures of "
            f"queries it has {', '.join(has) or 'none'}"
        )


def _shown_of(system: System, described: Description) -> list[str]:
    """What figures can show of a system."""
    if isinstance(system, MomentSystem):
        return [_ATTENTION] * bool(system.attention) + [_SALIENCY] * described.saliency
    return [_RETRIEVER if isinstance(system, Retriever) else _LOCALIZER]


def rows_of(run: Run, qids: Sequence[str]) -> list[int]:
    """The rows of the queries in the split's table. Raises ValueError for an unknown id."""
    known = run.domain.table.query_id
    unknown = [qid for qid in qids if qid not in known]
    if unknown:
        raise ValueError(
            f"no query {', '.join(map(repr, unknown))} in {run.domain.dataset.name} / "
            f"{run.config.target.eval_split}, which has {len(known):,}, such as "
            f"{', '.join(known[:5])}; --split chooses among "
            f"{', '.join(sorted(run.domain.dataset.splits))}"
        )
    return [known.index(qid) for qid in qids]


def about(run: Run, row: int) -> dict:
    """Which query of which data and checkpoint it is, with its ground truth.

    Where the split hides the query's video `vid` and `duration` are None.
    """
    domain, config = run.domain, run.config
    video = int(domain.pairs.video[row])
    return {
        "system": models.of(config).shown,
        "checkpoint": run.checkpoint,
        "dataset": domain.dataset.name,
        "split": config.target.eval_split,
        "qid": domain.table.query_id[row],
        "query": domain.table.sentence[row],
        "vid": None if video < 0 else domain.dataset.videos.video_id[domain.video_row[video]],
        "duration": None if video < 0 else float(domain.pairs.duration[video]),
        "truth": domain.moments[row].tolist(),
    }


def words_of(domain: Domain, row: int) -> dict:
    """The query's words as the system reads them, and how many are left out at the end.

    Tokens that are features have no text: they have numbers, from 1, in the place of words.
    """
    count = int(domain.pairs.num_words[row])
    if domain.table.tokens is not None:
        words = [{"word": str(number + 1), "known": True} for number in range(count)]
        total = int(domain.table.tokens[row, 1])
    else:
        tokens = tokenize(domain.table.sentence[row])
        vocabulary, total = domain.dataset.vocabulary, len(tokens)
        words = [
            {"word": token, "known": vocabulary[index] != UNKNOWN}
            for token, index in zip(tokens[:count], domain.pairs.words[row, :count], strict=True)
        ]
    return {
        "words": words,
        "words_left_out": total - count,
        "words_are": "words" if domain.table.tokens is None else "token features",
    }
