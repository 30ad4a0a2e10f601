"""What is said, read from subtitle files of each form, encoding and damage, and from streams."""

import codecs
from fractions import Fraction

import av
import numpy as np
import pytest

from tests.video.films import write_film
from vmr_jax.speech import utterances
from vmr_jax.speech.embedded import RATE, read_embedded, read_sound
from vmr_jax.speech.said import read_said
from vmr_jax.speech.utterances import Utterance, read_subtitles, subtitle_files

SRT = """1
00:00:01,000 --> 00:00:02,500
<i>She</i> opens &amp; closes
the {\\an8}red door.

2
00:00:03,000 --> 00:00:04,000
— Où ça ?
"""
SAID = (
    Utterance(1.0, 2.5, "She opens & closes the red door."),
    Utterance(3.0, 4.0, "— Où ça ?"),
)
VTT = """WEBVTT - a title

STYLE
::cue { color: red }

first
00:01.000 --> 00:02.500 align:start position:0%
<v Ann>She opens &amp; closes
<00:01.500><c.red>the</c> red door.

NOTE not said

last
00:00:03.000 --> 00:00:04.000
— Où ça ?
"""
ASS = """[Script Info]
ScriptType: v4.00+

[V4+ Styles]
Format: Name, Fontname, Fontsize
Style: Default,Arial,20

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
Comment: 0,0:00:00.00,0:00:09.00,Default,,0,0,0,,not said
Dialogue: 0,0:00:03.00,0:00:04.00,Default,,0,0,0,,— Où ça ?
Dialogue: 0,0:00:01.00,0:00:02.50,Default,,0,0,0,,{\\i1}She{\\i0} opens & closes\\Nthe red door.
Dialogue: 0,0:00:05.00,0:00:06.00,Default,,0,0,0,,{\\p1}m 0 0 l 100 0 100 100{\\p0}
"""
SSA = """[Script Info]
ScriptType: v4.00

[V4 Styles]
Format: Name, Fontname, Fontsize
Style: Default,Arial,20

[Events]
Format: Marked, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
Dialogue: Marked=0,0:00:01.00,0:00:02.50,Default,,0,0,0,,She opens & closes\\nthe red door.
Dialogue: Marked=0,0:00:03.00,0:00:04.00,Default,,0,0,0,,— Où ça ?
"""


@pytest.mark.parametrize(
    ("name", "text"), [("a.srt", SRT), ("a.vtt", VTT), ("a.ass", ASS), ("a.ssa", SSA)]
)
def test_every_form_gives_the_same_lines(tmp_path, name, text):
    (tmp_path / name).write_text(text, "utf-8")
    assert read_subtitles(tmp_path / name) == (SAID, ())


@pytest.mark.parametrize(
    "content",
    [
        codecs.BOM_UTF8 + SRT.encode(),
        SRT.replace("\n", "\r\n").encode(),
        SRT.encode("utf-16"),
        SRT.encode("utf-16-le"),
        codecs.BOM_UTF16_BE + SRT.encode("utf-16-be"),
        SRT.encode("utf-16-be"),
    ],
)
def test_encodings_that_tell_themselves(tmp_path, content):
    (tmp_path / "a.srt").write_bytes(content)
    assert read_subtitles(tmp_path / "a.srt") == (SAID, ())


def test_latin_1_is_told(tmp_path):
    path = tmp_path / "a.srt"
    path.write_bytes(SRT.encode("cp1252"))
    assert read_subtitles(path) == (
        SAID,
        (f"{path} is no UTF-8; it was read as Windows-1252 (Latin-1)",),
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no subtitles that are read: they are SRT, VTT, ASS or SSA"),
        (b"some text", "holds no subtitles that are read"),
        (bytes(range(1, 256)) * 9, "holds no subtitles that are read"),
        (b"{1}{20}at 25 frames a second", r"holds no subtitles that are read \(microdvd\)"),
        (b"WEBVTT\n\n", "holds no subtitles: not a line with its times"),
        ("WEBVTT".encode("utf-16")[:-1], "is damaged: no whole UTF-16"),
    ],
)
def test_a_broken_file_is_one_line(tmp_path, content, message):
    (tmp_path / "a.srt").write_bytes(content)
    with pytest.raises(ValueError, match=f"a.srt {message}") as refused:
        read_subtitles(tmp_path / "a.srt")
    assert "\n" not in str(refused.value)


