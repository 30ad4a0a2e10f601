"""The commands `vmr score`, `vmr compare` and `vmr audit`: predictions against labels."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from vmr_jax.evaluation.report import Report

_Labels = Annotated[Path, typer.Argument(help="A .jsonl file, or --dataset's directory.")]
_Dataset = Annotated[str, typer.Option(help="Whose annotation files LABELS holds.")]
_Split = Annotated[str, typer.Option(help="Which split, if there are several.")]
_Map = Annotated[bool, typer.Option("--map", help="QVHighlights' mAP also for one moment a query.")]
_Order = Annotated[
    str, typer.Option(metavar="score|file", help="What ranks a query's predictions.")
]
_Json = Annotated[
    Path | None, typer.Option("--json", metavar="OUT", help="Write the report here too.")
]


def score(
    predictions: Annotated[
        Path, typer.Argument(help="One JSON object a query and line; or a submission as TVR's.")
    ],
    labels: _Labels,
    dataset: _Dataset = "jsonl",
    split: _Split = "",
    with_map: _Map = False,
    order: _Order = "score",
    linear_match: Annotated[
        Path | None,
        typer.Option(help="Set this prediction file beside it, as an evaluation writes it."),
    ] = None,
    by: Annotated[
        bool, typer.Option("--by", help="Also by length, position, words, windows ...")
    ] = False,
    figures: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Draw figures here: PNG, and JSON.")
    ] = None,
    json_out: _Json = None,
    kind: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="windows|text",
            help='text: answers of a language model, {"qid", "answer"} a line.',
        ),
    ] = "windows",
    fps: Annotated[float, typer.Option(help="A plain number of an answer is a frame.")] = 0.0,
    bins: Annotated[
        float, typer.Option(help="It is a part of the video, which has so many of them.")
    ] = 0.0,
) -> None:
    """Score a predictions.jsonl, of any code, against labels: R@n,IoU=m, mIoU, mAP, highlights.

    Of a submission in TVR's format ({"video2idx", "VCMR", "SVMR", "VR"}): VR, SVMR and VCMR. With
    --json OUT.json the answers that cannot be read are in OUT.unread.jsonl.
    """
    from vmr_jax.answers.files import write_unread
    from vmr_jax.evaluation.score import score_files

    report = score_files(
        predictions,
        labels,
        dataset,
        split,
        with_map,
        order,
        linear_match,
        kind,
        fps,
        bins,
        by=by,
        figures=figures,
    )
    _show(report, json_out)
    if kind == "text" and json_out:
        write_unread(json_out.with_suffix(".unread.jsonl"), report.unread)


def compare(
    first: Annotated[Path, typer.Argument(help="A predictions.jsonl.")],
    second: Annotated[Path, typer.Argument(help="Another one, of the same queries.")],
    labels: _Labels,
    dataset: _Dataset = "jsonl",
    split: _Split = "",
    with_map: _Map = False,
    order: _Order = "score",
    json_out: _Json = None,
) -> None:
    """Compare two prediction files query by query: difference, interval, p, wins.

    The interval is over the videos of the queries, p that of exchanging the two at random.
    """
    from vmr_jax.evaluation.compare import compare_files

    _show(compare_files(first, second, labels, dataset, split, with_map, order), json_out)


def audit(
    labels: Annotated[Path, typer.Argument(help="A .jsonl file, or DATASET's directory.")],
    dataset: _Dataset = "jsonl",
    json_out: _Json = None,
) -> None:
    """Audit a benchmark's labels: duplicates between splits, agreement, what blind guesses win."""
    from vmr_jax.evaluation.audit import audit_files

    _show(audit_files(labels, dataset), json_out)


def _show(report: "Report", json_out: Path | None) -> None:
    """Print what a report says, and write its values."""
    import json

    from rich.console import Console

    from vmr_jax.output_files import write_whole

    console = Console(markup=False, highlight=False, soft_wrap=True)
    for shown in report.shown:
        console.print(shown)
    if json_out:
        write_whole(json_out, json.dumps(report.values, indent=2) + "\n")
