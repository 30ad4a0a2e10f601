"""How a benchmark tells its result: a table on the terminal, JSON where it is asked for."""

import json
import os
import platform
from pathlib import Path

import jax


def machine() -> dict:
    """What the figures were measured on."""
    device = jax.devices()[0]
    return {
        "device": f"{device.platform} {device.device_kind}",
        "devices": jax.device_count(),
        "cores": len(os.sched_getaffinity(0)),
        "processor": platform.processor() or platform.machine(),
        "jax": jax.__version__,
    }


def show(title: str, rows: list[dict], json_path: str = "") -> None:
    """Print rows (dicts with the same keys) under a title; write them with the machine as JSON."""
    about = machine()
    print(f"\n{title}\n" + ", ".join(f"{name} {value}" for name, value in about.items()))
    print(table(rows))
    if json_path:
        content = {"title": title, "machine": about, "rows": rows}
        Path(json_path).write_text(json.dumps(content, indent=2) + "\n")


def table(rows: list[dict]) -> str:
    """Rows (dicts with the same keys) as lines of aligned columns under their names."""
    columns = list(rows[0])
    cells = [columns] + [[_cell(row[name]) for name in columns] for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    lines = []
    for line in cells:
        first, *others = (text.ljust(w) for text, w in zip(line, widths, strict=True))
        numbers = (text.strip().rjust(w) for text, w in zip(others, widths[1:], strict=True))
        lines.append("  ".join((first, *numbers)))
    return "\n".join(lines)


def _cell(value) -> str:
    return f"{value:,.4g}" if isinstance(value, float) else str(value)
