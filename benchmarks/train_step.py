"""How long does one training step of each system take, beside the same step in plain PyTorch?

    python -m benchmarks.train_step                       # every system at its papers' shapes
    python -m benchmarks.train_step --system eva --setups i3d --precision bfloat16 --json step.json

A set-up's implementations and ablations run in one process on the same threads and take turns, so
that a busy machine slows all of them; the figures are medians. Where other programs run, pin it to
one core (`taskset -c 0 python -m ...`): PyTorch's threads wait for each other at every operation,
so on two busy cores it loses up to ten times more than XLA. The CPU time leaves out the turns of
other programs on that core. First the losses and gradients are compared on the same weights without
dropout. FLOPs are counted by XLA on the compiled program (with each turn of a loop) and by
PyTorch's FlopCounterMode (matrix products only); the peak is a large matrix product in either
library, the faster one. Memory is what the program needs with its batch and state: XLA's figure,
and what PyTorch allocates on a GPU. Device peak is the most that JAX's process has held on a GPU so
far, so it is a set-up's own only in the first one. Without PyTorch its rows are left out; MMN's
need `transformers` too. Other systems have no counterpart in PyTorch: VDI stands beside MMN on
CLIP's text encoder, the rest alone.
"""

import argparse
import functools
import importlib.util
import math
import os
import time

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.report import show
from benchmarks.step_cases import SYSTEMS, Case, random_batch, tiny
from vmr_jax import models
from vmr_jax.training.optimizer import make_optimizer
from vmr_jax.training.state import TrainState, split_statistics
from vmr_jax.training.steps import Pace, train_step

_WITH_TORCH = importlib.util.find_spec("torch") is not None

PACE = Pace(steps_per_epoch=1, epochs=1)  # of a run whose steps are timed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--system", default="", choices=("", *SYSTEMS), help="default: all")
    parser.add_argument("--setups", default="", help="only set-ups with this in their name")
    parser.add_argument("--precision", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--items", type=int, default=0, help="pairs or videos of a domain")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--compile", action="store_true", help="also torch.compile")
    parser.add_argument("--tiny", action="store_true", help="toy sizes: only to see that it runs")
    parser.add_argument("--json", default="")
    args = parser.parse_args()
    systems = dict(tiny()) if args.tiny else SYSTEMS
    cases = [
        (name, case)
        for name, found in systems.items()
        if args.system in ("", name)
        for case in ([found] if args.tiny else found())
        if args.setups in case.name
    ]
    if not cases:
        parser.error(f"no set-up of {args.system or 'any system'} has {args.setups!r} in its name")
    if not _WITH_TORCH:
        print("PyTorch is not installed: its rows are left out.")
    peak = _peak(args.precision, 64 if args.tiny else 0)
    rows = []
    for name, case in cases:
        rows += [{"system": name, **row} for row in _measure(case, args, peak)]
    show(f"Train step, {args.precision}", rows, args.json)


def _measure(case: Case, args, peak: float) -> list[dict]:
    """One row for each ablation and implementation."""
    items = args.items or case.items
    batch = random_batch(case, items)
    steps = {}
    for ablation, switches in {"": {}, **case.ablations}.items():
        config = case.config.copy_and_resolve_references()
        config.update_from_flattened_dict({"precision": args.precision, **switches})
        name = ", ".join(filter(None, (case.name, ablation)))
        for label, made in _implementations(name, case, config, batch, args.compile):
            steps[name, label] = made
    times = {key: [] for key in steps}
    for _ in range(args.repeats):
        for key, (run, *_) in steps.items():
            started, worked = time.perf_counter(), time.process_time()
            run()
            times[key].append((time.perf_counter() - started, time.process_time() - worked))
    median = {key: np.median(values, axis=0).tolist() for key, values in times.items()}
    rows = []
    for (name, label), (_, gflop, memory, device_peak) in steps.items():
        seconds, worked = median[name, label]
        eager = [median[key] for key in steps if key[0] == name and "eager" in key[1]]
        rows.append(
            {
                "set-up": name,
                "items": items,
                "implementation": label,
                "median ms": 1e3 * seconds,
                "best ms": 1e3 * min(times[name, label])[0],
                "CPU ms": 1e3 * worked,
                "GFLOP": gflop,
                "GFLOP/s": gflop / seconds,
                "share of peak %": 100 * gflop / seconds / peak,
                "time / eager": seconds / eager[0][0] if eager else "-",
                "CPU / eager": worked / eager[0][1] if eager else "-",
                "memory MB": memory,
                "device peak MB": device_peak,
            }
        )
    return rows


