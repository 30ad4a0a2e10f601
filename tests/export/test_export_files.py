"""Results as tables, subtitles, timelines and a contact sheet, and played."""

import csv
import json
import stat
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import fill
from tests.video.films import write_film
from vmr_jax.export.contact_sheet import MOST, write_contact_sheet
from vmr_jax.export.export import export_results
from vmr_jax.export.options import Exports
from vmr_jax.export.results import Result, clock
from vmr_jax.export.subtitles import write_srt
from vmr_jax.export.tables import write_csv, write_jsonl
from vmr_jax.export.timecode import rate_of, timecode
from vmr_jax.export.timelines import write_edl, write_otio
from vmr_jax.output_files import FullDiskError

NTSC = 30000 / 1001
DOOR = 'she says "open,\nthe door"'
RESULTS = [
    Result("kitchen", Path("k.mp4"), 62.0004, 65.5, 0.9, DOOR),
    Result("hall", Path("h.mp4"), 1, 2, 0.5, DOOR),
    Result("kitchen", Path("k.mp4"), 3, 4.25, 0.25, "a dog"),
]


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    path = tmp_path_factory.mktemp("film") / "ntsc.mp4"
    times = [index / NTSC for index in range(120)]
    return write_film(path, times, rate=30, clock=Fraction(1, 30_000), sound=4.0)


@pytest.fixture(scope="module")
def silent(tmp_path_factory):
    path = tmp_path_factory.mktemp("film") / "silent.mp4"
    return write_film(path, [index / 25 for index in range(100)], group=100)


def test_seconds_on_the_clock():
    times = (0, 9.96, 59.97, 3725.25)
    assert [clock(s) for s in times] == ["00:00.0", "00:10.0", "01:00.0", "62:05.2"]


def test_tables_have_the_same_rows(tmp_path):
    write_csv(tmp_path / "r.csv", RESULTS)
    write_jsonl(tmp_path / "r.jsonl", RESULTS)
    rows = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()]
    assert rows[0] == {
        "query": DOOR,
        "rank": 1,
        "video": "kitchen",
        "path": "k.mp4",
        "start_s": 62.0,
        "end_s": 65.5,
        "score": 0.9,
    }
    assert [row["rank"] for row in rows] == [1, 2, 1]
    with (tmp_path / "r.csv").open(newline="") as file:
        assert [
            row
            | {"rank": int(row["rank"])}
            | {name: float(row[name]) for name in ("start_s", "end_s", "score")}
            for row in csv.DictReader(file)
        ] == rows


def test_subtitles_are_of_the_first_ones_video_in_the_order_of_time(tmp_path):
    assert write_srt(tmp_path / "r.srt", RESULTS) == [RESULTS[2], RESULTS[0]]
    assert (tmp_path / "r.srt").read_text() == (
        "1\n00:00:03,000 --> 00:00:04,250\n#1 0.25 a dog\n\n"
        '2\n00:01:02,000 --> 00:01:05,500\n#1 0.9 she says "open, the door"\n'
    )
    with pytest.raises(ValueError, match="there are no results to write as subtitles"):
        write_srt(tmp_path / "none.srt", [])


@pytest.mark.parametrize(
    ("rate", "frame", "code"),
    [
        (25, 25 * 3600 + 26, "01:00:01:01"),
        (24000 / 1001, 24 * 60, "00:01:00:00"),
        (NTSC, 1799, "00:00:59;29"),
        (NTSC, 1800, "00:01:00;02"),
        (NTSC, 17981, "00:09:59;29"),
        (NTSC, 17982, "00:10:00;00"),
        (NTSC, 107892, "01:00:00;00"),
        (60000 / 1001, 3600, "00:01:00;04"),
        (30, 30 * 24 * 3600, "00:00:00:00"),
    ],
)
def test_time_codes(rate, frame, code):
    assert timecode(frame, rate_of(rate)) == code


