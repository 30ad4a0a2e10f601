"""How many images a second does CLIP ViT-B/32 encode on this device, beside PyTorch?

    python -m benchmarks.encode_images --batches 1,8,32,256

Random weights; random RGB images of 224 x 224 that lie on the device. PyTorch, where it and
`transformers` are installed, runs their model of the same sizes, eager and by torch.compile, on the
same device; its images are scaled already. `benchmarks.extract` compares results and CPU seconds.
"""

import argparse
import importlib.util
import time
from collections.abc import Callable, Iterator

import jax
import numpy as np

from benchmarks.report import show
from vmr_jax.encoders.clip import ClipImageConfig
from vmr_jax.encoders.images import RANDOM, ImageEncoder, clip

_TINY = ClipImageConfig(size=32, patch=16, width=32, layers=2, heads=2, projection=16)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", default="1,8,32,256")
    parser.add_argument("--precisions", default="float32,bfloat16")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--tiny", action="store_true", help="toy sizes: only to see that it runs")
    parser.add_argument("--json", default="")
    args = parser.parse_args()
    config = _TINY if args.tiny else ClipImageConfig()
    rows = []
    for precision in args.precisions.split(","):
        for batch in map(int, args.batches.split(",")):
            for name, run in _implementations(config, precision, batch):
                seconds = _median(run, args.repeats)
                rows.append(
                    {
                        "implementation": f"{name} {precision}",
                        "batch": batch,
                        "median ms": 1e3 * seconds,
                        "images/s": batch / seconds,
                    }
                )
    show("CLIP ViT-B/32, images", rows, args.json)


def _implementations(
    config: ClipImageConfig, precision: str, batch: int
) -> Iterator[tuple[str, Callable[[], object]]]:
    """Each name with what encodes a batch and waits."""
    shape = (batch, config.size, config.size, 3)
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    kind = clip(config)
    encode = ImageEncoder("clip", RANDOM, kind, kind.init()).compiled(precision)
    there = jax.device_put(pixels)
    yield "vmr_jax", lambda: jax.block_until_ready(encode(there))
    if importlib.util.find_spec("torch") and importlib.util.find_spec("transformers"):
        yield from _torch(config, precision, pixels)


def _torch(
    config: ClipImageConfig, precision: str, pixels: np.ndarray
) -> Iterator[tuple[str, Callable[[], object]]]:
    import torch
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    device = "cuda" if jax.default_backend() == "gpu" else "cpu"
    torch.set_float32_matmul_precision("high")  # as JAX: TF32 where there is such a unit
    kind = getattr(torch, precision)
    sizes = CLIPVisionConfig(
        hidden_size=config.width,
        intermediate_size=4 * config.width,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        patch_size=config.patch,
        image_size=config.size,
        projection_dim=config.projection,
    )
    model = CLIPVisionModelWithProjection(sizes).eval().to(device, kind)
    images = torch.tensor(pixels.transpose(0, 3, 1, 2) / 255 - 0.5, device=device, dtype=kind)

    def runner(forward) -> Callable[[], None]:
        @torch.inference_mode()
        def run() -> None:
            forward(pixel_values=images)
            if device == "cuda":
                torch.cuda.synchronize()

        return run

    yield "PyTorch eager", runner(model)
    if device == "cuda":
        yield "PyTorch compile", runner(torch.compile(model))


def _median(run: Callable[[], object], repeats: int) -> float:
    for _ in range(3):
        run()
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - started)
    return float(np.median(seconds))


if __name__ == "__main__":
    main()
