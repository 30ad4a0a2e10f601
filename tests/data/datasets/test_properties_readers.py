"""Readers give the records that a well-formed file was written from, and refuse the rest."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data.datasets.reader_cases import (
    NAMES,
    SENTENCES,
    VALUES,
    activitynet_entries,
    charades_files,
    didemo_entries,
    grouped_records,
    json_lines,
    jsonl_lines,
    moments,
    numbered_records,
    tvr_lines,
    videos,
)
from vmr_jax.data.datasets import read_annotations
from vmr_jax.data.datasets.records import Annotations, MomentRecord

IDS = st.integers(0) | st.text(max_size=5)


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return tmp_path_factory.mktemp("annotations")


def write(directory: Path, files: dict[str, str | bytes]) -> None:
    """Write these files, and remove those of the example before."""
    for path in directory.iterdir():
        path.unlink()
    for name, content in files.items():
        (directory / name).write_bytes(content.encode() if isinstance(content, str) else content)


def assert_read(found: Annotations, split: str, records: list[MomentRecord], durations) -> None:
    """These records are read, with the durations of their videos, and nothing is repaired."""
    assert [record._replace(moments=None) for record in found.splits[split]] == [
        record._replace(moments=None) for record in records
    ]
    for read, record in zip(found.splits[split], records, strict=True):
        np.testing.assert_array_equal(read.moments, record.moments)
        assert read.moments.dtype == np.float64 and read.moments.shape == record.moments.shape
    used = {record.video_id for record in records}
    assert {v: s for v, s in found.durations.items() if v in used} == {
        v: s for v, s in durations.items() if v in used
    }
    assert {fault.kind for fault in found.faults} <= {"no file for a split", "no subtitles"}


@given(st.data())
def test_charades(directory, data):
    # The mark ends the head of a line, so that no video's name has it.
    durations = data.draw(videos(NAMES.filter(lambda name: "##" not in name)))
    lines = SENTENCES.filter(lambda text: not {*"\r\n"} & {*text}) | st.just("eats ## a #")
    records = [r._replace(sentence=data.draw(lines)) for r in data.draw(grouped_records(durations))]
    write(directory, charades_files(records, durations))
    assert_read(read_annotations("charades_sta", directory), "train", records, durations)


@given(st.data())
@pytest.mark.parametrize(
    ("name", "file"), [("activitynet_captions", "val_1.json"), ("charades_cd", "charades_val.json")]
)
def test_activitynet(directory, name, file, data):
    durations = data.draw(videos(st.text(min_size=1, max_size=8)))
    records = data.draw(grouped_records(durations))
    text = json.dumps(
        activitynet_entries(records, durations), ensure_ascii=data.draw(st.booleans())
    )
    write(
        directory, {file: text.replace('"duration"', '"video_duration"') if "cd" in name else text}
    )
    split = "val_1" if name == "activitynet_captions" else "val"
    assert_read(read_annotations(name, directory), split, records, durations)


@given(st.data())
def test_tvr(directory, data):
    durations = data.draw(videos(st.text(min_size=1, max_size=8)))
    records = [
        record._replace(modality=data.draw(st.sampled_from(["", "v", "t", "vt"])))
        for record in data.draw(numbered_records(durations, IDS, most=1))
    ]
    index = {
        "val": {video: [seconds, row] for row, (video, seconds) in enumerate(durations.items())}
    }
    files = {
        "tvr_val_release.jsonl": json_lines(tvr_lines(records), data.draw(st.booleans())),
        "tvr_video2dur_idx.json": json.dumps(index),
    }
    write(directory, files)
    assert_read(read_annotations("tvr", directory), "val", records, durations)


@given(st.data())
def test_jsonl(directory, data):
    durations = data.draw(videos(st.text(min_size=1, max_size=8)))
    records = data.draw(numbered_records(durations, IDS, most=3))
    hidden = data.draw(st.lists(st.booleans(), min_size=len(records), max_size=len(records)))
    records = [
        record._replace(moments=record.moments[:0]) if hide else record
        for record, hide in zip(records, hidden, strict=True)
    ]
    text = json_lines(jsonl_lines(records, durations), data.draw(st.booleans()))
    write(directory, {"val.jsonl": text})
    assert_read(read_annotations("jsonl", directory / "val.jsonl"), "val", records, durations)


@given(st.data())
def test_didemo(directory, data):
    names = st.text(min_size=1, max_size=8)
    durations = data.draw(st.dictionaries(names, st.sampled_from([25.0, 30.0]), min_size=1))
    ends = st.lists(st.integers(0, 5), min_size=2, max_size=2, unique=True).map(sorted)
    marked = st.lists(ends, min_size=1, max_size=4)
    records = [
        record._replace(moments=5.0 * np.array(data.draw(marked)))
        for record in data.draw(numbered_records(durations, IDS, most=1))
    ]
    write(directory, {"test_data.json": json.dumps(didemo_entries(records, durations))})
    assert_read(read_annotations("didemo", directory), "test", records, durations)


FIRST = MomentRecord("1", "v", "a dog runs", np.array([[5.0, 10.0]]))
BOTH, SECONDS = [FIRST, FIRST._replace(query_id="2")], {"v": 30.0}
INDEX = {"tvr_video2dur_idx.json": json.dumps({"val": {"v": [30.0, 0]}})}
LINES = {
    "tvr": ("tvr_val_release.jsonl", tvr_lines(BOTH)),
    "jsonl": ("val.jsonl", jsonl_lines(BOTH, SECONDS)),
}
OBJECTS = {
    "activitynet_cd": ("anet_val.json", activitynet_entries(BOTH, SECONDS)),
    "didemo": ("val_data.json", didemo_entries(BOTH, SECONDS)),
}
WRONG = st.sampled_from([None, True, False, {}, {"a": 1}, 10**400])  # of whatever kind a field is


def assert_reads_or_refuses(name: str, path: Path, where: str) -> None:
    """The files are read, or refused with a ValueError that begins with the place."""
    try:
        read_annotations(name, path)
    except ValueError as error:
        assert re.match(where, str(error)), error


@st.composite
def corrupted(draw, value):
    """A JSON value of which some part, at any depth, is left out or another one."""
    places = list(value) if isinstance(value, dict) else list(range(len(value)))
    place = draw(st.sampled_from(places))
    part = value[place]
    if isinstance(part, dict | list) and part and draw(st.booleans()):
        replaced = {place: draw(corrupted(part))}
    else:
        replaced = draw(st.just({}) | st.builds(lambda other: {place: other}, VALUES))
    kept = {other: value[other] for other in places if other != place} | replaced
    return kept if isinstance(value, dict) else [kept[other] for other in sorted(kept)]


@pytest.mark.parametrize("name", LINES)
@given(st.data())
def test_a_line_without_a_field_or_of_another_kind_is_refused(directory, name, data):
    file, (good, entry) = LINES[name]
    key = data.draw(st.sampled_from(sorted(entry)))
    bad = {other: value for other, value in entry.items() if other != key}
    if key == "relevant_windows":  # may be absent, or null
        bad[key] = data.draw(WRONG.filter(lambda value: value is not None) | st.just(""))
    elif data.draw(st.booleans()):
        bad[key] = data.draw(WRONG)
    write(directory, INDEX | {file: json_lines([good, bad])})
    with pytest.raises(ValueError, match=re.escape(f"{directory / file}:2: ")):
        read_annotations(name, directory)


@pytest.mark.parametrize("name", OBJECTS)
@given(st.data())
def test_an_object_without_a_field_or_of_another_kind_is_refused(directory, name, data):
    file, value = OBJECTS[name]
    entry = value["v"] if isinstance(value, dict) else value[1]
    key = data.draw(st.sampled_from(sorted(entry)))
    bad = {other: value for other, value in entry.items() if other != key}
    if data.draw(st.booleans()):
        bad[key] = data.draw(WRONG)
    write(directory, {file: json.dumps({"v": bad} if isinstance(value, dict) else [value[0], bad])})
    with pytest.raises(ValueError, match=re.escape(f"{directory / file}: ")):
        read_annotations(name, directory)


@pytest.mark.parametrize("name", LINES)
@settings(max_examples=150)
@given(st.data())
def test_a_corrupted_line_is_read_or_refused_with_its_place(directory, name, data):
    file, (good, entry) = LINES[name]
    write(directory, INDEX | {file: json_lines([good, data.draw(corrupted(entry))])})
    assert_reads_or_refuses(name, directory, re.escape(f"{directory / file}:2: "))


@pytest.mark.filterwarnings("ignore:overflow encountered")  # of chunks beyond float64 in seconds
@pytest.mark.parametrize("name", OBJECTS)
@settings(max_examples=150)
@given(st.data())
def test_a_corrupted_object_is_read_or_refused_with_its_place(directory, name, data):
    file, value = OBJECTS[name]
    write(directory, {file: json.dumps(data.draw(corrupted(value) | VALUES))})
    assert_reads_or_refuses(name, directory, re.escape(f"{directory / file}: "))


@settings(max_examples=150)
@given(st.data())
def test_the_index_and_subtitles_of_tvr_are_read_or_refused_with_their_place(directory, data):
    file, lines = LINES["tvr"]
    index = {"val": {"v": [30.0, 0], "w": [20.0, 1]}}
    spoken = {"vid_name": "v", "sub": [{"text": "hello", "start": 1.5, "end": 2.0}]}
    if data.draw(st.booleans()):
        index, place = data.draw(corrupted(index) | VALUES), "tvr_video2dur_idx.json: "
    else:
        spoken, place = data.draw(corrupted(spoken)), "tvqa_preprocessed_subtitles.jsonl:1: "
    files = {
        file: json_lines(lines),
        "tvr_video2dur_idx.json": json.dumps(index),
        "tvqa_preprocessed_subtitles.jsonl": json_lines([spoken]),
    }
    write(directory, files)
    assert_reads_or_refuses("tvr", directory, re.escape(f"{directory}/{place}"))


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("charades_sta", "charades_sta_train.txt"),
        ("tvr", "tvr_val_release.jsonl"),
        ("jsonl", "val.jsonl"),
    ],
)
@given(line=st.binary(max_size=30) | st.text(max_size=30).map(str.encode))
def test_any_bytes_in_a_line_are_read_or_refused_with_their_place(directory, name, file, line):
    write(directory, charades_files(BOTH, SECONDS) | INDEX | {file: b"\n" + line})
    assert_reads_or_refuses(name, directory, re.escape(str(directory / file)) + r":\d+: ")


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("activitynet_cg", "train.json"),
        ("didemo", "val_data.json"),
        ("tvr", "tvr_video2dur_idx.json"),
    ],
)
@given(content=st.binary(max_size=30) | st.text(max_size=30).map(str.encode))
def test_any_bytes_in_a_json_file_are_refused_with_its_name(directory, name, file, content):
    write(directory, {LINES["tvr"][0]: json_lines(LINES["tvr"][1])} | {file: content})
    assert_reads_or_refuses(name, directory, re.escape(str(directory / file)))


@given(
    table=st.binary(max_size=40)
    | st.text(max_size=40).map(lambda text: f"id,length\n{text}".encode())
)
def test_any_bytes_in_charades_durations_are_read_or_refused_with_the_files_name(directory, table):
    name = "Charades_v1_train.csv"
    write(directory, charades_files(BOTH, SECONDS) | {name: table})
    try:
        read_annotations("charades_sta", directory)
    except FileNotFoundError as error:  # no row at all
        assert "no durations" in str(error)
    except ValueError as error:
        assert str(directory / name) in str(error)


@given(st.data())
def test_reading_repairs_moments_into_their_videos(directory, data):
    """After the repair every training moment is inside its video, and evaluation keeps all."""
    duration = data.draw(st.floats(1, 100))
    windows = data.draw(st.lists(st.lists(st.floats(-50, 150), min_size=2, max_size=2), min_size=1))
    line = jsonl_lines([FIRST], {"v": duration})[0] | {"relevant_windows": windows}
    write(directory, {f"{split}.jsonl": json_lines([line]) for split in ("train", "val")})
    found = read_annotations("jsonl", directory)
    for record in found.splits["train"]:
        start, end = record.moments.T
        assert ((start >= 0) & (start < end) & (end <= duration)).all()
    assert [len(record.moments) for record in found.splits["val"]] == [len(windows)]
    inside = data.draw(moments(duration))
    write(directory, {"val.jsonl": json_lines([line | {"relevant_windows": inside.tolist()}])})
    again = read_annotations("jsonl", directory).splits["val"][0]
    np.testing.assert_array_equal(again.moments, inside)
