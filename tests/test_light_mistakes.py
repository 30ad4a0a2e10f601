"""Mistakes of commands that search videos are told before JAX is loaded."""

import subprocess
import sys

_COMMANDS = (
    ("find", "none.mp4", "a door"),
    ("find", "FILE", "?!"),
    ("find", "FILE", "a door", "--modality", "smell"),
    ("search", "none", "a door"),
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
    commands = [[str(there) if one == "FILE" else one for one in line] for line in _COMMANDS]
    code = _CODE.format(commands=commands)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
