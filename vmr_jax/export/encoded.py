"""A moment of a video encoded anew, exact to the frame and to the sample of its sound."""

import heapq
from collections.abc import Iterable, Iterator
from contextlib import suppress
from fractions import Fraction
from functools import cache
from itertools import chain, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from vmr_jax.export.clips import Clip, check_span, named, open_clip
from vmr_jax.video.container import open_container, open_video
from vmr_jax.video.decode import display_matrix
from vmr_jax.video.reader import Decoded, Reader, import_av

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import OutputContainer
    from av.video.stream import VideoStream

_CLOCK = Fraction(1, 60_000)  # seconds: it has all usual rates, and MPEG-4 counts no finer
_SLACK = 0.002  # seconds: containers round time stamps to milliseconds
_LAYOUTS = ("mono", "stereo", "5.1", "5.1(side)", "7.1")  # of channels
_SOUND_RATE = 48_000  # samples a second, where AAC has not those of the source
_BEFORE = 1.0  # seconds of sound that are decoded before it is wanted
_GAP = 0.05  # seconds that sound may be off before silence fills them
_BITS_A_PIXEL = 0.3  # of MPEG-4
_H264 = {"crf": "18", "preset": "veryfast"}  # good to the eye, and quick
_COLOURS = ("color_range", "color_primaries", "color_trc", "colorspace")


class _Shown(NamedTuple):
    """A frame with the seconds of the clip in which it is shown."""

    start: float
    end: float
    decoded: Decoded


def encode_moment(path: Path, start: float, end: float, out: Path) -> Clip:
    """Encode what is shown and heard between two times, as H.264 and AAC.

    Where the build of FFmpeg has no H.264 it is MPEG-4. Frames keep their times, rotation and
    aspect; the one that is on the screen at `start` is the first. Subtitles are left out. Raises
    as `cut`.
    """
    with open_video(path) as (container, pictures, reader):
        end = check_span(path, start, end, reader.duration)
        frames = _shown(_from(reader, start), start, end)
        first = next(frames, None)
        if first is None:
            raise ValueError(f"{path}: no frame is shown at {start:.2f} s")
        with open_clip(out) as file:
            video = _picture_stream(file, pictures, first.decoded)
            sources = container.streams.audio
            heard = [source for source in sources if source.codec_context and source.rate]
            sounds = [_sound_stream(file, source) for source in heard]
            parts = [_encoded_pictures(video, chain([first], frames))]
            parts += [
                _encoded_sound(sound, path, source.index, reader.start + start, end - start)
                for sound, source in zip(sounds, heard, strict=True)
            ]
            for _, packet in heapq.merge(*parts, key=lambda part: part[0]):
                file.mux(packet)
        left_out = [source for source in sources if source not in heard]
        return Clip(out, start, end, tuple(map(named, (*left_out, *container.streams.subtitles))))


def _from(reader: Reader, start: float) -> Iterator[Decoded]:
    """The frames of a video from a key frame before a time on."""
    first = next(reader)
    if first.time < start and reader.can_skip(start):
        first = reader.skip(start)
    return chain([first], reader)


def _shown(frames: Iterator[Decoded], start: float, end: float) -> Iterator[_Shown]:
    """The frames on the screen between two times; each is, until the next one."""
    entered = False
    for frame, following in pairwise(chain(frames, [None])):
        assert frame  # only the last is None
        until = following.time if following else frame.time + max(frame.duration, 2 * _SLACK)
        if until <= start + _SLACK:
            continue
        if entered and frame.time >= end - _SLACK:
            return
        yield _Shown(max(frame.time, start) - start, min(until, end) - start, frame)
        entered = True


@cache
def _picture_codec() -> str:
    """The encoder of H.264, or of MPEG-4 in a build without."""
    codec = import_av().codec.Codec
    with suppress(ValueError):
        return codec("libx264", "w").name
    return "mpeg4"


def _picture_stream(
    file: "OutputContainer", source: "VideoStream", first: Decoded
) -> "VideoStream":
    """A stream for pictures of the size, aspect, colours and rotation of another one."""
    codec = _picture_codec()
    rate = source.average_rate or Fraction(25)
    stream: Any = file.add_stream(codec, rate=rate, options=_H264 if codec == "libx264" else {})
    width, height = first.frame.width // 2 * 2, first.frame.height // 2 * 2
    stream.width, stream.height, stream.pix_fmt = max(width, 2), max(height, 2), "yuv420p"
    if codec == "mpeg4":
        stream.bit_rate = int(_BITS_A_PIXEL * width * height * rate)
    context = stream.codec_context
    context.time_base = stream.time_base = _CLOCK
    context.max_b_frames = 0  # else the first is decoded before 0 s, and ends are of decoding times
    if source.sample_aspect_ratio:
        context.sample_aspect_ratio = source.sample_aspect_ratio
    for name in _COLOURS:
        setattr(context, name, getattr(source.codec_context, name))
    if matrix := display_matrix(first.frame):
        stream.set_display_matrix(matrix)
    return stream


