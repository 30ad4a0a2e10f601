"""Frames are those of the times asked for: their grey levels are their numbers."""

import os
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.video.films import cut, number, write_film, write_sound
from vmr_jax.video.decode import read_info, sample_frames
from vmr_jax.video.reader import BrokenVideoError, Reader
from vmr_jax.video.sampling import Sampling

REAL = os.environ.get("VMR_DATA_DIR")
TENTHS = {"rate": 10, "clock": Fraction(1, 10)}
EVEN = [index / 10 for index in range(30)]  # 3 s
# A phone's: frames come faster, then slower, then after a gap.
UNEVEN = [0, 0.03, 0.07, 0.3, 0.5, 0.55, 0.6, 1.4, 1.45, 1.5, 2.5, 2.6, 2.65, 2.9]


def nearest(times, target):
    return min(range(len(times)), key=lambda index: (abs(times[index] - target), index))


def read(path, **sampling):
    """(times, numbers) of the frames that are sampled."""
    frames = list(sample_frames(path, Sampling(**sampling)))
    return [frame.time for frame in frames], [number(frame.image) for frame in frames]


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.avi", "a.webm"])
@pytest.mark.parametrize("fps", [0.7, 2, 4, 10])
def test_frames_of_every_container_are_those_nearest_to_the_times(tmp_path, name, fps):
    codec = {"a.avi": "mpeg4", "a.webm": "libvpx"}.get(name, "libx264")
    fast = {"deadline": "realtime", "cpu-used": "8"} if name == "a.webm" else {}
    path = write_film(tmp_path / name, EVEN, codec=codec, options=fast, **TENTHS)
    times, numbers = read(path, fps=fps)
    targets = np.arange(0, 3 - 1e-9, 1 / fps)
    assert len(times) == len(targets)
    np.testing.assert_allclose(times, [EVEN[n] for n in numbers], atol=0.002)
    assert np.abs(np.array(times) - targets).max() <= 0.05 + 0.002
    assert read_info(path).duration == pytest.approx(3, abs=0.07)


@pytest.mark.parametrize("group", [3, 10, 300])
@pytest.mark.parametrize("start", [0, 5])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_a_variable_rate_and_a_late_start(tmp_path, group, start, suffix):
    path = write_film(tmp_path / f"a{suffix}", [start + t for t in UNEVEN], group=group)
    targets = (0.04, 0.41, 1.01, 1.46, 2.1, 2.57, 2.9)
    times, numbers = read(path, times=targets)
    assert numbers == [nearest(UNEVEN, target) for target in targets]
    np.testing.assert_allclose(times, [UNEVEN[n] for n in numbers], atol=0.001)
    assert read_info(path).start == pytest.approx(start, abs=0.08)  # MPEG-TS begins by decoding


def test_every_frame_and_every_third(tmp_path):
    path = write_film(tmp_path / "a.mp4", UNEVEN)
    times, numbers = read(path, every=1)
    assert numbers == list(range(14))
    np.testing.assert_allclose(times, UNEVEN, atol=1e-6)
    assert read(path, every=3)[1] == [0, 3, 6, 9, 12]


def test_the_centres_of_clips(tmp_path):
    path = write_film(tmp_path / "a.mp4", EVEN)
    assert read(path, clip_seconds=1)[1] == [5, 15, 25]
    # the last clip begins at 2 s, its centre is behind the end at 3 s
    assert read(path, clip_seconds=2)[1] == [10, 29]
    assert read(path, clip_seconds=100)[1] == [29]


def test_sound_that_begins_earlier_is_where_time_begins(tmp_path):
    path = write_film(tmp_path / "a.mkv", [1 + t for t in EVEN], sound=3.5)
    times, numbers = read(path, fps=1)
    assert numbers == [0, 0, 10, 20]
    np.testing.assert_allclose(times, [1, 1, 2, 3], atol=0.2)  # less what an encoder of sound adds


def test_an_edit_list_leaves_out_what_it_cuts(tmp_path):
    """Copying from 0.5 s on keeps the key frame before that, and an edit list hides it."""
    path = write_film(tmp_path / "a.mp4", EVEN, group=100)
    edited = tmp_path / "edited.mp4"
    with av.open(path) as source, av.open(edited, "w") as file:
        stream = file.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.pts -= round(0.5 / packet.time_base)
                packet.dts -= round(0.5 / packet.time_base)
                packet.stream = stream
                file.mux(packet)
    times, numbers = read(edited, every=1)
    assert numbers == list(range(5, 30))
    np.testing.assert_allclose(times, np.arange(25) / 10, atol=0.001)


