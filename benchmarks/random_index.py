"""An index of video files with random rows, as `vmr index` lays one out; there are no videos."""

import json
from pathlib import Path

import numpy as np

from vmr_jax.video_index.layout import FORMAT, MANIFEST, IndexedVideo

FRAMES = 10  # of a video
_SECONDS = 2.0


def write_index(
    index: Path, videos: int, width: int, encoder: str = "random", weights_sha256: str = ""
) -> None:
    """Write an index of so many videos; `encoder` and its weights' hash are what searches open."""
    rng = np.random.default_rng(0)
    rows = np.lib.format.open_memmap(
        index / "rows-0.npy", "w+", np.float16, (videos * FRAMES, width)
    )
    for first in range(0, len(rows), 2**16):
        part = rng.standard_normal((min(2**16, len(rows) - first), width), np.float32)
        rows[first : first + 2**16] = part / np.linalg.norm(part, axis=1, keepdims=True)
    rows.flush()
    times = np.tile((np.arange(FRAMES) + 0.5) * _SECONDS, videos)
    np.save(index / "times-0.npy", times.astype(np.float32))
    listed = [
        IndexedVideo(f"v{n:06}", index / "none.mp4", "", FRAMES * _SECONDS, FRAMES, 0.0, 0.05)
        for n in range(videos)
    ]
    settings = {"encoder": encoder, "weights": "", "clip_seconds": _SECONDS}
    shown = [video._asdict() | {"path": str(video.path)} for video in listed]
    files = {"rows": "rows-0.npy", "times": "times-0.npy", "weights_sha256": weights_sha256}
    manifest = {"format": FORMAT, **settings, **files, "videos": shown}
    (index / MANIFEST).write_text(json.dumps(manifest))
