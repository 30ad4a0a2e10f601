import numpy as np
import pytest

from vmr_jax.data.batches.sampler import (
    in_order,
    make_candidate_sampler,
    make_sampler,
    make_video_sampler,
)

VIDEO = np.repeat(np.arange(25), 4)


def _rows(sampler):
    """step -> the rows of the pairs, whose weights are all 1."""

    def rows(step):
        index = sampler.index(step)
        assert index.weight.dtype == np.float32 and (index.weight == 1).all()
        return index.query

    return rows


def test_an_epoch_visits_each_pair_once():
    rows = _rows(make_sampler(VIDEO, 10, seed=1, domain="target"))
    seen = np.concatenate([rows(step) for step in range(10)])
    assert sorted(seen) == list(range(100))
    again = np.concatenate([rows(step) for step in range(10, 20)])
    assert sorted(again) == list(range(100)) and not np.array_equal(seen, again)


def test_a_step_depends_on_seed_domain_and_step_alone():
    first, second = (_rows(make_sampler(VIDEO, 8, 3, "source")) for _ in range(2))
    for step in (40, 2, 13, 2):
        np.testing.assert_array_equal(first(step), second(step))
    assert not np.array_equal(first(2), _rows(make_sampler(VIDEO, 8, 4, "source"))(2))
    assert not np.array_equal(first(2), _rows(make_sampler(VIDEO, 8, 3, "target"))(2))


def test_a_left_over_is_dropped_for_this_epoch_only():
    sampler = make_sampler(VIDEO, 30, 0, "target")
    rows = _rows(sampler)
    assert sampler.steps_per_epoch == 3
    epochs = [np.concatenate([rows(3 * e + k) for k in range(3)]) for e in range(20)]
    assert all(len(set(epoch)) == 90 for epoch in epochs)
    assert len(set(np.concatenate(epochs))) == 100


def test_two_queries_a_video():
    video = np.repeat(np.arange(30), np.tile([1, 2, 5], 10))
    rows = _rows(make_sampler(video, 20, 0, "target", queries_per_video=2))
    for step in range(8):
        pair = rows(step).reshape(-1, 2)
        assert np.array_equal(video[pair[:, 0]], video[pair[:, 1]])
    alone = [pair for step in range(8) for pair in rows(step).reshape(-1, 2) if pair[0] == pair[1]]
    assert all((video == video[pair[0]]).sum() == 1 for pair in alone)


def test_errors_say_what_to_do():
    with pytest.raises(ValueError, match=r"100 training pairs.*--config.batch_size=100"):
        make_sampler(VIDEO, 128, 0, "target")
    with pytest.raises(ValueError, match="must be 1 or 2"):
        make_sampler(VIDEO, 8, 0, "target", queries_per_video=3)
    with pytest.raises(ValueError, match="odd"):
        make_sampler(VIDEO, 7, 0, "target", queries_per_video=2)


def _queries(index):
    """(video, query) of a batch's real queries."""
    real = index.query_weight > 0
    return list(zip(index.video[index.owner[real]], index.query[real], strict=True))


def test_a_batch_of_videos_holds_all_their_queries():
    video = np.random.default_rng(0).permutation(np.repeat(np.arange(23), np.arange(23) % 4 + 1))
    sampler = make_video_sampler(video, 8, 0, "target", epochs=3, multiple=4)
    assert sampler.steps_per_epoch == 3
    epochs = []
    for epoch in range(3):
        indices = [sampler.index(3 * epoch + k) for k in range(3)]
        assert {index.query.shape for index in indices} == {indices[0].query.shape}
        assert len(indices[0].query) % 4 == 0
        assert [int(index.weight.sum()) for index in indices] == [8, 8, 7]
        pairs = [pair for index in indices for pair in _queries(index)]
        assert sorted(pairs) == sorted(zip(video, range(len(video)), strict=True))
        epochs.append(pairs)
    assert epochs[0] != epochs[1]
    largest = max(len(_queries(sampler.index(k))) for k in range(9))
    assert 0 <= len(indices[0].query) - largest < 4


