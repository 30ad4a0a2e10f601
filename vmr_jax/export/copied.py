"""A moment of a video copied as it is stored, from the key frame before it on."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from vmr_jax.export.clips import Clip, check_span, named, open_clip
from vmr_jax.video.container import open_video
from vmr_jax.video.reader import SPARSE_STAMPS, import_av

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer
    from av.packet import Packet
    from av.stream import Stream
    from av.video.stream import VideoStream

_BEFORE = 1.0  # seconds: what belongs to a key frame's time may lie so much earlier in the file
_BEHIND = 10.0  # seconds: a stream that has sent nothing for so long has ended
_ALMOST = 1e-6  # seconds
_MISSING_END = 1.0  # seconds before a moment where the pictures end: a file is incomplete


def copy_moment(path: Path, start: float, end: float, out: Path) -> Clip:
    """Copy the streams of a video between two times to `out`, without decoding them.

    The copy begins at the last key frame at or before `start`, where its time stamps are 0. At its
    end there may be a few more frames, which those before are made of. Raises as `cut`.
    """
    with open_video(path) as (container, pictures, reader):
        end = check_span(path, start, end, reader.duration)
        next(reader)
        origin = reader.start + (reader.delay or 0.0)
        key = _key_frame(container, pictures, origin, start)
        if key is None:
            raise ValueError(
                f"{path}: its key frames have no time stamps, so that parts cannot be copied; "
                "encode them anew (--reencode)"
            )
        reached = 0.0
        with open_clip(out) as file:
            streams, left_out = _add_streams(file, container, pictures)
            file.metadata.update(container.metadata)
            begin = float(key * _base(pictures))
            for packet in _packets(container, pictures, list(streams), key, end + origin):
                if packet.stream is pictures:
                    reached = max(reached, _shown_until(packet) - origin)
                _shift(packet, begin)
                packet.stream = streams[packet.stream]
                file.mux_one(packet)
    if reached < start - _MISSING_END:
        raise ValueError(
            f"{path}: it is incomplete, its pictures end at {reached:.2f} s, before the moment "
            f"from {start:.2f} s on"
        )
    return Clip(out, max(begin - origin, 0.0), end, left_out)


def _base(stream: "Stream") -> Fraction:
    return stream.time_base or Fraction(1)


def _stamp(packet: "Packet") -> int | None:
    """When a packet is shown; AVI says only when it is decoded."""
    return packet.dts if packet.pts is None else packet.pts


def _shown_until(packet: "Packet") -> float:
    """The time stamp, in seconds, at which a packet's picture goes, or comes if that is unknown."""
    return float(((_stamp(packet) or 0) + (packet.duration or 0)) * _base(packet.stream))


def _key_frame(
    container: "InputContainer", pictures: "VideoStream", origin: float, start: float
) -> int | None:
    """The time stamp of the last key frame at or before a time, else of the first one.

    A jump may end too late (see `Reader.skip`); then one further back is made.
    """
    base, limit, back = _base(pictures), start + origin + _ALMOST, 0.0
    while True:
        _seek(container, pictures, max(start - back, 0.0) + origin)
        found = None
        for packet in container.demux(pictures):
            stamp = _stamp(packet)
            if stamp is None:
                continue
            if packet.is_keyframe and (found is None or stamp * base <= limit):
                found = stamp
            if found is not None and packet.dts is not None and packet.dts * base > limit:
                break
        if back > start or (found is not None and found * base <= limit):
            return found
        back = max(1.0, 2 * back)


def _seek(container: "InputContainer", stream: "Stream", second: float) -> None:
    """Let the next packets be those from a key frame before a time stamp on, or from the first."""
    error_type = import_av().FFmpegError
    first = max(stream.start_time or 0, 0)
    stamp = int(second / _base(stream))
    try:
        container.seek(first if container.format.name in SPARSE_STAMPS else stamp, stream=stream)
    except error_type:  # before the first one, for some formats
        with suppress(error_type):  # a stream that cannot be searched is read on
            container.seek(first, stream=stream)


def _add_streams(
    file: "OutputContainer", container: "InputContainer", pictures: "VideoStream"
) -> tuple[Mapping["Stream", "Stream"], tuple[str, ...]]:
    """Give a file the pictures, sounds and subtitles of another, and tell which it cannot have."""
    streams, left_out = {}, []
    for stream in (pictures, *container.streams.audio, *container.streams.subtitles):
        try:
            copy = file.add_stream_from_template(stream, opaque=True)
        except ValueError:
            left_out.append(named(stream))
            continue
        copy.metadata.update(stream.metadata)
        streams[stream] = copy
    return streams, tuple(left_out)


def _packets(
    container: "InputContainer",
    pictures: "VideoStream",
    streams: list["Stream"],
    key: int,
    end: float,
) -> Iterator["Packet"]:
    """What is shown from the key frame on and before the end, and what that is made of.

    Pictures that come after the key frame and are shown before it need the ones before it.
    """
    begin, limit = key * _base(pictures), end - _ALMOST
    _seek(container, pictures, float(begin) - _BEFORE)
    entered, late = False, []  # late: pictures after the end, which earlier ones may be made of
    going = {stream for stream in streams if stream.type != "subtitle"}
    for packet in container.demux(streams):
        stamp = _stamp(packet)
        if stamp is None:
            continue
        base = _base(packet.stream)
        ended = (stamp if packet.dts is None else packet.dts) * base >= limit
        if ended:
            going.discard(packet.stream)
        if not going or float(stamp * base) >= limit + _BEHIND:
            return
        if ended or stamp * base < begin:
            continue
        if packet.stream is not pictures:
            yield packet
            continue
        entered = entered or (packet.is_keyframe and stamp == key)
        if entered:
            late.append(packet)
            if stamp * base < limit:
                yield from late
                late.clear()


def _shift(packet: "Packet", seconds: float) -> None:
    """Let a packet come so many seconds earlier."""
    ticks = round(seconds / _base(packet.stream))
    if packet.pts is not None:
        packet.pts -= ticks
    if packet.dts is not None:
        packet.dts -= ticks
