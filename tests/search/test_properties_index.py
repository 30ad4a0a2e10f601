"""What is indexed is found again: through closing, opening, adding and removing videos."""

import shutil

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from index_cases import SPEC, trained
from search_cases import search_slowly, unit

from vmr_jax.data.batches.normalization import normalize_frames
from vmr_jax.search import index as index_module
from vmr_jax.search.corpus_search import TrainedCorpus
from vmr_jax.search.exact import top_videos
from vmr_jax.search.index import build_index, remove_videos, video_ids
from vmr_jax.search.manifest import read_manifest
from vmr_jax.search.table import Clips, make_table, quantize
from vmr_jax.search.video_source import VideoSource
from vmr_jax.types import Queries

# The error of a product of two vectors of length 1 of which one is stored in the type: half a step
# of each of its 4 numbers.
ERRORS = {"float32": 1e-5, "float16": 2.0**-11 + 1e-5, "int8": 4**0.5 / 254 + 1e-5}
RETRIEVER = trained("retriever")
# The numbers of videos are few, since each compiles its own search.
FIRST, ADDED = [f"a{i}" for i in range(4)], ["b0", "b1"]


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    """A directory for indices of several shards, whose maker is found wherever it was."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index_module, "_SHARD_CLIPS", 15)
        patch.setattr("vmr_jax.search.manifest.sync", quiet)  # tests need not wait for the disk
        patch.setattr("vmr_jax.search.trained.open_trained", lambda workdir, kind: RETRIEVER)
        yield tmp_path_factory.mktemp("search") / "index"


def quiet(_):
    """Say nothing."""


@st.composite
def videos(draw, ids) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Features and subtitles of videos, some of which are equal, and some silent."""
    found = {}
    for video in ids:
        rng = np.random.default_rng(draw(st.integers(0, 4)))
        clips, spoken = draw(st.integers(1, SPEC.max_clips)), draw(st.booleans())
        features = rng.normal(size=(clips, SPEC.video_dim)).astype(np.float16)
        subtitles = rng.normal(size=(clips, SPEC.sub_dim)).astype(np.float16) * spoken
        found[video] = features, subtitles
    return found


def as_source(content: dict) -> VideoSource:
    ids = tuple(content)
    durations = np.array([10.0 + len(content[video][0]) for video in ids], np.float32)
    return VideoSource(ids, durations, lambda position: content[ids[position]])


def scan(content: dict, queries: Queries) -> dict[str, np.ndarray]:
    """The score (B,) of each video, in float64."""
    params = {name: np.asarray(value, np.float64) for name, value in RETRIEVER.params.items()}

    def lengthen(rows):
        return rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-8)

    words = lengthen((queries.query * queries.query_mask[..., None]).sum(axis=1) @ params["query"])
    scores = {}
    for video, (features, subtitles) in content.items():
        shown = normalize_frames(features).astype(np.float16).astype(np.float64)
        seen = lengthen(shown @ params["image"]) @ words.T
        heard = lengthen(subtitles.astype(np.float64) @ params["sub"]) @ -words.T
        scores[video] = (seen.max(axis=0) + heard.max(axis=0)) / 2
    return scores


def assert_in_order(score: np.ndarray, row: np.ndarray) -> None:
    """The best is first, and equals are in the order of rows; padding comes last."""
    ranked = [(-s, r) for s, r in zip(score, row, strict=True) if r >= 0]
    assert ranked == sorted(ranked)
    assert (row[len(ranked) :] == -1).all() and np.isneginf(score[len(ranked) :]).all()


def assert_finds(directory, content: dict, queries: Queries, error: float) -> None:
    """An opened index finds these videos with their scores, the best first, and no others."""
    corpus = TrainedCorpus.open(directory)
    found = jax.device_get(corpus.search(queries, 8))
    scores, expected = found.score, scan(content, queries)
    for query, rows in enumerate(found.video):
        listed = [corpus.video_id[row] for row in rows if row >= 0]
        assert sorted(listed) == sorted(content)
        for place, video in enumerate(listed):
            assert abs(scores[query, place] - expected[video][query]) <= error
            assert found.end[query, place] == 10 + len(content[video][0])
        assert_in_order(scores[query], rows)
    few = corpus.search(queries, 2)
    np.testing.assert_array_equal(few.video, found.video[:, :2])
    np.testing.assert_array_equal(few.score, found.score[:, :2])


