"""Write figures as PNG, and what they show as JSON beside them."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from vmr_jax.output_files import write_whole
from vmr_jax.plots import corpus_figure_data, drawing, figure_data, similarities
from vmr_jax.plots.queries import open_split
from vmr_jax.training.checkpoint import checkpoint_directory

_OF_QUERIES = {
    "attention": (figure_data.attention_content, drawing.draw_attention),
    "timeline": (figure_data.timeline_content, drawing.draw_timeline),
    "saliency": (figure_data.saliency_content, drawing.draw_saliency),
    "words": (corpus_figure_data.words_content, drawing.draw_words),
    "boundaries": (corpus_figure_data.boundaries_content, drawing.draw_boundaries),
}


def write_query_figures(
    figure: str,
    checkpoint: Path,
    qids: Sequence[str],
    split: str = "",
    data_dir: Path | None = None,
    out: Path | None = None,
) -> list[Path]:
    """Draw a figure of each query: OUT/<figure>_<qid>.png and .json.

    `figure` is one of _OF_QUERIES. Letters, digits and "_.-~#" of an id stand as they are in a
    file's name, others as %XX. Without `out` the files go to plots/ in the workdir. Returns the PNG
    files; raises as `open_split` and the contents do.
    """
    collect, draw = _OF_QUERIES[figure]
    run = open_split(figure, checkpoint, split, data_dir or "")
    return [
        _write(draw, shown, _folder(checkpoint, out), f"{figure}_{quote(shown['qid'], safe='#')}")
        for shown in collect(run, qids)
    ]


def write_similarity_figure(
    checkpoint: Path, split: str = "", data_dir: Path | None = None, out: Path | None = None
) -> Path:
    """Draw a run's similarities: OUT/similarity.png and .json; raises as its content does.

    Of its training pairs, or of a split's: OUT/similarity_SPLIT.png.
    """
    if split:
        shown = similarities.split_similarity_content(checkpoint, split, data_dir or "")
    else:
        shown = similarities.similarity_content(checkpoint)
    name = "_".join(filter(None, ("similarity", split)))
    return _write(drawing.draw_similarity, shown, _folder(checkpoint, out), name)


def _folder(checkpoint: Path, out: Path | None) -> Path:
    return out or checkpoint_directory(checkpoint).parent / "plots"


def _write(draw: Callable, shown: Mapping, folder: Path, name: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / f"{name}.json", json.dumps(shown, allow_nan=False) + "\n")
    picture = folder / f"{name}.png"
    drawing.save(draw, shown, picture)
    return picture
