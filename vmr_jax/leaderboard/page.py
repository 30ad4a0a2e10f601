"""The page of a leaderboard: one file of HTML of the figures that `make_board` gives."""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from vmr_jax.answers.files import REASONS_TOLD
from vmr_jax.export.html_page import whole_page
from vmr_jax.metrics.intervals import COVERAGE, DRAWS

_SHOWN = (
    "R@1,IoU=0.3",
    "R@1,IoU=0.5",
    "R@1,IoU=0.7",
    "R@5,IoU=0.5",
    "R@5,IoU=0.7",
    "mIoU",
    "rank@1",
    "rank@5",
    "dR@1,IoU=0.5",
    "dR@1,IoU=0.7",
    "mAP",
    "mAP@0.5",
    "mAP@0.75",
    "HL-min-VeryGood-mAP",
    "HL-min-VeryGood-Hit1",
)

_STYLE = """
body { max-width: 92rem; } h2 { margin: 2rem 0 .25rem; } a { color: var(--found); }
.scroll { overflow-x: auto; margin: .5rem 0; border: 1px solid var(--line); border-radius: 4px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums;
  overflow-wrap: normal; }
th, td { padding: .4rem .6rem; text-align: right; vertical-align: top; white-space: nowrap;
  border-top: 1px solid var(--line); }
thead th { border-top: 0; font-weight: 600; white-space: normal; min-width: 4.5rem; }
th:first-child, td:first-child { text-align: left; }
th:first-child { position: sticky; left: 0; z-index: 1; background: var(--paper);
  white-space: normal; min-width: min(12rem, 34vw); max-width: 16rem; overflow-wrap: anywhere; }
tbody tr.baseline > * { color: var(--faint); }
small { display: block; color: var(--faint); font-size: .75rem; font-weight: 400; }
th button { font: inherit; color: inherit; background: none; border: 0; padding: 0;
  cursor: pointer; text-align: inherit; }
th button span { white-space: nowrap; }
th button span::after { content: "\\2195"; opacity: .4; margin-left: .25em; }
th[aria-sort=descending] button span::after { content: "\\2193"; opacity: 1; }
th[aria-sort=ascending] button span::after { content: "\\2191"; opacity: 1; }
:focus-visible { outline: 2px solid var(--found); outline-offset: 2px; }
.bar { display: block; position: relative; height: 4px; margin-top: .2rem; min-width: 4.5rem;
  background: var(--card); border-radius: 2px; }
.bar i { position: absolute; height: 4px; border-radius: 2px; background: var(--found);
  left: var(--low); width: calc(var(--high) - var(--low)); opacity: .45; }
.bar b { position: absolute; top: -2px; width: 2px; height: 8px; background: var(--ink);
  left: var(--at); }
td.more, td.less { font-weight: 600; } td.more { color: var(--true); }
td.less { color: var(--bad); }
td.self { color: var(--faint); text-align: center; }
select { font: inherit; padding: .25rem .5rem; max-width: 100%; }
article { border-left: 4px solid var(--line); background: var(--card); border-radius: 4px;
  padding: .75rem 1rem; margin: 1rem 0; } article h3 { margin: 0; font-size: 1rem; }
code, pre { font: .85rem/1.4 ui-monospace, monospace; overflow-wrap: anywhere; }
pre { white-space: pre-wrap; margin: .5rem 0; padding: .5rem; background: var(--paper); }
"""

_SCRIPT = """
const buttons = document.querySelectorAll("th button");
for (const button of buttons) button.addEventListener("click", () => {
  const head = button.closest("th"), column = head.cellIndex;
  const down = head.getAttribute("aria-sort") !== "descending";
  for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  const body = head.closest("table").tBodies[0];
  const value = row => parseFloat(row.cells[column].dataset.value);
  const order = (a, b) => isNaN(a) ? 1 : isNaN(b) ? -1 : down ? b - a : a - b;
  body.append(...[...body.rows].sort((a, b) => order(value(a), value(b))));
});
for (const chosen of document.querySelectorAll("select")) {
  const parts = chosen.closest("section").querySelectorAll("[data-metric]");
  const show = () => { for (const part of parts)
    part.hidden = part.dataset.metric !== chosen.value; };
  chosen.closest("label").hidden = false;
  chosen.addEventListener("change", show);
  show();
}
"""


def page(title: str, board: Mapping[str, Any]) -> str:
    """The HTML of a leaderboard."""
    parts = (
        *_head(title, board),
        *_table(board),
        *_pairs(board),
        *_groups(board),
        *_entries(board),
    )
    return whole_page(title, _STYLE, "\n".join(parts), _SCRIPT)


