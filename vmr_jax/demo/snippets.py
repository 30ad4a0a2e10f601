"""The snippets of a scene as the demo's encoder sees them, drawn without a video file."""

import numpy as np

from vmr_jax.demo.world import Scene, draw_frame
from vmr_jax.encoders import demo
from vmr_jax.encoders.crop import centre_crop

SNIPPET = demo.FRAMES * demo.CLIP_SECONDS  # seconds


def snippets_of(scene: Scene) -> np.ndarray:
    """The snippets of a scene, (N, 2, 32, 32, 3) uint8, one each SNIPPET seconds."""
    count = int(scene.duration / SNIPPET) * demo.FRAMES
    frames = [draw_frame(scene, (index + 0.5) * demo.CLIP_SECONDS) for index in range(count)]
    small = [centre_crop(frame, demo.SIZE) for frame in frames]
    return np.stack(small).reshape(-1, demo.FRAMES, *small[0].shape)


def middles(count: int) -> np.ndarray:
    """The seconds at which the first snippets are in their middle."""
    return (np.arange(count) + 0.5) * SNIPPET
