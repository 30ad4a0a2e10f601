import jax.numpy as jnp
import numpy as np
import pytest

from tests.decoding.corpus_moments_cases import PLAIN, rank_slowly
from vmr_jax.decoding.corpus_moments import Readout
from vmr_jax.search import two_stage
from vmr_jax.search.code_store import fetch, make_store
from vmr_jax.search.two_stage import make_finder
from vmr_jax.types import Localizer, Queries


def toy_localizer() -> Localizer:
    """Clips and queries are numbers; a moment starts and ends where they are close."""
    return Localizer(
        init=None,
        loss=None,
        encode_videos=lambda params, videos: {"clip": videos.video * params["scale"]},
        encode_queries=lambda params, queries: queries.query.mean(axis=1),
        locate=lambda params, query, video, mask: tuple(
            jnp.where(mask, -jnp.abs(video["clip"][..., 0] - query[:, None, None] - shift), -1e10)
            for shift in (0.0, 1.0)
        ),
    )


def test_two_stages_of_more_queries_than_are_looked_at_at_a_time():
    rng = np.random.default_rng(1)
    counts = [rng.integers(1, 30, 6), rng.integers(1, 30, 3)]
    codes = [{"clip": rng.normal(size=(c.sum(), 1)).astype(np.float16)} for c in counts]
    num_clips = np.concatenate(counts)
    store = make_store(codes, counts, num_clips * 1.5)
    ends = np.cumsum(num_clips)
    clips = np.concatenate([tree["clip"] for tree in codes])[:, 0].astype(np.float32)
    query = rng.normal(size=(11, 2, 1)).astype(np.float32)
    queries = Queries(query[..., 0], np.ones((11, 2), bool))
    row = np.stack([rng.permutation(9)[:4] for _ in range(11)]).astype(np.int32)
    row[2, 3] = -1
    score = -np.sort(-rng.normal(size=row.shape).astype(np.float32))
    settings = Readout(0, 5, 7, 1.5, 1.0, 1.0)
    found = make_finder(toy_localizer(), settings)({}, queries, score, row, store)
    assert found.start.shape == (11, 7)
    for item in range(11):
        longest = num_clips.max()
        start, end = np.full((2, 4, longest), -1e10)
        mask = np.zeros((4, longest), bool)
        for rank, video in enumerate(row[item]):
            if video >= 0:
                own = clips[ends[video] - num_clips[video] : ends[video]]
                mask[rank, : len(own)] = True
                start[rank, : len(own)] = -abs(own - query[item].mean())
                end[rank, : len(own)] = -abs(own - query[item].mean() - 1)
        duration = num_clips[row[item]] * 1.5
        slow = rank_slowly(start, end, mask, score[item], row[item], duration, settings)
        np.testing.assert_array_equal(found.video[item], [video for video, *_ in slow])
        np.testing.assert_allclose(found.score[item], [m[3] for m in slow], atol=1e-5)
        np.testing.assert_allclose(found.start[item], [m[1] for m in slow])
        np.testing.assert_allclose(found.end[item], [m[2] for m in slow])


def test_queries_with_short_and_with_long_videos_have_as_many_places(monkeypatch):
    monkeypatch.setattr(two_stage, "_CPU_CLIPS", 1)  # one query at a time
    store = make_store([{"clip": np.zeros((28, 1))}], [np.array([3, 25])], np.array([3.0, 25.0]))
    queries = Queries(np.zeros((2, 1), np.float32), np.ones((2, 1), bool))
    find = make_finder(toy_localizer(), PLAIN._replace(max_l=1, keep=60))
    found = find({}, queries, np.zeros((2, 1), np.float32), np.array([[0], [1]]), store)
    assert found.score.shape == (2, 60)
    assert (~np.isneginf(found.score)).sum(axis=1).tolist() == [3 + 2, 25 + 24]


def test_fetch_pads_with_zeros_and_leaves_no_video_out():
    codes = [(np.arange(5.0)[:, None], None), (np.arange(10.0, 13.0)[:, None], None)]
    store = make_store(codes, [np.array([2, 3]), np.array([3])], np.array([3.0, 4.0, 4.5]))
    (code, nothing), mask, duration = fetch(store, np.array([[2, 0], [-1, 1]]))
    assert nothing is None and code.shape == (2, 2, 20, 1) and mask.shape == (2, 2, 20)
    np.testing.assert_array_equal(mask.sum(axis=2), [[3, 2], [0, 3]])
    np.testing.assert_array_equal(code[0, 0, :4, 0], [10, 11, 12, 0])
    np.testing.assert_array_equal(code[0, 1, :3, 0], [0, 1, 0])
    np.testing.assert_array_equal(code[1, 1, :4, 0], [2, 3, 4, 0])
    np.testing.assert_array_equal(duration, [[4.5, 3.0], [0, 4.0]])
    with pytest.raises(ValueError, match="have 4 clips, but there are codes of 5"):
        make_store(codes[:1], [np.array([2, 2])], np.zeros(2))
