"""Does the loop keep the device busy? An epoch with device-resident tables against its steps.

    python -m benchmarks.epoch                     # EVA, small enough for two CPU cores
    python -m benchmarks.epoch --paper --epochs 50 # Charades-STA's size: for a GPU

Tables are random and live on the device. Three figures: the wall time of an epoch as train.py
runs it (rows drawn, chunks dispatched, metrics fetched and logged), the same steps as bare calls
of the scan, and the steps alone on a batch that is already there. Compilation is not counted,
but told.
"""

import argparse
import functools
import tempfile
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console

from benchmarks.report import show
from vmr_jax import models
from vmr_jax.configs import eva
from vmr_jax.data.batches.domain import Domain, make_domain
from vmr_jax.data.tables.dataset import Dataset, MomentTable
from vmr_jax.data.tables.video_table import VideoTable
from vmr_jax.training.input_pipeline import make_input_pipeline
from vmr_jax.training.logs import RunLog
from vmr_jax.training.mesh import make_mesh
from vmr_jax.training.optimizer import make_optimizer
from vmr_jax.training.state import abstract_state, first_state, state_maker
from vmr_jax.training.steps import chunks, train_step

# pairs, videos, clips, width of a domain
_PAPER = {"source": (12_408, 4_000, 51, 1024), "target": (12_408, 5_338, 75, 1024)}
_TINY = {"source": (40, 20, 20, 8), "target": (40, 20, 20, 8)}
_SMALL = {"source": (512, 200, 51, 1024), "target": (512, 200, 75, 1024)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--paper", action="store_true", help="Charades-STA's size")
    parser.add_argument("--tiny", action="store_true", help="toy sizes: only to see that it runs")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--json", default="")
    args = parser.parse_args()
    config = eva.get_config("" if args.tiny else "tvr,charades_sta")
    config.precision, config.epochs = args.precision, args.epochs
    config.batch_size = 8 if args.tiny else config.batch_size
    sizes = _TINY if args.tiny else _PAPER if args.paper else _SMALL
    domains = {role: _random_domain(config[role], *sizes[role]) for role in sizes}
    started = time.perf_counter()
    wall, loops, step, steps, prepared = _measure(config, domains)
    total = time.perf_counter() - started
    row = {
        "epochs": args.epochs,
        "steps": steps,
        "epoch wall s": wall / args.epochs,
        "bare loops s": loops / args.epochs,
        "step ms": 1e3 * step,
        "share in loops %": 100 * loops / wall,
        "share in steps %": 100 * step * steps / wall,
        "tables + compile s": prepared,
        "whole run s": wall,
        "script s": total,
    }
    show(f"EVA, {sizes['target'][0]:,} pairs, {args.precision}", [row], args.json)


def _measure(config, domains: dict[str, Domain]) -> tuple[float, float, float, int, float]:
    mesh, console = make_mesh(), Console(quiet=True)
    started = time.perf_counter()
    system = models.make(config, {role: domain.spec for role, domain in domains.items()})
    feed = make_input_pipeline(config, "pairs", domains, mesh, console)
    make = functools.partial(make_optimizer, config.optimizer)
    optimizer = make(feed.pace)
    maker = state_maker(system, optimizer, feed.example, config.seed)
    abstract = abstract_state(maker, mesh)
    advance = feed.make_advance(system, make, abstract)
    steps = config.epochs * feed.pace.steps_per_epoch
    pieces = list(chunks(0, steps, feed.pace.steps_per_epoch, config.log_every))
    jax.block_until_ready(advance(first_state(maker, abstract), *pieces[0]))
    prepared = time.perf_counter() - started

    state = first_state(maker, abstract)
    with tempfile.TemporaryDirectory() as folder, RunLog(Path(folder), console, 0, steps) as log:
        started = time.perf_counter()
        pending = None
        for begin, end in pieces:
            state, metrics = advance(state, begin, end)
            log.record(pending)
            pending = (begin, end, metrics)
        log.record(pending)
        wall = time.perf_counter() - started

    state = first_state(maker, abstract)
    started = time.perf_counter()
    for begin, end in pieces:
        state, _ = jax.block_until_ready(advance(state, begin, end))
    loops = time.perf_counter() - started
    return wall, loops, _step_seconds(system, optimizer, maker, abstract, feed), steps, prepared


def _step_seconds(system, optimizer, maker, abstract, feed) -> float:
    """Median seconds of a step in a scan over 8 steps on one batch."""
    batch = jax.tree.map(_random_like, feed.example)

    @jax.jit
    def scan(state, batch):
        def body(state, _):
            return train_step(state, batch, 0, system=system, optimizer=optimizer, pace=feed.pace)

        return jax.lax.scan(body, state, None, length=8)

    state = first_state(maker, abstract)
    jax.block_until_ready(scan(state, batch))
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        jax.block_until_ready(scan(state, batch))
        seconds.append((time.perf_counter() - started) / 8)
    return sorted(seconds)[2]


def _random_like(leaf: jax.ShapeDtypeStruct) -> jax.Array:
    rng = np.random.default_rng(0)
    if leaf.dtype == jnp.bool_:
        return jnp.ones(leaf.shape, bool)
    if leaf.dtype == jnp.int32 and len(leaf.shape) == 1:
        return jnp.arange(1, leaf.shape[0] + 1, dtype=jnp.int32)
    return jnp.asarray(rng.uniform(0.1, 1, leaf.shape), leaf.dtype)


def _random_domain(settings, queries: int, videos: int, clips: int, width: int) -> Domain:
    rng = np.random.default_rng(0)
    duration = rng.uniform(20, 40, videos).astype(np.float32)
    video = rng.integers(0, videos, queries).astype(np.int32)
    moments = np.sort(rng.uniform(0, 1, (queries, 1, 2)), axis=2) * duration[video][:, None, None]
    table = MomentTable(
        query_id=tuple(map(str, range(queries))),
        sentence=("",) * queries,
        video=video,
        words=rng.integers(2, 1000, (queries, settings.max_words)).astype(np.int32),
        num_words=np.full(queries, settings.max_words, np.int32),
        moments=tuple(moments.astype(np.float32)),
    )
    corpus = VideoTable(
        video_id=tuple(map(str, range(videos))),
        duration=duration,
        num_clips=np.full(videos, clips, np.int32),
        features=lambda row: rng.standard_normal((clips, width), np.float32).astype(np.float16),
        feature_dim=width,
    )
    vectors = rng.standard_normal((1000, 300)).astype(np.float32)
    dataset = Dataset("random", "random", {"train": table}, corpus, (), vectors, "")
    return make_domain(dataset, "train", settings)


if __name__ == "__main__":
    main()
