"""`vmr report` on an index of small films, and what `vmr search` makes of its results."""

import json

import pytest

from tests.command_line import vmr
from tests.video_index.small import DOOR, film, known, sentences
from vmr_jax.encoders.images import RANDOM
from vmr_jax.video_index.corpus import Corpus
from vmr_jax.zero_shot.joint_space import Sentences


@pytest.fixture
def index(tmp_path, monkeypatch):
    (tmp_path / "films").mkdir()
    for number in range(2):
        film(tmp_path / "films" / f"film{number}.mp4", 16, number)
    known(monkeypatch)
    done = vmr("index", tmp_path / "films", "--out", tmp_path / "my.index", "--jobs", 0)
    assert done.exit_code == 0, done.output
    return tmp_path / "my.index"


def test_a_report_of_an_index(index, tmp_path):
    first = Corpus(index, Sentences(sentences, RANDOM)).search(DOOR, top_k=1)[0]
    true = {"vid": first.video, "relevant_windows": [[first.start_s, first.end_s]]}
    lines = [
        {"qid": 1, "query": DOOR} | true,
        {"qid": 2, "query": "a dog"},
        {"qid": 3, "query": "!"},
    ]
    queries, out = tmp_path / "queries.jsonl", tmp_path / "report.html"
    queries.write_text("".join(json.dumps(line) + "\n" for line in lines))
    done = vmr("report", index, queries, "--out", out)
    assert done.exit_code == 0, done.output
    assert done.stdout == (
        f"{out}: 3 queries, 1 with labels, 1 could not be asked, R@1,IoU=0.5 100.0, "
        "R@1,IoU=0.7 100.0, mIoU 100.0, right video 100.0\n"
    )
    page = out.read_text("utf-8")
    assert (
        "<h1>queries.jsonl in my.index</h1>" in page
        and "3 queries, 1 of them could not be asked; 2" in page
    )
    assert page.count("<section") == 3 and page.count("<polyline") == 2
    assert page.count('<img src="data:image/jpeg;base64,/9j/') >= 2 and "no picture" not in page
    assert "the sentence &#x27;!&#x27; has no words" in page


def test_a_report_that_cannot_be_made_is_refused(index, tmp_path):
    queries = tmp_path / "queries.jsonl"
    done = vmr("report", index, queries, "--out", tmp_path / "report.html")
    assert str(done.exception) == f"no queries at {queries}"
    queries.write_text('{"qid": 1, "query": "a dog"}\n')
    done = vmr("report", tmp_path / "none", queries, "--out", tmp_path / "report.html")
    assert done.exit_code == 1 and f"{tmp_path}/none" in str(done.exception)
    assert not (tmp_path / "report.html").exists()


def test_what_a_search_finds_is_cut(index, tmp_path):
    (tmp_path / "films" / "film1.mp4").unlink()
    asked = ("search", index, DOOR, "--top", 50, "--json", "--cut", tmp_path / "clips")
    done = vmr(*asked, "--csv", tmp_path / "r.csv", "--contact-sheet", tmp_path / "r.png")
    assert done.exit_code == 1
    moments = json.loads(done.stdout)["moments"]
    gone = [moment for moment in moments if moment["video"] == "film1"]
    assert gone and len(gone) < len(moments)
    assert done.stderr.count(f"not cut: no video at {tmp_path}/films/film1.mp4") == 1
    assert len(list((tmp_path / "clips").iterdir())) == len(moments) - len(gone)
    assert len((tmp_path / "r.csv").read_text().splitlines()) == 1 + len(moments)
