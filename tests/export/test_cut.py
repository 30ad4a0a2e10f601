"""Clips cut out of films: which frames and which sound they have, how long they are, what fails."""

from fractions import Fraction

import av
import numpy as np
import pytest

from tests.conftest import fill
from tests.video import films
from tests.video.films import number, write_film
from vmr_jax.export import encoded
from vmr_jax.export.cut import cut, cut_results
from vmr_jax.export.results import Result
from vmr_jax.output_files import FullDiskError
from vmr_jax.video.decode import read_info, sample_frames
from vmr_jax.video.sampling import Sampling

FRAME = 1 / 25
TIMES = [index * FRAME for index in range(100)]  # 4 s
UNEVEN = list(np.cumsum(np.random.default_rng(1).uniform(0.02, 0.2, 60)))  # 6.8 s
TONE = 2.0  # seconds of silence before it


def frames(path):
    """(seconds, number) of the frames of a film."""
    return [(frame.time, number(frame.image)) for frame in sample_frames(path, Sampling(every=1))]


def write_with_tone(path, subtitle=""):
    """A film of 4 s, silent until TONE and loud from then on; with a subtitle at 2 s."""
    with av.open(path, "w") as file:
        stream = file.add_stream("libx264", rate=25, width=64, height=48, pix_fmt="yuv420p")
        stream.codec_context.gop_size = 10
        sound = file.add_stream("aac", rate=16_000, layout="mono")
        text = file.add_mux_stream("subrip") if subtitle else None
        if text:
            text.time_base = Fraction(1, 1000)
        loud = np.sin(np.arange(64_000) * 0.2).astype(np.float32)[None]
        loud[:, : int(16_000 * TONE)] = 0
        frame = av.AudioFrame.from_ndarray(loud, "fltp", "mono")
        frame.sample_rate, frame.pts = 16_000, 0
        packets = [*sound.encode(frame), *sound.encode()]
        for index in range(100):
            image = av.VideoFrame.from_ndarray(np.full((48, 64, 3), index * 8 % 240, np.uint8))
            packets += stream.encode(image)
        packets += stream.encode()
        if text:
            packet = av.Packet(subtitle.encode())
            packet.stream, packet.time_base = text, text.time_base
            packet.pts = packet.dts = 2000
            packet.duration = 1000
            packets.append(packet)
        for packet in sorted(packets, key=lambda one: one.dts * one.time_base):
            file.mux(packet)
    return path


def loudness(path):
    """Samples a second of a film's sound, and the samples in a row."""
    with av.open(str(path)) as file:
        sound = file.streams.audio[0]
        pieces = [frame.to_ndarray()[0] for frame in file.decode(sound)]
        return sound.rate, np.abs(np.concatenate(pieces))


FILMS = {
    "with B-frames and sound": {"sound": 4.0},
    "of one group": {"group": 1000, "options": {"sc_threshold": "0"}},
    "uneven": {"times": UNEVEN},
    "turned": {"rotation": 90},
    "mirrored": {"rotation": 180, "mirrored": True},
    "late": {"times": [time + 5 for time in TIMES]},
}
SPANS = {
    "inside": (1.0, 2.0),
    "at the start": (0.0, 0.48),
    "at the end": (3.5, 4.0),
    "shorter than a frame": (1.01, 1.02),
}


