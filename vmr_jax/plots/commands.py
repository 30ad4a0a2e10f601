"""The commands `vmr plot`: figures of what a trained system sees."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

plot = typer.Typer(help="Draw what a trained system sees: PNG, and the same as JSON.")

_Checkpoint = Annotated[Path, typer.Option(help="A run's workdir, or its checkpoints directory.")]
_Queries = Annotated[list[str], typer.Option("--qid", help="Query id; repeatable.")]
_Split = Annotated[str, typer.Option(help="The queries' split; else the run's evaluation split.")]
_DataDir = Annotated[Path | None, typer.Option(help="Prepared data; else where the run had them.")]
_Out = Annotated[Path | None, typer.Option(help="Where to write; else WORKDIR/plots.")]


def _of_queries(figure: str) -> Callable[..., None]:
    """The command that draws one kind of figure of some queries, and says where it is."""

    def draw(
        checkpoint: _Checkpoint,
        qid: _Queries,
        split: _Split = "",
        data_dir: _DataDir = None,
        out: _Out = None,
    ) -> None:
        from vmr_jax.plots.figure_files import write_query_figures
        from vmr_jax.training.mesh import keep_compilations

        keep_compilations()
        for picture in write_query_figures(figure, checkpoint, qid, split, data_dir, out):
            print(picture)

    return draw


for _figure, _shown in {
    "attention": "Which words of a query meet which times of its video.",
    "timeline": "The strongest proposals or clips of a video, the best predictions and the "
    "ground truth.",
    "saliency": "How salient each clip of a video is, the best predictions and the ground truth.",
    "words": "How much each word of a query counts for images and for subtitles, of a PREM "
    "retriever.",
    "boundaries": "Confidence in start and end over the true video's clips, of a PREM localizer.",
}.items():
    plot.command(_figure, help=_shown)(_of_queries(_figure))


@plot.command()
def similarity(
    checkpoint: _Checkpoint,
    split: Annotated[
        str,
        typer.Option(
            help="Of a split's pairs at each checkpoint that the run has kept, "
            "--config.keep_checkpoints of them; else of the training pairs of each step."
        ),
    ] = "",
    data_dir: _DataDir = None,
    out: _Out = None,
) -> None:
    """The similarity of positive and negative pairs over a run's steps."""
    from vmr_jax.plots.figure_files import write_similarity_figure
    from vmr_jax.training.mesh import keep_compilations

    keep_compilations()
    print(write_similarity_figure(checkpoint, split, data_dir, out))
