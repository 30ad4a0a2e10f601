"""Mistakes of commands that index and search videos are told before JAX is loaded."""

import json
import subprocess
import sys

from vmr_jax.video_index.layout import FORMAT, MANIFEST

_COMMANDS = (
    ("find", "none.mp4", "a door"),
    ("find", "FILE", "?!"),
    ("find", "FILE", "a door", "--modality", "smell"),
    ("index", "none", "--out", "out"),
    ("index", "--out", "out"),
    ("index", "FILE", "--out", "out", "--checkpoint", "none.run"),
    ("search", "none", "a door"),
    ("search", "INDEX", "?!"),
    ("search", "INDEX", "a zebra"),
    ("search", "INDEX", "a circle", "--modality", "smell"),
    ("search", "INDEX", "a circle", "--checkpoint", "none.run"),
    ("find", "FILE", "a zebra", "--encoder", "demo"),
    ("report", "none", "FILE", "--out", "report.html"),
    ("calibrate", "none", "FILE"),
    ("serve", "none"),
    ("mcp", "none"),
)
_CODE = """
import sys
from typer.testing import CliRunner
from vmr_jax.cli import app
for command in {commands!r}:
    done = CliRunner().invoke(app, command)
    assert isinstance(done.exception, (ValueError, FileNotFoundError)), (command, done.output)
    assert not {{"jax", "flax"}} & set(sys.modules), command
"""


def test_mistakes_are_told_before_jax_is_loaded(tmp_path):
    there = tmp_path / "file"
    there.write_text("{}")
    index = tmp_path / "index"
    index.mkdir()
    (index / MANIFEST).write_text(json.dumps({"format": FORMAT, "encoder": "demo"}))
    named = {"FILE": str(there), "INDEX": str(index)}
    commands = [[named.get(one, one) for one in line] for line in _COMMANDS]
    code = _CODE.format(commands=commands)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
