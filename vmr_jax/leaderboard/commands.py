"""The command `vmr leaderboard`."""

import json
from pathlib import Path
from typing import Annotated

import typer


def leaderboard(
    directory: Annotated[
        Path,
        typer.Argument(
            metavar="DIR",
            help="A folder a system, with predictions.jsonl or answers.jsonl, and card.toml.",
        ),
    ],
    labels: Annotated[Path, typer.Argument(help="A .jsonl file, or --dataset's directory.")],
    out: Annotated[Path, typer.Option(help="The page to write, .html; its figures go to .json.")],
    dataset: Annotated[str, typer.Option(help="Whose annotation files LABELS holds.")] = "jsonl",
    split: Annotated[str, typer.Option(help="Which split, if there are several.")] = "",
    title: Annotated[str, typer.Option(help="Of the page.")] = "",
) -> None:
    """Score a directory of predictions, of any code, and make one page of their figures.

    It has intervals, paired differences, the blind baselines, and the hashes of all files.
    """
    from vmr_jax.leaderboard.board import make_board
    from vmr_jax.leaderboard.page import page
    from vmr_jax.output_files import write_whole
    from vmr_jax.progress import shown

    if out.suffix != ".html":
        raise ValueError(f"--out {out} is no .html file")
    board = make_board(directory, labels, dataset, split, progress=shown)
    write_whole(out, page(title or f"{dataset} / {board['split']}", board))
    write_whole(out.with_suffix(".json"), json.dumps(board, indent=1, allow_nan=False) + "\n")
    count = sum(row["kind"] != "baseline" for row in board["entries"])
    print(f"{out}, {out.with_suffix('.json').name}: {count} systems, {board['queries']:,} queries")
