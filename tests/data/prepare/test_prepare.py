"""`vmr prepare` and `vmr doctor`, from the command line."""

import json
import re
import sys

import h5py
import numpy as np
import pytest

from vmr_jax import cli
from vmr_jax.data.tables.dataset import load_dataset


def run(monkeypatch, *arguments):
    """Run the vmr command in this process; returns its exit status or message."""
    monkeypatch.setattr(sys, "argv", ["vmr", *map(str, arguments)])
    monkeypatch.setenv("COLUMNS", "160")
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return stop.value.code


@pytest.fixture
def files(tmp_path):
    """Options that point at a small dataset of one's own, features and word vectors."""
    queries = [
        {
            "qid": n,
            "query": "a dog runs",
            "vid": f"v{n}",
            "duration": 10,
            "relevant_windows": [[1, 4]],
        }
        for n in range(3)
    ]
    queries.append(queries[0] | {"qid": 3, "relevant_windows": [[4, 1]]})
    (tmp_path / "own").mkdir()
    (tmp_path / "own/train.jsonl").write_text("\n".join(map(json.dumps, queries)))
    (tmp_path / "clips").mkdir()
    for n in range(3):
        np.save(tmp_path / f"clips/v{n}.npy", np.ones((5, 4)))
    (tmp_path / "glove.txt").write_text("a 1 2\ndog 3 4\n")
    return {
        "--annotations": tmp_path / "own",
        "--features": tmp_path / "clips",
        "--glove": tmp_path / "glove.txt",
    }


def flat(options):
    return [item for pair in options.items() for item in pair]


def prepare(monkeypatch, files, data_dir, *more):
    options = ["--feature-name", "i3d", "--data-dir", data_dir, "--name", "mine", *more]
    return run(monkeypatch, "prepare", "jsonl", *flat(files), *options)


def test_prepare_then_doctor(monkeypatch, capsys, files, tmp_path):
    assert prepare(monkeypatch, files, tmp_path / "out") in (0, None)
    out = capsys.readouterr().out
    assert "mine train: 3 queries (1 of 4 dropped) on 3 videos" in out
    assert "inverted moment" in out and "query dropped" in out
    assert "3 videos, 15 clips of width 4 (0.0 MB), 2 words of width 2" in out
    dataset = load_dataset(tmp_path / "out", "mine", "i3d")
    assert dataset.splits["train"].query_id == ("0", "1", "2")

    built = ("doctor", "mine", "--data-dir", tmp_path / "out", "--feature-name", "i3d")
    assert run(monkeypatch, *built) in (0, None)
    out = capsys.readouterr().out
    assert "mine: 0 errors" in out and "features, by 15 sampled rows: mean cosine of two" in out


