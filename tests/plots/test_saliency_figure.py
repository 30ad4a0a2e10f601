"""The figure of saliency shows what a system predicts, beside the annotators' ratings."""

from typing import Any

import numpy as np
import pytest

from vmr_jax import models
from vmr_jax.configs import qd_detr
from vmr_jax.data.batches.domain import make_domain
from vmr_jax.data.datasets.records import Annotations, MomentRecord
from vmr_jax.data.sources.features import from_arrays
from vmr_jax.data.tables.build import write_dataset
from vmr_jax.data.tables.dataset import load_dataset
from vmr_jax.plots import drawing, figure_data, queries
from vmr_jax.types import Config, Moments, MomentSystem

SALIENCY = np.array([[0.5, -1.0, 2.0, -np.inf]], np.float32)


def predict(*_) -> Any:
    """One moment and three clips' saliency, whatever is asked."""
    one = np.ones((1, 1), np.float32)
    return Moments(one, 2 * one, one, saliency=SALIENCY)


@pytest.fixture
def run(tmp_path):
    ratings = np.array([[4, 2], [0, 0], [3, 3]], np.float32)
    moments = np.array([[0.0, 2.0], [4.0, 6.0]])
    records = [
        MomentRecord("q0", "v", "a", moments, saliency=ratings),
        MomentRecord("q1", "v", "a", moments),
    ]
    annotations = Annotations("toy", {"test": records}, {"v": 6.0}, [], {})
    features = from_arrays({"v": np.ones((3, 2), np.float16)})
    write_dataset(tmp_path, annotations, features, "features", {"a": np.ones(2, np.float32)})
    config = qd_detr.get_config("toy")
    hidden = Config(config.target.to_dict() | {"labels": False, "max_clips": 4})
    domain = make_domain(load_dataset(tmp_path, "toy", "features"), "test", hidden)
    system = MomentSystem(init=predict, loss=predict, predict=predict)
    return queries.Run(config, system, {}, domain, {"step": 1, "selected_by": "last epoch"})


def test_it_shows_clips_ratings_and_predictions(run, tmp_path):
    rated, unrated = figure_data.saliency_content(run, ["q0", "q1"])
    assert rated["clips"] == {"edges": [0, 2, 4, 6], "saliency": [0.5, -1.0, 2.0]}
    assert rated["predictions"] == {"start": [1], "end": [2], "score": [1]}
    assert rated["ratings"] == {"edges": [0, 2, 4, 6], "mean": [3, 0, 3]}
    assert rated["truth"] == [[0, 2], [4, 6]] and "ratings" not in unrated
    for place, content in enumerate((rated, unrated)):
        picture = tmp_path / f"{place}.png"
        drawing.save(drawing.draw_saliency, content, picture)
        assert picture.read_bytes().startswith(b"\x89PNG")


def test_systems_with_saliency_have_the_figure(run):
    described = models.describe("qd_detr")
    queries.check_figure("saliency", run.system, described, "this qd_detr")
    with pytest.raises(ValueError, match="no figure attention, .* it has saliency"):
        queries.check_figure("attention", run.system, described, "this qd_detr")
    with pytest.raises(ValueError, match="no figure saliency"):
        queries.check_figure("saliency", run.system, models.describe("mmn"), "this mmn")