def _implementations(name: str, case: Case, config, batch, compiled: bool):
    """Each label with what runs a step, its GFLOP, its memory and the device's peak."""
    for form, switches in {"": {}, **case.forms}.items():
        ours = config.copy_and_resolve_references()
        ours.update_from_flattened_dict(switches)
        label = ", ".join(filter(None, ("vmr_jax", form)))
        *made, params = _jax_step(case, ours, batch)
        yield label, made
    if not _WITH_TORCH or not importlib.util.find_spec(f"benchmarks.{config.system}_torch"):
        return
    from benchmarks import torch_step

    print(f"{name}: {torch_step.compare(case, config, params)}")
    forms = torch_step.forms(config.system)
    variants = {f"PyTorch eager, {form}": (form, False) for form in forms}
    if compiled:
        variants[f"PyTorch compile, {forms[-1]}"] = (forms[-1], True)
    for label, variant in variants.items():
        yield label, (*torch_step.make_step(config, params, batch, *variant), "-")


def _jax_step(case: Case, config, batch):
    """What runs a step, its GFLOP, its memory, the device's peak, and the first parameters."""
    system, optimizer = models.make(config, case.specs()), make_optimizer(config.optimizer, PACE)
    params = jax.jit(lambda key: system.init(key, batch))(jax.random.key(0))
    first = jax.tree.map(np.asarray, params)
    opt_state = jax.jit(optimizer.init)(split_statistics(params)[0])
    state = TrainState(jnp.zeros((), jnp.int32), params, opt_state)
    step = functools.partial(train_step, system=system, optimizer=optimizer, pace=PACE)
    seed = jnp.uint32(1)
    traced = jax.jit(step, donate_argnums=0).trace(state, batch, seed)
    compiled = traced.lower().compile()
    flops = compiled.cost_analysis()["flops"] + _repeated_flops(traced.jaxpr)
    memory = compiled.memory_analysis()
    needed = memory.argument_size_in_bytes + memory.temp_size_in_bytes

    def run() -> None:
        nonlocal state
        state, metrics = compiled(state, batch, seed)
        jax.block_until_ready((state, metrics))

    run()
    stats = jax.devices()[0].memory_stats()
    device_peak = stats["peak_bytes_in_use"] / 1e6 if stats else "-"
    return run, flops / 1e9, needed / 1e6, device_peak, first


def _repeated_flops(jaxpr, again: int = 0) -> int:
    """FLOPs of matrix products in the turns of loops after the first, which XLA leaves out."""
    total = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            (axes, _), _ = equation.params["dimension_numbers"]
            shape = equation.invars[0].aval.shape
            inner = math.prod(shape[axis] for axis in axes)
            total += again * 2 * inner * math.prod(equation.outvars[0].aval.shape)
        turns = equation.params.get("length", 1) if equation.primitive.name == "scan" else 1
        for value in equation.params.values():
            if hasattr(value, "eqns"):
                total += _repeated_flops(value, turns * (again + 1) - 1)
    return total


def _peak(precision: str, size: int) -> float:
    """GFLOP/s of a square matrix product, the better library's. Size 0: what fills the device."""
    n = size or (2048 if jax.default_backend() == "cpu" else 8192)
    x = jax.random.normal(jax.random.key(0), (n, n), jnp.dtype(precision))
    multiply = jax.jit(jnp.matmul)
    products = [lambda: jax.block_until_ready(multiply(x, x))]
    if _WITH_TORCH:
        products.append(_torch_product(n, precision))
    best = np.inf
    for product in products:
        for _ in range(10):
            started = time.perf_counter()
            product()
            best = min(best, time.perf_counter() - started)
    print(f"peak of a {n} x {n} matrix product: {2 * n**3 / best / 1e9:,.0f} GFLOP/s")
    return 2 * n**3 / best / 1e9


def _torch_product(n: int, precision: str):
    """The same product in PyTorch, on as many threads as JAX has."""
    import torch

    from benchmarks.torch_step import device

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    x = torch.randn(n, n, device=device(), dtype=getattr(torch, precision))

    def product() -> None:
        x @ x
        if device() == "cuda":
            torch.cuda.synchronize()

    return product


if __name__ == "__main__":
    main()