def _head(title: str, board: Mapping[str, Any]) -> Iterator[str]:
    """What was scored, and what the figures are."""
    data = f"{board['dataset']} / {board['split']}"
    yield f"<header><h1>{escape(title)}</h1>"
    yield (
        f'<p class="faint">{escape(data)}: {board["queries"]:,} queries, {board["videos"]:,} '
        f"videos. Percent, with {COVERAGE} % intervals of {DRAWS:,} bootstrap draws of the videos. "
        "The baselines see neither video nor query. A query without a prediction, and an answer "
        "that cannot be read, is a miss. Scored by vmr_jax.</p></header>"
    )


def _table(board: Mapping[str, Any]) -> Iterator[str]:
    """The table of all entries, best first."""
    entries = board["entries"]
    metrics = [name for name in _SHOWN if any(name in row["metrics"] for row in entries)]
    yield "<main><section><h2>Systems</h2>"
    yield '<div class="scroll" tabindex="0" role="region" aria-label="Systems"><table><thead><tr>'
    yield '<th scope="col">system</th>'
    for name in metrics:
        order = ' aria-sort="descending"' if name == board["main"] else ""
        yield f'<th scope="col"{order}>{_sorter(*_two_lines(name))}</th>'
    yield f'<th scope="col">{_sorter("misses", "no answer")}</th>'
    yield "</tr></thead><tbody>"
    ranges = {name: _range(entries, name) for name in metrics}
    for place, row in enumerate(entries):
        kind = "baseline" if row["kind"] == "baseline" else "system"
        name = escape(row["name"])
        linked = name if kind == "baseline" else f'<a href="#entry{place}">{name}</a>'
        yield f'<tr class="{kind}"><th scope="row">{linked}</th>'
        figures = row["metrics"]
        for name in metrics:
            yield _cell(figures.get(name), ranges[name] if kind == "system" else None)
        yield _misses(row)
        yield "</tr>"
    yield "</tbody></table></div></section>"


def _two_lines(name: str) -> tuple[str, str]:
    """A metric's name and, for the line below, its threshold or level."""
    if name.startswith("HL-min-"):
        _, _, level, kind = name.split("-")
        return f"HL-{kind}", level
    first, _, rest = name.partition(",")
    return first, rest


def _sorter(name: str, below: str) -> str:
    """A button that sorts by its column."""
    return (
        f'<button type="button"><span>{escape(name)}</span>'
        f"<small>{escape(below) or '&nbsp;'}</small></button>"
    )


def _range(entries: Sequence[Mapping[str, Any]], metric: str) -> tuple[float, float] | None:
    """From the lowest to the highest bound of the systems' intervals."""
    figures = [row["metrics"].get(metric) for row in entries if row["kind"] != "baseline"]
    bounds = [bound for one in figures if one and one["interval"] for bound in one["interval"]]
    return (min(bounds), max(bounds)) if bounds and min(bounds) < max(bounds) else None


def _cell(figure: Mapping[str, Any] | None, bounds: tuple[float, float] | None) -> str:
    """A figure over its interval, as numbers and, within the bounds, as a bar."""
    if figure is None:
        return '<td data-value="">—</td>'
    value, interval = figure["value"], figure["interval"]
    cell = f'<td data-value="{value:.6f}">{value:.2f}'
    if interval is None:
        return cell + "</td>"
    cell += f"<small>{interval[0]:.1f} to {interval[1]:.1f}</small>"
    if bounds is None:
        return cell + "</td>"
    low, high, at = (100 * (x - bounds[0]) / (bounds[1] - bounds[0]) for x in (*interval, value))
    places = f"--low:{low:.1f}%;--high:{high:.1f}%;--at:{at:.1f}%"
    return f'{cell}<span class="bar" style="{places}"><i></i><b></b></span></td>'


def _misses(row: Mapping[str, Any]) -> str:
    """How many queries have no prediction that counts."""
    if row["kind"] == "baseline":
        return '<td data-value="">—</td>'
    count = sum(row["unread"].values()) if row["kind"] == "text" else row["missing"]
    return f'<td data-value="{count}">{count:,}</td>'


