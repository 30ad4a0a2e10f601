"""The command `vmr prompts`."""

import json
from pathlib import Path
from typing import Annotated

import typer


def prompts(
    dataset: Annotated[
        str, typer.Argument(help="Such as charades_sta; without it: the names, a line each.")
    ] = "",
    labels: Annotated[
        Path | None,
        typer.Argument(
            help="A .jsonl file, or DATASET's directory: a prompt a query.", exists=True
        ),
    ] = None,
    split: Annotated[str, typer.Option(help="Which split of LABELS; else all of them.")] = "",
    out: Annotated[
        Path | None, typer.Option(help="Write the lines here, not to the terminal.")
    ] = None,
) -> None:
    """Print the prompt that asks a language model for a benchmark's moments.

    With LABELS a line of JSON a query: {"qid", "vid", "duration", "query", "prompt"}. How good the
    answers are, a line of {"qid", "answer"} each, says `vmr score ANSWERS LABELS --format text`.
    """
    from vmr_jax.answers.prompts import NAMES, template
    from vmr_jax.answers.prompts import prompts as all_prompts
    from vmr_jax.data.datasets import read_annotations
    from vmr_jax.output_files import write_whole

    if labels is None:
        print("\n".join(NAMES) if not dataset else template(dataset))
        return
    lines = all_prompts(dataset, read_annotations(dataset, labels), split)
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    if out:
        write_whole(out, text)
    else:
        print(text, end="")
