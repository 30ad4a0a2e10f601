"""`vmr doctor`, `prepare` and `score` on each benchmark's files, in their official forms."""

import json

import numpy as np
import pytest

from tests.command_line import vmr
from vmr_jax.data.tables.dataset import load_dataset

CLIPS = 6


def _grouped(**more):
    """A video with two queries, as ActivityNet Captions has them."""
    return {"timestamps": [[0, 5], [3, 9]], "sentences": ["a dog runs", "it stops"], **more}


def _tacos():
    of_frames = {"timestamps": [[0, 125], [75, 225]], "fps": 25.0, "num_frames": 300}
    return {
        f"{split}.json": {f"{split}.avi": _grouped() | of_frames}
        for split in ("train", "val", "test")
    }


def _timelens(of):
    spans = {"duration": 12.0, "spans": [[0, 5], [3, 9]], "queries": ["a dog runs", "it stops"]}
    return {f"{of}-timelens.json": {"v": spans}}


def _ego4d():
    def split(name, hidden=False):
        times = {"clip_start_sec": 0, "clip_end_sec": 5}
        queries = [{"query": text} | ({} if hidden else times) for text in ("a dog", "who runs")]
        annotation = {"annotation_uid": f"a-{name}", "language_queries": queries}
        clip = {"clip_uid": f"c-{name}", "video_start_sec": 60, "video_end_sec": 72}
        clip["annotations"] = [annotation]
        return {"videos": [{"video_uid": f"w-{name}", "clips": [clip]}]}

    hidden = {"nlq_test_unannotated.json": split("test", hidden=True)}
    return {f"nlq_{name}.json": split(name) for name in ("train", "val")} | hidden


def _mad():
    def entry(movie):
        times = {"timestamps": [1, 4], "ext_timestamps": [0.5, 5], "movie_duration": 12.0}
        return {"movie": movie, "sentence": "a dog runs", **times}

    return {
        f"MAD_{split}.json": {f"{split}{n}": entry(split) for n in range(2)}
        for split in ("train", "val", "test")
    }


def _youcook2():
    steps = [
        {"id": n, "segment": [5 * n, 5 * n + 5], "sentence": "the dog stops"} for n in range(2)
    ]
    database = {
        name: {"subset": name, "duration": 12, "annotations": steps}
        for name in ("training", "validation")
    }
    return {"youcookii_annotations_trainval.json": {"database": database}}


def _qvhighlights():
    def lines(split):
        clips = [0, 1, 2]
        query = {"query": "a dog runs", "duration": 12, "relevant_windows": [[0, 6]]}
        query |= {"relevant_clip_ids": clips, "saliency_scores": [[4, 3, 2] for _ in clips]}
        return [query | {"qid": n, "vid": f"{split}_{n}"} for n in range(2)]

    return {f"highlight_{split}_release.jsonl": lines(split) for split in ("train", "val")}


CASES = {
    "tacos": (_tacos, "test"),
    "activitynet_timelens": (lambda: _timelens("activitynet"), "test"),
    "charades_timelens": (lambda: _timelens("charades"), "test"),
    "qvhighlights_timelens": (lambda: _timelens("qvhighlights"), "test"),
    "ego4d_nlq": (_ego4d, "val"),
    "mad": (_mad, "test"),
    "youcook2": (_youcook2, "val"),
    "qvhighlights": (_qvhighlights, "val"),
}


def _write(folder, files):
    folder.mkdir()
    for name, content in files.items():
        lines = content if name.endswith("l") else [content]
        (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.mark.parametrize("dataset", CASES)
def test_from_files_to_figures(dataset, tmp_path):
    make, split = CASES[dataset]
    files, features = tmp_path / "files", tmp_path / "clips"
    _write(files, make())
    (tmp_path / "words.txt").write_text("a 1 2\ndog 3 4\nruns 2 2\nit 0 1\nstops 1 1\n")
    given = ("--annotations", files, "--features", features, "--glove", tmp_path / "words.txt")
    features.mkdir()
    told = vmr("doctor", dataset, *given[:2])
    assert told.exit_code == 0, told.output
    videos = {"v"} | {f"{s}.avi" for s in ("train", "val", "test")} | {"training", "validation"}
    videos |= {f"c-{s}" for s in ("train", "val", "test")} | {"train", "val", "test"}
    videos |= {f"{s}_{n}" for s in ("train", "val") for n in range(2)}
    rng = np.random.default_rng(0)
    for video in videos:
        np.save(features / f"{video}.npy", rng.normal(size=(CLIPS, 4)))
    told = vmr("doctor", dataset, *given)
    assert told.exit_code == 0 and f"{dataset}: 0 errors" in told.output, told.output
    out = ("--feature-name", "clips", "--data-dir", tmp_path / "data")
    told = vmr("prepare", dataset, *given, *out)
    assert told.exit_code == 0, told.output
    told = vmr("doctor", dataset, "--data-dir", tmp_path / "data")
    assert told.exit_code == 0, told.output

    table = load_dataset(tmp_path / "data", dataset, "clips").splits[split]
    lines = [
        {"qid": query, "pred_relevant_windows": [[*moments[0].tolist(), 1.0]]}
        for query, moments in zip(table.query_id, table.moments, strict=True)
    ]
    for line in lines if dataset == "qvhighlights" else ():
        line["pred_saliency_scores"] = [3, 2, 1, 0, 0, 0]
    predictions = tmp_path / "predictions.jsonl"
    predictions.write_text("".join(json.dumps(line) + "\n" for line in lines))
    report = tmp_path / "report.json"
    told = vmr(
        "score", predictions, files, "--dataset", dataset, "--split", split, "--json", report
    )
    assert told.exit_code == 0, told.output
    values = json.loads(report.read_text())
    assert values["model"]["R@1,IoU=0.7"] == 100 and values["queries"] == len(lines)
    assert ("location_prior" in values) == ("timelens" not in dataset)
    assert set(values["intervals"]) >= {"model", "random"}
    if dataset == "qvhighlights":
        assert set(values["highlight_baselines"]) == {"random", "location_prior"}
        assert values["intervals"]["highlight_baselines"]["random"]
