"""What do the proposal convolutions of MMN cost, whole maps beside the reached positions alone?

    python -m benchmarks.map_convolution                          # the papers' shapes, 512 channels
    python -m benchmarks.map_convolution --sizes charades --videos 2 --json map.json

Training is the forward and backward pass of all layers, inference the forward pass. The forms
take turns, so that a busy machine slows both; times are medians, first runs included. GFLOP are
the products of the convolutions as the form does them (all taps of every position that it
computes, padding included), share is that beside the dense form's. Temporary memory is XLA's
figure for the program, without parameters, input and results. With fewer channels (--features)
the big maps take seconds.
"""

import argparse
import time

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.report import show
from vmr_jax.layers.map_convolution import FORMS, MapConvolutions
from vmr_jax.layers.map_reach import map_reach, map_weights
from vmr_jax.layers.moment_map import moment_cells

# Clips, pooling counts, kernel, layers.
SIZES = {
    "charades_sta": (16, (15,), 5, 8),
    "activitynet_captions": (64, (15, 8, 8), 9, 4),
    "tacos": (128, (15, 8, 8, 8), 5, 8),
}
MODES = ("training", "inference")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sizes", default="", help="only sizes with this in their name")
    parser.add_argument("--modes", default="training,inference")
    parser.add_argument("--videos", type=int, default=1)
    parser.add_argument("--features", type=int, default=512)
    parser.add_argument("--precision", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", default="")
    args = parser.parse_args()
    rows = []
    for name, size in SIZES.items():
        if args.sizes in name:
            for mode in args.modes.split(","):
                rows += measure(name, size, mode, args)
    title = f"Proposal convolutions, {args.videos} videos, {args.features} channels, "
    show(title + args.precision, rows, args.json)


def measure(name: str, size: tuple, mode: str, args) -> list[dict]:
    """One row for each form at a size and mode."""
    runs, temp = {}, {}
    for form in FORMS:
        runs[form], temp[form] = _program(size, mode, form, args)
    times = {form: [] for form in FORMS}
    for _ in range(args.repeats):
        for form, run in runs.items():
            started = time.perf_counter()
            run()
            times[form].append(time.perf_counter() - started)
    median = {form: float(np.median(values)) for form, values in times.items()}
    gflop = {
        form: 2e-9 * args.videos * args.features**2 * products(size, mode, form) for form in FORMS
    }
    return [
        {
            "size": name,
            "mode": mode,
            "form": form,
            "GFLOP": gflop[form],
            "share": gflop[form] / gflop["dense"],
            "median ms": 1e3 * median[form],
            "best ms": 1e3 * min(times[form]),
            "time / dense": median[form] / median["dense"],
            "GFLOP/s": gflop[form] / median[form],
            "temp MB": temp[form],
        }
        for form in FORMS
    ]


def products(size: tuple, mode: str, form: str) -> int:
    """Pairs of a position and a tap that a video's pass multiplies, each D x D."""
    kernel = size[2]
    if form == "dense":
        forward = backward = kernel**2 * sum(weight.size for weight in map_weights(*size))
    else:
        layers = map_reach(*size, mode == "training").layers
        forward = sum(layer.forward.taps.size for layer in layers)
        backward = sum(layer.backward.taps.size for layer in layers)
    return forward + 2 * backward if mode == "training" else forward


def _program(size: tuple, mode: str, form: str, args):
    """A function that runs the pass once and waits, and its temporary memory in MB."""
    dtype = jnp.dtype(args.precision)
    module = MapConvolutions(*size, features=args.features, form=form, dtype=dtype)
    cells = len(moment_cells(*size[:2]).row)
    rows = jax.random.normal(jax.random.key(0), (args.videos, cells, args.features))
    variables = jax.jit(lambda key: module.init(key, rows[:1], False))(jax.random.key(1))

    def loss(params, rows):
        state = {"params": params, "batch_stats": variables["batch_stats"]}
        out, stats = module.apply(state, rows, True, mutable=["batch_stats"])
        return jnp.square(out).mean(), stats

    def training(params, rows):
        return jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)(params, rows)

    def inference(params, rows):
        return module.apply({**variables, "params": params}, rows, False)

    passes = {"training": training, "inference": inference}
    compiled = jax.jit(passes[mode]).lower(variables["params"], rows).compile()

    def run() -> None:
        jax.block_until_ready(compiled(variables["params"], rows))

    return run, compiled.memory_analysis().temp_size_in_bytes / 1e6


if __name__ == "__main__":
    main()
