"""The index that is served: opened once, and anew when it changed."""

import threading
from pathlib import Path
from typing import NamedTuple

from vmr_jax.video_index.corpus import CALIBRATION, Corpus
from vmr_jax.video_index.layout import MANIFEST, RUN, IndexedVideo


class NotInIndexError(LookupError):
    """What was asked for is not in the index, or its file is no longer where it was indexed."""


class Opened(NamedTuple):
    """An index as it was when it was opened."""

    corpus: Corpus
    videos: dict[str, IndexedVideo]

    def video(self, name: str) -> IndexedVideo:
        """A video by its id. Raises NotInIndexError."""
        if name not in self.videos:
            raise NotInIndexError(f"no video {name[:100]!r} in the index")
        return self.videos[name]

    def file(self, name: str) -> Path:
        """The file of a video, if it is still the regular file that was indexed.

        Raises NotInIndexError, also where a link has taken the place of the file or of a folder
        above it, as that may lead anywhere.
        """
        path = self.video(name).path
        if not path.is_file() or path.resolve() != path:
            raise NotInIndexError(
                f"the file of the video {name!r} is no longer where it was indexed: run `vmr "
                "index` again"
            )
        return path


class ServedIndex:
    """An index on the disk, which another process may change."""

    def __init__(self, index: Path, checkpoint: str = ""):
        """Open it with the encoder of its sentences and the run. Raises as Corpus and its search.

        `checkpoint` is that of Corpus.
        """
        self._index, self._checkpoint, self._opening = index, checkpoint, threading.Lock()
        self._seen, self._opened = self._open()

    def now(self) -> Opened:
        """The index as it is on the disk; while one thread opens it anew, others have the last one.

        Raises FileNotFoundError and ValueError where the index was removed or damaged.
        """
        if _state(self._index) != self._seen and self._opening.acquire(blocking=False):
            try:
                self._seen, self._opened = self._open()
            finally:
                self._opening.release()
        return self._opened

    def _open(self) -> tuple[list, Opened]:
        seen, corpus = _state(self._index), Corpus(self._index, checkpoint=self._checkpoint)
        corpus.load()
        return seen, Opened(corpus, {video.id: video for video in corpus.videos})


def _state(index: Path) -> list[tuple[int, int, int] | None]:
    """What tells the files of an index from what they were."""
    found = []
    for path in (index / MANIFEST, index / CALIBRATION, index / RUN):
        try:
            stat = path.stat()
            found.append((stat.st_ino, stat.st_mtime_ns, stat.st_size))
        except FileNotFoundError:
            found.append(None)
    return found
