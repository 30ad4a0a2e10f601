"""How fast do examples reach the train step? Both data paths, beside HDF5 read item by item.

    python -m benchmarks.data            # 6,672 videos of 75 x 1024, about 4 GB under --dir

An example is one video's features as a padded float row of a batch, resampling included. The
streamed path runs on one thread, so that the figure is microseconds an item of one core; the
files are read once before, so that the disk is not what is measured.
"""

import argparse
import shutil
import tempfile
import time
from pathlib import Path

import h5py
import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.report import show
from vmr_jax.configs import common
from vmr_jax.data.batches import data_paths
from vmr_jax.data.batches.clips import sample_clips
from vmr_jax.data.batches.domain import Domain, make_domain
from vmr_jax.data.batches.sampler import make_sampler
from vmr_jax.data.datasets.records import Annotations, MomentRecord
from vmr_jax.data.sources.features import FeatureSource
from vmr_jax.data.tables.build import write_dataset
from vmr_jax.data.tables.dataset import load_dataset
from vmr_jax.training.mesh import make_mesh

_BATCH = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=int, default=6672)
    parser.add_argument("--clips", type=int, default=75)
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--max-clips", type=int, default=128)
    parser.add_argument("--dir", default=tempfile.gettempdir())
    parser.add_argument("--json", default="")
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="vmr_benchmark_", dir=args.dir))
    try:
        rows = _measure(args, folder)
    finally:
        shutil.rmtree(folder)
    title = f"{args.videos} videos of {args.clips} x {args.width}, at most {args.max_clips} clips"
    show(title, rows, args.json)


def _measure(args, folder: Path) -> list[dict]:
    h5 = _write(args, folder)
    settings = common.domain_block("benchmark", labels=True)
    settings.max_clips = args.max_clips
    domain = make_domain(load_dataset(folder, "benchmark", "random"), "train", settings)
    steps = args.videos // _BATCH
    sampler = make_sampler(domain.pairs.video, _BATCH, 0, "target")
    paths = {
        "HDF5 float32, item by item": lambda: _read_h5(h5, domain, sampler, steps, args.max_clips),
        "streamed, 1 thread": lambda: _stream(domain, sampler, steps, 1),
        "streamed, 2 threads": lambda: _stream(domain, sampler, steps, 2),
        "device-resident": _resident(domain, sampler, steps),
    }
    rows = []
    for name, run in paths.items():
        run()
        seconds = sorted(_timed(run) for _ in range(3))[1]
        items = steps * _BATCH
        rows.append({"path": name, "examples/s": items / seconds, "µs/item": 1e6 * seconds / items})
    return rows


def _write(args, folder: Path) -> Path:
    rng = np.random.default_rng(0)
    ids = [f"video{i:05d}" for i in range(args.videos)]

    def features(video: str) -> np.ndarray:
        rng_video = np.random.default_rng(int(video[5:]))
        return rng_video.standard_normal((args.clips, args.width), np.float32)

    with h5py.File(folder / "features.h5", "w") as file:
        for video in ids:
            file[video] = features(video)
    moment = np.array([[5.0, 12.0]], np.float32)
    records = [MomentRecord(f"{v}#0", v, "a person opens a door", moment) for v in ids]
    durations = {video: float(rng.uniform(20, 40)) for video in ids}
    annotations = Annotations("benchmark", {"train": records}, durations, [], {})
    words = {word: np.ones(300, np.float32) for word in ("a", "person", "opens", "door")}
    write_dataset(folder, annotations, FeatureSource(tuple(ids), features), "random", words)
    return folder / "features.h5"


def _read_h5(path: Path, domain: Domain, sampler, steps: int, max_clips: int) -> None:
    names = domain.dataset.videos.video_id
    with h5py.File(path) as file:
        for step in range(steps):
            batch = np.zeros((_BATCH, max_clips, domain.spec.video_dim), np.float32)
            for item, row in enumerate(domain.pairs.video[sampler.index(step).query]):
                video = file[names[domain.video_row[row]]][()]
                video = sample_clips(video, max_clips, "native_capped")
                batch[item, : len(video)] = video


def _stream(domain: Domain, sampler, steps: int, threads: int) -> None:
    def read(step: int):
        return data_paths.read_batch(domain, sampler.index(step))

    for _ in data_paths.stream(read, 0, steps, threads, prefetch=4):
        pass


def _resident(domain: Domain, sampler, steps: int):
    """A scan that gathers every batch and does nothing else with it than add it up."""
    tables = data_paths.load_tables(domain, make_mesh())
    indices = jax.tree.map(lambda *s: jnp.stack(s), *(sampler.index(k) for k in range(steps)))

    @jax.jit
    def scan(tables, indices):
        def body(total, index):
            return total + data_paths.gather_batch(tables, index).video.sum(), None

        return jax.lax.scan(body, jnp.zeros(()), indices)[0]

    return lambda: scan(tables, indices).block_until_ready()


def _timed(run) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
