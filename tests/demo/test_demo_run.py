"""`vmr demo` from its first frame to its tables."""

import json
import re
import sys

import pytest

from tests.command_line import vmr
from vmr_jax.demo import run
from vmr_jax.demo.score import METRICS


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("demo")


def test_the_whole_way_from_pixels_to_moments(folder, monkeypatch):
    monkeypatch.setattr(run, "VIDEOS", 8)
    done = vmr("demo", "--no-serve", "--out", folder)
    assert done.exit_code == 0, done.output
    figures = {
        metric: [float(cell) for cell in re.findall(r"\d+\.\d\d", line)]
        for metric in METRICS
        for line in done.stdout.splitlines()
        if metric in line
    }
    assert figures.keys() == set(METRICS)
    for metric, (found, _, prior, random) in figures.items():
        assert found > max(prior, random) + 20, metric
    assert len(list((folder / "videos").glob("*.mp4"))) == 8
    assert f"vmr search {folder / 'index'} " in done.stdout


def test_a_query_of_other_words_costs_itself_alone(folder, tmp_path):
    queries = tmp_path / "queries.jsonl"
    asked = {"known": "a red circle vanishes", "unknown": "a person sits"}
    rows = [json.dumps({"qid": qid, "query": text}) + "\n" for qid, text in asked.items()]
    queries.write_text("".join(rows))
    done = vmr("search", folder / "index", "--queries", queries, "--json")
    known, unknown = map(json.loads, done.stdout.splitlines())
    assert known["moments"] and not unknown["moments"]
    assert "does not know the word 'person'" in unknown["error"]


def test_without_pyav_the_extra_is_named(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    refused = vmr("demo", "--no-serve", "--out", folder)
    assert "pip install 'vmr_jax[video]'" in str(refused.exception)


def test_the_index_is_served_at_the_end(folder, monkeypatch):
    served = []
    monkeypatch.setattr(run, "run", lambda *_: None)
    monkeypatch.setattr("vmr_jax.serve.commands.serve", lambda *given: served.append(given))
    assert vmr("demo", "--out", folder).exit_code == 0
    assert vmr("demo", "--out", folder, "--no-serve").exit_code == 0
    assert served == [(folder / "index", "127.0.0.1", 8000)]
