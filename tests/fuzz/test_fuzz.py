"""A damaged file reads as before, or is refused in a line: `pytest tests/fuzz -m fuzz`.

Each family of targets is read in a process of its own, so that one that crashes fails by name. Not
among them: HDF5's virtual datasets, since HDF5's own code crashes on damaged ones (BUILD_NOTES).
"""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.fuzz.campaign import CHANGED, EQUAL, FAULT, REFUSED
from tests.fuzz.targets import TARGETS

ROOT = Path(__file__).parents[2]
SECONDS = 280  # of a family
FAMILIES = sorted({target.family for target in TARGETS.values()})


@pytest.mark.fuzz
@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_damaged_is_refused_or_reads_as_before(family, tmp_path):
    log = tmp_path / "log"
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-m", "tests.fuzz.campaign", str(log), family],
        cwd=ROOT,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    inputs = [line.split("\t") for line in log.read_text().splitlines()]
    told = "\n".join(" ".join(line) for line in inputs if line[-1].startswith(FAULT))
    assert done.returncode == 0, f"{inputs[-1:]}\n{done.stderr[-3000:]}"
    assert not told, told
    for name, target in TARGETS.items():
        if target.family == family:
            ends = Counter(line[-1].split(" ")[0] for line in inputs if line[0] == name)
            print(name, *(f"{ends[end]} {end}" for end in (EQUAL, REFUSED, CHANGED)), sep=", ")
            assert ends.total() == target.inputs and ends[REFUSED]


def test_the_campaign_has_two_thousand_inputs():
    assert sum(target.inputs for target in TARGETS.values()) >= 2000
