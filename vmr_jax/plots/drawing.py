"""Draw what figure_data collects, and nothing else: matplotlib Figures without pyplot's state."""

import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from vmr_jax.evaluation.report import count_seeds, measured_cell
from vmr_jax.output_files import whole_path

DPI = 150
_TRUTH, _PREDICTED = "#D55E00", "#0072B2"  # vermilion and blue of Okabe and Ito (2008)
_FIRST, _SECOND = "#009E73", "#CC79A7"  # a pair of curves or bars: his green and purple
_NOTHING = "0.9"  # where no proposal or clip is
_ROW, _WORD, _BRACKET = 0.22, 0.3, 0.35  # inches of a bar, a word and a bracket
_CHARACTERS = 12  # of a title in an inch
_PREDICTIONS = 2
_COLOURS = {
    "clips": "Colour: the value of the clip; grey: there is none.",
    "proposals": "Colour: mean of the proposals that cover a time; grey: there is none.",
}
_MODALITIES = {"image": ("image query", _FIRST), "sub": ("subtitle query", _SECOND)}


def save(draw: Callable, content: Mapping, path: Path) -> None:
    """Write what `draw` makes of a content; no `$` or `_` of a text is read as a formula."""
    import matplotlib

    with matplotlib.rc_context({"text.parse_math": False}), whole_path(path) as draft:
        draw(content).savefig(draft)


def draw_attention(content: Mapping):
    """Words by times, with the ground truth as brackets at the side (VLANet, Fig. 5)."""
    words, cells, truths = content["words"], content["cells"], _counted(content["truth"])
    brackets = max(1, len(truths))
    inches = max(4.5, _WORD * len(words)), _BRACKET * brackets
    figure = _figure(sum(inches) + 1.8, 4.4, _title(content))
    axes, side = figure.subplots(1, 2, sharey=True, width_ratios=inches)
    values = np.ma.masked_invalid(np.array(cells["words"], np.float64))
    colours = {"cmap": "viridis"}
    if values.min() < 0:  # a signed quantity: white is 0
        far = np.abs(values).max()
        colours = {"cmap": "PuOr_r", "vmin": -far, "vmax": far}
    mesh = axes.pcolormesh(np.arange(len(words) + 1) - 0.5, cells["edges"], values, **colours)
    axes.set_facecolor(_NOTHING)
    axes.set_ylim(0, _last_second(content, cells["edges"]))
    axes.set_ylabel("time (s)")
    _draw_words(axes, content)
    for place, (start, end) in enumerate(truths):
        arms = [place, place + 0.4, place + 0.4, place]
        side.plot(arms, [start, start, end, end], color=_TRUTH, linewidth=2.5, clip_on=False)
    counts = [f"truth ×{count}" if count > 1 else "truth" for count in truths.values()]
    side.set_xticks(
        np.arange(len(truths)) + 0.4, counts, rotation=45, ha="right", rotation_mode="anchor"
    )
    side.set_xlim(0, brackets)
    side.tick_params(left=False, labelleft=False, bottom=False)
    side.set_frame_on(False)
    figure.colorbar(
        mesh, ax=(axes, side), label=content["quantity"], aspect=25, fraction=0.05, pad=0.01
    )
    _note(figure, [_COLOURS[content["rows_are"]], *_notes_of_words(content)])
    return figure