@pytest.fixture(scope="module", params=FILMS)
def film(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    settings = dict(FILMS[request.param])
    return write_film(path, settings.pop("times", TIMES), **settings)


@pytest.mark.parametrize("span", SPANS.values(), ids=SPANS)
def test_a_clip_encoded_anew_is_exact_to_the_frame(film, tmp_path, span):
    start, end = span
    clip = cut(film, start, end, tmp_path / "clip.mp4", reencode=True)
    assert clip == (tmp_path / "clip.mp4", start, end, ())
    shown = frames(film)
    ends = [*(time for time, _ in shown[1:]), read_info(film).duration]
    there = [
        (max(time - start, 0), which)
        for (time, which), until in zip(shown, ends, strict=True)
        if until > start + 0.002 and time < end - 0.002
    ]
    found = frames(clip.path)
    assert [which for _, which in found] == [which for _, which in there]
    assert [time for time, _ in found] == pytest.approx([time for time, _ in there], abs=0.002)
    about, source = read_info(clip.path), read_info(film)
    assert about.duration == pytest.approx(end - start, abs=0.002) and about.start == 0
    assert (about.width, about.height) == (source.width, source.height)


@pytest.mark.parametrize("span", SPANS.values(), ids=SPANS)
def test_a_copied_clip_begins_at_the_key_frame_before(film, tmp_path, span):
    start, end = span
    clip = cut(film, start, end, tmp_path / "clip.mp4")
    with av.open(str(film)) as file:
        origin = file.start_time / 1_000_000
        packets = list(file.demux(video=0))
        keys = [float(p.pts * p.time_base) - origin for p in packets if p.is_keyframe]
    assert clip.start_s == pytest.approx(max(key for key in keys if key <= start), abs=1e-6)
    assert clip.end_s == end
    shown, found = frames(film), frames(clip.path)
    [first] = [place for place, (time, _) in enumerate(shown) if abs(time - clip.start_s) < 1e-6]
    kept = shown[first : first + len(found)]
    if kept[-1][0] >= end:  # later ones that those before are made of may be missing in between
        kept = [frame for frame in kept if frame[0] < end]
        found = found[: len(kept)]
    assert [which for _, which in found] == [which for _, which in kept]
    assert [time for time, _ in found] == pytest.approx(
        [time - clip.start_s for time, _ in kept], abs=0.002
    )
    after = shown[first + len(kept) :]
    assert not after or after[0][0] >= end - 0.002
    assert read_info(clip.path).start == 0


@pytest.mark.parametrize("reencode", [False, True])
def test_a_clip_is_turned_as_its_video(film, tmp_path, reencode):
    clip = cut(film, 1, 2, tmp_path / "clip.mp4", reencode=reencode)
    whole, part = (next(sample_frames(path, Sampling(every=1))) for path in (film, clip.path))
    corners = ((12, 12), (12, -12), (-12, 12), (-12, -12))
    white = [corner for corner in corners if whole.image[corner].min() > 250]
    assert [corner for corner in corners if part.image[corner].min() > 250] == white != []


def test_sound_begins_with_the_clip(tmp_path):
    film = write_with_tone(tmp_path / "film.mp4")
    exact = cut(film, 1.25, 2.75, tmp_path / "exact.mp4", reencode=True)
    rate, sound = loudness(exact.path)
    assert len(sound) / rate == pytest.approx(1.5, abs=0.07)  # of AAC's last packet
    assert np.argmax(sound > 0.3) / rate == pytest.approx(TONE - 1.25, abs=0.02)
    copied = cut(film, 1.25, 2.75, tmp_path / "copied.mp4")
    with av.open(str(copied.path)) as file:
        late = float(file.streams.audio[0].start_time * file.streams.audio[0].time_base)
    rate, sound = loudness(copied.path)
    assert late + np.argmax(sound > 0.3) / rate == pytest.approx(TONE - copied.start_s, abs=0.02)


def test_sound_that_begins_late_waits(tmp_path):
    with av.open(tmp_path / "film.mp4", "w") as file:
        stream = file.add_stream("libx264", rate=25, width=64, height=48, pix_fmt="yuv420p")
        sound = file.add_stream("aac", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.ones((1, 32_000), np.float32) / 2, "fltp", "mono")
        frame.sample_rate, frame.time_base, frame.pts = 16_000, Fraction(1, 16_000), 32_000
        for index in range(100):
            image = av.VideoFrame.from_ndarray(np.full((48, 64, 3), index, np.uint8))
            file.mux(stream.encode(image))
        file.mux([*stream.encode(), *sound.encode(frame), *sound.encode()])
    clip = cut(tmp_path / "film.mp4", 1, 3, tmp_path / "clip.mp4", reencode=True)
    rate, heard = loudness(clip.path)
    assert np.argmax(heard > 0.2) / rate == pytest.approx(1.0, abs=0.03)


def test_subtitles_are_copied_where_the_container_has_them(tmp_path):
    film = write_with_tone(tmp_path / "film.mkv", subtitle="a door opens")
    clip = cut(film, 1.5, 3.0, tmp_path / "clip.mkv")
    assert clip.left_out == ()
    with av.open(str(clip.path)) as file:
        [packet] = [packet for packet in file.demux(subtitles=0) if packet.size]
        assert bytes(packet) == b"a door opens"
        assert float(packet.pts * packet.time_base) == pytest.approx(2 - clip.start_s, abs=0.002)
    assert cut(film, 1.5, 3.0, tmp_path / "clip.mp4").left_out == ("subtitle (srt)",)
    anew = cut(film, 1.5, 3.0, tmp_path / "anew.mp4", reencode=True)
    assert anew.left_out == ("subtitle (srt)",)


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [
        (".mkv", "libx264"),
        (".ts", "libx264"),
        (".avi", "mpeg4"),
        (".flv", "libx264"),
        (".mpg", "mpeg2video"),
        (".webm", "libvpx-vp9"),
    ],
)
def test_containers(tmp_path, suffix, codec):
    film = write_film(tmp_path / f"film{suffix}", TIMES, codec=codec, clock=Fraction(1, 25))
    [clip] = cut_results([Result("film", film, 1.5, 2.5, 1.0)], tmp_path / "clips")
    kept = ".mkv" if suffix in (".flv", ".mpg") else suffix
    assert clip.path == tmp_path / f"clips/01-film-1.50-2.50{kept}"
    found = frames(clip.path)
    first = frames(film)[round(clip.start_s / FRAME)]
    assert first[0] == pytest.approx(clip.start_s, abs=0.002) and clip.start_s <= 1.5
    assert found[0] == (pytest.approx(0, abs=0.002), first[1])
    assert len(found) >= (2.5 - clip.start_s) / FRAME - 0.5
    [exact] = cut_results([Result("film", film, 1.5, 2.5, 1.0)], tmp_path / "clips", reencode=True)
    assert exact.path.suffix == ".mp4" and len(frames(exact.path)) in (25, 26)


