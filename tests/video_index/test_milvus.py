"""An index that is asked by Milvus Lite: filled, asked, continued, emptied, refused."""

import json
import sys

import pytest

from tests.command_line import vmr
from tests.video_index.small import DOOR, film, known, random_index, sentences
from vmr_jax.encoders.images import RANDOM
from vmr_jax.video_index.corpus import Corpus
from vmr_jax.video_index.engine import ENGINE, fill_engine, recall
from vmr_jax.video_index.layout import open_layout
from vmr_jax.video_index.milvus import MilvusFrames, absolute_url, collection_of
from vmr_jax.video_index.scan import ExactScan
from vmr_jax.zero_shot.joint_space import Sentences

COUNTS = [1, 5, 9, 3]


@pytest.fixture
def filled(tmp_path):
    """An index of random rows, and the URL of a file of Milvus Lite that has them."""
    pytest.importorskip("pymilvus", reason="needs the extra milvus")
    index = tmp_path / "my.index"
    index.mkdir()
    random_index(index, COUNTS)
    url = f"milvus://{tmp_path}/frames.db"
    done = fill_engine(index, url)
    assert done == (url, "FLAT", 4, 0, 1.0)
    return index, url


def rows(index, url):
    """The (video, clip, seconds, source) of all rows of the collection, in order."""
    frames = MilvusFrames(url, collection_of(index), "FLAT", open_layout(index))
    fields = ["video", "clip", "seconds", "source"]
    found = frames._client.query(frames._name, filter="clip >= 0", output_fields=fields, limit=1000)
    frames.close()
    return sorted(tuple(row[name] for name in fields) for row in found)


def test_milvus_is_asked_and_finds_what_the_scan_finds(filled, tmp_path):
    index, _ = filled
    with_engine = Corpus(index, Sentences(sentences, RANDOM))
    found = [with_engine.search_all([DOOR, "a box"], top_k) for top_k in (2, 100)]
    with_engine._ranking.close()
    (index / ENGINE).unlink()
    exact = Corpus(index, Sentences(sentences, RANDOM))
    assert found == [exact.search_all([DOOR, "a box"], top_k) for top_k in (2, 100)]


def test_a_fill_follows_the_index_and_goes_on_after_a_kill(filled, monkeypatch):
    index, url = filled
    before = rows(index, url)
    assert len(before) == sum(COUNTS) and all(row[3] == row[0] * 20 for row in before)
    assert fill_engine(index) == (url, "FLAT", 0, 0, 1.0)
    assert rows(index, url) == before

    changed = [5, 9, 3]
    random_index(index, changed, seed=1, first=1)  # v00 is gone, v01 and others have other files
    sent = []

    def killed(self, part):
        sent.append(part)
        if len(sent) == 2:
            raise KeyboardInterrupt
        send(self, part)

    send = MilvusFrames._send
    with monkeypatch.context() as patch:
        patch.setattr(MilvusFrames, "_send", killed)
        with pytest.raises(KeyboardInterrupt):
            fill_engine(index)
    with pytest.raises(ValueError, match=r"has not yet all frames of .*run the same `vmr index`"):
        Corpus(index, Sentences(sentences, RANDOM)).search(DOOR)
    assert fill_engine(index).added == 3
    after = rows(index, url)
    assert [row[:2] for row in after] == [
        (f"v0{1 + video}", clip) for video, count in enumerate(changed) for clip in range(count)
    ]
    assert {row[3] for row in after} == {f"v0{number}b" * 16 for number in (1, 2, 3)}


def test_another_type_of_index_or_none(filled):
    index, url = filled
    assert fill_engine(index, kind="hnsw")[1:3] == ("HNSW", 4)
    assert fill_engine(index).added == 0
    with pytest.raises(ValueError, match="http://127.0.0.1:1: .*onnect"):
        fill_engine(index, "http://127.0.0.1:1")
    assert fill_engine(index).added == 0  # what was there stays
    assert fill_engine(index, "exact") is None and not (index / ENGINE).exists()
    assert fill_engine(index) is None
    frames = MilvusFrames(url, collection_of(index), "FLAT", open_layout(index))
    with pytest.raises(ValueError, match="it has no frames of this index"):
        frames.load()
    frames.close()


def test_the_commands_fill_and_ask_it(tmp_path, monkeypatch):
    pytest.importorskip("pymilvus", reason="needs the extra milvus")
    known(monkeypatch)
    films, out, url = tmp_path / "films", tmp_path / "my.index", f"milvus://{tmp_path}/frames.db"
    films.mkdir()
    for number in range(2):
        film(films / f"film{number}.mp4", 12, number)
    done = vmr("index", films, "--out", out, "--jobs", 0, "--engine", url)
    assert done.exit_code == 0, done.output
    assert f"{url}: 2 videos added, 0 removed; FLAT finds 100.0% of" in done.stdout
    (films / "film0.mp4").unlink()
    done = vmr("index", films, "--out", out, "--jobs", 0, "--prune")
    assert f"{url}: 0 videos added, 1 removed" in done.stdout
    found = json.loads(vmr("search", out, DOOR, "--json").stdout)
    assert {moment["video"] for moment in found["moments"]} == {"film1"}


def test_what_cannot_be_an_engine_is_refused(tmp_path):
    with pytest.raises(ValueError, match="engine 'faiss'; use exact, milvus://FILE.db or http://"):
        absolute_url("faiss")
    random_index(tmp_path, COUNTS)
    with pytest.raises(ValueError, match="give --engine too"):
        fill_engine(tmp_path, kind="HNSW")


def test_without_pymilvus_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pymilvus", None)
    random_index(tmp_path, COUNTS)
    with pytest.raises(ValueError, match=r"needs pymilvus .*pip install 'vmr_jax\[milvus\]'"):
        fill_engine(tmp_path, f"milvus://{tmp_path}/frames.db")


def test_the_recall_counts_the_exact_best_videos(tmp_path):
    random_index(tmp_path, [4] * 30)
    opened = open_layout(tmp_path)
    exact = ExactScan(opened.rows, opened.begin)

    class Half:
        def best_videos(self, vectors, count):
            return [found[: count // 2] for found in exact.best_videos(vectors, count)]

    assert recall(exact, exact, opened.rows) == 1.0
    assert recall(Half(), exact, opened.rows) == pytest.approx(0.5)
