"""`vmr index` and `vmr search` with PREM's networks, trained for no step."""

import json
import os
import shutil
import signal

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

from tests.conftest import write_toy
from tests.search.prem_runs import save_run
from vmr_jax.cli import app
from vmr_jax.configs import prem_localizer, prem_retriever
from vmr_jax.search.corpus_search import TrainedCorpus
from vmr_jax.search.queries import read_queries


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A prepared corpus, and workdirs: retriever, localizer, retriever of token features."""
    root = tmp_path_factory.mktemp("runs")
    write_toy(root / "data", "toy")
    return {
        "root": root,
        "retriever": save_run(root / "r", prem_retriever.get_config, root / "data"),
        "localizer": save_run(root / "l", prem_localizer.get_config, root / "data"),
        "tokens": save_run(
            root / "t", prem_retriever.get_config, root / "data", target__query_features="tokens"
        ),
    }


def vmr(*arguments: str) -> str:
    """What a command prints; its mistakes are raised."""
    result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_index_and_search_with_both_systems(runs, tmp_path):
    out = tmp_path / "index"
    made = ("index", "--out", out, "--checkpoint", runs["retriever"])
    made = (*made, "--localizer", runs["localizer"])
    assert "5 videos encoded, 5 in all" in vmr(*made, "--videos", "toy:test")
    assert "4 videos encoded, 9 in all" in vmr(
        "index", "--out", out, "--videos", "toy:val", "--append"
    )
    assert "removed test0, val1" in vmr(
        "index", "--out", out, "--remove", "test0", "--remove", "val1"
    )

    shown = vmr("search", "--index", out, "a person opens the window")
    assert "rank" in shown and "video" in shown and " s" in shown and "whole videos" not in shown
    queries = tmp_path / "queries.jsonl"
    sentences = ["a person opens the window", "red door zebra zebra"]
    queries.write_text(
        "".join(json.dumps({"qid": i, "query": s}) + "\n" for i, s in enumerate(sentences))
    )
    printed = vmr(
        "search", "--index", out, "--queries", queries, "--json", "--top", "4", "--no-verify"
    )
    lines = [json.loads(line) for line in printed.splitlines()]
    assert [(line["qid"], line["query"]) for line in lines] == list(enumerate(sentences))
    asked = [str(a) for a in ("search", "--index", out, "a zebra zebra box")]
    assert "box': no vector for zebra: read as unknown\n" in CliRunner().invoke(app, asked).stderr
    corpus = TrainedCorpus.open(out)
    found = corpus.search(sentences, 4)
    for item, line in enumerate(lines):
        assert [moment["rank"] for moment in line["moments"]] == [1, 2, 3, 4]
        ids = [moment["video"] for moment in line["moments"]]
        assert ids == [corpus.video_id[row] for row in found.video[item]]
        assert not {"test0", "val1"} & set(ids)
        for moment, score in zip(line["moments"], found.score[item], strict=True):
            assert 0 <= moment["start"] < moment["end"]
            assert moment["score"] == pytest.approx(float(score))


def test_features_from_files_and_token_features(runs, tmp_path):
    rng = np.random.default_rng(0)
    counts = {"one": 7, "two": 20}
    with (
        h5py.File(tmp_path / "features.h5", "w") as features,
        h5py.File(tmp_path / "subs.h5", "w") as subs,
    ):
        for video, count in counts.items():
            features[f"{video}/rgb"] = rng.normal(size=(count, 8))
            features[f"{video}/flow"] = np.ones((count, 3))
            subs[video] = rng.normal(size=(count - 1, 5))  # a row less is filled with zeros
    with h5py.File(tmp_path / "queries.h5", "w") as file:
        file["q/tokens"], file["q/mask"] = rng.normal(size=(4, 7)), np.ones(4)
    out = tmp_path / "index"
    made = ("index", "--out", out, "--checkpoint", runs["tokens"], "--dtype", "int8")
    made = (*made, "--videos", tmp_path / "features.h5", "--key", "rgb")
    with pytest.raises(ValueError, match="name theirs with --subtitles"):
        vmr(*made)
    printed = vmr(*made, "--subtitles", tmp_path / "subs.h5")
    assert "1 videos have more than 12 clips" in printed and "2 videos encoded" in printed
    assert "2 videos have a row of subtitles too many or too few: it is cut" in printed
    with h5py.File(tmp_path / "subs.h5", "a") as subs:
        del subs["two"]
        subs["two"] = rng.normal(size=(18, 5))
    with pytest.raises(ValueError, match="two has 18 rows of subtitles for 20 clips: pool both"):
        vmr(*made, "--subtitles", tmp_path / "subs.h5", "--out", tmp_path / "other")
    with pytest.raises(ValueError, match="token features, not words"):
        vmr("search", "--index", out, "a person")
    queries = tmp_path / "queries.jsonl"
    queries.write_text('{"qid": "q", "query": "a person"}\n')
    asked = ("search", "--index", out, "--queries", queries, "--key", "tokens")
    (line,) = vmr(*asked, "--query-features", tmp_path / "queries.h5", "--json").splitlines()
    ends = {moment["video"]: moment["end"] for moment in json.loads(line)["moments"]}
    assert ends == {"one": 7 * 1.5, "two": 20 * 1.5}
    with h5py.File(tmp_path / "queries.h5", "a") as file:
        file["narrow/tokens"], file["nan/tokens"] = np.ones((4, 6)), np.full((4, 7), np.nan)
        file["narrow/mask"] = file["nan/mask"] = np.ones(4)
    odd = {"narrow": "its features have shape (4, 6), needed are (tokens, 7)"}
    odd["nan"] = "its features are not finite"
    with queries.open("a") as file:
        file.writelines(json.dumps({"qid": qid, "query": "a person"}) + "\n" for qid in odd)
    found = vmr(*asked, "--query-features", tmp_path / "queries.h5", "--json").splitlines()
    assert found[0] == line
    assert {(said := json.loads(o))["qid"]: said["error"] for o in found[1:]} == odd


def test_an_odd_query_of_a_file_costs_itself_alone(runs, tmp_path):
    out, queries = tmp_path / "index", tmp_path / "queries.jsonl"
    vmr("index", "--out", out, "--videos", "toy:test", "--checkpoint", runs["retriever"])
    odd = {7: "\N{SLEEPY FACE}", "long": "red " * 400, "strange": "zebra"}
    asked = {"first": "a red box", **odd, "last": "a red door"}
    write = lambda of: queries.write_text(  # noqa: E731
        "".join(json.dumps({"qid": i, "query": q}) + "\n" for i, q in of.items())
    )
    write(asked)
    command = [str(a) for a in ("search", "--index", out, "--queries", queries)]
    result = CliRunner().invoke(app, [*command, "--json"])
    assert result.exit_code == 0
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(line["qid"], line["query"]) for line in lines] == list(asked.items())
    for line, sentence in zip(lines, asked.values(), strict=True):
        if line["qid"] in odd:
            assert line["moments"] == [] and "it" in line["error"]
            continue
        alone = json.loads(vmr("search", "--index", out, sentence, "--json"))["moments"]
        assert [m["video"] for m in line["moments"]] == [m["video"] for m in alone]
        assert "error" not in line
    assert lines[2]["error"].startswith("it has 400 words, this system reads 6: shorten it")
    closing = "3 of 5 queries were not asked; each has its reason above\n"
    assert result.stderr == closing

    shown = CliRunner().invoke(app, command)
    assert shown.exit_code == 0 and shown.stderr == closing
    assert "query 7 was not asked: it has no words ('\N{SLEEPY FACE}')\n" in shown.stdout
    assert "query 'strange' was not asked: the system knows none of its words" in shown.stdout
    assert shown.stdout.count("rank") == 2

    write(odd)
    with pytest.raises(
        ValueError, match="none of the 3 queries can be asked, such as 7: it has no"
    ):
        vmr(*command)


def test_systems_that_were_moved(runs, tmp_path):
    out, moved = tmp_path / "index", {}
    for role in ("retriever", "localizer"):
        moved[role] = shutil.copytree(runs[role], tmp_path / role)
    made = ("--checkpoint", moved["retriever"], "--localizer", moved["localizer"])
    vmr("index", "--out", out, "--videos", "toy:test", *made)
    asked = ("search", "--index", out, "a person", "--json")
    before = vmr(*asked)
    for role, option in (("localizer", "--localizer"), ("retriever", "--checkpoint")):
        moved[role].rename(tmp_path / f"{role} of old")
        with pytest.raises(FileNotFoundError, match=f"made by the {role} in .* with {option} wh"):
            vmr(*asked)
        with pytest.raises(FileNotFoundError, match=f"made by the {role} in .* with {option} wh"):
            vmr("index", "--out", out, "--videos", "toy:val", "--append")
        asked = (*asked, option, runs[role])
    assert vmr(*asked) == before


def test_a_file_of_queries_may_begin_with_a_byte_order_mark(tmp_path):
    (tmp_path / "queries.jsonl").write_text('\ufeff{"qid": 1, "query": "a box"}\n', "utf-8")
    assert read_queries(tmp_path / "queries.jsonl") == [(1, "a box")]


@pytest.mark.parametrize(
    ("command", "does"),
    [
        (("index", "--out", "x", "--videos", "toy"), "index_videos"),
        (("search", "--index", ".", "a box"), "search_index"),
    ],
)
def test_an_interrupt_ends_at_once(monkeypatch, capfd, command, does):
    def interrupted(*_, **__):
        signal.raise_signal(signal.SIGINT)

    ended, before = [], signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(f"vmr_jax.search.terminal.{does}", interrupted)
    monkeypatch.setattr(os, "_exit", ended.append)
    vmr(*command)
    assert ended == [130] and signal.getsignal(signal.SIGINT) is before
    assert "vmr: interrupted\n" in capfd.readouterr().err


def test_mistakes(runs, tmp_path):
    out = tmp_path / "index"
    made = ("index", "--out", out, "--videos", "toy:test", "--checkpoint")
    with pytest.raises(ValueError, match="prem_localizer is no retriever$"):
        vmr(*made, runs["localizer"])
    trained = shutil.copytree(runs["localizer"], tmp_path / "l")
    (trained / "first_run").mkdir()
    with pytest.raises(ValueError, match="is no retriever; its retriever is in .*l/first_run"):
        vmr(*made, trained)
    with pytest.raises(FileNotFoundError, match="no trained run at .*nothing: --checkpoint is"):
        vmr(*made, tmp_path / "nothing")
    with pytest.raises(ValueError, match="--checkpoint names the retriever"):
        vmr("index", "--out", out, "--videos", "toy:test")
    with pytest.raises(ValueError, match="features by --videos; or --remove some"):
        vmr("index", "--out", out)
    with pytest.raises(ValueError, match="not both"):
        vmr("index", "--out", out, "--videos", "toy", "--remove", "a")
    for missing in (tmp_path / "features", "nothere.h5"):
        with pytest.raises(FileNotFoundError, match=f"no features at {missing}"):
            vmr("index", "--out", out, "--videos", missing, "--checkpoint", runs["retriever"])
    with pytest.raises(ValueError, match="--subtitles belongs to files"):
        vmr(*made, runs["retriever"], "--subtitles", tmp_path)
    vmr(*made, runs["retriever"])
    assert "These are whole videos" in vmr("search", "--index", out, "a person")
    assert "whole videos" not in vmr("search", "--index", out, "a person", "--json")
    with pytest.raises(ValueError, match="is complete.* to make it anew, delete it or choose"):
        vmr(*made, runs["retriever"])
    with pytest.raises(ValueError, match="is float16; it cannot be continued as int8"):
        vmr(*made, runs["retriever"], "--dtype", "int8", "--append")
    with pytest.raises(ValueError, match="either one sentence"):
        vmr("search", "--index", out, " ")
    with pytest.raises(ValueError, match="knows none of its words"):
        vmr("search", "--index", out, "zebra")
    with pytest.raises(ValueError, match="7 words, this system reads 6"):
        vmr("search", "--index", out, "a person opens the red box door")
    queries = tmp_path / "queries.jsonl"
    with pytest.raises(FileNotFoundError, match="no queries at"):
        vmr("search", "--index", out, "--queries", queries)
    for line, message in (
        ('{"query": "a door"}', 'no "qid"; found query'),
        ('{"qid": "a"}', 'no "query"; found qid'),
        ('{"qid": [], "query": "a door"}', '"qid" is a list; expected a string'),
        ("7", "expected one JSON object, found a whole number"),
        ("{", r"not valid JSON at column 2 \(Expecting property name"),
        ("[" * 100_000, "lists or objects are nested too deeply"),
    ):
        queries.write_text(f'{{"qid": 1, "query": "a box"}}\n{line}\n')
        with pytest.raises(ValueError, match=f"queries.jsonl:2: {message}"):
            vmr("search", "--index", out, "--queries", queries)
    queries.write_text('{"qid": 1, "query": "a box"}\n{"qid": "1", "query": "a box"}')
    with pytest.raises(ValueError, match="a query id comes twice"):
        vmr("search", "--index", out, "--queries", queries)
    queries.write_text("\n")
    with pytest.raises(ValueError, match="holds no queries"):
        vmr("search", "--index", out, "--queries", queries)