@pytest.mark.parametrize("form", ["pairs", "videos"])
def test_in_order_visits_each_query_once(form):
    video = np.random.default_rng(0).permutation(np.repeat(np.arange(7), 3))
    seen = []
    for index in in_order(form, video, 4, multiple=2):
        weight = index.weight if form == "pairs" else index.query_weight
        assert form == "pairs" or len(index.query) % 2 == 0
        seen.extend(index.query[weight > 0].tolist())
        if form == "videos":
            assert all(video[query] == owner for owner, query in _queries(index))
    assert sorted(seen) == list(range(21))


# The five next videos of each query's own, the last two unknown for every third query.
RANKED = (VIDEO[:, None] + np.arange(1, 6)) % 25
RANKED[::3, 3:] = -1


def test_candidates_are_drawn_anew_each_epoch_from_a_querys_own():
    sampler = make_candidate_sampler(VIDEO, RANKED, 2, 10, seed=1, domain="target")
    pairs = make_sampler(VIDEO, 10, seed=1, domain="target")
    seen = {query: [] for query in range(len(VIDEO))}
    for step in range(40 * sampler.steps_per_epoch):
        index = sampler.index(step)
        np.testing.assert_array_equal(index.query, pairs.index(step).query)
        assert index.others.dtype == np.int32 and index.others.shape == (10, 2)
        for query, others in zip(index.query, index.others, strict=True):
            assert len(set(others)) == 2 and set(others) <= set(RANKED[query]) - {-1}
            seen[query].extend(others)
    counts = np.array([[seen[q].count(other) for other in RANKED[q][:3]] for q in seen])
    assert (counts > 0).all()
    thirds = counts[::3]  # two of three candidates in each of 40 epochs
    assert abs(thirds.mean() - 80 / 3) < 1e-9 and thirds.std() < 5


def test_candidates_of_a_step_are_its_function_alone():
    first, second = (make_candidate_sampler(VIDEO, RANKED, 3, 8, 3, "t") for _ in range(2))
    for step in (40, 2, 13, 2):
        np.testing.assert_array_equal(first.index(step).others, second.index(step).others)
    other = make_candidate_sampler(VIDEO, RANKED, 3, 8, 4, "t")
    assert not np.array_equal(first.index(2).others, other.index(2).others)


def test_too_few_candidates_are_joined_by_other_videos():
    ranked = np.full((100, 2), -1)
    ranked[::2, 0] = (VIDEO[::2] + 1) % 25
    sampler = make_candidate_sampler(VIDEO, ranked, 4, 10, 0, "target")
    drawn = set()
    for step in range(100):
        index = sampler.index(step)
        for query, others in zip(index.query, index.others, strict=True):
            assert len(set(others)) == 4 and (others >= 0).all() and VIDEO[query] not in others
            if ranked[query, 0] >= 0:
                assert others[0] == ranked[query, 0]
            drawn |= set(others)
    assert drawn == set(range(25))
    every = make_candidate_sampler(VIDEO, ranked[:, :1], 24, 10, 0, "target").index(0)
    for query, others in zip(every.query, every.others, strict=True):
        assert set(others) == set(range(25)) - {VIDEO[query]}


@pytest.mark.parametrize(
    ("candidates", "negatives", "message"),
    [
        (RANKED, 25, "negatives is 25, but the target has 25 training videos: it must be at least"),
        (RANKED, 0, "negatives is 0, but the target has 25 training videos"),
        (RANKED[1:], 2, "up to row 24 for 99 queries, but the target has 100 queries over 25"),
        (RANKED + 9, 2, "up to row 33 for 100 queries, but the target has 100 queries over 25"),
        (VIDEO[:, None], 2, "candidates of the target hold the video that the query is about"),
    ],
)
def test_candidates_that_do_not_fit(candidates, negatives, message):
    with pytest.raises(ValueError, match=message):
        make_candidate_sampler(VIDEO, candidates, negatives, 10, 0, "target")
