"""The system of docs/add_a_system.md, installed, trained and asked as the page says."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from tests.conftest import small_settings
from vmr_jax import models
from vmr_jax.config_files import load_config
from vmr_jax.evaluation.predictor import load
from vmr_jax.training.loop import train

PAGE = Path(__file__).parents[1] / "docs" / "add_a_system.md"
FILES = dict(re.findall(r"^`([\w.]+)`[^\n]*:\n\n```\w+\n(.*?)```", PAGE.read_text(), re.S | re.M))


def forget_systems():
    for cached in (models.names, models.describe, models._ours, models._plug_ins):
        cached.cache_clear()


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A folder with the page's files, on the path as pip would have put it."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    info = tmp_path / "my_spans-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my_spans\nVersion: 0.1.0\n")
    points = FILES["pyproject.toml"].partition('entry-points."vmr_jax.systems"]\n')[2]
    entry = re.sub(r'"', "", points.splitlines()[0])
    (info / "entry_points.txt").write_text(f"[vmr_jax.systems]\n{entry}\n")
    monkeypatch.syspath_prepend(tmp_path)
    forget_systems()
    yield tmp_path
    forget_systems()
    sys.modules.pop("cross_spans", None)


def test_it_is_as_short_as_the_page_says():
    assert set(FILES) == {"cross_spans.py", "cross_spans_config.py", "pyproject.toml"}
    assert len([line for line in FILES["cross_spans.py"].splitlines() if line.strip()]) <= 65


def test_it_is_listed_trained_and_asked(package, toy_data, tmp_path):
    assert "cross_spans" in models.names()
    config = load_config(f"{package / 'cross_spans_config.py'}:toy_target")
    settings = {k: v for k, v in small_settings(toy_data).items() if not k.startswith("source.")}
    for key in ("dim", "target.windows", "target.stride"):
        del settings[key]
    config.update_from_flattened_dict(settings | {"width": 8, "epochs": 2})
    report = train(config, tmp_path / "run", "", Console(quiet=True))
    assert report["system"] == "cross_spans" and 0 <= report["model"]["mIoU"] <= 100
    width = load(tmp_path / "run").spec.video_dim
    found = load(tmp_path / "run").predict(
        np.ones((9, width), np.float32), "a person opens the door", duration=20.0, top_k=3
    )
    assert len(found) == 3 and all(0 <= m.start_s < m.end_s <= 20 for m in found)

    config.width = 6
    with pytest.raises(ValueError, match="config.width=6: use a multiple of the 4 heads"):
        train(config, tmp_path / "refused", "", Console(quiet=True))
    config.width, config.precision = 8, "bfloat16"
    with pytest.raises(ValueError, match="precision='bfloat16' has no effect: cross_spans does"):
        train(config, tmp_path / "refused", "", Console(quiet=True))
