"""One engine of `benchmarks.extract`, in a process of its own, pinned to one core.

    python -m benchmarks.extract_engines ENGINE FOLDER

It says "ready", and for each line that it reads, the CPU seconds of one more pass. FOLDER holds
frames.npy (B, 224, 224, 3) uint8 and, after the engine "export", model.safetensors and model.onnx
with random weights of CLIP ViT-B/32. Each engine imports its own libraries alone.
"""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

MEAN = np.array([0.48145466, 0.4578275, 0.40821073], np.float32)
STD = np.array([0.26862954, 0.26130258, 0.27577711], np.float32)


def export(folder: Path) -> None:
    """Write random weights of transformers' CLIP as safetensors and as ONNX."""
    import torch
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    torch.manual_seed(0)
    config = CLIPVisionConfig(
        hidden_size=768,
        intermediate_size=3072,
        num_hidden_layers=12,
        num_attention_heads=12,
        patch_size=32,
        projection_dim=512,
    )
    model = CLIPVisionModelWithProjection(config).eval()
    model.save_pretrained(folder)
    torch.onnx.export(
        model,
        (torch.zeros(1, 3, 224, 224),),
        folder / "model.onnx",
        input_names=["pixels"],
        output_names=["embeds"],
        dynamic_axes={"pixels": {0: "batch"}},
        dynamo=False,
        opset_version=17,
    )


def ours(folder: Path) -> Callable[[], np.ndarray]:
    """The encoder of `vmr extract`."""
    from vmr_jax.encoders.images import open_image_encoder
    from vmr_jax.training.mesh import keep_compilations

    keep_compilations()
    frames = np.load(folder / "frames.npy")
    run = open_image_encoder("clip-vit-b32", folder / "model.safetensors").compiled()
    return lambda: np.asarray(run(frames))


def transformers(folder: Path) -> Callable[[], np.ndarray]:
    """PyTorch, eager."""
    import torch
    from transformers import CLIPVisionModelWithProjection

    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    model = CLIPVisionModelWithProjection.from_pretrained(folder).eval()
    return lambda: model(torch.from_numpy(_channels_first(folder))).image_embeds.numpy()


def onnxruntime(folder: Path) -> Callable[[], np.ndarray]:
    """ONNX Runtime on the CPU."""
    import onnxruntime as runtime

    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    providers = ["CPUExecutionProvider"]
    session = runtime.InferenceSession(str(folder / "model.onnx"), options, providers=providers)
    return lambda: session.run(None, {"pixels": _channels_first(folder)})[0]


def _channels_first(folder: Path) -> np.ndarray:
    """The frames as PyTorch takes them, normalised."""
    frames = (np.load(folder / "frames.npy").astype(np.float32) / 255 - MEAN) / STD
    return np.ascontiguousarray(frames.transpose(0, 3, 1, 2))


def main() -> None:
    """Measure as often as asked."""
    engine, folder = sys.argv[1], Path(sys.argv[2])
    if engine == "export":
        export(folder)
        return
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    run = {"ours": ours, "transformers": transformers, "onnxruntime": onnxruntime}[engine](folder)
    np.save(folder / f"{engine}.npy", run())
    print("ready", flush=True)
    for _ in sys.stdin:
        began = time.process_time()
        run()
        print(time.process_time() - began, flush=True)


if __name__ == "__main__":
    main()
