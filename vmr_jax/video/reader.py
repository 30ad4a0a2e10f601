"""The frames of an open video one after the other, with skips from key frame to key frame."""

import math
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

SPARSE_STAMPS = ("mpeg",)  # program streams: after a jump, frames without one are off
_ROUNDING = 1e-6  # seconds
_MICROSECONDS = 1_000_000  # of a container's times


class BrokenVideoError(ValueError):
    """A video that cannot be read to its end; `second` is the last frame's."""

    def __init__(self, path: Path, second: float, duration: float, reason: str):
        of = "" if math.isnan(duration) else f" of {duration:.2f} s"
        super().__init__(f"{path}: the last good frame is at {second:.2f} s{of}: {reason}")
        self.second = second


class Decoded(NamedTuple):
    """A frame as the decoder gives it."""

    time: float  # seconds from the video's start
    duration: float  # seconds
    frame: "VideoFrame"


def import_av() -> Any:
    """PyAV, an extra. Raises ValueError where it is not installed."""
    try:
        import av
    except ImportError as error:
        raise ValueError(
            f"videos are read by PyAV ({error}); install it with: pip install 'vmr_jax[video]'"
        ) from error
    return av


class Reader:
    """An iterator of a video's frames, which can go to a later time.

    Raises BrokenVideoError where the file is damaged, after the frames before that.
    """

    def __init__(self, path: Path, container: "InputContainer", stream: "VideoStream"):
        self.path = path
        self._container, self._stream = container, stream
        self._base = float(stream.time_base or 1)
        self._bases = {s.index: float(s.time_base) for s in container.streams if s.time_base}
        starts = (container.start_time, stream.start_time)
        own = 0.0 if starts[1] is None else starts[1] * self._base
        self.start = own if starts[0] is None else starts[0] / _MICROSECONDS
        rate = stream.average_rate or stream.guessed_rate
        self.rate = float(rate) if rate else math.nan
        self._set_ends(own)
        aspect = stream.sample_aspect_ratio or 1
        self.shape = (stream.height, round(stream.width * aspect))  # as it is stored, square pixels
        self.read_to = 0.0  # seconds that packets of any kind reach
        self._position = -math.inf  # time stamp of the last packet of pictures
        self._key: int | None = None  # time stamp of the last key frame
        self._group = math.inf  # time stamps from a key frame to the next, the most so far
        self._entered = False  # whether a whole frame came since the last jump
        self._decoded = self._decode(from_key=False)
        self._last: float | None = None
        # By how much time stamps are late, known with the first frame: AVI has those of decoding.
        self.delay: float | None = None
        if len(stream.index_entries) == 1:  # Matroska reads its index when it is first asked
            with suppress(import_av().FFmpegError):  # a stream that cannot be searched
                self._seek(own - self.start)
        index = stream.index_entries
        reach = index[len(index) - 1].timestamp * self._base - self.start if len(index) else 0.0
        self._indexed = reach > self.duration / 2  # of a file in fragments the first ones are known

    def _set_ends(self, own: float) -> None:
        """Where pictures end, and where the file does, by its header; NaN where it says nothing."""
        # Matroska's duration counts from 0, others' from the start.
        origin = self.start if "matroska" in self._container.format.name else 0.0
        whole = self._container.duration
        self.file_end = math.nan if whole is None else whole / _MICROSECONDS - origin
        pictures = self._stream.duration
        self.duration = (
            self.file_end if pictures is None else pictures * self._base + own - self.start
        )

    def __iter__(self) -> Iterator[Decoded]:
        return self

    def __next__(self) -> Decoded:
        decoded = next(self._decoded)
        self._last = decoded.time
        return decoded

    def can_skip(self, target: float) -> bool:
        """Tell whether a key frame lies between what was read and a time in seconds."""
        stamp = self._stamp(target)
        if self._container.format.name in SPARSE_STAMPS:
            return False
        if not self._indexed:
            return stamp - self._position > self._group
        index = self._stream.index_entries
        entry = index.search_timestamp(stamp)
        return entry >= 0 and index[entry].timestamp > self._position

    def skip(self, target: float) -> Decoded:
        """Go to the last key frame before a time in seconds: the first frame there.

        Indices count decoding times and some formats have none, so that a jump may end too late;
        then one further back is made.
        """
        back = 0.0 if self._indexed else min(target, self._group * self._base)
        while True:
            try:
                self._seek(target - back)
                first = next(self, None)
            except (BrokenVideoError, import_av().FFmpegError):
                if back >= target:
                    raise
                first = None
            if first and (first.time <= target + _ROUNDING or back >= target):
                return first
            if back >= target:
                raise self._broken("it cannot be searched")
            back = min(target, max(1.0, 2 * back))

    def _seek(self, second: float) -> None:
        """Let the next frames be those from a key frame before a time on."""
        self._container.seek(self._stamp(second), stream=self._stream)
        self._key, self._position, self._entered = None, -math.inf, False
        self._decoded = self._decode(from_key=True)

    def _stamp(self, second: float) -> int:
        return round((second + self.start) / self._base)

    def _decode(self, from_key: bool) -> Iterator[Decoded]:
        """Decode from the position on; what a damaged file still gives comes before the error."""
        error_type = import_av().FFmpegError
        damage = ""
        try:
            for packet in self._packets(from_key):
                if packet.is_corrupt and self._entered:
                    damage = "what follows is damaged or missing"
                    break
                try:
                    frames = self._stream.decode(packet)
                except error_type:
                    if self._entered:
                        raise
                    continue
                yield from self._whole(frames)
        except error_type as error:
            damage = f"what follows is damaged ({error.strerror})"
        if damage:
            with suppress(error_type):
                yield from self._whole(self._stream.decode(None))
        if self._last is None:
            raise ValueError(f"{self.path}: no frame of its video stream can be decoded")
        if damage:
            raise self._broken(damage)

    def _packets(self, from_key: bool) -> Iterator["Packet"]:
        """Read the packets of the pictures, from the first key frame on where that is asked."""
        for packet in self._container.demux():
            self._note(packet)
            if packet.stream.index != self._stream.index:
                continue
            if from_key and packet.size and not packet.is_keyframe:
                continue
            from_key = False
            yield packet

    def _whole(self, frames: Iterable["VideoFrame"]) -> Iterator[Decoded]:
        """Refuse a frame that the decoder had to patch.

        Those before the first whole one go: recordings may begin between key frames.
        """
        for frame in frames:
            if not frame.is_corrupt:
                self._entered = True
                yield self._timed(frame)
            elif self._entered:
                raise self._broken("what follows is damaged")

    def _broken(self, reason: str) -> BrokenVideoError:
        return BrokenVideoError(self.path, self._last or 0.0, self.duration, reason)

    def _note(self, packet: "Packet") -> None:
        """Follow what was read: how far it reaches, and the groups of pictures."""
        stamp, shown = packet.dts, packet.pts
        stamp = shown if stamp is None else stamp
        base = self._bases.get(packet.stream.index)
        if stamp is None or base is None:
            return
        end = (max(stamp, shown or stamp) + (packet.duration or 0)) * base - self.start
        if end > self.read_to:
            self.read_to = end
        if packet.stream.index != self._stream.index:
            return
        self._position = stamp
        if packet.is_keyframe:
            if self._key is not None:
                longest = 0 if self._group == math.inf else self._group
                self._group = max(longest, stamp - self._key)
            self._key = stamp

    def _timed(self, frame: "VideoFrame") -> Decoded:
        if frame.pts is None:
            raise ValueError(
                f"{self.path}: its frames have no time stamps; write them with: "
                f"ffmpeg -i {self.path.name} -c copy {self.path.stem}.mp4"
            )
        seconds = frame.duration * self._base or (0.0 if math.isnan(self.rate) else 1 / self.rate)
        time = frame.pts * self._base - self.start
        if self.delay is None:
            self.delay = time if self._container.format.name == "avi" else 0.0
        return Decoded(time - self.delay, seconds, frame)