def test_doctor_looks_where_prepare_writes(monkeypatch, capsys, files, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert prepare(monkeypatch, files, "data_cache") == 0
    assert run(monkeypatch, "doctor", "mine") == 0
    assert "mine: 0 errors" in capsys.readouterr().out
    assert prepare(monkeypatch, files, "data_cache", "--feature-name", "c3d") == 0
    message = run(monkeypatch, "doctor", "mine")
    assert message == "vmr: --feature-name says which to check; there are c3d, i3d"


def test_the_key_of_the_features(monkeypatch, capsys, files, tmp_path):
    with h5py.File(tmp_path / "grouped.h5", "w") as file:
        for n in range(3):
            file[f"v{n}/rgb"], file[f"v{n}/flow"] = np.ones((5, 4)), np.ones((5, 3))
    files["--features"] = tmp_path / "grouped.h5"
    message = run(monkeypatch, "doctor", "jsonl", *flat(files))
    assert message == (
        f"vmr: {tmp_path}/grouped.h5: v0: a group of 2 entries (flow, rgb); expected one dataset, "
        "or --key NAME for that of several"
    )
    assert run(monkeypatch, "doctor", "jsonl", *flat(files), "--key", "flow") == 0
    assert prepare(monkeypatch, files, tmp_path / "out", "--key", "flow") == 0
    assert "3 videos, 15 clips of width 3" in capsys.readouterr().out


def test_a_split_that_prepare_cannot_write(monkeypatch, capsys, files, tmp_path):
    (files["--annotations"] / "train.jsonl").rename(files["--annotations"] / "my-train.jsonl")
    assert run(monkeypatch, "doctor", "jsonl", *flat(files)) == 1
    assert "a split cannot have this name" in capsys.readouterr().out
    assert "nothing was written" in prepare(monkeypatch, files, tmp_path / "out")
    assert "a split cannot have this name" in capsys.readouterr().out


def test_a_training_split_without_a_moment(monkeypatch, capsys, files):
    path = files["--annotations"] / "train.jsonl"
    path.write_text(path.read_text().replace("[[1, 4]]", "[[4, 4]]"))
    assert run(monkeypatch, "doctor", "jsonl", *flat(files)) == 1
    out = capsys.readouterr().out
    assert re.search(r"no query of a training split .*│ train: all 4 dropped", out)


def test_features_of_different_videos_lie_in_several_files(monkeypatch, capsys, files, tmp_path):
    (tmp_path / "more").mkdir()
    (tmp_path / "clips/v2.npy").rename(tmp_path / "more/v2.npy")
    more = ["--features", tmp_path / "more"]
    assert prepare(monkeypatch, files, tmp_path / "data", *more) == 0
    assert "3 videos, 15 clips of width 4" in capsys.readouterr().out
    assert run(monkeypatch, "doctor", "jsonl", *flat(files), *more) == 0
    assert "video without features" not in capsys.readouterr().out
    pooled = prepare(monkeypatch, files, tmp_path / "data", *more, "--pool-subtitles", 1.5)
    assert pooled == "vmr: --pool-subtitles reads one file of --features"


def test_doctor_on_files(monkeypatch, capsys, files):
    assert run(monkeypatch, "doctor", "jsonl", *flat(files)) in (0, None)
    out = capsys.readouterr().out
    assert "66.67 % of running words" in out and "features, by 15 sampled rows: mean" in out
    np.save(files["--features"] / "v1.npy", np.full((5, 4), np.nan))
    assert run(monkeypatch, "doctor", "jsonl", *flat(files)) == 1
    out = capsys.readouterr().out
    assert "jsonl: 1 errors" in out and "features with NaN or infinity" in out


def test_doctor_with_nothing_to_say(monkeypatch, capsys, files):
    path = files["--annotations"] / "train.jsonl"
    path.write_text("\n".join(path.read_text().splitlines()[:3]))
    options = {"--annotations": files["--annotations"]}
    assert run(monkeypatch, "doctor", "jsonl", *flat(options)) in (0, None)
    assert "jsonl: nothing to report" in capsys.readouterr().out


def test_prepare_refuses_errors_and_drops_videos_only_when_asked(
    monkeypatch, capsys, files, tmp_path
):
    (files["--features"] / "v1.npy").unlink()
    message = prepare(monkeypatch, files, tmp_path / "out")
    assert message == (
        "vmr: nothing was written: mend the errors above; "
        "--drop-missing leaves videos without features out"
    )
    assert not (tmp_path / "out").exists()
    assert prepare(monkeypatch, files, tmp_path / "out", "--drop-missing") in (0, None)
    assert "left out: 1 videos with 1 queries" in capsys.readouterr().out
    assert load_dataset(tmp_path / "out", "mine", "i3d").splits["train"].query_id == ("0", "2")


def test_prepare_without_word_vectors(monkeypatch, capsys, files, tmp_path):
    del files["--glove"]
    assert prepare(monkeypatch, files, tmp_path / "out") in (0, None)
    assert "no word vectors: systems that read words need --glove" in capsys.readouterr().out


def test_prepare_stores_noun_chunks_also_later(monkeypatch, capsys, files, tmp_path):
    assert prepare(monkeypatch, files, tmp_path / "out") in (0, None)
    rules = ("--noun-chunks", "rules")
    assert prepare(monkeypatch, files, tmp_path / "out", *rules) in (0, None)
    said = "noun chunks by rules, an approximation of a parser's: 3 in 3 queries; 0 queries have no"
    assert said in capsys.readouterr().out
    table = load_dataset(tmp_path / "out", "mine", "i3d", with_chunks=True).splits["train"]
    assert [chunks.tolist() for chunks in table.chunks] == [[[0, 5]]] * 3
    monkeypatch.setitem(sys.modules, "spacy", None)
    message = prepare(monkeypatch, files, tmp_path / "new", "--noun-chunks", "spacy")
    assert "python -m spacy download en_core_web_sm" in message
    assert not (tmp_path / "new").exists()


def test_prepare_and_doctor_take_patches(monkeypatch, capsys, files, tmp_path):
    assert prepare(monkeypatch, files, tmp_path / "out") in (0, None)
    (tmp_path / "grids").mkdir()
    for n in range(3):
        np.save(tmp_path / f"grids/v{n}.npy", np.ones((5, 50, 4), np.float16))
    options = flat(files | {"--features": tmp_path / "grids"})
    assert run(monkeypatch, "doctor", "jsonl", *options) == 1
    assert run(monkeypatch, "doctor", "jsonl", *options, "--patches") in (0, None)
    there = ("--data-dir", tmp_path / "out", "--feature-name", "grids")
    named = (*there, "--name", "mine", "--patches")
    capsys.readouterr()
    assert run(monkeypatch, "prepare", "jsonl", *options, *named) in (0, None)
    out = capsys.readouterr().out
    assert "3 videos, 15 clips of width 49 x 4" in out
    assert re.search(r"class token among the patches │ +1 │", out)
    dataset = load_dataset(tmp_path / "out", "mine", "i3d", patch_name="grids")
    assert dataset.patch_shape == (49, 4)
    assert run(monkeypatch, "doctor", "mine", *there) in (0, None)


@pytest.fixture
def tvr_files(tmp_path):
    """A directory in TVR's release layout: two videos with three queries, features of all kinds."""
    query = {"duration": 6.0, "ts": [0, 3], "desc": "a dog runs", "type": "vt"}
    subtitles = [{"vid_name": "b", "sub": [{"text": "Hi .", "start": 1.6, "end": 2.9}]}]
    write_lines = lambda name, lines: (tmp_path / name).write_text(  # noqa: E731
        "".join(json.dumps(line) + "\n" for line in lines)
    )
    (tmp_path / "glove.txt").write_text("a 1 2\ndog 3 4\n")
    index = {"val": {"a": [6.0, 0], "b": [6.0, 1]}}
    (tmp_path / "tvr_video2dur_idx.json").write_text(json.dumps(index))
    queries = [query | {"desc_id": n, "vid_name": vid} for n, vid in enumerate("aab")]
    write_lines("tvr_val_release.jsonl", queries)
    write_lines("tvqa_preprocessed_subtitles.jsonl", subtitles)
    with h5py.File(tmp_path / "video.h5", "w") as file:
        file["a"], file["b"] = np.ones((4, 5)), np.ones((5, 5))
    with h5py.File(tmp_path / "sub.h5", "w") as file:
        file["b"], file["b-lengths"] = np.array([[1, -2], [0, -1]]), np.array([2])
    with h5py.File(tmp_path / "desc.h5", "w") as file:
        for n in range(3):
            file[str(n)] = np.ones((n + 1, 3))
    return tmp_path


def test_prepare_reads_the_layout_of_tvrs_release(monkeypatch, capsys, tvr_files):
    common = ["tvr", "--annotations", tvr_files, "--data-dir", tvr_files / "out"]
    image = ("--features", tvr_files / "video.h5", "--feature-name", "resnet")
    tokens = ("--query-features", tvr_files / "desc.h5", "--query-feature-name", "roberta")
    glove = ("--glove", tvr_files / "glove.txt")
    assert run(monkeypatch, "prepare", *common, *image, *tokens, *glove) in (0, None)
    said = "queries-roberta: 3 queries, 6 tokens of width 3 (0.0 MB), the longest query has 3; 0 e"
    assert said in capsys.readouterr().out
    sub = ("--features", tvr_files / "sub.h5", "--feature-name", "bert", "--pool-subtitles", 1.5)
    assert run(monkeypatch, "prepare", *common, *sub) in (0, None)
    out = capsys.readouterr().out
    assert "2 videos, 8 clips of width 2" in out and "video without subtitles" in out
    options = {"subtitle_name": "bert", "query_feature_name": "roberta"}
    dataset = load_dataset(tvr_files / "out", "tvr", "resnet", **options)
    assert dataset.fitted_subtitles == 1 and not dataset.subtitles(0).any()
    assert dataset.subtitles(1).tolist() == [[0, 0], [1, -1], [0, 0], [0, 0], [0, 0]]
    assert dataset.splits["val"].tokens.tolist() == [[1, 1], [2, 2], [4, 3]]
    assert run(monkeypatch, "prepare", *common, *image, *tokens[:2]) == (
        "vmr: --query-features or --query-encoder, and --query-feature-name, need each other"
    )
    message = run(monkeypatch, "prepare", *common, *sub, "--patches")
    assert message.startswith("vmr: --patches and --pool-subtitles are two kinds of features")
    with h5py.File(tvr_files / "desc.h5", "a") as file:
        file.attrs["simulated"] = True
    message = run(monkeypatch, "prepare", *common, *image, *tokens)
    assert "--query-feature-name simulated_roberta" in message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("doctor", "tvr"), "vmr: tvr with features 'features' is not prepared in data_cache"),
        (
            ("doctor", "tvr", "--data-dir", "x", "--annotations", "y"),
            "vmr: give either --annotations",
        ),
        (("doctor", "tvr", "--glove", "x"), "vmr: --features, --glove, --patches and --key need"),
        (
            ("doctor", "tv", "--annotations", "x"),
            "vmr: unknown dataset 'tv'; known are charades_sta",
        ),
        (("doctor", "tvr", "--annotations", "x"), "vmr: x does not exist"),
        (
            ("doctor", "tvr", "--data-dir", "x", "--feature-name", "i3d"),
            "vmr: tvr with features 'i3d' is not prepared in x",
        ),
    ],
)
def test_mistakes_end_in_one_message(monkeypatch, tmp_path, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, *arguments).startswith(message)


