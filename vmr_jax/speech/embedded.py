"""Subtitle streams inside a video file, and its sound, read by FFmpeg (PyAV)."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vmr_jax.speech.utterances import Read, import_pysubs2, ordered, plain_text
from vmr_jax.video.container import open_container
from vmr_jax.video.reader import import_av

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.subtitles.stream import SubtitleStream

RATE = 16_000  # of the sound that is listened to
_MICROSECONDS = 1_000_000  # of a container's times


def read_embedded(path: Path) -> Read:
    """Read the subtitle streams of a video file that are text; a note tells of the others.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: PyAV is missing, or pysubs2 where there are such; or the file is no video.
    """
    lines, notes = [], []
    with open_container(path) as container:
        streams = []
        for stream in container.streams.subtitles:
            codec = stream.codec_context and stream.codec_context.codec
            if codec and codec.text_sub:
                streams.append(stream)
            else:
                kind = "are pictures, which are not read" if codec else "are of an unknown kind"
                name = f" ({codec.name})" if codec else ""
                notes.append(f"{path}: the subtitles of stream {stream.index}{name} {kind}")
        if streams:
            with suppress(import_av().FFmpegError):  # what was read before the damage stays
                lines.extend(_lines(container, streams))
    return ordered(lines, str(path), notes)


def _lines(
    container: "InputContainer", streams: list["SubtitleStream"]
) -> Iterator[tuple[float, float, str]]:
    pysubs2 = import_pysubs2()
    origin = (container.start_time or 0) / _MICROSECONDS
    for packet in container.demux(streams):
        if packet.pts is None or packet.time_base is None:
            continue
        start = float(packet.pts * packet.time_base) - origin
        end = start + float((packet.duration or 0) * packet.time_base)
        for found in packet.decode():
            text = getattr(found, "dialogue", b"").decode("utf-8", "replace")
            event = pysubs2.SSAEvent(text=text)
            if event.is_text:
                yield start, end, plain_text(event)


def read_sound(path: Path) -> np.ndarray:
    """The sound of a video file from its start on, mono (samples,) float32 at RATE; none: empty.

    Raises FileNotFoundError, and ValueError where PyAV is missing or the file is no video.
    """
    av = import_av()
    with open_container(path) as container:
        if not container.streams.audio:
            return np.empty(0, np.float32)
        stream = container.streams.audio[0]
        resampler = av.AudioResampler("flt", "mono", RATE)
        origin = (container.start_time or 0) / _MICROSECONDS
        pieces, late = [], None
        for packet in container.demux(stream):
            with suppress(av.FFmpegError):  # what is damaged is left out
                for frame in packet.decode():
                    if late is None:
                        late = max(0.0, (frame.time or 0.0) - origin)
                    pieces += [part.to_ndarray()[0] for part in resampler.resample(frame)]
        pieces += [part.to_ndarray()[0] for part in resampler.resample(None)]
    return np.concatenate([np.zeros(round((late or 0.0) * RATE), np.float32), *pieces])