@pytest.mark.parametrize("rotation", [0, 90, 180, -90])
@pytest.mark.parametrize("mirrored", [False, True])
def test_what_is_recorded_sideways_is_turned(tmp_path, rotation, mirrored):
    plain = write_film(tmp_path / "plain.mp4", EVEN[:3])
    path = write_film(tmp_path / "a.mp4", EVEN[:3], rotation=rotation, mirrored=mirrored)
    (frame,) = sample_frames(path, Sampling(times=(0.0,)))
    (upright,) = sample_frames(plain, Sampling(times=(0.0,)))
    wanted = np.rot90(upright.image, rotation // 90)
    wanted = wanted[:, ::-1] if mirrored else wanted
    assert np.abs(frame.image.astype(int) - wanted).max() <= 2
    info = read_info(path)
    assert (info.height, info.width) == frame.image.shape[:2]
    assert frame.image.flags.c_contiguous


def test_pixels_become_square(tmp_path):
    path = write_film(tmp_path / "a.mp4", EVEN[:3], aspect=Fraction(4, 3))
    (frame,) = sample_frames(path, Sampling(times=(0.0,)))
    assert frame.image.shape == (48, 85, 3)
    assert read_info(path)[2:4] == (85, 48)


@pytest.mark.parametrize(
    "film",
    [
        {"pixels": "yuv420p10le"},
        {"pixels": "yuv444p", "size": (63, 47)},
        {"codec": "qtrle", "pixels": "argb"},
        {"codec": "libx265", "options": {"x265-params": "log-level=0"}},
        {"codec": "mpeg2video", "clock": Fraction(1, 25)},
        {"options": {"x264-params": "interlaced=1"}},
        {"codec": "ffv1", "pixels": "yuv420p"},
    ],
    ids=str,
)
def test_kinds_of_pictures(tmp_path, film):
    suffix = ".mkv" if film.get("codec") == "ffv1" else ".mov"
    path = write_film(tmp_path / f"a{suffix}", [i / 25 for i in range(25)], **film)
    frames = list(sample_frames(path, Sampling(fps=5)))
    assert [number(frame.image) for frame in frames] == [0, 5, 10, 15, 20]
    width, height = film.get("size", (64, 48))
    assert {frame.image.shape for frame in frames} == {(height, width, 3)}
    assert {frame.image.dtype for frame in frames} == {np.dtype(np.uint8)}
    assert np.abs(frames[0].image[2, 2].astype(int) - 255).max() < 12  # white, in every format


LONG = [index / 10 for index in range(400)]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_long_steps_skip_from_key_frame_to_key_frame(tmp_path, suffix, monkeypatch):
    path = write_film(tmp_path / f"a{suffix}", LONG, options={"sc_threshold": "0"})
    decoded = []
    take = Reader.__next__
    monkeypatch.setattr(Reader, "__next__", lambda self: decoded.append(1) or take(self))
    _, numbers = read(path, fps=0.1)
    assert numbers == [0, 100 % 30, 200 % 30, 300 % 30]
    assert len(decoded) < 100
    decoded.clear()
    assert read(path, fps=2)[1] == [index * 5 % 30 for index in range(80)]
    assert len(decoded) <= 401


@pytest.mark.parametrize(
    ("suffix", "film"),
    [
        (".mp4", {"options": {"x264-params": "open-gop=1:bframes=3"}}),
        (".ts", {"options": {"x264-params": "open-gop=1:bframes=3"}}),
        (".mp4", {"codec": "libx265", "options": {"x265-params": "open-gop=1:log-level=0"}}),
        (".mkv", {"codec": "libx265", "options": {"x265-params": "open-gop=1:log-level=0"}}),
        (".ts", {"codec": "mpeg2video", "clock": Fraction(1, 10), "rate": 10}),
        (".frag.mp4", {}),
        (".avi", {"codec": "mpeg4", "clock": Fraction(1, 10), "rate": 10}),
        (".webm", {"codec": "libvpx", "options": {"deadline": "realtime", "cpu-used": "8"}}),
    ],
    ids=str,
)
@pytest.mark.parametrize("step", [0.9, 3.3])
def test_skipping_to_groups_of_every_kind_meets_the_right_frames(tmp_path, suffix, film, step):
    path = write_film(tmp_path / f"a{suffix}", LONG[:150], group=12, **film)
    times, numbers = read(path, times=tuple(np.arange(0, 14.9, step) + 0.02))
    wanted = [round(target * 10) for target in np.arange(0, 14.9, step)]
    assert numbers == [index % 30 for index in wanted]
    np.testing.assert_allclose(times, np.array(wanted) / 10, atol=0.002)


def test_program_streams_have_the_right_times_at_long_steps(tmp_path):
    film = {"codec": "mpeg2video", "clock": Fraction(1, 25), "group": 12}
    path = write_film(tmp_path / "a.mpg", [index / 25 for index in range(250)], **film)
    times, numbers = read(path, fps=0.5)
    assert numbers == [index * 50 % 30 for index in range(5)]
    np.testing.assert_allclose(times, [0, 2, 4, 6, 8], atol=0.001)


def test_what_a_header_promises_and_the_file_lacks(tmp_path):
    path = write_film(tmp_path / "a.mp4", EVEN, sound=3.6)
    assert read(path, fps=4)[1] == [nearest(EVEN, k / 4) for k in range(12)]
    with pytest.raises(ValueError, match=r"a\.mp4: no frame at 3\.5 s; it ends at 2\.94 s$"):
        read(path, times=(1.0, 3.5))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
@pytest.mark.parametrize("sampling", [{"fps": 5}, {"fps": 0.5}, {"every": 2}], ids=str)
def test_a_truncated_file_gives_what_it_has_and_says_the_second(tmp_path, suffix, sampling):
    times = [index / 10 for index in range(60)]
    codec = "mpeg4" if suffix == ".avi" else "libx264"
    path = cut(write_film(tmp_path / f"a{suffix}", times, codec=codec, **TENTHS, noise=True), 0.6)
    frames = []
    with pytest.raises(BrokenVideoError, match=r"the last good frame is at \d\.\d0 s") as error:
        frames.extend(sample_frames(path, Sampling(**sampling)))
    second = error.value.second
    assert 0.5 < second < 5
    with pytest.raises(BrokenVideoError) as whole:
        frames.extend(sample_frames(path, Sampling(every=1)))
    assert second == whole.value.second


def test_a_damaged_middle_ends_a_video_there(tmp_path):
    path = write_film(tmp_path / "a.mkv", LONG[:60], noise=True, **TENTHS)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 2000] = bytes(2000)
    path.write_bytes(content)
    with pytest.raises(BrokenVideoError, match=r"a\.mkv: the last good frame is at .* damaged"):
        list(sample_frames(path, Sampling(every=1), threads=1))  # several lose it, very rarely


