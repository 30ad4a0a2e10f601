import jax.numpy as jnp
import numpy as np
import pytest
from search_cases import make_part, search_slowly, unit

from vmr_jax.search.exact import top_videos
from vmr_jax.search.table import Clips, make_table, quantize


def as_type(part: Clips, dtype: str) -> Clips:
    if dtype != "int8":
        return part._replace(vectors=tuple(v.astype(jnp.dtype(dtype)) for v in part.vectors))
    vectors, scale = zip(*map(quantize, part.vectors), strict=True)
    return part._replace(vectors=vectors, scale=scale)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "int8"])
@pytest.mark.parametrize("queries", [1, 5])
def test_finds_what_a_plain_loop_finds(dtype, queries):
    rng = np.random.default_rng(0)
    parts = [as_type(make_part(rng, rng.integers(1, 9, 40)), dtype) for _ in range(2)]
    query = unit(rng, queries, 2, 8)
    score, row = top_videos(query, make_table(parts, tile_rows=16), 7)
    slow_score, slow_row = search_slowly(query, parts, 7)
    np.testing.assert_array_equal(row, slow_row)
    np.testing.assert_allclose(score, slow_score, atol=1e-6)


def test_many_blocks_and_more_queries_than_are_searched_at_a_time(monkeypatch):
    monkeypatch.setattr("vmr_jax.search.table._BLOCK_ROWS", 32)
    rng = np.random.default_rng(1)
    parts = [make_part(rng, rng.integers(1, 9, count)) for count in (50, 1, 3, 20)]
    table = make_table(parts, tile_rows=8)
    assert len(table.blocks) > 5
    owners = np.concatenate([block.owner for block in table.blocks])
    assert (np.diff(owners, axis=1) >= 0).all()  # the search counts on it
    assert (owners[:, 0] == -1).any()  # a last block begins before its first video
    query = unit(rng, 70, 2, 8)
    score, row = top_videos(query, table, 10)
    slow_score, slow_row = search_slowly(query, parts, 10)
    np.testing.assert_array_equal(row, slow_row)
    np.testing.assert_allclose(score, slow_score, atol=1e-6)


def test_spec_prem_check_1():
    image = np.array([[1, 0], [0, 1]], np.float32)
    sub = np.array([[0, 1], [0, 1]], np.float32)
    query = np.array([[[1, 0], [1, 0]]], np.float32)
    score, row = top_videos(query, make_table([Clips((image, sub), np.array([2]))]), 1)
    assert (float(score[0, 0]), int(row[0, 0])) == (0.5, 0)
    score, _ = top_videos(query[:, :1], make_table([Clips((image,), np.array([2]))]), 1)
    assert float(score[0, 0]) == 1.0


def test_equal_scores_are_in_the_order_of_rows():
    rng = np.random.default_rng(2)
    one = make_part(rng, [3])
    many = Clips(tuple(np.tile(v, (40, 1)) for v in one.vectors), np.full(40, 3))
    _, row = top_videos(unit(rng, 2, 2, 8), make_table([many], tile_rows=8), 30)
    np.testing.assert_array_equal(row, np.tile(np.arange(30), (2, 1)))


def test_more_asked_for_than_there_is():
    rng = np.random.default_rng(3)
    for count in (1, 3):
        part = make_part(rng, [2] * count)
        score, row = top_videos(unit(rng, 2, 2, 8), make_table([part]), 5)
        assert score.shape == row.shape == (2, 5)
        assert np.isneginf(score[:, count:]).all() and (row[:, count:] == -1).all()
        assert np.isfinite(score[:, :count]).all() and (row[:, :count] >= 0).all()


def test_removed_videos_are_not_found_and_rows_stay():
    rng = np.random.default_rng(4)
    part = make_part(rng, [2] * 20)._replace(kept=np.arange(20) % 3 != 0)
    query = unit(rng, 3, 2, 8)
    _, row = top_videos(query, make_table([part], tile_rows=8), 20)
    np.testing.assert_array_equal(row, search_slowly(query, [part], 20)[1])
    assert (row[:, 13:] == -1).all()


def test_a_video_longer_than_a_tile():
    rng = np.random.default_rng(5)
    part = make_part(rng, [3, 100, 1])
    query = unit(rng, 2, 2, 8)
    score, row = top_videos(query, make_table([part], tile_rows=8), 3)
    slow_score, slow_row = search_slowly(query, [part], 3)
    np.testing.assert_array_equal(row, slow_row)
    np.testing.assert_allclose(score, slow_score, atol=1e-6)


def test_a_part_in_memory_is_not_copied_on_the_cpu():
    rng = np.random.default_rng(6)
    part = make_part(rng, [8] * 40_000, width=4)
    table = make_table([part])
    assert len(table.blocks) > 1
    first = table.blocks[0].vectors[0].addressable_data(0)
    if part.vectors[0].ctypes.data % 64 == 0:
        assert first.unsafe_buffer_pointer() == part.vectors[0].ctypes.data


def test_quantize_keeps_the_largest_number_and_zeros():
    vectors = np.array([[0.5, -1.0], [0, 0], [0.254, 0.127]], np.float32)
    steps, scale = quantize(vectors)
    np.testing.assert_array_equal(steps, [[64, -127], [0, 0], [127, 64]])
    np.testing.assert_allclose(scale, [1 / 127, 0, 0.002], rtol=1e-6)


def test_errors():
    rng = np.random.default_rng(7)
    part = make_part(rng, [2, 3])
    table = make_table([part])
    query = unit(rng, 1, 2, 8)
    with pytest.raises(ValueError, match="top_k is 0"):
        top_videos(query, table, 0)
    with pytest.raises(ValueError, match=r"shape \(1, 1, 8\).*2 modalities, width 8"):
        top_videos(query[:, :1], table, 1)
    with pytest.raises(ValueError, match="no videos"):
        make_table([])
    with pytest.raises(ValueError, match="video 1 of a part has no clips"):
        make_table([part._replace(num_clips=np.array([5, 0]))])
    with pytest.raises(ValueError, match="the videos have 4 clips"):
        make_table([part._replace(num_clips=np.array([2, 2]))])
    with pytest.raises(ValueError, match="same modalities"):
        make_table([part, make_part(rng, [2], width=4)])
    with pytest.raises(ValueError, match="of type float64"):
        make_table([part._replace(vectors=tuple(v.astype(np.float64) for v in part.vectors))])
    with pytest.raises(ValueError, match="int8 vectors need a scale"):
        make_table([as_type(part, "int8")._replace(scale=())])
