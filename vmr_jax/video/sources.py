"""Where frames come from: video files and folders of frames, found by folder, name or list."""

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from vmr_jax.data.datasets.files import field, read_json_lines
from vmr_jax.data.sources.names import stem
from vmr_jax.input_files import require_file
from vmr_jax.video.decode import read_info, sample_frames
from vmr_jax.video.sampling import Extent, Frame, Sampling

_IMAGE = re.compile(r"(\d+)\.(jpe?g|png)$", re.I)  # the number of a frame
_LISTS = (".jsonl", ".csv")


class FrameSource(Protocol):
    """A video, whatever holds its frames."""

    @property
    def id(self) -> str:
        """Its name, unique among those found."""
        ...

    @property
    def path(self) -> Path:
        """The file or folder."""
        ...

    def frames(self, sampling: Sampling) -> Iterator[Frame]:
        """Yield its frames at the times of `sampling`. Raises ValueError and OSError."""
        ...

    def duration(self) -> float:
        """Its seconds, NaN where they are not known. Raises ValueError and OSError."""
        ...

    def files(self) -> tuple[Path, ...]:
        """The files that are read. Raises ValueError and OSError."""
        ...


class VideoFile(NamedTuple):
    """A video file."""

    id: str
    path: Path
    threads: int = 0  # that decode it; 0: as many as there are cores

    def frames(self, sampling: Sampling) -> Iterator[Frame]:
        """As `sample_frames`, with its errors."""
        return sample_frames(self.path, sampling, threads=self.threads)

    def duration(self) -> float:
        """As `read_info`, with its errors."""
        return read_info(self.path).duration

    def files(self) -> tuple[Path, ...]:
        """The one file."""
        return (self.path,)


class FrameFolder(NamedTuple):
    """A folder of images such as 000123.jpg, a frame each; numbers may be missing."""

    id: str
    path: Path
    frame_fps: float  # numbers a second

    def frames(self, sampling: Sampling) -> Iterator[Frame]:
        """Read the images at the times of `sampling`; the lowest number is at 0 s.

        Raises ValueError where two images have one number, none is there, or one is damaged.
        """
        images = self._images()
        numbers = np.array(sorted(images))
        times = (numbers - numbers[0]) / self.frame_fps
        for index in _chosen(times, 1 / self.frame_fps, sampling, self.path):
            image = next(sample_frames(images[numbers[index]], Sampling(every=1))).image
            yield Frame(float(times[index]), image)

    def duration(self) -> float:
        """From the first frame to the end of the last one."""
        numbers = self._images()
        return (max(numbers) - min(numbers) + 1) / self.frame_fps

    def files(self) -> tuple[Path, ...]:
        """The images in the order of their numbers."""
        return tuple(path for _, path in sorted(self._images().items()))

    def _images(self) -> dict[int, Path]:
        images: dict[int, Path] = {}
        for path in sorted(self.path.iterdir()):
            if match := _IMAGE.search(path.name):
                other = images.setdefault(int(match[1]), path)
                if other != path:
                    raise ValueError(f"{other} and {path} have the same number; keep one of them")
        if not images:
            raise ValueError(f"{self.path} holds no frames such as 000123.jpg or 000123.png")
        return images


def _chosen(times: np.ndarray, gap: float, sampling: Sampling, where: Path) -> Iterable[int]:
    """The indices of the frames (T,) that are nearest to the times to sample."""
    if sampling.every:
        yield from range(0, len(times), sampling.every)
        return
    extent = Extent(times[-1], times[-1] + gap, times[-1] + gap)
    for target in sampling.targets():
        if target > times[-1] and not sampling.goes_on(target, extent, where):
            return
        yield int(np.abs(times - target).argmin())


def find_videos(
    paths: Sequence[str | Path], frame_fps: float | None = None, *, tell_apart: bool = False
) -> tuple[FrameSource, ...]:
    """Find the videos of folders, files, and lists of files; sorted by their ids.

    A folder is searched with all below it for files with a video's extension. A list is JSONL or
    CSV with a "path", from the list's own folder on, and perhaps a "vid", the id; else a file's
    name without its extension is the id. With `frame_fps`, the frames a second, a video is a folder
    of images instead, named as its id: each given or listed one, or each in a given one. To
    `tell_apart` videos of one name, their ids begin with the names of their folders.

    Raises:
        FileNotFoundError: there is no such file or folder.
        ValueError: two videos have one id, a folder holds none, or a list is damaged.
    """
    if frame_fps is not None and not frame_fps > 0:
        raise ValueError(f"frame_fps is {frame_fps}; expected a positive number")
    found: dict[str, Path] = {}
    named = list(chain.from_iterable(_named(Path(given), frame_fps) for given in paths))
    times = Counter(name for name, _ in {(name, path.resolve()) for name, path in named})
    for name, path in named:
        if tell_apart and times[name] > 1:
            name = f"{path.resolve().parent.name}-{name}"
        other = found.setdefault(name, path)
        if other != path:
            raise ValueError(
                f"{other} and {path} have the id {name!r}: rename one of them, or give a list with "
                'a "vid" for each'
            )
    return tuple(
        VideoFile(name, path) if frame_fps is None else FrameFolder(name, path, frame_fps)
        for name, path in sorted(found.items())
    )


def _named(path: Path, frame_fps: float | None) -> Iterator[tuple[str, Path]]:
    """The videos of a path that was given, with their ids."""
    if path.suffix.lower() in _LISTS and not path.is_dir():
        yield from _listed(path, frame_fps)
    elif not path.is_dir():
        if frame_fps is not None and path.exists():
            raise ValueError(f"{path} is no folder of frames; with frame_fps, give folders")
        yield stem(path.name), require_file(path, "video")
    else:
        videos = _video_files(path) if frame_fps is None else _frame_folders(path)
        if not videos:
            wanted = "video file" if frame_fps is None else "frames such as 000123.jpg"
            raise ValueError(f"{path} holds no {wanted}")
        for video in videos:
            yield (stem(video.name) if frame_fps is None else video.name), video


def _video_files(folder: Path) -> list[Path]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return sorted(f for f in files if stem(f.name) != f.name and not f.name.startswith("."))


def _frame_folders(folder: Path) -> list[Path]:
    folders = (folder, *(path for path in folder.rglob("*") if path.is_dir()))
    return sorted(f for f in folders if any(_IMAGE.search(path.name) for path in f.iterdir()))


def _listed(path: Path, frame_fps: float | None) -> Iterator[tuple[str, Path]]:
    """The rows of a JSONL or CSV list."""
    for where, row in _rows(require_file(path, "list of videos")):
        video = path.parent / field(row, "path", str, where)
        if not video.exists():
            raise FileNotFoundError(f"{where}: no video at {video}")
        if frame_fps is not None and not video.is_dir():
            raise ValueError(f"{where}: {video} is no folder of frames")
        own = video.name if frame_fps is not None else stem(video.name)
        yield str(row.get("vid") or own), video


def _rows(path: Path) -> Iterator[tuple[str, dict]]:
    if path.suffix.lower() == ".jsonl":
        yield from read_json_lines(path)
        return
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file)
        try:
            for row in rows:
                yield f"{path}:{rows.line_num}", row
        except (csv.Error, UnicodeDecodeError) as error:
            raise ValueError(f"{path}: no CSV in UTF-8 ({error})") from error
