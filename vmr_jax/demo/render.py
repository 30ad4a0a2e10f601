"""The videos of the rendered world as files, with a file of their sentences and moments."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from vmr_jax.demo.world import RATE, SIZE, Scene, draw_frame, frame_times
from vmr_jax.output_files import whole_path, write_whole
from vmr_jax.progress import shown
from vmr_jax.video.reader import import_av

LABELS = "sentences.jsonl"


def render(scenes: Sequence[Scene], folder: Path) -> list[Path]:
    """Write a video for each scene into a folder, and LABELS; those that are there stay.

    LABELS is what `vmr score` and `vmr prepare` read. Where it tells of another world, all videos
    are written anew. Raises ValueError without PyAV, and FullDiskError.
    """
    import_av()
    folder.mkdir(parents=True, exist_ok=True)
    labels, told = folder / LABELS, "".join(_lines(scenes))
    paths = [folder / f"{scene.name}.mp4" for scene in scenes]
    if not labels.exists() or labels.read_text("utf-8") != told:
        for path in (labels, *paths):
            path.unlink(missing_ok=True)
    missing = [pair for pair in zip(scenes, paths, strict=True) if not pair[1].exists()]
    for scene, path in shown(missing, "render", len(missing)):
        with whole_path(path) as draft:
            write_video((draw_frame(scene, seconds) for seconds in frame_times(scene)), draft)
    write_whole(labels, told)
    return paths


def write_video(frames: Iterable[np.ndarray], path: Path) -> None:
    """Write frames (SIZE, SIZE, 3) uint8 as a video of RATE frames a second.

    It is H.264, or MPEG-4 where PyAV has no encoder of that. The same frames make the same file.
    """
    av = import_av()
    codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
    with av.open(path, "w", options={"movflags": "faststart"}) as file:
        stream = file.add_stream(codec, rate=RATE)
        stream.width = stream.height = SIZE
        stream.pix_fmt, stream.bit_rate = "yuv420p", 300_000
        stream.codec_context.gop_size, stream.codec_context.thread_count = 2 * RATE, 1
        for image in frames:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        file.mux(stream.encode())


def _lines(scenes: Sequence[Scene]) -> Iterable[str]:
    """The lines of LABELS, a sentence each."""
    for scene in scenes:
        for number, event in enumerate(scene.events):
            line = {
                "qid": f"{scene.name}_{number}",
                "query": event.sentence,
                "vid": scene.name,
                "duration": scene.duration,
                "relevant_windows": [[event.start, event.end]],
            }
            yield json.dumps(line) + "\n"
