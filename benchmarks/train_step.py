"""How long does one training step of EVA take, beside the same step in plain PyTorch?

    python -m benchmarks.train_step                       # the papers' shapes, 64 + 64 pairs
    python -m benchmarks.train_step --setups i3d --precision bfloat16 --json step.json

Both run in one process on the same threads and take turns, so that a busy machine slows both;
the figures are medians. First the losses and gradients of both are compared on the same weights
without dropout. FLOPs are counted by XLA on the compiled program and by PyTorch's FlopCounterMode
(matrix products only); the peak is a large matrix product in either library, the faster one.
Without PyTorch its rows are left out.
"""

import argparse
import functools
import importlib.util
import os
import time

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.report import show
from configs import eva
from vmr_jax import models
from vmr_jax.runtime.optim import make_optimizer
from vmr_jax.runtime.state import TrainState
from vmr_jax.runtime.steps import term_means, train_step
from vmr_jax.types import Batch, DataSpec, HybridBatch

# Clips x feature width of the target and of the source; the config gives the windows.
SETUPS = {
    "c3d 128x500": ("tvr,activitynet_captions", (128, 500), (128, 500)),
    "i3d 64x1024": ("tvr,charades_sta", (64, 1024), (64, 1024)),
    "charades 128x1024 + tvr 100x1024": ("tvr,charades_sta", (128, 1024), (100, 1024)),
}
WORDS, WORD_DIM = 20, 300


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--setups", default="", help="only set-ups with this in their name")
    parser.add_argument("--precision", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--pairs", type=int, default=64, help="a domain")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--compile", action="store_true", help="also torch.compile")
    parser.add_argument("--json", default="")
    args = parser.parse_args()
    with_torch = importlib.util.find_spec("torch") is not None
    if not with_torch:
        print("PyTorch is not installed: its rows are left out.")
    peak = _peak(args.precision, with_torch)
    rows = []
    for name, setup in SETUPS.items():
        if args.setups in name:
            rows += _measure(name, setup, args, with_torch, peak)
    title = f"EVA train step, {args.pairs} + {args.pairs} pairs, {args.precision}"
    show(title, rows, args.json)


def _measure(name: str, setup, args, with_torch: bool, peak: float) -> list[dict]:
    """One row for each implementation."""
    config = eva.get_config(setup[0])
    config.precision = args.precision
    sizes = {"target": setup[1], "source": setup[2]}
    specs = {role: DataSpec(f, WORD_DIM, n, WORDS) for role, (n, f) in sizes.items()}
    for role, spec in specs.items():
        config[role].max_clips = spec.max_clips
    batch = HybridBatch(*(_random_batch(specs[r], args.pairs) for r in ("source", "target")))
    steps, gflop = {}, {}
    steps["vmr_jax"], gflop["vmr_jax"], params = _jax_step(config, specs, batch)
    if with_torch:
        print(f"{name}: {_compare(config, specs, params)}")
        variants = {"PyTorch eager": (False, False), "PyTorch eager, shared": (True, False)}
        if args.compile:
            variants["PyTorch compile, shared"] = (True, True)
        for label, (shared, compiled) in variants.items():
            steps[label], gflop[label] = _torch_step(config, params, batch, shared, compiled)
    times = {label: [] for label in steps}
    for _ in range(args.repeats):
        for label, step in steps.items():
            started = time.perf_counter()
            step()
            times[label].append(time.perf_counter() - started)
    median = {label: float(np.median(values)) for label, values in times.items()}
    return [
        {
            "set-up": name,
            "implementation": label,
            "median ms": 1e3 * median[label],
            "best ms": 1e3 * min(times[label]),
            "GFLOP": gflop[label],
            "GFLOP/s": gflop[label] / median[label],
            "share of peak %": 100 * gflop[label] / median[label] / peak,
            "time / eager": median[label] / median["PyTorch eager"] if with_torch else "-",
        }
        for label in steps
    ]


