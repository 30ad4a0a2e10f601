"""What the figures show equals what the system says."""

import jax
import numpy as np
import pytest

from vmr_jax import models
from vmr_jax.data.batches.data_paths import read_batch
from vmr_jax.data.batches.pairs import PairIndex
from vmr_jax.evaluation.predictions import read_predictions
from vmr_jax.plots import figure_data as content
from vmr_jax.plots import queries


@pytest.fixture(scope="module")
def run(workdir):
    return queries.open_split("attention", workdir)


@pytest.fixture(scope="module")
def other(workdir, other_data):
    return queries.open_split("attention", workdir, data_dir=other_data)


def whole_split(run):
    """System.attention of all queries in one batch."""
    rows = np.arange(len(run.domain.table.query_id))
    batch = read_batch(run.domain, PairIndex(rows, np.ones(len(rows), np.float32)))
    batch = batch._replace(video=batch.video.astype(np.float32))
    return batch, jax.jit(run.system.attention)(run.params, batch)


def test_attention_is_what_the_system_says(run):
    qids = run.domain.table.query_id
    batch, seen = whole_split(run)
    for row, shown in enumerate(content.attention_content(run, qids)):
        clips = int(batch.num_clips[row])
        expected = sum(len(range(0, clips - size + 1, 2)) for size in (2, 4))  # no padded row
        assert {len(column) for column in shown["rows"].values()} == {expected}
        words = shown["query"].split()
        assert [word["word"] for word in shown["words"]] == words  # no padded word
        valid = np.asarray(seen.valid[row])
        for name in ("start", "end", "strength", "words"):
            column = np.asarray(getattr(seen, name)[row])[valid]
            column = column[:, : len(words)] if name == "words" else column
            np.testing.assert_allclose(shown["rows"][name], column, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(np.sum(shown["rows"]["words"], axis=1), 1, rtol=1e-5)
        assert max(shown["rows"]["end"]) <= shown["duration"] * (1 + 1e-6)
        about = [shown[key] for key in ("qid", "vid", "dataset", "split", "system")]
        assert about == [qids[row], qids[row].split("#")[0], "toy_target", "test", "eva"]
        assert shown["checkpoint"] == {"step": 18, "selected_by": "last epoch"}
        np.testing.assert_array_equal(shown["truth"], run.domain.moments[row])


def test_timeline_is_what_the_system_says(run, workdir):
    qids = run.domain.table.query_id
    _, seen = whole_split(run)
    written = read_predictions(workdir / "eval" / "toy_target_test" / "predictions.jsonl")
    for row, shown in enumerate(content.timeline_content(run, qids)):
        valid = np.asarray(seen.valid[row])
        proposals = np.stack([seen.start[row], seen.end[row], seen.strength[row]], -1)[valid]
        found = np.stack([shown["proposals"][name] for name in ("start", "end", "strength")], -1)
        assert (np.diff(found[:, 2]) <= 0).all()
        by_place = [table[np.lexsort(table.T[:2])] for table in (found, proposals)]
        np.testing.assert_allclose(*by_place, rtol=1e-4)
        ranked = np.stack([shown["predictions"][name] for name in ("start", "end", "score")], -1)
        np.testing.assert_allclose(ranked, written[qids[row]], rtol=1e-4)
        assert shown["shown"] == min(16, len(found))


def test_cells_are_means_of_the_rows_that_cover_them():
    rng = np.random.default_rng(1)
    start = rng.integers(0, 9, 7) * 0.5
    end = start + rng.integers(1, 4, 7) * 0.5
    start, end = np.append(start, 7.0), np.append(end, 8.0)  # nothing covers 6 to 7
    values = rng.normal(size=(8, 3))
    edges, cells = content.time_cells(start, end, values)
    assert set(edges) == {*start, *end} and cells.shape == (len(edges) - 1, 3)
    for low, high, cell in zip(edges[:-1], edges[1:], cells, strict=True):
        rows = [v for s, e, v in zip(start, end, values, strict=True) if s <= low and high <= e]
        np.testing.assert_allclose(cell, np.mean(rows, axis=0) if rows else np.full(3, np.nan))
    assert np.isnan(cells).any()


def test_rows_that_follow_each_other_are_clips():
    edges = np.array([0, 1.3, 2.6, 3.9, 4.2], np.float32)  # the last clip ends with the video
    shuffled = np.array([2, 0, 3, 1])
    assert content.kind_of_rows(edges[:-1][shuffled], edges[1:][shuffled]) == "clips"
    assert content.kind_of_rows(edges[:-2], edges[2:]) == "proposals"  # they overlap
    assert content.kind_of_rows(edges[:-1:2], edges[1::2]) == "proposals"  # with gaps
    assert content.kind_of_rows(edges[:1], edges[1:2]) == "proposals"


def test_words_as_the_system_reads_them(other):
    (shown,) = content.attention_content(other, ["a/b #1"])
    words = [(word["word"], word["known"]) for word in shown["words"]]
    known = [(word, True) for word in ("a", "person", "opens", "the")]
    assert words == [*known, ("unheard-of", False), ("door", True)]
    assert shown["words_left_out"] == 5
    assert shown["truth"] == [[1, 4], [1, 4], [2, 8.5]]


def test_splits_with_and_without_labels(workdir, other_data):
    run = queries.open_split("attention", workdir, "train")
    (shown,) = content.timeline_content(run, ["train3#1"])
    assert (shown["split"], shown["vid"]) == ("train", "train3")
    hidden = queries.open_split("attention", workdir, "hidden", other_data)
    for shown in (
        *content.attention_content(hidden, ["h"]),
        *content.timeline_content(hidden, ["h"]),
    ):
        assert shown["truth"] == []


def test_refused_queries_splits_and_places(run, workdir, tmp_path):
    message = (
        "no query 'x', 'y' in toy_target / test, which has 10, such as test0#0, .*; --split "
        "chooses among test, train, val"
    )
    for collect in (content.attention_content, content.timeline_content):
        with pytest.raises(ValueError, match=message):
            collect(run, ["x", "test0#0", "y"])
    with pytest.raises(ValueError, match="has no split 'none'; it has .'test', 'train', 'val'"):
        queries.open_split("attention", workdir, "none")
    with pytest.raises(FileNotFoundError, match="toy_target .* is not prepared"):
        queries.open_split("attention", workdir, data_dir=tmp_path)
    missing = "no checkpoint found there; give a run's"
    with pytest.raises(FileNotFoundError, match=missing):
        queries.open_split("attention", tmp_path)


def test_a_system_without_attention_says_what_it_has(run, workdir):
    blind = run.system._replace(attention=None)
    message = "eva has no figure timeline, which shows an attention map; .* it has none"
    with pytest.raises(ValueError, match=message):
        queries.check_figure("timeline", blind, models.describe("eva"), "this eva")
    message = "this eva has no figure words, which shows a retriever; .* it has attention, timeline"
    with pytest.raises(ValueError, match=message):
        queries.open_split("words", workdir)
