"""What training learns of a query with several moments, and of the ratings of its clips."""

import numpy as np
import pytest
from test_pairs import dataset, settings

from vmr_jax.data.batches import data_paths, labels
from vmr_jax.data.batches.domain import make_domain
from vmr_jax.data.batches.pairs import PairIndex
from vmr_jax.evaluation.linear_match import _marked

ALL = {"training_moment": "all", "max_clips": 12}


def rated():
    """The toy, whose clips of 2 s two annotators rated, of all queries but the first."""
    found = dataset(third=((5, 6), (8, 10)))
    table = found.splits["train"]
    ratings = [np.zeros((0, 1)), np.ones((3, 2)), np.arange(10).reshape(5, 2), 2 * np.ones((3, 2))]
    saliency = tuple(np.array(r, np.float32) for r in ratings)
    return found._replace(splits={"train": table._replace(saliency=saliency)})


def test_all_moments_are_kept_and_the_longest_stands_for_them():
    domain = make_domain(rated(), "train", settings(**ALL))
    assert domain.pairs.moments.shape == (4, 3, 2)
    for row, marked in zip(domain.pairs.moments, domain.moments, strict=True):
        np.testing.assert_array_equal(row[: len(marked)], marked)
        assert np.isnan(row[len(marked) :]).all()
    np.testing.assert_array_equal(domain.pairs.moment, [[0, 4], [0, 9], [8, 10], [2, 6]])


def test_saliency_is_the_sum_of_the_ratings_inside_the_moments():
    domain = make_domain(rated(), "train", settings(**ALL))
    found = domain.pairs.saliency
    # query 2: 7 clips of 10 s, moments 5 to 6 and 8 to 10, ratings 1, 5, 9, 13, 17 for each 2 s
    centre = (np.arange(7) + 0.5) * 10 / 7
    inside = ((centre >= 5) & (centre < 6)) | (centre >= 8)
    expected = np.where(inside, np.array([1, 5, 9, 13, 17])[(centre / 2).astype(int)], -1)
    np.testing.assert_array_equal(found[2, :7], expected)
    assert (found[2, 7:] == -1).all()
    assert set(found[0]) == {-1, 1}  # without ratings
    assert set(found[3]) == {-1, 4}


def test_a_moment_shorter_than_a_clip_has_the_clip_at_its_middle():
    short = dataset(third=((0.1, 0.2),))
    found = make_domain(short, "train", settings(**ALL)).pairs.saliency
    np.testing.assert_array_equal(found[2, :7], [1, -1, -1, -1, -1, -1, -1])


def test_batches_carry_them_padded_to_the_clips_and_evaluation_sees_none():
    domain = make_domain(rated(), "train", settings(**ALL | {"max_clips": 20}))
    index = PairIndex(np.array([2, 0]), np.ones(2, np.float32))
    batch = data_paths.read_batch(domain, index)
    assert batch.saliency.shape == batch.video.shape[:2] == (2, 20)
    np.testing.assert_array_equal(batch.saliency[0, :7], domain.pairs.saliency[2])
    assert (batch.saliency[:, 7:] == -1).all()
    np.testing.assert_array_equal(batch.moments, domain.pairs.moments[[2, 0]])
    hidden = make_domain(rated(), "train", settings(**ALL | {"labels": False}))
    assert data_paths.read_batch(hidden, index).moments is None


def test_the_linear_match_learns_from_every_moment():
    domain = make_domain(rated(), "train", settings(**ALL))
    query, moment, span = _marked(domain)
    np.testing.assert_array_equal(query, [0, 1, 1, 1, 2, 2, 3])
    np.testing.assert_array_equal(moment, np.concatenate(domain.moments))
    np.testing.assert_array_equal(span[4:6], [[3, 4], [5, 6]])
    one = make_domain(rated(), "train", settings(max_clips=12))
    np.testing.assert_array_equal(_marked(one)[0], np.arange(4))


def test_the_rule_is_listed():
    with pytest.raises(ValueError, match=r"one of \('agreed', 'most_frequent', 'all'\)"):
        labels.training_moments(dataset().splits["train"], "x", "train", "toy")