def draw_timeline(content: Mapping):
    """Ground truth, the best predictions and the strongest rows in time (VLANet, Fig. 6)."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    proposals, shown = content["proposals"], content["shown"]
    found = content["predictions"]
    best = list(zip(found["start"], found["end"], strict=True))[:_PREDICTIONS]
    bars = _bars(content["truth"], best)
    strength = np.array(proposals["strength"][:shown])
    spans = np.stack([proposals["start"][:shown], proposals["end"][:shown]], axis=-1)
    inches = _ROW * len(bars), _ROW * shown
    figure = _figure(8.5, max(2.4, sum(inches) + 1.2), _title(content))
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=inches)
    _draw_bars(above, bars)
    order = np.lexsort((spans[:, 1], spans[:, 0]))
    colours = ScalarMappable(Normalize(strength.min(), strength.max()), "viridis")
    below.barh(
        range(shown),
        (spans[:, 1] - spans[:, 0])[order],
        left=spans[order, 0],
        height=0.7,
        color=colours.to_rgba(strength[order]),
    )
    below.set_yticks([])
    count = f"{shown} of {len(proposals['start'])}"
    below.set_title(f"strongest {content['rows_are']}: {count}", loc="left", fontsize=9)
    below.set_xlim(0, _last_second(content, [*(end for _, end in best), *spans[:, 1]]))
    below.set_xlabel("time (s)")
    below.set_ylim(shown - 0.4, -0.6)
    _shade_truth((above, below), content)
    figure.colorbar(colours, ax=(above, below), label="attention strength", aspect=30)
    return figure


def draw_saliency(content: Mapping):
    """The saliency of each clip under the truth and the best predictions (QVHighlights)."""
    clips, found = content["clips"], content["predictions"]
    best = list(zip(found["start"], found["end"], strict=True))[: max(1, len(content["truth"]))]
    bars = _bars(content["truth"], best)
    inches = _ROW * len(bars), 2.4
    figure = _figure(8.5, sum(inches) + 1.2, _title(content))
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=inches)
    _draw_bars(above, bars)
    style = {"baseline": None, "linewidth": 2}
    below.stairs(clips["saliency"], clips["edges"], color=_FIRST, label="predicted", **style)
    below.set_ylabel("saliency")
    if rated := content.get("ratings"):
        ratings = below.twinx()
        label = "annotators' mean"
        ratings.stairs(rated["mean"], rated["edges"], color=_SECOND, label=label, **style)
        ratings.set_ylim(0, 4.2)
        ratings.set_ylabel("rating, 0 to 4", color=_SECOND)
    below.set_xlim(0, _last_second(content, [end for _, end in best]))
    below.set_xlabel("time (s)")
    _shade_truth((above, below), content)
    _legend(below)
    return figure


def draw_words(content: Mapping):
    """How much each word counts for the query vector of each modality (PREM, Fig. 6a)."""
    words, weights = content["words"], content["weights"]
    figure = _figure(max(7.5, _WORD * len(words) + 1.2), 4, _title(content))
    axes = figure.subplots()
    width = 0.8 / len(weights)
    for place, modality in enumerate(weights):
        left = np.arange(len(words)) + width * (place - len(weights) / 2)
        label, colour = _MODALITIES[modality]
        axes.bar(left, weights[modality], width, align="edge", color=colour, label=label)
    axes.axhline(1 / len(words), color="0.4", linestyle="--", linewidth=1)
    axes.set_xlim(-0.6, len(words) - 0.4)
    axes.set_ylabel("weight of the word")
    axes.spines[["top", "right"]].set_visible(False)
    _draw_words(axes, content)
    _legend(axes)
    sums = "The weights of a query vector add up to 1; dashed: equal weights."
    _note(figure, [sums, *_notes_of_words(content)])
    return figure


def draw_boundaries(content: Mapping):
    """Confidence in start and end over the true video's clips (PREM, Fig. 6b)."""
    clips, found = content["clips"], content["predictions"]
    best = list(zip(found["start"], found["end"], strict=True))[:1]
    bars = _bars(content["truth"], best)
    inches = _ROW * len(bars), 2.4
    figure = _figure(8.5, sum(inches) + 1.2, _title(content))
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=inches)
    _draw_bars(above, bars)
    for name, colour, line in (("start", _FIRST, "-"), ("end", _SECOND, "--")):
        style = {"color": colour, "linestyle": line, "linewidth": 2}
        below.stairs(clips[name], clips["edges"], baseline=None, label=name, **style)
    for span in best:
        for second in span:
            below.axvline(second, color=_PREDICTED, linestyle=":", linewidth=1.5)
    below.set_xlim(0, _last_second(content, [end for _, end in best]))
    below.set_ylim(bottom=0)
    below.set_xlabel("time (s)")
    below.set_ylabel("confidence")
    _legend(below)
    _shade_truth((above, below), content)
    least, most = content["span_clips"]
    read = clips["edges"][0], clips["edges"][-1]
    confidence = f"Confidence: softmax over the video's clips, {_seconds(read)}."
    best_span = f"Top 1, dotted: the span of {least} to {most} clips with the largest product."
    _note(figure, [confidence, best_span])
    return figure


def draw_similarity(content: Mapping):
    """The similarity of positive and negative pairs by step (VLANet, Fig. 4)."""
    title = (
        f"{content['system']} on {content['dataset']}: similarity of its {content['pairs']} pairs"
    )
    figure = _figure(6.5, 4, [title])
    axes = figure.subplots()
    for name, colour, line in (("positive", _PREDICTED, "-"), ("negative", _TRUTH, "--")):
        marker = "o" if len(content["step"]) == 1 else None
        axes.plot(
            content["step"], content[name], line, color=colour, marker=marker, label=f"{name} pairs"
        )
    axes.set_xlabel("training step")
    axes.set_ylabel("similarity (mean of the pairs)")
    axes.grid(color="0.9")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return figure


