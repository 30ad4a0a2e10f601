"""Draw what score_figures collects, and nothing else."""

from collections.abc import Callable, Mapping

import numpy as np

_TRUE, _FOUND = "#D55E00", "#0072B2"  # vermilion and blue of Okabe and Ito (2008)


def draw_recall(content: Mapping):
    """R@n over IoU thresholds."""
    figure, axes = _axes(content, "IoU threshold", "percent of queries")
    for name, colour in (("R@1", _FOUND), ("R@5", _TRUE)):
        axes.plot(content["iou"], content[name], color=colour, label=name)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 100)
    axes.legend(frameon=False)
    return figure


def draw_boundaries(content: Mapping):
    """Histograms of the errors of starts and of ends."""
    figure, axes = _axes(content, "predicted minus true (s); outermost bins: and beyond", "queries")
    for name, colour in (("start", _FOUND), ("end", _TRUE)):
        own = content[name]
        label = name
        if own["median_s"] is not None:
            label += (
                f": median {own['median_s']:+.1f} s, of |error| {own['median_absolute_s']:.1f} s"
            )
        axes.stairs(own["counts"], content["edges_s"], color=colour, label=label)
    axes.axvline(0, color="0.6", linewidth=0.8)
    figure.legend(loc="outside lower center", frameon=False)
    return figure


def draw_calibration(content: Mapping):
    """The share of right moments over their mean score, beside the diagonal; counts as numbers."""
    figure, axes = _axes(content, "score of the first moment", f"share with IoU ≥ {content['iou']}")
    axes.plot([0, 1], [0, 1], color="0.6", linewidth=0.8)
    filled = [i for i, count in enumerate(content["counts"]) if count]
    x = [content["mean_score"][i] for i in filled]
    y = [content["share_right"][i] for i in filled]
    axes.plot(x, y, "o-", color=_FOUND)
    for at, up, i in zip(x, y, filled, strict=True):
        axes.annotate(str(content["counts"][i]), (at, up), (0, 6), textcoords="offset points")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.05)
    axes.text(0.98, 0.04, f"ECE {content['ece']:.3f}", ha="right", transform=axes.transAxes)
    return figure


def draw_locations(content: Mapping):
    """Where predictions and truths lie: shares over start and end, in one scale."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.5, 4), dpi=150, layout="constrained")
    figure.suptitle(f"{content['title']}: {100 * content['common']:.0f} % in common", fontsize=10)
    most = max(np.max(content["predictions"]), np.max(content["truths"]))
    colours = ScalarMappable(Normalize(0, most), "viridis")
    for axes, name in zip(figure.subplots(1, 2), ("predictions", "truths"), strict=True):
        cells = np.array(content[name]).T
        axes.pcolormesh(content["edges"], content["edges"], cells, vmin=0, vmax=most)
        axes.set_title(name, fontsize=9)
        axes.set_xlabel("start / duration")
        axes.set_ylabel("end / duration")
        axes.set_aspect("equal")
    figure.colorbar(colours, ax=figure.axes, label="share of moments")
    return figure


DRAWN: dict[str, Callable] = {
    "recall": draw_recall,
    "boundaries": draw_boundaries,
    "calibration": draw_calibration,
    "locations": draw_locations,
}


def _axes(content: Mapping, x: str, y: str):
    """A figure with its title, and axes with their names."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.5, 4), dpi=150, layout="constrained")
    axes = figure.subplots()
    axes.set_title(f"{content['title']}: {content['queries']} queries", fontsize=10)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes
