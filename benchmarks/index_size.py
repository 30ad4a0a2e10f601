"""How large does an index of video files become, and how long does it take to lay out and open?

    python -m benchmarks.index_size                           # 1,000 and 4,000 videos of 100 frames
    python -m benchmarks.index_size --videos 10000 --width 512

Rows are random; a process for each size lays them out as `vmr index` does after encoding, opens the
index and searches it once. What it needs of a million videos follows from the bytes a frame and a
video, which do not depend on the number of videos.
"""

import argparse
import multiprocessing
import resource
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np

from benchmarks.report import show
from vmr_jax.extract.feature_file import LIBVER
from vmr_jax.video_index.corpus import Corpus
from vmr_jax.video_index.layout import FRAMES, MANIFEST, unit_rows, write_layout
from vmr_jax.zero_shot.joint_space import Sentences

_SECONDS = 2.0
_VERSIONS = "vmr_jax 0.1.0, av 18.0.0, pillow 12.0.0, jax 0.10.2, numpy 2.4.0, h5py 3.15.0"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--videos", default="1000,4000")
    parser.add_argument("--frames", type=int, default=100, help="of a video")
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--json", default="")
    args = parser.parse_args()
    sizes = [(videos, args.frames, args.width) for videos in map(int, args.videos.split(","))]
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        rows = pool.map(_measure, sizes, chunksize=1)
    show(f"Index of videos of {args.frames} frames, {args.width} wide", rows, args.json)


def _measure(size: tuple[int, int, int]) -> dict[str, float]:
    videos, frames, width = size
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        index = Path(folder)
        paths = _write_frames(index, videos, frames, width, rng)
        begun = time.perf_counter()
        generic = unit_rows(rng.standard_normal((10, width), np.float32))
        write_layout(index, ("random", "", "", _SECONDS), paths, generic)
        laid_out = time.perf_counter() - begun
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        vector = rng.standard_normal((1, width), np.float32)
        begun = time.perf_counter()
        Corpus(index, Sentences(lambda _: vector, "")).search("a door")
        opened = time.perf_counter() - begun
        sizes = {name: (index / name).stat().st_size for name in (FRAMES, MANIFEST)}
        packed = sum(path.stat().st_size for path in index.glob("*.npy"))
    return {
        "videos": videos,
        f"{FRAMES}, bytes a frame": sizes[FRAMES] / (videos * frames),
        "rows and times, bytes a frame": packed / (videos * frames),
        f"{MANIFEST}, bytes a video": sizes[MANIFEST] / videos,
        "layout s": laid_out,
        "its peak MB": peak / 1024,
        "open and first search s": opened,
    }


def _write_frames(
    index: Path, videos: int, frames: int, width: int, rng: np.random.Generator
) -> dict[str, Path]:
    """The rows as `vmr extract` leaves them; returns the videos' files."""
    names = [f"a folder of videos-{number:07}" for number in range(videos)]
    with h5py.File(index / FRAMES, "w", libver=LIBVER) as file:
        for name in names:
            rows = rng.standard_normal((frames, width), np.float32).astype(np.float16)
            times = (np.arange(frames) + 0.5) * _SECONDS
            facts = {"times": times, "duration": frames * _SECONDS, "versions": _VERSIONS}
            origin = {"source": f"{name}.mp4", "source_bytes": 2**24, "source_mtime_ns": 2**60}
            dataset = file.create_dataset(name, data=rows)
            dataset.attrs.update({**facts, **origin, "source_sha256": "0" * 64})
    return {name: Path("/home/someone/videos") / f"{name}.mp4" for name in names}


if __name__ == "__main__":
    main()