def _draw_words(axes, content: Mapping) -> None:
    """The query's words along the horizontal axis."""
    labels = [w["word"] if w["known"] else f"[{w['word']}]" for w in content["words"]]
    axes.set_xticks(range(len(labels)), labels, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_xlabel(f"{content['words_are']} of the query")


def _notes_of_words(content: Mapping) -> list[str]:
    """What a reader has to know of the words, as sentences."""
    notes = []
    if not all(word["known"] for word in content["words"]):
        notes.append("[word]: unknown, it has no vector.")
    if content["words_left_out"]:
        notes.append(
            f"The last {content['words_left_out']} {content['words_are']} are beyond max_words."
        )
    return notes


def _bars(truth: Sequence, best: Sequence) -> list[tuple]:
    """Ground truth and ranked predictions as bars: label, span in seconds, colour."""
    bars = [(f"truth: {_seconds(span)}", span, _TRUTH) for span in truth]
    return bars + [
        (f"top {n}: {_seconds(span)}", span, _PREDICTED) for n, span in enumerate(best, 1)
    ]


def draw_transfer(content: Mapping):
    """Rows of a transfer matrix by transfers and metrics: percent as colour and as text."""
    rows, columns, cells = content["rows"], content["columns"], content["cells"]
    values = np.array([[cell["mean"] if cell else np.nan for cell in row] for row in cells])
    figure = _figure(
        3.4 + 1.05 * len(columns),
        1.2 + 0.36 * len(rows),
        [f"{content['title']}: percent on the target, {count_seeds(content['seeds'])}"],
    )
    axes = figure.subplots()
    image = axes.imshow(np.ma.masked_invalid(values), cmap="viridis", vmin=0, aspect="auto")
    axes.set_facecolor(_NOTHING)
    dark = np.nanmax(values) / 2
    for (row, column), value in np.ndenumerate(values):
        if cells[row][column]:
            text = measured_cell(cells[row][column], digits=1)
            colour = "white" if value < dark else "black"
            axes.text(column, row, text, ha="center", va="center", fontsize=8, color=colour)
    axes.set_yticks(range(len(rows)), rows, fontsize=8)
    axes.set_xticks(range(len(columns)), [column["metric"] for column in columns], fontsize=8)
    transfers = [column["transfer"] for column in columns]
    starts = [place for place, name in enumerate(transfers) if name not in transfers[:place]]
    for start, end in zip(starts, [*starts[1:], len(columns)], strict=True):
        middle = (start + end - 1) / 2
        axes.text(middle, -0.7, transfers[start], ha="center", va="bottom", fontsize=9)
        if end < len(columns):
            axes.axvline(end - 0.5, color="white", linewidth=3)
    figure.colorbar(image, ax=axes, label="percent", aspect=25, fraction=0.04, pad=0.01)
    return figure


def _draw_bars(axes, bars: Sequence[tuple]) -> None:
    """Bars one below the other, their labels at the left."""
    for row, (_, (start, end), colour) in enumerate(bars):
        axes.barh(row, end - start, left=start, height=0.7, color=colour)
    axes.set_yticks(range(len(bars)), [label for label, _, _ in bars])
    axes.tick_params(bottom=False)
    axes.set_ylim(len(bars) - 0.4, -0.6)


def _shade_truth(panels: Sequence, content: Mapping) -> None:
    """The ground truth behind panels that share a time axis."""
    for axes in panels:
        for start, end in _counted(content["truth"]):
            axes.axvspan(start, end, color=_TRUTH, alpha=0.1, linewidth=0, zorder=0)
        axes.spines[["top", "right"]].set_visible(False)


def _legend(axes) -> None:
    """In one row above the axes, where it covers nothing."""
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, frameon=False)


def _figure(width: float, height: float, title: Sequence[str]):
    """A figure with a title of wrapped lines above `height` inches."""
    from matplotlib.figure import Figure

    lines = [part for line in title for part in textwrap.wrap(line, int(_CHARACTERS * width))]
    figure = Figure((width, height + 0.2 * len(lines)), dpi=DPI, layout="constrained")
    figure.suptitle(
        "\n".join(lines), x=0.01, ha="left", fontsize=10, multialignment="left", parse_math=False
    )
    return figure


def _note(figure, sentences: Sequence[str]) -> None:
    """Small print below a figure."""
    wide = int(1.25 * _CHARACTERS * figure.get_figwidth())
    text = "\n".join(textwrap.wrap(" ".join(sentences), wide))
    figure.supxlabel(text, x=0.01, ha="left", fontsize=8, color="0.3", multialignment="left")


def _title(content: Mapping) -> list[str]:
    step = content["checkpoint"]["step"]
    return [
        f"{content['dataset']} / {content['split']}, query {content['qid']}, video "
        f"{content['vid'] or 'hidden'}",
        f"{content['system']}, step {step}",
        f"“{content['query']}”",
    ]


def _seconds(span: Sequence[float]) -> str:
    return f"{span[0]:.1f} – {span[1]:.1f} s"


def _last_second(content: Mapping, ends: Sequence[float]) -> float:
    """The end of the time axis: moments that are drawn may end beyond the video's duration."""
    return max(content["duration"], *(end for _, end in content["truth"]), *ends)


def _counted(truth: Sequence[Sequence[float]]) -> dict[tuple, int]:
    """How many annotators marked each moment."""
    spans = [tuple(span) for span in truth]
    return {span: spans.count(span) for span in spans}
