"""Small videos whose frames carry their number as grey level, written by PyAV."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import OutputContainer

STEP = 8  # grey levels between two frames
_MILLISECONDS = Fraction(1, 1000)


def write_film(
    path: Path,
    times: Sequence[float],
    *,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    size: tuple[int, int] = (64, 48),
    group: int = 10,
    rate: int = 25,
    clock: Fraction = _MILLISECONDS,
    rotation: int | None = None,
    mirrored: bool = False,
    aspect: Fraction | None = None,
    options: dict[str, str] | None = None,
    noise: bool = False,
    sound: float = 0.0,
    title: str = "",
) -> Path:
    """Write frames to be shown at these seconds; frame i is grey of level 8 i, modulo 240.

    Their upper left quarter is white. `noise` makes the file larger, `sound` adds silence of so
    many seconds, `title` a tag.
    """
    rng = np.random.default_rng(0)
    with av.open(
        path, "w", options={"movflags": "faststart"} if path.suffix == ".mp4" else {}
    ) as file:
        if title:
            file.metadata["title"] = title
        stream = file.add_stream(codec, rate=rate, options=options or {})
        stream.width, stream.height = size
        stream.pix_fmt = pixels
        stream.bit_rate = 4_000_000
        stream.codec_context.time_base = stream.time_base = clock
        stream.codec_context.gop_size, stream.codec_context.max_b_frames = group, 2
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        if rotation is not None:
            stream.set_display_rotation(rotation, hflip=mirrored)
        if sound:
            _write_silence(file, sound)
        for index, time in enumerate(times):
            image = np.full((size[1], size[0], 3), index * STEP % 240, np.uint8)
            image[: size[1] // 2, : size[0] // 2] = 255
            if noise:
                image[size[1] // 2 :, : size[0] // 2] = rng.integers(0, 255, 3)
                image[size[1] // 2 :: 2, : size[0] // 2] = rng.integers(
                    0, 255, (1, size[0] // 2, 3)
                )
            frame = av.VideoFrame.from_ndarray(image)
            frame.pts, frame.time_base = round(time / clock), clock
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path


def _write_silence(file: OutputContainer, seconds: float) -> None:
    stream = file.add_stream("aac", rate=8000, layout="mono")
    frame = av.AudioFrame.from_ndarray(
        np.zeros((1, int(8000 * seconds)), np.float32), "fltp", "mono"
    )
    frame.sample_rate, frame.pts = 8000, 0
    file.mux(stream.encode(frame))
    file.mux(stream.encode())


def write_sound(path: Path, seconds: float) -> Path:
    """Write a file of silence alone."""
    with av.open(path, "w") as file:
        _write_silence(file, seconds)
    return path


def write_images(folder: Path, numbers, suffix: str = ".jpg") -> Path:
    """Write an image for each number; its grey level is the number."""
    folder.mkdir(parents=True)
    for index in numbers:
        image = av.VideoFrame.from_ndarray(np.full((48, 64, 3), index * STEP, np.uint8))
        image.save(str(folder / f"{index:06d}{suffix}"))
    return folder


def cut(path: Path, share: float) -> Path:
    """Keep the first part of a file's bytes."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


def number(image: np.ndarray) -> int:
    """The number of a frame, modulo 30, of its lower right quarter."""
    height, width = image.shape[:2]
    return round(float(image[3 * height // 4, 3 * width // 4].mean()) / STEP)
