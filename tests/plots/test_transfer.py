"""The heat map of a transfer matrix, and its files."""

import json

import pytest

from tests.plots.figure_cases import assert_readable
from vmr_jax.plots.drawing import draw_transfer
from vmr_jax.plots.transfer import METRICS, transfer_matrix, write_transfer


def reports(transfers=2, rows=3, spread=True):
    """Made-up reports; the second row was measured in the first transfer alone."""

    def measured(place, row):
        if row == 1 and place:
            return {}
        std = 1.5 if spread else None
        return {name: {"mean": 10.0 * row + place, "std": std, "values": []} for name in METRICS}

    def report(place):
        found = [{"name": f"row {row}", "measured": measured(place, row)} for row in range(rows)]
        return {
            "title": "A system: transfer",
            "set_up": f"one{place},other{place}",
            "seeds": 3,
            "rows": [*found, {"name": "published alone", "measured": {}}],
        }

    return [report(place) for place in range(transfers)]


@pytest.mark.parametrize(
    ("transfers", "rows", "spread"), [(1, 1, False), (2, 9, True), (4, 12, True)]
)
def test_nothing_is_cut_off_or_covered(transfers, rows, spread):
    assert_readable(draw_transfer(transfer_matrix(reports(transfers, rows, spread))))


def test_cells_that_were_not_measured_stay_empty(tmp_path):
    files = write_transfer(reports(), tmp_path, "x_transfer")
    assert [file.name for file in files] == ["x_transfer.md", "x_transfer.json", "x_transfer.png"]
    assert all(file.stat().st_size > 100 for file in files)
    matrix = json.loads(files[1].read_text())
    assert matrix["rows"] == ["row 0", "row 1", "row 2"]
    assert matrix["columns"][4] == {"transfer": "one1 → other1", "metric": METRICS[0]}
    assert matrix["cells"][1][4:] == [None] * 4 and matrix["cells"][2][4]["mean"] == 21.0
    assert "| row 1 | 10.00 ± 1.50 |" in files[0].read_text()
    axes = draw_transfer(matrix).axes[0]
    shown = [text.get_text() for text in axes.texts]
    assert "21.0 ± 1.5" in shown and "one1 → other1" in shown
    assert len(shown) == 3 * 8 - 4 + 2
