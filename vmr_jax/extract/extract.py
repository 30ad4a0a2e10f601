"""What `vmr extract` does: the frames of videos through an image encoder into a feature file."""

import math
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import jax

from vmr_jax.data.sources.features import as_float16
from vmr_jax.encoders.images import ImageEncoder
from vmr_jax.extract.batches import Encoded, Waits, encode_videos
from vmr_jax.extract.feature_file import FeatureFile, drop_parts_folder, parts_folder
from vmr_jax.extract.feature_folder import FeatureFolder
from vmr_jax.extract.frames import Event, Piece, Unreadable, read_video
from vmr_jax.extract.origin import bytes_of
from vmr_jax.extract.snippets import in_snippets
from vmr_jax.extract.workers import read_videos
from vmr_jax.locks import locked
from vmr_jax.progress import share_shown
from vmr_jax.training.mesh import along_batch, check_batch_size, make_mesh, replicated
from vmr_jax.video.reader import import_av
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
    waits: Waits  # of them
    failures: tuple[Failure, ...]


def extract(
    videos: Sequence[FrameSource],
    encoder: ImageEncoder,
    sampling: Sampling,
    out: Path,
    *,
    batch_size: int,
    precision: str = "float32",
    jobs: int = 0,
    suffix: str = "h5",
    strict: bool = False,
    tell: Callable[[int, int], None] = lambda done, videos: None,
) -> Report:
    """Write the features of videos to an HDF5 file, but for those that are there.

    With the `suffix` npz or npy to a folder instead, a file a video.

    A video that cannot be read to its end has no features, and the others have theirs. What the
    file holds of other videos stays. `batch_size` frames are encoded at once, in snippets where the
    encoder reads such. The devices share each batch. `jobs` processes read the videos
    while this one encodes; with 0 this one does both. `tell` hears how many videos are done of how
    many.

    Raises:
        ValueError: the file was made with other settings, or another process writes it; an id
            holds a "/"; PyAV is missing; the devices cannot share a batch evenly; with `strict`, a
            video cannot be read.
        FullDiskError: there is no space for the file.
    """
    import_av()
    frames = encoder.kind.frames
    batch_rows = max(jax.device_count(), batch_size // frames)
    check_batch_size(batch_rows, "--batch-size")
    for video in videos:
        if "/" in video.id or video.id == ".":
            raise ValueError(
                f"{video.path}: the id {video.id!r} cannot name a dataset: give it another in a "
                'list of {"path": ..., "vid": ...}'
            )
    mesh, waits = make_mesh(), Waits()
    with locked(parts_folder(out)):
        settings = _settings(encoder, sampling, precision)
        file = (
            FeatureFile(out, settings) if suffix == "h5" else FeatureFolder(out, settings, suffix)
        )
        left = [video for video in videos if not file.holds(video)]
        run = encoder.compiled(precision, along_batch(mesh), replicated(mesh))
        failures, progress = [], _Progress([bytes_of(video) for video in left])
        tell(0, len(left))
        with share_shown("extract") as progress.show:
            if jobs:
                events = read_videos(left, sampling, encoder.crop, jobs)
            else:
                events = _read_here(left, sampling, encoder)
            with closing(events):
                followed = _followed(events, progress, strict)
                rows = in_snippets(followed, frames) if frames > 1 else followed
                for done, result in enumerate(encode_videos(rows, run, batch_rows, waits), 1):
                    if failure := _store(result, left[result.video], file):
                        failures.append(failure)
                    tell(done, len(left))
        if strict and failures:
            raise ValueError(f"{failures[0].reason} (--strict stops here)")
        file.join()
    drop_parts_folder(out)
    counts = len(left) - len(failures), len(videos) - len(left)
    failures.sort()
    return Report(*counts, progress.seconds, progress.took(), waits, tuple(failures))


def _followed(events: Iterator[Event], progress: "_Progress", strict: bool) -> Iterator[Event]:
    """Show how far the events are; with `strict` they end at a video that cannot be read."""
    for event in events:
        progress.follow(event)
        yield event
        if strict and isinstance(event, Unreadable):
            return


def _read_here(
    videos: Sequence[FrameSource], sampling: Sampling, encoder: ImageEncoder
) -> Generator[Event]:
    """Read videos one after the other in this process."""
    for number, video in enumerate(videos):
        yield from read_video(number, video, sampling, encoder.crop)


def _store(
    result: Encoded | Unreadable, video: FrameSource, file: FeatureFile | FeatureFolder
) -> Failure | None:
    """Store a video's features, or tell why there are none."""
    if isinstance(result, Unreadable):
        return Failure(video.id, result.reason, result.second)
    try:
        rows = as_float16(result.rows, result.rows.shape[1:], video.id)
    except ValueError as error:
        return Failure(video.id, str(error), math.nan)
    whole = result.whole
    known = result.seconds[-1] if math.isnan(whole.duration) else whole.duration
    versions = ", ".join(f"{name} {version(name)}" for name in _LIBRARIES)
    found = {"times": result.seconds, "duration": known, "versions": versions}
    file.add(video.id, rows, {**found, **whole.origin._asdict()})
    return None


class _Progress:
    """How far an extraction is: the share of all bytes, and seconds of video a second."""

    def __init__(self, sizes: Sequence[int]):
        self.show: Callable[[float, str], None]
        self.seconds = 0.0  # of video that was read
        self._sizes, self._all, self._done = sizes, max(1, sum(sizes)), 0.0
        self._reached: dict[int, tuple[float, float]] = {}  # of each open video: seconds, share
        self._started = time.monotonic()

    def took(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started

    def follow(self, event: Event) -> None:
        """Show how far that is."""
        video = event.video
        seconds, share = before = self._reached.pop(video, (0.0, 0.0))
        if isinstance(event, Piece):
            seconds = event.seconds[-1]
            share = min(1.0, seconds / event.duration) if event.duration > 0 else 0.0
            self._reached[video] = seconds, share
        else:
            share = 1.0
        self.seconds += seconds - before[0]
        self._done += (share - before[1]) * self._sizes[video]
        speed = self.seconds / max(self.took(), 1e-9)
        self.show(min(1.0, self._done / self._all), f"{speed:.1f} x realtime")


def _settings(encoder: ImageEncoder, sampling: Sampling, precision: str) -> dict[str, Any]:
    """What all videos of a file have in common, as its attributes."""
    chosen = {name: value for name, value in vars(sampling).items() if value is not None}
    names = {"encoder": encoder.name, "weights": encoder.weights, "precision": precision}
    return {**names, "preprocessing": encoder.preprocessing, **chosen}
