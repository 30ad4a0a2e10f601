import numpy as np
import pytest

from vmr_jax.data.sampler import make_sampler, steps_per_epoch

VIDEO = np.repeat(np.arange(25), 4)


def test_an_epoch_visits_each_pair_once():
    rows = make_sampler(VIDEO, 10, seed=1, domain="target")
    seen = np.concatenate([rows(step) for step in range(10)])
    assert sorted(seen) == list(range(100))
    again = np.concatenate([rows(step) for step in range(10, 20)])
    assert sorted(again) == list(range(100)) and not np.array_equal(seen, again)


def test_a_step_depends_on_seed_domain_and_step_alone():
    first, second = (make_sampler(VIDEO, 8, 3, "source") for _ in range(2))
    for step in (40, 2, 13, 2):
        np.testing.assert_array_equal(first(step), second(step))
    assert not np.array_equal(first(2), make_sampler(VIDEO, 8, 4, "source")(2))
    assert not np.array_equal(first(2), make_sampler(VIDEO, 8, 3, "target")(2))


def test_a_left_over_is_dropped_for_this_epoch_only():
    rows = make_sampler(VIDEO, 30, 0, "target")
    assert steps_per_epoch(100, 30) == 3
    epochs = [np.concatenate([rows(3 * e + k) for k in range(3)]) for e in range(20)]
    assert all(len(set(epoch)) == 90 for epoch in epochs)
    assert len(set(np.concatenate(epochs))) == 100


def test_two_queries_a_video():
    video = np.repeat(np.arange(30), np.tile([1, 2, 5], 10))
    rows = make_sampler(video, 20, 0, "target", queries_per_video=2)
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