def _pairs(board: Mapping[str, Any]) -> Iterator[str]:
    """A matrix of paired differences for each metric that is compared."""
    names = [row["name"] for row in board["entries"]]
    metrics = list(dict.fromkeys(name for pair in board["pairs"] for name in pair["metrics"]))
    found = {(pair["first"], pair["second"]): pair["metrics"] for pair in board["pairs"]}
    yield "<section><h2>Paired differences</h2>"
    yield (
        '<p class="faint">How many points the system of the row is above that of the column on the '
        f"same queries, with its {COVERAGE} % interval; p is that of exchanging the two at random. "
        "Coloured where the interval does not hold 0.</p>"
    )
    yield _chooser(metrics)
    for metric in metrics:
        yield from _table_head("Differences", metric, names)
        for row in names:
            yield f'<tr><th scope="row">{escape(row)}</th>'
            yield from (_difference(found, row, column, metric) for column in names)
            yield "</tr>"
        yield "</tbody></table></div>"
    yield "</section>"


def _difference(
    found: Mapping[tuple[str, str], Mapping[str, Any]], row: str, column: str, metric: str
) -> str:
    """How far the row's system is above the column's; `found` has one of the two orders."""
    if row == column:
        return '<td class="self">·</td>'
    forward = (column, row) in found
    compared = found[(column, row) if forward else (row, column)].get(metric)
    if compared is None:
        return "<td>—</td>"
    sign = 1 if forward else -1
    by = sign * compared["difference"]
    if compared["interval"] is None:
        return f"<td>{by:+.2f}</td>"
    low, high = sorted(sign * bound for bound in compared["interval"])
    resolved = "more" if low > 0 else "less" if high < 0 else ""
    return (
        f'<td class="{resolved}">{by:+.2f}<small>{low:+.1f} to {high:+.1f}</small>'
        f"<small>p {compared['p']:.4f}</small></td>"
    )


def _groups(board: Mapping[str, Any]) -> Iterator[str]:
    """The figures of groups of queries, a table a metric."""
    entries = board["entries"]
    of_best = entries[0]["by"]
    groups = [(by, name, own) for by in of_best for name, own in of_best[by].items()]
    metrics = list(dict.fromkeys(metric for *_, own in groups for metric in own["intervals"]))
    yield "<section><h2>By what is asked</h2>"
    yield '<p class="faint">The figures of groups of the queries, with their intervals.</p>'
    yield _chooser(metrics)
    for metric in metrics:
        yield from _table_head("Groups", metric, [row["name"] for row in entries])
        for by, name, own in groups:
            yield f'<tr><th scope="row">{escape(f"{by}: {name}")}'
            yield f"<small>{own['queries']:,} queries</small></th>"
            found = [row["by"][by][name] for row in entries]
            yield from (
                _cell({"value": one[metric], "interval": one["intervals"][metric]}, None)
                for one in found
            )
            yield "</tr>"
        yield "</tbody></table></div>"
    yield "</section>"


def _chooser(metrics: Sequence[str]) -> str:
    """What chooses one of the tables of a section, each of which has a metric."""
    options = "".join(f"<option>{escape(name)}</option>" for name in metrics)
    return f"<label hidden>Metric <select>{options}</select></label>"


def _table_head(what: str, metric: str, names: Sequence[str]) -> Iterator[str]:
    """The beginning of a table of one metric, with a column a system."""
    yield f'<div class="scroll" data-metric="{escape(metric)}" tabindex="0" role="region"'
    yield f' aria-label="{what}: {escape(metric)}"><table><thead><tr>'
    yield f'<th scope="col">{escape(metric)}</th>'
    yield from (f'<th scope="col">{escape(name)}</th>' for name in names)
    yield "</tr></thead><tbody>"


def _entries(board: Mapping[str, Any]) -> Iterator[str]:
    """Where each entry's figures come from, and the hashes of all files."""
    yield "<section><h2>Where they come from</h2>"
    for place, row in enumerate(board["entries"]):
        if row["kind"] == "baseline":
            continue
        yield f'<article id="entry{place}"><h3>{escape(row["name"])}</h3>'
        if row["link"]:
            link = escape(row["link"])
            yield f'<p><a href="{link}" rel="noreferrer">{link}</a></p>'
        if row["note"]:
            yield f"<p>{escape(row['note'])}</p>"
        if row["command"]:
            yield f"<pre>{escape(row['command'])}</pre>"
        yield _file(row["file"], row["sha256"])
        lines = [f"{n:,}: {REASONS_TOLD[reason]}" for reason, n in row["unread"].items()]
        if not lines and row["missing"]:
            lines = [f"{row['missing']:,} queries have no prediction"]
        yield "".join(f'<p class="faint">{escape(line)}</p>' for line in lines)
        yield "</article>"
    yield "<article><h3>Labels: the files of their folder</h3>"
    yield from (_file(label["file"], label["sha256"]) for label in board["labels"])
    yield "</article></section></main>"


def _file(name: str, sha256: str) -> str:
    return f'<p class="faint">{escape(name)} <code>sha256:{sha256}</code></p>'
