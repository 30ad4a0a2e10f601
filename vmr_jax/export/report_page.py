"""The page of a report: one file of HTML, with its pictures, curves, style and filter in it."""

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import NamedTuple

import numpy as np

from vmr_jax.export.html_page import whole_page
from vmr_jax.export.report_queries import LabelledQuery
from vmr_jax.export.results import clock

_WIDTH, _HEIGHT = 640, 96  # of a curve, in its own units

_STYLE = """
body { max-width: 60rem; } h2 { margin: 0; }
dl { display: flex; flex-wrap: wrap; gap: .5rem 2rem; margin: 1rem 0; }
dt { color: var(--faint); font-size: .9rem; } dd { margin: 0; font-size: 1.5rem; }
form { display: flex; flex-wrap: wrap; gap: .5rem 1rem; align-items: center; position: sticky;
  top: 0; padding: .5rem 0; background: var(--paper); }
input, select { font: inherit; padding: .25rem .5rem; max-width: 100%; }
section { background: var(--card); border-left: 4px solid var(--line); border-radius: 4px;
  padding: .75rem 1rem; margin: 1rem 0; }
section[data-kind=success] { border-color: var(--true); }
section[data-kind=failure] { border-color: var(--bad); }
.hits { display: flex; flex-wrap: wrap; gap: .75rem; margin: .5rem 0; padding: 0;
  list-style: none; }
.hits li { width: 160px; font-size: .85rem; line-height: 1.35; }
.hits img, .none { display: block; width: 160px; height: 90px; object-fit: contain;
  background: #000; color: #aaa; text-align: center; line-height: 90px; }
svg { display: block; width: 100%; height: auto; }
.curve { fill: none; stroke: var(--ink); stroke-width: 1.5; vector-effect: non-scaling-stroke; }
.found { fill: var(--found); opacity: .35; }
.true { fill: none; stroke: var(--true); stroke-width: 3; }
.key { font-size: .85rem; } .key i { display: inline-block; width: 1.2em; height: .8em;
  margin: 0 .3em 0 .8em; border: 2px solid var(--true); }
.key i.f { border: 0; background: var(--found); opacity: .45; }
"""

_SCRIPT = """
const kind = document.getElementById("kind"), words = document.getElementById("words");
const sections = [...document.querySelectorAll("section")];
function choose() {
  const wanted = words.value.toLowerCase().split(/\\s+/);
  let shown = 0;
  for (const section of sections) {
    const text = section.dataset.text;
    section.hidden = (kind.value && section.dataset.kind !== kind.value)
      || !wanted.every(word => text.includes(word));
    shown += !section.hidden;
  }
  document.getElementById("shown").textContent = `${shown} of ${sections.length}`;
}
for (const control of [kind, words]) control.addEventListener("input", choose);
document.querySelector("form").addEventListener("submit", event => event.preventDefault());
choose();
"""


class Figures(NamedTuple):
    """What a report counts."""

    queries: int
    refused: int  # that could not be asked
    labelled: int
    percent: Mapping[str, float]  # by name; empty without labels


class Hit(NamedTuple):
    """A moment that was found."""

    video: str
    start_s: float
    end_s: float
    score: float  # NaN of the true moment
    picture: str  # a data URI; "" where there is none


class Plot(NamedTuple):
    """How well a video fits a sentence over its time."""

    video: str
    times: np.ndarray  # (N,) seconds
    values: np.ndarray  # (N,)
    duration: float  # seconds
    found: Sequence[tuple[float, float]]  # seconds
    true: Sequence[tuple[float, float]]


class Section(NamedTuple):
    """What is shown of a query."""

    query: LabelledQuery
    hits: Sequence[Hit]
    missed: Hit | None  # the true moment, where another one was found
    plots: Sequence[Plot]
    iou: float  # NaN without labels
    success: bool | None  # None without labels
    note: str


def page(title: str, videos: int, figures: Figures, sections: Sequence[Section]) -> str:
    """The HTML of a report."""
    body = [
        *_head(title, videos, figures, len(sections)),
        *(part for section in sections for part in _section(section)),
    ]
    return whole_page(title, _STYLE, "\n".join(body), _SCRIPT)