def test_planted_features_keep_saying_so(monkeypatch, capsys, files, tmp_path):
    planted = tmp_path / "planted.h5"
    where = ("--annotations-dir", files["--annotations"], "--glove", files["--glove"])
    more = ("--width", 8, "--out", planted)
    assert run(monkeypatch, "simulate", "--annotations", "jsonl", *where, *more) in (0, None)
    message = prepare(monkeypatch, files | {"--features": planted}, tmp_path / "out")
    assert "made by `vmr simulate`" in message and "--feature-name simulated_i3d" in message
    arguments = ["--feature-name", "simulated_i3d", "--data-dir", tmp_path / "out"]
    options = flat(files | {"--features": planted})
    assert run(monkeypatch, "prepare", "jsonl", *options, *arguments) in (0, None)


@pytest.fixture
def didemo_files(tmp_path):
    """Options that point at two DiDeMo videos, of five and six segments, with six rows each."""
    query = {"annotation_id": 1, "video": "a.mov", "description": "a dog", "times": [[0, 0]]}
    queries = [
        query | {"num_segments": 5},
        query | {"annotation_id": 2, "video": "b.mov", "num_segments": 6},
    ]
    (tmp_path / "didemo").mkdir()
    (tmp_path / "didemo/val_data.json").write_text(json.dumps(queries))
    (tmp_path / "rows").mkdir()
    for video in "ab":
        np.save(tmp_path / f"rows/{video}.mov.npy", np.ones((6, 4)) * np.eye(6)[:5].sum(0)[:, None])
    return {"--annotations": tmp_path / "didemo", "--features": tmp_path / "rows"}


def test_didemo_is_freed_of_its_padding(monkeypatch, capsys, didemo_files, tmp_path):
    fault = r"zero rows after the last segment +│ +1 │ a +│ left out"
    assert run(monkeypatch, "doctor", "didemo", *flat(didemo_files)) in (0, None)
    assert re.search(fault, capsys.readouterr().out)
    options = ["--feature-name", "vgg16", "--data-dir", tmp_path, "--name", "didemo_mine"]
    assert run(monkeypatch, "prepare", "didemo", *flat(didemo_files), *options) in (0, None)
    out = capsys.readouterr().out
    assert re.search(fault, out) and "2 videos, 11 clips" in out
    assert load_dataset(tmp_path, "didemo_mine", "vgg16").videos.num_clips.tolist() == [5, 6]
    built = ("--data-dir", tmp_path, "--feature-name", "vgg16")
    assert run(monkeypatch, "doctor", "didemo_mine", *built) in (0, None)
    assert re.search(fault, capsys.readouterr().out)
