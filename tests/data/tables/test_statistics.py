"""Statistics of the training split's features."""

import numpy as np
import pytest

from tests.data.tables.test_build import annotations, arrays, state, write
from vmr_jax.data.datasets.records import MomentRecord
from vmr_jax.data.sources.features import from_arrays
from vmr_jax.data.tables.build import write_dataset
from vmr_jax.data.tables.dataset import load_dataset

WIDTH = 5


def features():
    """Uncentred, of uneven scale; dimension 3 never varies, dimension 4 is zero."""
    rng = np.random.default_rng(1)
    scale, shift = np.array([1, 100, 1e-3, 0, 0]), np.array([-2, 3e4, 0, 0.3, 0])
    return {f"v{n}": shift + scale * rng.normal(size=(n + 2, WIDTH)) for n in range(3)}


def three_videos():
    """v0 and v1 are trained on, by queries of two training splits; v2 is tested on."""
    raw = annotations()
    more = [MomentRecord("q3", "v1", "dog", np.array([[0.0, 4.0]]))]
    tested = [MomentRecord("q4", "v2", "dog", np.array([[0.0, 4.0]]))]
    splits = {"train": raw.splits["train"][:1], "train_more": more, "test": tested}
    return raw._replace(splits=splits, durations=raw.durations | {"v2": 9.0})


def expected(videos):
    """NumPy's mean and deviation of all clips, of the numbers and of their signed roots."""
    rows = np.concatenate([features()[v].astype(np.float16) for v in videos]).astype(np.float64)
    roots = np.sign(rows) * np.sqrt(np.abs(rows))
    return [(x.mean(axis=0), x.std(axis=0)) for x in (rows, roots)]


def assert_statistics(found, videos):
    for spread, (mean, deviation) in zip(found, expected(videos), strict=True):
        assert spread.mean.dtype == spread.deviation.dtype == np.float64
        np.testing.assert_allclose(spread.mean, mean, rtol=1e-12)
        np.testing.assert_allclose(spread.deviation[:3], deviation[:3], rtol=1e-12)
        assert (spread.deviation[3:] == 0).all()


def test_statistics_are_those_of_all_clips_of_the_training_videos(tmp_path):
    write(tmp_path, three_videos(), features())
    assert_statistics(load_dataset(tmp_path, "toys", "f").videos.statistics, ["v0", "v1"])


def test_statistics_follow_the_queries(tmp_path):
    raw = three_videos()
    write(tmp_path, raw, features())
    splits = raw.splits
    for split, videos in (("train", ["v0"]), ("test", None)):
        fewer = raw._replace(splits={"test": splits["test"], split: splits[split]})
        (tmp_path / "toys/moments/report.json").unlink()
        write_dataset(tmp_path, fewer, from_arrays(features()), "f", None)
        found = load_dataset(tmp_path, "toys", "f").videos.statistics
        assert found is None if videos is None else not assert_statistics(found, videos)
    before = state(tmp_path)
    write_dataset(tmp_path, fewer, from_arrays(features()), "f", None)
    assert state(tmp_path) == before


def test_a_damaged_file_of_statistics_is_named(tmp_path):
    write(tmp_path)
    path = tmp_path / "toys/videos-f/statistics.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"\1")
    with pytest.raises(ValueError, match=r"statistics\.npy is damaged: its SHA-256 .*--overwrite"):
        load_dataset(tmp_path, "toys", "f")


def test_patches_have_no_statistics(tmp_path):
    grids = {name: np.ones((len(rows), 4, 3)) for name, rows in arrays().items()}
    write_dataset(tmp_path, annotations(), from_arrays(grids, patches=True), "grid", {})
    assert not (tmp_path / "toys/videos-grid/statistics.npy").exists()