def _head(title: str, videos: int, figures: Figures, shown: int) -> Iterator[str]:
    """Title, figures and filter."""
    yield f"<header><h1>{escape(title)}</h1>"
    refused = f", {figures.refused:,} of them could not be asked" if figures.refused else ""
    yield f'<p class="faint">{figures.queries:,} queries{refused}; {videos:,} videos</p>'
    if figures.percent:
        cells = (f"<div><dt>{k}</dt><dd>{v:.1f}</dd></div>" for k, v in figures.percent.items())
        yield f"<dl>{''.join(cells)}</dl>"
        yield (
            f'<p class="faint">Percent of the {figures.labelled:,} queries with labels, of the '
            "first moment that was found in all videos; one in another video has IoU 0.</p>"
        )
        yield (
            '<p class="key"><i class="f"></i>found <i></i>true; the line is how well each frame '
            "fits the sentence. Largest errors first.</p>"
        )
    else:
        yield (
            '<p class="key"><i class="f"></i>found; the line is how well each frame fits the '
            "sentence.</p>"
        )
    if shown < figures.queries:
        which = "those of the largest and the smallest errors" if figures.percent else "the first"
        yield f'<p class="faint">{shown:,} queries are shown: {which}.</p>'
    yield "</header>"
    options = "".join(
        f'<option value="{value}">{name}</option>'
        for value, name in (("", "all"), ("failure", "failures"), ("success", "successes"))
    )
    hidden = "" if figures.percent else " hidden"
    yield (
        f'<form><label{hidden}>Show <select id="kind">{options}</select></label>'
        '<label>with the words <input id="words" type="search"></label>'
        '<output id="shown"></output></form>'
    )


def _section(section: Section) -> Iterator[str]:
    """A query, the moments that were found, and the curves."""
    query = section.query
    kind = {True: "success", False: "failure", None: ""}[section.success]
    text = escape(f"{query.qid} {query.sentence}".lower())
    yield f'<section data-kind="{kind}" data-text="{text}"><h2>{escape(query.sentence)}</h2>'
    yield f'<p class="faint">{escape(_verdict(section))}</p>'
    hits = [_hit(f"{rank}.", hit) for rank, hit in enumerate(section.hits, 1)]
    if section.missed:
        hits.append(_hit("true:", section.missed))
    yield f'<ol class="hits">{"".join(hits)}</ol>'
    yield from map(_curve, section.plots)
    yield "</section>"


def _verdict(section: Section) -> str:
    """How right the first moment is, in a line."""
    query = section.query
    parts = [f"query {query.qid}"]
    if query.windows:
        true = ", ".join(f"{clock(start)}–{clock(end)}" for start, end in query.windows)
        parts.append(f"true: {query.video} {true}")
        parts.append(f"IoU {section.iou:.2f}")
        if section.hits and section.hits[0].video != query.video:
            parts.append("another video was found")
    if section.note:
        parts.append(section.note)
    return "; ".join(parts)


def _hit(rank: str, hit: Hit) -> str:
    times = f"{clock(hit.start_s)}–{clock(hit.end_s)}"
    name = escape(hit.video)
    alt = f"{name} at {clock((hit.start_s + hit.end_s) / 2)}"
    picture = (
        f'<img src="{hit.picture}" alt="{alt}">'
        if hit.picture
        else '<span class="none">no picture</span>'
    )
    score = "" if math.isnan(hit.score) else f"<br>score {hit.score:.3g}"
    return f"<li>{picture}{rank} {name}<br>{times}{score}</li>"


def _curve(plot: Plot) -> str:
    """A curve with what was found shaded and what is true framed."""
    length = max(plot.duration, float(plot.times[-1]) if len(plot.times) else 0.0, 1e-3)
    low, high = float(np.min(plot.values, initial=0.0)), float(np.max(plot.values, initial=0.0))
    x = plot.times / length * _WIDTH
    y = _HEIGHT - 4 - (plot.values - low) / max(high - low, 1e-9) * (_HEIGHT - 8)
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))

    def bars(name: str, spans: Sequence[tuple[float, float]]) -> str:
        return "".join(
            f'<rect class="{name}" x="{start / length * _WIDTH:.1f}" y="2" '
            f'width="{max((end - start) / length * _WIDTH, 1):.1f}" height="{_HEIGHT - 4}"/>'
            for start, end in spans
        )

    said = escape(f"{plot.video}, {clock(0)} to {clock(length)}")
    return (
        f'<p class="faint">{said}</p>'
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{said}">'
        f'{bars("found", plot.found)}<polyline class="curve" points="{points}"/>'
        f"{bars('true', plot.true)}</svg>"
    )