def test_time_stamps_that_jump_by_hours_are_refused(tmp_path):
    path = write_film(tmp_path / "a.mkv", [0, 0.1, 0.2, 40_000, 40_000.1])
    with pytest.raises(BrokenVideoError, match=r"frame is at 0\.20 s .* stamps jump to 40000 s"):
        read(path, fps=0.01)


def test_tags_in_another_encoding_harm_nothing(tmp_path):
    path = write_film(tmp_path / "a.mp4", EVEN[:3], title="caf?")
    path.write_bytes(path.read_bytes().replace(b"caf?", b"caf\xe9"))
    assert read(path, every=1)[1] == [0, 1, 2]


def message(path, **limits) -> str:
    with pytest.raises((ValueError, OSError)) as error:
        list(sample_frames(path, Sampling(fps=1), **limits))
    assert "\n" not in str(error.value)
    return str(error.value).removeprefix(f"{path}")


def test_what_is_no_video_is_said_in_a_line(tmp_path):
    (empty := tmp_path / "empty.mp4").touch()
    assert message(empty) == " is empty (0 bytes)"
    (text := tmp_path / "text.mp4").write_text("no video\n" * 100)
    assert message(text) == (
        " is no video that FFmpeg reads, or it is incomplete (Invalid data found when processing "
        "input)"
    )
    assert message(write_sound(tmp_path / "sound.m4a", 1)) == " has sound only, no video stream"
    assert message(tmp_path / "none.mp4") == f"no video at {tmp_path / 'none.mp4'}"
    assert "is a directory" in message(tmp_path)
    path = write_film(tmp_path / "a.mp4", EVEN[:3])
    assert message(path, max_pixels=3000) == ": frames of 64 x 48; the limit is 3,000"
    (listed := tmp_path / "list.mp4").write_text("ffconcat version 1.0\nfile a.mp4\n")
    assert message(listed) == " is a list of other files (concat), no video"


def test_without_pyav_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ValueError, match=r"pip install 'vmr_jax\[video\]'"):
        read_info(tmp_path / "a.mp4")


@pytest.mark.parametrize(
    ("sampling", "said"),
    [
        ({}, "found none of them"),
        ({"fps": 1, "every": 2}, "found fps, every"),
        ({"fps": 0}, "fps is 0; expected a positive number"),
        ({"every": 1.5}, "every is 1.5; expected a positive number"),
        ({"times": (1.0, 0.5)}, "each once, in order"),
        ({"times": ()}, "each once, in order"),
    ],
)
def test_a_sampling_that_means_nothing_is_refused(sampling, said):
    with pytest.raises(ValueError, match=said):
        Sampling(**sampling)


@pytest.mark.skipif(not REAL, reason="VMR_DATA_DIR is not set")
def test_real_videos_have_a_frame_each_two_seconds():
    paths = sorted(Path(REAL or "", "sample_video").glob("*.mp4"))
    assert paths
    for path in paths:
        info = read_info(path)
        frames = list(sample_frames(path, Sampling(fps=0.5)))
        assert len(frames) == np.ceil(info.duration / 2)
        gaps = np.array([frame.time for frame in frames]) - np.arange(len(frames)) * 2
        assert np.abs(gaps).max() <= 0.5 / info.rate + 0.03
        assert {frame.image.shape for frame in frames} == {(info.height, info.width, 3)}