def _random_batch(spec: DataSpec, pairs: int, seed: int = 0) -> Batch:
    """Pairs of different videos, half to fully long."""
    rng = np.random.default_rng(seed)
    n, m = spec.max_clips, spec.max_words
    clips = rng.integers(n // 2, n + 1, pairs).astype(np.int32)
    video_mask = np.arange(n) < clips[:, None]
    query_mask = np.arange(m) < rng.integers(4, m + 1, pairs)[:, None]
    first = rng.integers(0, clips)
    last = rng.integers(first, clips)
    video = rng.standard_normal((pairs, n, spec.video_dim), np.float32)
    query = rng.standard_normal((pairs, m, spec.word_dim), np.float32)
    ids = np.arange(pairs, dtype=np.int32)
    return jax.device_put(
        Batch(
            video=video * video_mask[..., None],
            video_mask=video_mask,
            num_clips=clips,
            query=query * query_mask[..., None],
            query_mask=query_mask,
            duration=clips / np.float32(3),
            video_id=ids,
            query_id=ids,
            moment=np.stack([first, last + 1], -1).astype(np.float32) / 3,
            span=np.stack([first, last], -1).astype(np.int32),
            weight=np.ones(pairs, np.float32),
        )
    )


def _jax_step(config, specs, batch: HybridBatch):
    """A function that runs one step and waits, the program's GFLOP, and the first parameters."""
    system, optimizer = models.make(config, specs), make_optimizer(config.optimizer)
    params = jax.jit(lambda key: system.init(key, batch))(jax.random.key(0))
    first = jax.tree.map(np.asarray, params)
    state = TrainState(jnp.zeros((), jnp.int32), params, optimizer.init(params))
    step = functools.partial(train_step, system=system, optimizer=optimizer)
    seed = jnp.uint32(1)
    compiled = jax.jit(step, donate_argnums=0).lower(state, batch, seed).compile()
    flops = compiled.cost_analysis()["flops"]

    def run() -> None:
        nonlocal state
        state, metrics = compiled(state, batch, seed)
        jax.block_until_ready((state, metrics))

    run()
    return run, flops / 1e9, first


def _torch_step(config, params, batch: HybridBatch, shared: bool, compiled: bool):
    """The same for PyTorch."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from benchmarks.eva_torch import Eva

    device = _torch_device()
    model = Eva(params, config, device, shared)
    halves = [_tensors(half, device) for half in batch]
    adam = torch.optim.Adam(model.leaves(), lr=config.optimizer.learning_rate)
    loss_of = torch.compile(model) if compiled else model
    pairs = len(batch.source.weight)

    def run() -> None:
        shift = torch.randint(1, pairs, (4, pairs), device=device)
        other = (torch.arange(pairs, device=device) + shift) % pairs
        adam.zero_grad()
        half = torch.bfloat16 if config.precision == "bfloat16" else None
        with torch.autocast(device, dtype=half, enabled=half is not None):
            loss = sum(loss_of(*halves, (other[:2], other[2:])).values())
        loss.backward()
        adam.step()
        if device == "cuda":
            torch.cuda.synchronize()

    run()
    with FlopCounterMode(display=False) as counter:
        run()
    return run, counter.get_total_flops() / 1e9


def _compare(config, specs, params) -> str:
    """Refuse to time two programs that differ: losses and gradients of two pairs a domain."""
    import torch

    from benchmarks.eva_torch import Eva

    config = config.copy_and_resolve_references()
    config.dropout, config.precision = 0.0, "float32"
    batch = HybridBatch(*(_random_batch(specs[r], 2, 7) for r in ("source", "target")))
    system = models.make(config, specs)

    def total(params):
        means = term_means(system.loss(params, batch, jax.random.key(0), 0).terms)
        return sum(means.values()), means

    with jax.default_matmul_precision("float32"):
        (_, means), gradient = jax.jit(jax.value_and_grad(total, has_aux=True))(params)
    model = Eva(params, config, _torch_device())
    other = torch.tensor([1, 0], device=_torch_device())  # of two pairs the other is the negative
    terms = model(*(_tensors(half, _torch_device()) for half in batch), [(other, other)] * 2)
    sum(terms.values()).backward()
    for name, value in means.items():
        np.testing.assert_allclose(value, terms[name].item(), rtol=1e-3, atol=1e-4, err_msg=name)
    worst = 0.0
    for one, other in zip(jax.tree.leaves(gradient), _sorted_leaves(model.params), strict=True):
        found, expected = np.asarray(one).T, other.grad.cpu().numpy()
        worst = max(worst, np.abs(found - expected).max() / max(np.abs(expected).max(), 1e-6))
    if worst > 1e-2:
        raise ValueError(f"gradients of the two implementations differ by {worst:.1e}")
    return f"same losses; gradients differ by at most {worst:.0e} of a tensor's largest entry"


def _sorted_leaves(tree):
    """Tensors in the order of jax.tree.leaves."""
    for name in sorted(tree):
        yield from _sorted_leaves(tree[name]) if isinstance(tree[name], dict) else (tree[name],)


def _tensors(batch: Batch, device: str) -> dict:
    """What the PyTorch model reads of a batch."""
    import torch

    names = ("video", "video_mask", "query", "query_mask", "num_clips", "span")
    arrays = {name: np.array(getattr(batch, name)) for name in names}
    arrays["span"] = arrays["span"].astype(np.int64)
    return {name: torch.tensor(array, device=device) for name, array in arrays.items()}


def _torch_device() -> str:
    """Where PyTorch runs: on the GPU where JAX does."""
    return "cuda" if jax.default_backend() == "gpu" else "cpu"


def _peak(precision: str, with_torch: bool) -> float:
    """GFLOP/s of the largest square matrix product, the better library's."""
    n = 2048 if jax.default_backend() == "cpu" else 8192
    x = jax.random.normal(jax.random.key(0), (n, n), jnp.dtype(precision))
    multiply = jax.jit(jnp.matmul)
    products = [lambda: jax.block_until_ready(multiply(x, x))]
    if with_torch:
        import torch

        torch.set_num_threads(len(os.sched_getaffinity(0)))
        y = torch.randn(n, n, device=_torch_device(), dtype=getattr(torch, precision))

        def product() -> None:
            y @ y
            if _torch_device() == "cuda":
                torch.cuda.synchronize()

        products.append(product)
    best = np.inf
    for product in products:
        for _ in range(10):
            started = time.perf_counter()
            product()
            best = min(best, time.perf_counter() - started)
    print(f"peak of a {n} x {n} matrix product: {2 * n**3 / best / 1e9:,.0f} GFLOP/s")
    return 2 * n**3 / best / 1e9


if __name__ == "__main__":
    main()
