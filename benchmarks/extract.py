"""`vmr extract` beside others: the encoder, the decoder, and the memory of a long video.

    python -m benchmarks.extract images VIDEO --python VENV/bin/python   # torch, transformers, ...
    python -m benchmarks.extract decode VIDEO --python VENV/bin/python   # imageio-ffmpeg
    python -m benchmarks.extract memory VIDEO

VENV has torch, transformers, onnx, onnxruntime and imageio-ffmpeg; it needs none of ours. What is
compared takes turns, pass by pass, and user plus system time is counted, not the clock, so that
other work on the machine weighs on all alike.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av
import numpy as np

from benchmarks.report import show
from vmr_jax.encoders.crop import centre_crop
from vmr_jax.video.decode import read_info, sample_frames
from vmr_jax.video.sampling import Sampling

ENGINES = ("ours", "transformers", "onnxruntime")


def images(video: Path, python: str, batch: int, passes: int) -> None:
    """Images a CPU-second of CLIP ViT-B/32, float32, one core, the same frames and weights."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        frames = [centre_crop(f.image, 224) for f in sample_frames(video, Sampling(fps=2))]
        np.save(folder / "frames.npy", np.resize(np.stack(frames), (batch, 224, 224, 3)))
        module = ["-m", "benchmarks.extract_engines"]
        subprocess.run([python, *module, "export", name], check=True, capture_output=True)
        processes = {}
        for engine in ENGINES:
            command = [sys.executable if engine == "ours" else python, *module, engine, name]
            processes[engine] = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
            )
            assert processes[engine].stdout.readline() == "ready\n"
        seconds = {engine: [] for engine in ENGINES}
        for _ in range(passes):
            for engine, process in processes.items():
                print("go", file=process.stdin, flush=True)
                seconds[engine].append(float(process.stdout.readline()))
        for process in processes.values():
            process.stdin.close()
            process.wait()
        found = {engine: np.load(folder / f"{engine}.npy") for engine in ENGINES}
    rows = [
        {
            "engine": engine,
            "images a CPU-second": batch / float(np.median(seconds[engine])),
            "best": batch / min(seconds[engine]),
            "difference to ours": float(np.abs(found[engine] - found["ours"]).max()),
        }
        for engine in ENGINES
    ]
    show(f"CLIP ViT-B/32, batches of {batch}, {passes} passes", rows)


def decode(video: Path, python: str, passes: int) -> None:
    """Frames a CPU-second of decoding alone, ours and imageio-ffmpeg's pipe, RGB at full size.

    Both decode with one thread.
    """
    code = "import imageio_ffmpeg; print(imageio_ffmpeg.get_ffmpeg_exe())"
    found = subprocess.run([python, "-c", code], check=True, capture_output=True, text=True)
    ffmpeg, rows = found.stdout.strip(), []
    with tempfile.TemporaryDirectory() as name:
        looped = loop(video, Path(name) / "long.mp4", 600)
        for path, fps in ((video, 1.0), (video, 2.0), (looped, 0.05)):
            info = read_info(path)
            size = info.width * info.height * 3
            seconds, counts = {"ours": [], "pipe": []}, {}
            for _ in range(passes):
                began = _cpu()
                counts["ours"] = sum(1 for _ in sample_frames(path, Sampling(fps=fps), threads=1))
                seconds["ours"].append(_cpu() - began)
                began = _cpu()
                counts["pipe"] = _piped(ffmpeg, path, fps, size)
                seconds["pipe"].append(_cpu() - began)
            for who, taken in seconds.items():
                rows.append(
                    {
                        "video": f"{path.name}, {info.duration:.0f} s, at {fps:g} fps: {who}",
                        "frames": counts[who],
                        "frames a CPU-second": counts[who] / float(np.median(taken)),
                        "x realtime": info.duration / float(np.median(taken)),
                    }
                )
    show(f"Decoding alone, {passes} passes", rows)


def _piped(ffmpeg: str, path: Path, fps: float, size: int) -> int:
    """Read the frames that imageio-ffmpeg's FFmpeg pipes; give their number."""
    command = [
        ffmpeg,
        "-threads",
        "1",
        "-i",
        str(path),
        "-vf",
        f"fps={fps:g}",
        "-an",
        "-f",
        "rawvideo",
    ]
    command += ["-pix_fmt", "rgb24", "-v", "error", "-"]
    count = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=size) as process:
        assert process.stdout
        while len(process.stdout.read(size)) == size:
            count += 1
    return count


def memory(video: Path) -> None:
    """Peak memory of `vmr extract` on a minute and on an hour of a video, in a loop."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for seconds in (60, 3600):
            path = loop(video, Path(name) / f"{seconds}.mp4", seconds)
            command = [sys.executable, "-m", "vmr_jax.cli", "extract", str(path)]
            command += ["--encoder", "efficientnet-lite0", "--random-weights", "--fps", "0.05"]
            command += ["--out", f"{name}/{seconds}.h5"]
            began = time.monotonic()
            with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
                ours, worker = _peaks(process)
            rows.append(
                {
                    "video": f"{seconds} s",
                    "MiB, encoding": ours,
                    "MiB, decoding": worker,
                    "seconds": time.monotonic() - began,
                }
            )
    show("Peak memory of vmr extract (EfficientNet-Lite0, 18 MB of weights)", rows)


def _peaks(process: subprocess.Popen) -> tuple[float, float]:
    """The peak resident memory of a process and of its children, in MiB."""
    peaks = {True: 0.0, False: 0.0}
    while process.poll() is None:
        children = Path(f"/proc/{process.pid}/task").glob("*/children")
        try:
            pids = [pid for each in children for pid in each.read_text().split()]
            for pid in (str(process.pid), *pids):
                status = Path(f"/proc/{pid}/status").read_text()
                peak = int(status.split("VmHWM:")[1].split()[0]) / 1024
                own = pid == str(process.pid)
                peaks[own] = max(peaks[own], peak)
        except (OSError, IndexError):  # one of them ended
            pass
        time.sleep(0.2)
    return peaks[True], peaks[False]


def loop(video: Path, path: Path, seconds: float) -> Path:
    """Write a video again and again, without decoding, until it has so many seconds."""
    with av.open(path, "w") as out, av.open(video) as first:
        stream = out.add_stream_from_template(first.streams.video[0])
        length = round(read_info(video).duration / first.streams.video[0].time_base)
        for turn in range(int(seconds / read_info(video).duration) + 1):
            with av.open(video) as source:
                for packet in source.demux(source.streams.video[0]):
                    if packet.dts is not None:
                        packet.pts += turn * length
                        packet.dts += turn * length
                        packet.stream = stream
                        out.mux(packet)
    return path


def _cpu() -> float:
    """User and system seconds of this process and of its children that ended."""
    kinds = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN
    used = [resource.getrusage(kind) for kind in kinds]
    return sum(each.ru_utime + each.ru_stime for each in used)


def main() -> None:
    """Run one of the three."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=("images", "decode", "memory"))
    parser.add_argument("video", type=Path)
    parser.add_argument("--python", default=sys.executable, help="of the environment of others")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--passes", type=int, default=5)
    given = parser.parse_args()
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    if given.what == "images":
        images(given.video, given.python, given.batch, given.passes)
    elif given.what == "decode":
        decode(given.video, given.python, given.passes)
    else:
        memory(given.video)


if __name__ == "__main__":
    main()
