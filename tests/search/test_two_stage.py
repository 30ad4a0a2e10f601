import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from vmr_jax.search import two_stage
from vmr_jax.search.code_store import fetch, make_store
from vmr_jax.search.two_stage import Readout, best_moments, make_finder, readout
from vmr_jax.types import Localizer, Queries

PLAIN = Readout(0, 23, 100, 1.0, 1.0, 1.0)  # one clip is a second, S^R as it is


def rank_slowly(start, end, mask, score, row, duration, settings):
    """The moments of one query as (video, start, end, score), by loops over float64."""
    found = []
    for rank in range(len(start)):
        count = int(mask[rank].sum())
        prior = settings.video_weight * float(score[rank]) / settings.temperature
        spans = [
            (i, j)
            for i in range(count)
            for j in range(i, count)
            if settings.min_l <= j - i <= settings.max_l
        ]
        for i, j in spans or [(0, count - 1)] * (count > 0):
            total = prior + float(start[rank, i]) + float(end[rank, j])
            seconds = settings.clip_seconds * i, settings.clip_seconds * (j + 1)
            times = (seconds[0], min(seconds[1], float(duration[rank])))
            found.append((-total, rank, i, j, int(row[rank]), *times))
    ranked = sorted(found)[: settings.keep]
    return [(video, start, end, -total) for total, _, _, _, video, start, end in ranked]


def case(rng, counts, clips, whole_numbers=False):
    """Logits of one query; with whole numbers many scores are equal."""
    videos = len(counts)
    mask = np.arange(clips) < np.asarray(counts)[:, None]
    draw = lambda *shape: (  # noqa: E731
        rng.integers(-2, 3, shape) if whole_numbers else rng.normal(size=shape)
    ).astype(np.float32)
    start, end = (np.where(mask, draw(videos, clips), -1e10).astype(np.float32) for _ in "se")
    score = -np.sort(-draw(videos))
    duration = (np.asarray(counts) * 1.5 - rng.uniform(0, 1, videos)).astype(np.float32)
    return start, end, mask, score, rng.permutation(99)[:videos].astype(np.int32), duration


@pytest.mark.parametrize("whole_numbers", [False, True])
@pytest.mark.parametrize("limits", [(0, 3), (2, 4), (3, 50), (0, 0), (9, 9)])
def test_ranks_as_a_plain_loop(limits, whole_numbers):
    rng = np.random.default_rng(0)
    settings = Readout(*limits, keep=30, clip_seconds=1.5, video_weight=0.5, temperature=0.25)
    cases = [case(rng, rng.integers(0, 9, 5), 8, whole_numbers) for _ in range(4)]
    found = best_moments(*(jnp.stack(part) for part in zip(*cases, strict=True)), settings)
    for item, one in enumerate(cases):
        slow = rank_slowly(*one, settings)
        kept = ~np.isneginf(found.score[item])
        got = [np.asarray(x)[item][kept] for x in (found.video, found.start, found.end)]
        assert kept.sum() == len(slow) and kept[: len(slow)].all()
        if slow:
            np.testing.assert_array_equal(got[0], [video for video, *_ in slow])
            np.testing.assert_allclose(np.stack(got[1:], 1), [m[1:3] for m in slow], rtol=1e-6)
            np.testing.assert_allclose(found.score[item][kept], [m[3] for m in slow], atol=1e-5)
        assert (np.asarray(found.video)[item][~kept] == -1).all()


def log(*probabilities):
    return jnp.log(jnp.array(probabilities))[None, None]


@pytest.mark.parametrize(
    ("start", "end", "limits", "count", "best", "product"),
    [
        ((0.7, 0.2, 0.1), (0.1, 0.2, 0.7), (0, 2), 3, (0, 2), 0.49),  # S1
        ((0.7, 0.2, 0.1), (0.1, 0.2, 0.7), (0, 1), 3, (0, 1), 0.14),  # S2
        ((0.1, 0.2, 0.7), (0.7, 0.2, 0.1), (0, 2), 3, (0, 0), 0.07),  # S3
        ((1.0,), (1.0,), (0, 23), 1, (0, 0), 1),  # S4
        ((7 / 9, 2 / 9, 0.5), (1 / 3, 2 / 3, 0.9), (0, 2), 2, (0, 1), 14 / 27),  # S5
        ((0.5, 0.5), (0.5, 0.5), (3, 5), 2, (0, 1), 0.25),  # S6
    ],
)
def test_golden_rows_of_the_start_end_search(start, end, limits, count, best, product):
    mask = jnp.arange(len(start))[None, None] < count
    settings = PLAIN._replace(min_l=limits[0], max_l=limits[1])
    zero, row = jnp.zeros((1, 1)), jnp.zeros((1, 1), jnp.int32)
    found = best_moments(log(*start), log(*end), mask, zero, row, zero + 100, settings)
    assert (float(found.start[0, 0]), float(found.end[0, 0])) == (best[0], best[1] + 1)
    np.testing.assert_allclose(found.score[0, 0], np.log(product), atol=1e-6)
    if limits[0] == 3:
        assert np.isneginf(found.score[0, 1:]).all()


def test_spec_prem_check_7():
    settings = PLAIN._replace(temperature=0.01)
    one = jnp.ones((1, 1, 1))
    found = best_moments(
        one, -2 * one, one > 0, jnp.full((1, 1), 0.25), jnp.array([[5]]), one[0], settings
    )
    np.testing.assert_allclose(found.score[:, 0], [24.0], rtol=1e-6)
    assert int(found.video[0, 0]) == 5


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_a_video_that_is_missing_has_no_moment(weight):
    """Where the corpus is smaller than what is retrieved, its score is -inf."""
    logits = jnp.array([[[1.0, 2], [3, 4]]])
    mask = jnp.array([[[True, True], [False, False]]])
    score, row = jnp.array([[0.5, -jnp.inf]]), jnp.array([[7, -1]])
    settings = PLAIN._replace(video_weight=weight)
    found = best_moments(logits, logits, mask, score, row, jnp.array([[2.0, 0]]), settings)
    np.testing.assert_allclose(found.score[0, :3], weight * 0.5 + np.array([4, 3, 2]))
    assert found.video[0].tolist() == [7, 7, 7, *[-1] * (found.video.shape[1] - 3)]
    assert np.isneginf(found.score[0, 3:]).all()


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


def test_settings_of_a_config():
    config = ConfigDict(
        {
            "infer": {"min_l": 0, "max_l": 23, "keep": 100},
            "score": {"video_weight": 1.0},
            "clip_seconds": 1.5,
            "temperature": 0.01,
        }
    )
    assert readout(config) == Readout(0, 23, 100, 1.5, 1.0, 0.01)
    config.infer.max_l = -1
    with pytest.raises(ValueError, match="min_l <= max_l"):
        readout(config)