def test_rates():
    assert rate_of(29.97022957) == (Fraction(30000, 1001), 30, True)
    assert rate_of(24.7) == (25, 25, False)
    assert rate_of(float("nan")).exact == 25
    assert rate_of(23.98) == (Fraction(24000, 1001), 24, False)
    assert rate_of(12) == (12, 12, False)


def test_time_codes_are_those_of_opentimelineio():
    otio = pytest.importorskip("opentimelineio", reason="the extra otio is not installed")
    for fps in (24000 / 1001, 24, 25, NTSC, 50, 60000 / 1001):
        rate = rate_of(fps)
        for frame in np.random.default_rng(0).integers(0, 24 * 3600 * 23, 200).tolist():
            time = otio.opentime.RationalTime(frame, float(rate.exact))
            assert timecode(frame, rate) == otio.opentime.to_timecode(
                time, float(rate.exact), drop_frame=rate.drop
            )


def test_an_edit_decision_list(tmp_path, film, silent):
    results = [Result("a", film, 1, 2.5, 0.9, DOOR), Result("b", silent, 0.5, 0.501, 0.5, DOOR)]
    out = tmp_path / "r.edl"
    assert write_edl(out, results) == [
        f"{out}: an EDL has one frame rate, here 29.97; the times of videos of 25 are rounded to it"
    ]
    assert out.read_text() == (
        'TITLE: she says "open, the door"\n'
        "FCM: DROP FRAME\n\n"
        "001  AX       B     C        00:00:01;00 00:00:02;15 01:00:00;00 01:00:01;15\n"
        f"* FROM CLIP NAME: ntsc.mp4\n* SOURCE FILE: {film}\n"
        '* COMMENT: #1 0.9 she says "open, the door"\n'
        "002  AX       V     C        00:00:00;15 00:00:00;16 01:00:01;15 01:00:01;16\n"
        f"* FROM CLIP NAME: silent.mp4\n* SOURCE FILE: {silent}\n"
        '* COMMENT: #2 0.5 she says "open, the door"\n'
    )
    assert write_edl(out, results[1:]) == []
    assert out.read_text().splitlines()[1:4] == [
        "FCM: NON-DROP FRAME",
        "",
        "001  AX       V     C        00:00:00:12 00:00:00:13 01:00:00:00 01:00:00:01",
    ]
    with pytest.raises(FileNotFoundError, match=r"no video at k\.mp4"):
        write_edl(out, RESULTS)
    with pytest.raises(ValueError, match="there are no results to put on a timeline"):
        write_edl(out, [])


def test_an_opentimelineio_timeline(tmp_path, film, silent):
    otio = pytest.importorskip("opentimelineio", reason="the extra otio is not installed")
    results = [Result("a", film, 1, 2.5, 0.9, "a dog"), Result("b", silent, 0.5, 2, 0.5, "a dog")]
    write_otio(tmp_path / "r.otio", results)
    timeline = otio.adapters.read_from_file(str(tmp_path / "r.otio"))
    video, audio = timeline.tracks
    assert (timeline.name, video.kind, audio.kind) == ("a dog", "Video", "Audio")
    first, second = video
    assert first.media_reference.target_url == film.as_uri()
    assert first.metadata["vmr_jax"] == {"rank": 1, "score": 0.9, "query": "a dog"}
    assert first.source_range.start_time.to_seconds() == pytest.approx(1, abs=1 / 60)
    assert first.source_range.duration.value == 45
    assert second.source_range.start_time == otio.opentime.RationalTime(12, 25)
    assert second.media_reference.available_range.duration.to_seconds() == 4
    assert [type(item).__name__ for item in audio] == ["Clip", "Gap"]
    assert audio.duration() == video.duration()


def test_opentimelineio_is_an_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "opentimelineio", None)
    with pytest.raises(ValueError, match=r"install it with: pip install 'vmr_jax\[otio\]'"):
        Exports(otio=tmp_path / "r.otio").check()


