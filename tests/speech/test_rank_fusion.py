"""Reciprocal rank fusion, by hand and for any rankings."""

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmr_jax.speech.fusion import fuse


class Ranked(NamedTuple):
    video: str
    start_s: float
    end_s: float


def test_ranks_by_hand():
    said = [Ranked("a", 10, 12), Ranked("b", 3, 4)]
    seen = [Ranked("c", 0, 9), Ranked("a", 8, 20), Ranked("a", 30, 40), Ranked("b", 5, 9)]
    assert fuse({"speech": said, "video": seen}) == [
        ("a", 10, 12, 1 / 61 + 1 / 62, ("speech", "video")),  # the better rank's borders
        ("c", 0, 9, 1 / 61, ("video",)),
        ("b", 3, 4, 1 / 62, ("speech",)),
        ("a", 30, 40, 1 / 63, ("video",)),
        ("b", 5, 9, 1 / 64, ("video",)),
    ]


def test_equal_ranks_keep_the_first_ranking_s_borders_and_order():
    one, other = [Ranked("a", 0, 2), Ranked("b", 0, 1)], [Ranked("a", 1, 9), Ranked("c", 0, 1)]
    found = fuse({"speech": one, "video": other})
    assert [moment[:3] for moment in found] == [("a", 0, 2), ("b", 0, 1), ("c", 0, 1)]
    assert found[0].score == pytest.approx(2 / 61)


def test_moments_of_one_ranking_are_not_joined_and_each_joins_once():
    said = [Ranked("a", 0, 10), Ranked("a", 5, 15)]
    seen = [Ranked("a", 8, 9)]
    assert [one.found_by for one in fuse({"speech": said, "video": seen})] == [
        ("speech", "video"),
        ("speech",),
    ]
    assert fuse({"speech": [], "video": []}) == []


moments = st.lists(
    st.builds(
        lambda video, start, length: Ranked(video, start, start + length),
        st.sampled_from("abc"),
        st.integers(0, 50),
        st.integers(1, 20),
    ),
    max_size=12,
)


@given(moments, moments)
def test_every_moment_counts_once(said, seen):
    found = fuse({"speech": said, "video": seen})
    assert sum(len(one.found_by) for one in found) == len(said) + len(seen)
    assert sorted((one.score for one in found), reverse=True) == [one.score for one in found]
    total = sum(1 / (60 + rank) for r in (said, seen) for rank in range(1, len(r) + 1))
    assert sum(one.score for one in found) == pytest.approx(total)
    assert {one[:3] for one in found} <= {*said, *seen}
