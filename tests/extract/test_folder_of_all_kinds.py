"""One command over a folder of every kind of video: right times, and a report of what fails."""

import os
from fractions import Fraction
from pathlib import Path

import av
import h5py
import numpy as np
import pytest

from tests.command_line import vmr
from tests.extract.tiny import TINY
from tests.video.films import cut, write_film, write_sound
from vmr_jax.encoders import images

REAL = os.environ.get("VMR_DATA_DIR")
EVEN = [index / 10 for index in range(30)]  # 3 s
UNEVEN = [0, 0.04, 0.08, 0.4, 0.44, 0.9, 1.0, 1.3, 1.34, 1.7, 2.1, 2.14, 2.6, 2.9]
FILMS = {
    "plain.mp4": {},
    "portrait.mp4": {"rotation": 90},
    "upside_down.mp4": {"rotation": 180},
    "uneven.mp4": {"times": UNEVEN},
    "late.mkv": {"times": [5 + time for time in UNEVEN]},
    "ten_bit.mp4": {"pixels": "yuv420p10le"},
    "interlaced.mp4": {"options": {"x264-params": "interlaced=1"}},
    "alpha.mov": {"codec": "qtrle", "pixels": "argb"},
    "odd.mov": {"pixels": "yuv444p", "size": (63, 47)},
    "wide_pixels.mp4": {"aspect": Fraction(4, 3)},
    "with_sound.mp4": {"sound": 3.0},
}
FPS = 2


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A feature file of a folder, what the command printed, and the folder."""
    folder = tmp_path_factory.mktemp("films")
    for name, film in FILMS.items():
        film = dict(film)
        write_film(folder / name, film.pop("times", EVEN), rate=10, **film)
    cut(write_film(folder / "truncated.mp4", EVEN, rate=10, noise=True), 0.6)
    (folder / "empty.mp4").touch()
    (folder / "text.mp4").write_text("no video\n" * 50)
    write_sound(folder / "sound.mp4", 1)
    for path in sorted(Path(REAL, "sample_video").glob("*.mp4")) if REAL else ():
        (folder / path.name).symlink_to(path)
    out = tmp_path_factory.mktemp("out") / "clip.h5"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(images.ENCODERS, "tiny", TINY)
        given = "--encoder", "tiny", "--random-weights", "--fps", FPS, "--jobs", 2, "--out", out
        return out, vmr("extract", folder, *given), folder


def stamps(path: Path) -> np.ndarray:
    """The seconds at which a file's frames are shown, as its packets say, from the first on."""
    with av.open(path) as file:
        stream = file.streams.video[0]
        found = sorted(float(p.pts * p.time_base) for p in file.demux(stream) if p.pts is not None)
    return np.array(found) - found[0]


def test_the_four_that_fail_are_reported_and_all_others_are_there(made):
    out, result, folder = made
    assert result.exit_code == 1
    told = result.stderr.splitlines()
    assert told[0] == "4 videos have no features:"
    assert told[1] == f"  empty: {folder}/empty.mp4 is empty (0 bytes)"
    assert told[2] == f"  sound: {folder}/sound.mp4 has sound only, no video stream"
    assert told[3].startswith(f"  text: {folder}/text.mp4 is no video that FFmpeg reads")
    assert told[4].startswith(f"  truncated: {folder}/truncated.mp4: the last good frame is at 1.")
    failed = {"empty", "sound", "text", "truncated"}
    with h5py.File(out) as file:
        assert set(file) == {path.stem for path in folder.iterdir()} - failed


def test_each_row_is_of_the_frame_nearest_to_its_time(made):
    """So it is at most half the distance of two frames off."""
    out, _, folder = made
    with h5py.File(out) as file:
        for path in sorted(folder.iterdir()):
            if path.stem not in file:
                continue
            times, shown = file[path.stem].attrs["times"], stamps(path)
            targets = np.arange(len(times)) / FPS
            nearest = np.abs(shown[:, None] - targets).min(axis=0)
            assert np.abs(np.abs(times - targets) - nearest).max() < 0.003, path.name
            known = np.abs(shown[:, None] - times).min(axis=0)
            assert known.max() < 0.003, path.name  # they are stamps, to a millisecond
            assert targets[-1] + 1 / FPS >= shown[-1], path.name  # to the end


def test_kinds_of_pictures_have_the_rows_of_a_plain_one(made):
    out, _, _ = made
    with h5py.File(out) as file:
        rows = {name: file[name][()].astype(np.float32) for name in file}
    assert {rows[Path(name).stem].shape for name in FILMS} == {(6, 8)}
    for name in ("ten_bit", "interlaced", "alpha", "with_sound"):
        np.testing.assert_allclose(rows[name], rows["plain"], atol=0.1, err_msg=name)
    assert np.abs(rows["upside_down"] - rows["plain"]).max() > 0.1  # the white quarter moved