def test_a_contact_sheet_shows_the_middle_of_each(tmp_path, film, silent):
    gone = tmp_path / "gone.mp4"
    results = [
        Result("ntsc", film, 0.9, 1.1, 0.9, "a dog"),
        Result("silent", silent, 1.0, 1.08, 0.5, "a dog"),
        Result("gone", gone, 1, 2, 0.1, "a dog"),
        Result("силует — a name that is far too long for the width of a picture", film, 0, 1, 0.1),
        Result("late", film, 8, 9, 0.1, "a dog"),
    ]
    out = tmp_path / "sheet.png"
    assert write_contact_sheet(out, results) == [
        f"{out}: no picture of result 3: no video at {gone}",
        f"{out}: no picture of result 4: {film}: no frame at 8.5 s; it ends at 4.00 s",
    ]
    sheet = np.asarray(Image.open(out))
    assert sheet.shape == (2 * 228 + 8, 4 * 328 + 8, 3)
    grey = [int(sheet[150, 8 + column * 328 + 200].mean()) for column in range(3)]
    assert grey == [pytest.approx(0, abs=3), pytest.approx(26 * 8, abs=3), 0xD9]
    texts = [sheet[190:206, 8 + column * 328 : 328 + column * 328] for column in range(4)]
    assert all(text.min() < 80 for text in texts)
    many = write_contact_sheet(tmp_path / "many.jpg", [results[2]] * (MOST + 1))
    assert many[0] == f"{tmp_path}/many.jpg: the first {MOST} of {MOST + 1} results"
    assert Image.open(tmp_path / "many.jpg").format == "JPEG"


def test_a_full_disk_leaves_no_half_sheet(small_disk, film):
    fill(small_disk, free=100)
    with pytest.raises(FullDiskError, match=r"no space is left for .*sheet\.png"):
        write_contact_sheet(small_disk / "sheet.png", [Result("ntsc", film, 1, 2, 0.9)])
    assert [path.name for path in small_disk.iterdir()] == ["other"]


def test_exports_say_what_was_made(tmp_path, silent):
    lines = []
    results = [Result("silent", silent, 1, 2, 0.9, "a dog")]
    results += [Result("gone", tmp_path / "gone.mp4", second, 9, 0.5, "a dog") for second in (1, 2)]
    exports = Exports(cut=tmp_path / "clips", csv=tmp_path / "r.csv")
    assert not export_results(results, exports, lines.append)
    first = tmp_path / "clips/01-silent-1.00-2.00.mp4"
    assert lines[0] == f"{tmp_path}/r.csv: 3 results"
    assert lines[1].startswith(f"{first}: ") and lines[1].endswith(" s after the key frame")
    moved = "if it was moved or deleted, run `vmr index` again"
    assert lines[2] == f"not cut: no video at {tmp_path}/gone.mp4; {moved}"
    assert export_results([], exports, lines.append) and export_results([], Exports(), lines.append)
    assert lines[3:] == ["nothing was found, so that nothing is written"]
    with pytest.raises(ValueError, match="--open 4: the results are 3"):
        export_results(results, Exports(play=4), lines.append)


def test_a_result_is_played_from_its_start(tmp_path, monkeypatch, silent):
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    lines, results = [], [Result("silent", silent, 1.25, 2, 0.9, "a dog")]

    def played(player):
        script, said = tmp_path / player, tmp_path / f"{player}.txt"
        script.write_text(f'#!/bin/sh\necho "$@" > {said}.part && mv {said}.part {said}\n')
        script.chmod(script.stat().st_mode | stat.S_IEXEC)
        assert export_results(results, Exports(play=1), lines.append)
        for _ in range(200):
            if said.exists():
                return said.read_text().split()
            time.sleep(0.05)
        raise AssertionError(f"{player} was not started")

    assert played("xdg-open") == [str(silent)]
    assert played("mpv") == ["--start=1.25", str(silent)]
    assert lines == [f"opened {silent} at 00:01.2"] * 2