def test_lines_without_a_span_of_time_are_told(tmp_path):
    path = tmp_path / "a.srt"
    path.write_text(SRT + "\n3\n00:00:09,000 --> 00:00:08,000\nbackwards\n")
    assert read_subtitles(path) == (SAID, (f"{path}: 1 of 3 lines do not end after they start",))


def test_a_file_that_is_too_large_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(utterances, "_LARGEST", 100)
    (tmp_path / "a.srt").write_text(SRT)
    with pytest.raises(ValueError, match="has .* bytes; subtitles of more than 100 are none"):
        read_subtitles(tmp_path / "a.srt")


def test_files_belong_to_videos_by_name_and_language(tmp_path):
    names = ("film.srt", "film.en.vtt", "film.en-GB.forced.ass", "film.part.srt", "film.txt")
    for name in (*names, "film2.srt", "[a] b.de.SRT", ".film.srt"):
        (tmp_path / name).touch()
    found = subtitle_files(tmp_path)
    assert [path.name for path in found["film"]] == [
        "film.en-GB.forced.ass",
        "film.en.vtt",
        "film.srt",
    ]
    assert [path.name for path in found["[a] b"]] == ["[a] b.de.SRT"]
    assert [path.name for path in found["film.part"]] == ["film.part.srt"]


def write_subtitled(path, codec, lines=((1.0, 2.5, "opens the red door"), (3, 4, "Où ça ?"))):
    """A film of 6 s with a stream of subtitles."""
    with av.open(str(path), "w") as file:
        pictures = file.add_stream("mpeg4", rate=5)
        pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
        words = file.add_mux_stream(codec)
        for _ in range(30):
            image = np.zeros((48, 64, 3), np.uint8)
            file.mux(pictures.encode(av.VideoFrame.from_ndarray(image)))
        file.mux(pictures.encode())
        for start, end, text in lines:
            data = text.encode()
            if codec == "mov_text":
                data = len(data).to_bytes(2, "big") + data
            packet = av.Packet(data)
            packet.stream, packet.time_base = words, Fraction(1, 1000)
            packet.pts = packet.dts = round(start * 1000)
            packet.duration = round((end - start) * 1000)
            file.mux(packet)
    return path


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mkv", "subrip"), ("a.mp4", "mov_text"), ("a.mkv", "webvtt")]
)
def test_streams_of_text_are_read(tmp_path, name, codec):
    path = write_subtitled(tmp_path / name, codec)
    assert read_embedded(path) == (
        (Utterance(1.0, 2.5, "opens the red door"), Utterance(3.0, 4.0, "Où ça ?")),
        (),
    )


def test_streams_of_pictures_are_told(tmp_path):
    path = write_subtitled(tmp_path / "a.mkv", "dvd_subtitle")
    note = f"{path}: the subtitles of stream 1 (dvdsub) are pictures, which are not read"
    assert read_embedded(path) == ((), (note,))


def test_files_go_before_streams_and_a_broken_one_costs_itself(tmp_path):
    film = write_subtitled(tmp_path / "a.mkv", "subrip")
    good, broken = tmp_path / "a.srt", tmp_path / "a.en.srt"
    good.write_text(SRT, "utf-8")
    broken.write_text("none")
    assert read_said(film, [good, good]).utterances == SAID  # the same line counts once
    read = read_said(film, [broken, good])
    assert read.utterances == SAID
    assert read.notes[0].startswith(f"{broken} holds no subtitles") and len(read.notes) == 1
    assert len(read_said(film, []).utterances) == 2


def test_sound_is_read_as_speech_models_take_it(tmp_path):
    film = write_film(tmp_path / "a.mp4", [0.0, 0.2, 0.4, 0.6, 0.8], rate=5, sound=1.0)
    sound = read_sound(film)
    assert sound.dtype == "float32" and abs(len(sound) - RATE) < RATE / 4
    silent = write_film(tmp_path / "b.mp4", [0.0, 0.2], rate=5)
    assert not len(read_sound(silent))
