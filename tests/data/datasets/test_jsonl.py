"""The format of one's own data."""

import json

import numpy as np
import pytest

from vmr_jax.data.datasets import read_annotations

QUERY = {"qid": 3, "query": "a dog runs", "vid": "v1", "duration": 30, "relevant_windows": [[2, 4]]}


def write(path, *queries):
    path.write_text("\n".join(json.dumps(query) for query in queries))


def test_a_directory_has_a_file_a_split(tmp_path):
    write(
        tmp_path / "train.jsonl", QUERY, QUERY | {"qid": "b", "relevant_windows": [[2, 4], [5, 6]]}
    )
    write(tmp_path / "val.jsonl", QUERY | {"vid": 12, "relevant_windows": []})
    read = read_annotations("jsonl", tmp_path)
    assert [r.query_id for r in read.splits["train"]] == ["3", "b"]
    np.testing.assert_array_equal(read.splits["train"][1].moments, [[2, 4], [5, 6]])
    assert read.splits["val"][0].moments.shape == (0, 2)
    assert read.durations == {"v1": 30.0, "12": 30.0}


def test_one_file_is_one_split(tmp_path):
    write(tmp_path / "test.jsonl", {k: v for k, v in QUERY.items() if k != "relevant_windows"})
    read = read_annotations("jsonl", tmp_path / "test.jsonl")
    assert list(read.splits) == ["test"]
    assert len(read.splits["test"][0].moments) == 0


def test_a_training_split_that_is_labelled_in_part(tmp_path):
    bare = {k: v for k, v in QUERY.items() if k != "relevant_windows"}
    hidden = [bare | {"qid": 4}, QUERY | {"qid": 5, "relevant_windows": []}]
    write(tmp_path / "train_a.jsonl", QUERY, *hidden)
    write(tmp_path / "train_b.jsonl", *hidden)
    write(tmp_path / "val.jsonl", QUERY, *hidden)
    read = read_annotations("jsonl", tmp_path)
    assert read.faults == [
        ("query without labels", "train_a 4", "kept, without labels"),
        ("query without labels", "train_a 5", "kept, without labels"),
    ]
    assert [len(records) for records in read.splits.values()] == [3, 2, 3]


def test_errors_name_file_and_line(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no <split>.jsonl file"):
        read_annotations("jsonl", tmp_path)
    for change, message in (
        ({"relevant_windows": [[1, 2, 3]]}, r"expected \[start, end\] in numbers"),
        ({"duration": None}, '"duration" is null; expected a number'),
        ({"relevant_windows": 3}, '"relevant_windows" is a whole number; expected a list'),
        ({"relevant_windows": {}}, '"relevant_windows" is an object; expected a list'),
    ):
        write(tmp_path / "val.jsonl", QUERY, QUERY | change)
        with pytest.raises(ValueError, match=f"val.jsonl:2: {message}"):
            read_annotations("jsonl", tmp_path)


def test_a_split_is_for_training_by_its_exact_name(tmp_path):
    line = '{"qid": %d, "query": "a", "vid": "v", "duration": 9, "relevant_windows": [[%d, 4]]}\n'
    for split in ("train", "train_b", "test_constrained", "strain"):
        (tmp_path / f"{split}.jsonl").write_text(line % (1, 2) + line % (2, 4))
    found = read_annotations("jsonl", tmp_path)
    counts = {split: len(records) for split, records in found.splits.items()}
    assert counts == {"train": 1, "train_b": 1, "test_constrained": 2, "strain": 2}


def test_a_byte_order_mark_is_no_content(tmp_path):
    line = '{"qid": 1, "query": "a", "vid": "v", "duration": 9, "relevant_windows": [[2, 4]]}\n'
    (tmp_path / "test.jsonl").write_text(line, encoding="utf-8-sig")
    assert read_annotations("jsonl", tmp_path).splits["test"][0].query_id == "1"


RATED = {"relevant_clip_ids": [1, 14], "saliency_scores": [[1, 2, 4], [0, 3, 3]]}


def test_ratings_of_clips(tmp_path):
    write(tmp_path / "val.jsonl", QUERY | RATED, QUERY | {"qid": 4})
    rated, bare = read_annotations("jsonl", tmp_path).splits["val"]
    assert rated.saliency is not None and rated.saliency.shape == (15, 3)
    np.testing.assert_array_equal(rated.saliency[[0, 1, 14]], [[0, 0, 0], [1, 2, 4], [0, 3, 3]])
    assert bare.saliency is None
    for change, message in (
        ({"relevant_clip_ids": [1, 15]}, "clip 15 of relevant_clip_ids is not in the video"),
        ({"relevant_clip_ids": [1, -1]}, "clip -1 of relevant_clip_ids is not in the video"),
        ({"relevant_clip_ids": [1]}, "2 saliency_scores, not a row for each relevant clip"),
        ({"saliency_scores": [[1], [1, 2]]}, "2 saliency_scores, not a row for each"),
        ({"saliency_scores": [[1], ["a"]]}, "saliency_scores must be lists of numbers"),
        ({"saliency_scores": [[1], []]}, "saliency_scores must be lists of numbers"),
    ):
        write(tmp_path / "val.jsonl", QUERY, QUERY | {"qid": 4} | RATED | change)
        with pytest.raises(ValueError, match=f"val.jsonl:2: {message}"):
            read_annotations("jsonl", tmp_path)


def test_qvhighlights_has_its_own_files(tmp_path):
    hidden = {k: v for k, v in QUERY.items() if k != "relevant_windows"}
    write(tmp_path / "highlight_train_release.jsonl", QUERY | RATED)
    write(tmp_path / "highlight_test_release.jsonl", hidden)
    read = read_annotations("qvhighlights", tmp_path)
    assert list(read.splits) == ["train", "test"] and not len(read.splits["test"][0].moments)
    write(tmp_path / "highlight_test_with_gt.jsonl", QUERY | RATED)
    assert len(read_annotations("qvhighlights", tmp_path).splits["test"][0].moments) == 1
    with pytest.raises(FileNotFoundError, match="looked for highlight_train_release.jsonl, "):
        read_annotations("qvhighlights", tmp_path / "..")
