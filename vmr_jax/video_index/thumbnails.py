"""Small pictures of an index's videos, made when they are asked for and kept up to a bound."""

import io
from contextlib import suppress
from pathlib import Path

from vmr_jax.input_files import require_file
from vmr_jax.output_files import whole_path
from vmr_jax.video.decode import sample_frames
from vmr_jax.video.sampling import Sampling

_WIDTH = 160  # pixels at most
_KEPT = 64 * 2**20  # bytes of all of them


class Thumbnails:
    """The pictures of an index, in its folder "thumbnails"."""

    def __init__(self, index: Path):
        self._folder = index / "thumbnails"

    def at(self, path: Path, sha256: str, seconds: float) -> bytes:
        """A JPEG of the frame of a file with this SHA-256 that is nearest to these seconds.

        Raises FileNotFoundError where a picture is not kept and the file is gone, and ValueError
        where it cannot be read.
        """
        kept = self._folder / f"{sha256[:24]}-{round(seconds * 1000)}.jpg"
        with suppress(FileNotFoundError):
            return kept.read_bytes()
        picture = _picture(require_file(path, "video"), seconds)
        with suppress(OSError):  # an index that cannot be written can still be searched
            self._folder.mkdir(exist_ok=True)
            with whole_path(kept, len(picture)) as draft:
                draft.write_bytes(picture)
            self._bound()
        return picture

    def _bound(self) -> None:
        """Remove the oldest pictures beyond what is kept."""
        there = [(path.stat(), path) for path in self._folder.glob("[!.]*.jpg")]
        size = 0
        for stat, path in sorted(there, key=lambda pair: -pair[0].st_mtime_ns):
            size += stat.st_size
            if size > _KEPT:
                path.unlink(missing_ok=True)


def _picture(path: Path, seconds: float) -> bytes:
    from PIL import Image

    frame = next(sample_frames(path, Sampling(times=(max(0.0, seconds),))))
    image = Image.fromarray(frame.image)
    image.thumbnail((_WIDTH, _WIDTH * 2))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    return buffer.getvalue()