def test_odd_sizes_and_a_build_without_h264(tmp_path, monkeypatch):
    film = write_film(tmp_path / "film.mp4", TIMES, size=(63, 47), pixels="yuv444p")
    clip = cut(film, 1, 2, tmp_path / "clip.mp4", reencode=True)
    assert read_info(clip.path)[2:4] == (62, 46)
    monkeypatch.setattr(encoded, "_picture_codec", lambda: "mpeg4")
    clip = cut(film, 1, 2, tmp_path / "clip.mp4", reencode=True)
    with av.open(str(clip.path)) as file:
        assert file.streams.video[0].codec_context.name == "mpeg4"
    assert [which for _, which in frames(clip.path)] == [which for _, which in frames(film)[25:50]]


@pytest.mark.parametrize("reencode", [False, True])
def test_what_cannot_be_cut_is_said(tmp_path, reencode):
    film = write_film(tmp_path / "film.mp4", TIMES)

    def refused(*span, video=film, out="clip.mp4"):
        with pytest.raises((ValueError, OSError)) as error:
            cut(video, *span, tmp_path / out, reencode=reencode)
        assert sorted(path.name for path in tmp_path.glob("*")) == before
        return str(error.value)

    before = ["film.mp4"]
    assert refused(4.5, 5) == f"{film}: the moment begins at 4.50 s, and the video ends at 4.00 s"
    assert "a moment from 2 to 1 s; needed is a start from 0 on" in refused(2, 1)
    assert "a moment from nan to 1 s" in refused(float("nan"), 1)
    assert refused(1, 2, video=tmp_path / "gone.mp4") == f"no video at {tmp_path}/gone.mp4"
    assert refused(1, 2, out="film.mp4").startswith(f"{film} is the video itself")
    assert "FFmpeg writes no video files named .txt" in refused(1, 2, out="clip.txt")
    films.write_sound(tmp_path / "sound.mp4", 2.0)
    before += ["sound.mp4"]
    assert "has sound only, no video stream" in refused(0, 1, video=tmp_path / "sound.mp4")
    long = [index * FRAME for index in range(500)]
    films.cut(write_film(tmp_path / "part.mp4", long, noise=True), 0.3)
    before.insert(1, "part.mp4")
    said = "the last good frame is at" if reencode else "it is incomplete, its pictures end at"
    assert said in refused(15, 16, video=tmp_path / "part.mp4")


def test_an_end_behind_the_video_is_its_end(tmp_path):
    film = write_film(tmp_path / "film.mp4", TIMES)
    clip = cut(film, 3, 60, tmp_path / "clip.mp4", reencode=True)
    assert clip.end_s == 4 and read_info(clip.path).duration == pytest.approx(1, abs=0.002)


def test_a_result_that_cannot_be_cut_costs_itself_alone(tmp_path):
    film = write_film(tmp_path / "film.mp4", TIMES)
    results = [
        Result("a/b: c", film, 1, 2, 0.9),
        Result("gone", tmp_path / "gone.mp4", 1, 2, 0.8),
        Result("late", film, 7, 8, 0.7),
        Result("film", film, 2, 3, 0.6),
    ]
    for _ in range(2):  # the second time it replaces them
        first, gone, late, last = cut_results(results, tmp_path / "new" / "clips")
        assert str(gone) == f"no video at {tmp_path}/gone.mp4"
        assert "the moment begins at 7.00 s" in str(late)
        assert [first.path.name, last.path.name] == [
            "01-a_b_c-1.00-2.00.mp4",
            "04-film-2.00-3.00.mp4",
        ]
        assert sorted((tmp_path / "new" / "clips").iterdir()) == [first.path, last.path]


@pytest.mark.parametrize("reencode", [False, True])
def test_a_full_disk_leaves_no_half_clip(small_disk, tmp_path, reencode):
    film = write_film(tmp_path / "film.mp4", TIMES, size=(320, 240), noise=True)
    fill(small_disk, free=20_000)
    with pytest.raises(FullDiskError, match=r"no space is left for .*clip\.mp4"):
        cut(film, 0, 4, small_disk / "clip.mp4", reencode=reencode)
    with pytest.raises(FullDiskError):
        cut_results([Result("film", film, 0, 4, 1.0)], small_disk, reencode=reencode)
    assert [path.name for path in small_disk.iterdir()] == ["other"]


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        cut_results([], tmp_path / "file" / "clips")