def _encoded_pictures(
    stream: "VideoStream", frames: Iterator[_Shown]
) -> Iterator[tuple[float, Any]]:
    """Yield (seconds, packet) of frames; the last is shown as long as it is in the video."""
    convert = import_av().video.reformatter.VideoReformatter().reformat
    lengths, last = {}, -1
    for shown in frames:
        pts = round(shown.start / _CLOCK)
        if pts <= last:  # damaged videos have frames of one time
            continue
        last = pts
        size = {"width": stream.width, "height": stream.height}
        image = convert(shown.decoded.frame, format=stream.pix_fmt, **size)
        image.pts, image.time_base = pts, _CLOCK
        image.pict_type = 0  # the encoder chooses
        lengths[pts] = max(1, round(shown.end / _CLOCK) - pts)
        yield from _stamped(_lasting(stream.encode(image), lengths))
    yield from _stamped(_lasting(stream.encode(), lengths))


def _lasting(packets: Iterable[Any], lengths: dict[int, int]) -> Iterator[Any]:
    """Packets that last as long as their frames are shown."""
    for packet in packets:
        packet.duration = lengths.pop(packet.pts)
        yield packet


def _stamped(packets: Iterable[Any]) -> Iterator[tuple[float, Any]]:
    return ((float(packet.pts * packet.time_base), packet) for packet in packets)


def _sound_stream(file: "OutputContainer", source: "AudioStream") -> "AudioStream":
    """A stream for sound of another one's rate and channels, where AAC has them."""
    rates = import_av().codec.Codec("aac", "w").audio_rates or ()
    rate = source.rate if source.rate in rates else _SOUND_RATE
    layout = source.layout.name if source.layout.name in _LAYOUTS else "stereo"
    return file.add_stream("aac", rate=rate, layout=layout)


def _encoded_sound(
    stream: "AudioStream", path: Path, index: int, start: float, length: float
) -> Iterator[tuple[float, Any]]:
    """Yield (seconds, packet) of a file's sound from a time stamp on, for so many seconds."""
    from av.audio.frame import AudioFrame

    position = 0
    for samples in _samples(stream, path, index, start, round(length * stream.rate)):
        frame = AudioFrame.from_ndarray(samples, "fltp", stream.layout.name)
        frame.sample_rate, frame.time_base = stream.rate, Fraction(1, stream.rate)
        frame.pts = position
        position += samples.shape[1]
        yield from _stamped(stream.encode(frame))
    yield from _stamped(stream.encode())


def _samples(
    like: "AudioStream", path: Path, index: int, start: float, total: int
) -> Iterator[np.ndarray]:
    """Yield at most `total` samples (channels, n) without a gap; silence where there is none."""
    position = 0
    for piece in _heard(like, path, index, start):
        samples = piece.to_ndarray()
        begin = round(((piece.time or 0.0) - start) * like.rate)
        if position and abs(begin - position) <= _GAP * like.rate:
            begin = position
        while position < min(begin, total):
            silent = min(like.rate, min(begin, total) - position)
            yield np.zeros((len(samples), silent), np.float32)
            position += silent
        samples = samples[:, max(position - begin, 0) :][:, : total - position]
        if samples.shape[1]:
            yield np.ascontiguousarray(samples)
            position += samples.shape[1]
        if position >= total:
            return


def _heard(like: "AudioStream", path: Path, index: int, start: float) -> Iterator["AudioFrame"]:
    """The sound of a file from before a time stamp on, in the rate and channels of a stream."""
    av = import_av()
    resampler = av.AudioResampler("fltp", like.layout.name, like.rate)
    with open_container(path) as container:
        [source] = [one for one in container.streams.audio if one.index == index]
        with suppress(av.FFmpegError):
            container.seek(int((start - _BEFORE) / (source.time_base or 1)), stream=source)
        for packet in container.demux(source):
            with suppress(av.FFmpegError):  # what is damaged is left out
                for frame in packet.decode():
                    if frame.pts is not None:
                        yield from resampler.resample(frame)