@settings(max_examples=12)
@given(st.sampled_from(sorted(ERRORS)), st.data())
def test_an_index_finds_what_is_in_it(index, dtype, data):
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    words = rng.normal(size=(3, 4, SPEC.word_dim)).astype(np.float32)
    queries = Queries(words, np.arange(4) < np.array([[4], [2], [1]]))
    shutil.rmtree(index, ignore_errors=True)
    content = data.draw(videos(FIRST))
    assert build_index(index, as_source(content), RETRIEVER, dtype=dtype, say=quiet) == len(FIRST)
    assert_finds(index, content, queries, ERRORS[dtype])

    gone = data.draw(st.sets(st.sampled_from(FIRST), max_size=len(FIRST) - 1))
    with pytest.raises(ValueError, match="has no video nowhere: nothing was removed"):
        remove_videos(index, [*gone, "nowhere"])
    remove_videos(index, sorted(gone))
    content = {video: rows for video, rows in content.items() if video not in gone}
    assert_finds(index, content, queries, ERRORS[dtype])

    # Of what comes again, what is there stays as it is.
    more = data.draw(videos([*ADDED, data.draw(st.sampled_from(FIRST))]))
    new = more.keys() - content.keys()
    added = build_index(index, as_source(more), RETRIEVER, append=True, say=quiet)
    assert added == len(new)
    content |= {video: more[video] for video in more if video in new}
    assert video_ids(index, read_manifest(index)) == list(content)
    assert_finds(index, content, queries, ERRORS[dtype])


@given(arrays(np.float32, (3, 4), elements=st.floats(-1, 1, width=32)))
def test_int8_is_within_half_a_step(vectors):
    steps, scale = quantize(vectors)
    assert steps.dtype == np.int8 and scale.dtype == np.float32
    error = np.abs(steps * scale[:, None].astype(np.float64) - vectors)
    assert (error <= scale[:, None] * (0.5 + 1e-4) + 1e-38).all()


COUNTS = st.lists(st.integers(1, 8), min_size=6, max_size=6)


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
@given(counts=COUNTS, kept=st.lists(st.booleans(), min_size=6, max_size=6), data=st.data())
def test_exact_search_is_a_scan_and_finds_each_clip_by_itself(dtype, counts, kept, data):
    rng = np.random.default_rng(data.draw(st.integers(0, 9)))
    vectors = [unit(rng, sum(counts), 4) for _ in range(2)]
    same = data.draw(st.integers(0, sum(counts) - 1))
    for each in vectors:
        each[same] = each[0]  # two videos, or two clips of one, are equally good
    stored = [quantize(each) if dtype == "int8" else (each.astype(dtype), None) for each in vectors]
    columns, scales = zip(*stored, strict=True)
    cut = data.draw(st.integers(1, 5))
    rows = int(sum(counts[:cut]))
    parts = [
        Clips(
            tuple(column[of_part] for column in columns),
            np.array(number),
            tuple(scale[of_part] for scale in scales) if dtype == "int8" else (),
            np.array(is_kept),
        )
        for of_part, number, is_kept in (
            (slice(rows), counts[:cut], kept[:cut]),
            (slice(rows, None), counts[cut:], kept[cut:]),
        )
    ]
    clip = data.draw(st.integers(0, sum(counts) - 1))
    query = np.stack([np.stack([each[clip] for each in vectors]), unit(rng, 2, 4)])
    score, row = map(np.asarray, top_videos(query, make_table(parts, tile_rows=64), 6))
    expected, by_scan = search_slowly(query, parts, 6)
    np.testing.assert_allclose(score, expected, atol=1e-6)
    for found, wanted, scores in zip(row, by_scan, score, strict=True):
        assert set(found) == set(wanted)
        assert_in_order(scores, found)
    owner = int(np.searchsorted(np.cumsum(counts), clip, side="right"))
    if kept[owner]:
        of_owner = float(score[0][row[0] == owner][0])
        assert of_owner >= 1 - ERRORS[dtype] and score[0, 0] - of_owner <= 2 * ERRORS[dtype]
