"""What `vmr extract` does: the frames of videos through an image encoder into a feature file."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vmr_jax.data.sources.features import as_float16
from vmr_jax.encoders.images import ImageEncoder
from vmr_jax.extract.feature_file import (
    FeatureFile,
    drop_parts_folder,
    origin_of,
    parts_folder,
)
from vmr_jax.locks import locked
from vmr_jax.progress import share_shown
from vmr_jax.types import Array
from vmr_jax.video.reader import BrokenVideoError, import_av
from vmr_jax.video.sampling import Sampling
from vmr_jax.video.sources import FrameSource

_LIBRARIES = ("vmr_jax", "av", "pillow", "jax", "numpy", "h5py")


class Failure(NamedTuple):
    """A video without features."""

    id: str
    reason: str
    second: float  # of the last good frame; NaN where there was none


class Report(NamedTuple):
    """What an extraction did."""

    added: int  # videos
    skipped: int  # which were there
    seconds: float  # of video that was read
    took: float  # seconds
    failures: tuple[Failure, ...]


class UnreadableVideoError(ValueError):
    """A video that gives no features, with the last good second, NaN without one."""

    def __init__(self, error: Exception):
        super().__init__(" ".join(str(error).split()) or type(error).__name__)
        self.second = error.second if isinstance(error, BrokenVideoError) else math.nan


def extract(
    videos: Sequence[FrameSource],
    encoder: ImageEncoder,
    sampling: Sampling,
    out: Path,
    *,
    batch_size: int,
    strict: bool = False,
) -> Report:
    """Write the features of videos to an HDF5 file, but for those that are there.

    A video that cannot be read to its end has no features, and the others have theirs. What the
    file holds of other videos stays.

    Raises:
        ValueError: the file was made with other settings, or another process writes it; an id
            holds a "/"; PyAV is missing; with `strict`, a video cannot be read.
        FullDiskError: there is no space for the file.
    """
    import_av()
    for video in videos:
        if "/" in video.id or video.id == ".":
            raise ValueError(
                f"{video.path}: the id {video.id!r} cannot name a dataset: give it another in a "
                'list of {"path": ..., "vid": ...}'
            )
    with locked(parts_folder(out)):
        file = FeatureFile(out, _settings(encoder, sampling))
        left = [video for video in videos if not file.holds(video)]
        run = encoder.compiled()
        failures, progress = [], _Progress([_bytes(video) for video in left])
        with share_shown("extract") as progress.show:
            for video in left:
                try:
                    features = _encode(video, encoder, run, sampling, batch_size, progress)
                    file.add(video.id, *features)
                except UnreadableVideoError as error:
                    if strict:
                        raise ValueError(f"{error} (--strict stops here)") from error
                    failures.append(Failure(video.id, str(error), error.second))
                progress.finish()
        file.join()
    drop_parts_folder(out)
    added = len(left) - len(failures)
    skipped = len(videos) - len(left)
    return Report(added, skipped, progress.seconds, progress.took(), tuple(failures))


class _Progress:
    """How far an extraction is: the share of all bytes, and seconds of video a second."""

    def __init__(self, sizes: Sequence[int]):
        self.show: Callable[[float, str], None]
        self.seconds = 0.0  # of videos, so far
        self._sizes, self._place, self._before = sizes, 0, 0.0
        self._started = time.monotonic()

    def took(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started

    def reach(self, second: float, duration: float) -> None:
        """Show that the present video is read up to a second of its duration."""
        self.seconds = self._before + second
        part = min(1.0, second / duration) if duration > 0 else 0.0
        done = sum(self._sizes[: self._place]) + part * self._sizes[self._place]
        self._say(done)

    def finish(self) -> None:
        """Go to the next video."""
        self._before, self._place = self.seconds, self._place + 1
        self._say(sum(self._sizes[: self._place]))

    def _say(self, done: float) -> None:
        speed = self.seconds / max(self.took(), 1e-9)
        self.show(done / max(1, sum(self._sizes)), f"{speed:.1f} x realtime")


def _encode(
    video: FrameSource,
    encoder: ImageEncoder,
    run: Callable[[np.ndarray], Array],
    sampling: Sampling,
    batch_size: int,
    progress: _Progress,
) -> tuple[np.ndarray, dict[str, Any]]:
    """A video's features (N, width) float16, and the attributes of their dataset.

    While the device encodes a batch the next one is decoded. Raises UnreadableVideoError.
    """
    with _costing_the_video():
        duration = video.duration()
    size = encoder.config.size
    times, rows, running, count = [], [], None, 0
    for batch in _batches(_pixels(video, sampling, encoder), batch_size):
        images = np.zeros((batch_size, size, size, 3), np.uint8)
        images[: len(batch)] = [pixels for _, pixels in batch]
        encoded = run(images)
        if running is not None:
            rows.append(np.asarray(running)[:count])
        running, count = encoded, len(batch)
        times += [second for second, _ in batch]
        progress.reach(times[-1], duration)
    rows.append(np.asarray(running)[:count])
    features = np.concatenate(rows)
    with _costing_the_video():
        origin = origin_of(video)
        features = as_float16(features, features.shape[1:], video.id)
    known = times[-1] if math.isnan(duration) else duration
    versions = ", ".join(f"{name} {version(name)}" for name in _LIBRARIES)
    found = {"times": np.array(times), "duration": known, "versions": versions}
    return features, {**found, **origin._asdict()}


@contextmanager
def _costing_the_video() -> Iterator[None]:
    """Make any error, of the many that damaged files raise, one that costs the video alone."""
    try:
        yield
    except Exception as error:
        raise UnreadableVideoError(error) from error


def _pixels(
    video: FrameSource, sampling: Sampling, encoder: ImageEncoder
) -> Iterator[tuple[float, np.ndarray]]:
    """Yield (second, what the encoder takes) of each frame."""
    with _costing_the_video():
        for frame in video.frames(sampling):
            yield frame.time, encoder.crop(frame.image)


def _bytes(video: FrameSource) -> int:
    """A video's size, 0 where it cannot be told."""
    try:
        return sum(path.stat().st_size for path in video.files())
    except (OSError, ValueError):  # what reads the video says why
        return 0


def _batches(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def _settings(encoder: ImageEncoder, sampling: Sampling) -> dict[str, Any]:
    """What all videos of a file have in common, as its attributes."""
    chosen = {name: value for name, value in vars(sampling).items() if value is not None}
    names = {"encoder": encoder.name, "weights": encoder.weights}
    return {**names, "preprocessing": encoder.preprocessing, **chosen}
