"""Ratings of clips are written with the queries and read back; kinds of features are joined."""

import numpy as np
import pytest

from vmr_jax.data.batches.normalization import normalize_frames
from vmr_jax.data.datasets.records import Annotations, MomentRecord
from vmr_jax.data.sources.features import from_arrays
from vmr_jax.data.tables.build import write_dataset
from vmr_jax.data.tables.dataset import load_dataset

RNG = np.random.default_rng(0)
RATINGS = RNG.integers(0, 5, (4, 3)).astype(np.float32)
WORDS = {"a": np.ones(2, np.float32)}


def annotations(*, rated=True):
    moment = np.array([[0.0, 4.0]])
    first = MomentRecord("q0", "v0", "a", moment, saliency=RATINGS if rated else None)
    records = [first, MomentRecord("q1", "v1", "a", moment)]
    return Annotations("toy", {"train": records}, {"v0": 8.0, "v1": 6.0}, [], {})


def features(width, *lengths):
    return {f"v{i}": RNG.normal(size=(n, width)).astype(np.float16) for i, n in enumerate(lengths)}


def test_ratings_are_read_back(tmp_path):
    write_dataset(tmp_path, annotations(), from_arrays(features(3, 4, 3)), "one", WORDS)
    table = load_dataset(tmp_path, "toy", "one").splits["train"]
    by_query = dict(zip(table.query_id, table.saliency, strict=True))
    np.testing.assert_array_equal(by_query["q0"], RATINGS)
    assert by_query["q1"].shape == (0, 1)


def test_a_dataset_without_ratings_has_none(tmp_path):
    write_dataset(tmp_path, annotations(rated=False), from_arrays(features(3, 4, 3)), "one", WORDS)
    assert load_dataset(tmp_path, "toy", "one").splits["train"].saliency is None


def test_other_ratings_are_other_queries(tmp_path):
    given = from_arrays(features(3, 4, 3))
    write_dataset(tmp_path, annotations(), given, "one", WORDS)
    with pytest.raises(ValueError, match="queries"):
        write_dataset(tmp_path, annotations(rated=False), given, "one", WORDS)


def test_kinds_of_features_stand_side_by_side(tmp_path):
    one, two = features(3, 4, 3), features(2, 4, 4)
    write_dataset(tmp_path, annotations(), from_arrays(one), "one", WORDS)
    write_dataset(tmp_path, annotations(), from_arrays(two), "two", None)
    videos = load_dataset(tmp_path, "toy", "one+two").videos
    assert (videos.feature_dim, videos.parts) == (5, (3, 2))
    np.testing.assert_array_equal(videos.num_clips, [4, 3])  # as many as the shorter kind has
    for row, video in enumerate(videos.video_id):
        count = videos.num_clips[row]
        expected = np.concatenate([one[video][:count], two[video][:count]], axis=1)
        np.testing.assert_array_equal(videos.features(row), expected)
    raw = videos.statistics.raw
    assert raw.mean.shape == raw.deviation.shape == (5,)
    unit = normalize_frames(videos.features(0), videos.parts)
    for part in (unit[:, :3], unit[:, 3:]):
        np.testing.assert_allclose(np.linalg.norm(part, axis=1), 1, rtol=1e-5)
    with pytest.raises(FileNotFoundError, match="--feature-name three"):
        load_dataset(tmp_path, "toy", "one+three")


def test_kinds_of_other_videos_are_refused(tmp_path):
    write_dataset(tmp_path, annotations(), from_arrays(features(3, 4, 3)), "one", WORDS)
    given = from_arrays({"v0": np.ones((4, 2), np.float16)})
    write_dataset(tmp_path, annotations(), given, "two", None, drop_missing=True)
    with pytest.raises(ValueError, match="1 of 2 videos of toy have no features 'two', e.g. v1"):
        load_dataset(tmp_path, "toy", "one+two")
