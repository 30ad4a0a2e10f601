"""What does `vmr prepare` cost, for the first time and again, beside a plain copy of the features?

    python -m benchmarks.prepare                          # 1,000 and 5,000 videos of 75 x 1024
    python -m benchmarks.prepare --videos 5000 --rounds 5 --dir /a/large/disk

An HDF5 file of random float32 features and a query a video; each command is a process of its own,
whose CPU seconds (user and system, imports included) and peak memory are told, medians of the
rounds, in which the commands take turns. "again" is the same command once more, "touched" after the
features have got another time, so that their content is compared; "copy" is `cp` of the features.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import h5py
import numpy as np

from benchmarks.report import show


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", default="1000,5000")
    parser.add_argument("--clips", type=int, default=75)
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dir", default=tempfile.gettempdir())
    parser.add_argument("--json", default="")
    args = parser.parse_args()
    rows = []
    for videos in map(int, args.videos.split(",")):
        with tempfile.TemporaryDirectory(dir=args.dir) as folder:
            write(Path(folder), videos, args.clips, args.width)
            rows += _measure(Path(folder), videos, args.rounds)
    show(f"vmr prepare, videos of {args.clips} x {args.width}", rows, args.json)


def write(folder: Path, videos: int, clips: int, width: int) -> None:
    """Write features.h5, annotations/train.jsonl and words.txt."""
    rng = np.random.default_rng(0)
    (folder / "annotations").mkdir()
    with (
        h5py.File(folder / "features.h5", "w") as features,
        (folder / "annotations/train.jsonl").open("w") as annotations,
    ):
        for number in range(videos):
            name = f"v{number:06}"
            features[name] = rng.standard_normal((clips, width), np.float32)
            asked = {"qid": number, "query": "a person opens a door", "vid": name}
            truth = {"duration": 2.0 * clips, "relevant_windows": [[2, 14]]}
            annotations.write(json.dumps(asked | truth) + "\n")
    (folder / "words.txt").write_text("a 1 2\nperson 2 3\nopens 3 4\ndoor 4 5\n")


def _measure(folder: Path, videos: int, rounds: int) -> list[dict]:
    features, data = folder / "features.h5", folder / "data"
    prepare = [sys.executable, "-m", "vmr_jax.cli", "prepare", "jsonl", "--name", "own"]
    prepare += ["--annotations", folder / "annotations", "--features", features]
    prepare += ["--feature-name", "f", "--glove", folder / "words.txt", "--data-dir", data]
    megabytes, taken = features.stat().st_size / 1e6, defaultdict(list)
    for _ in range(rounds):
        taken["first"].append(_run([*prepare, "--overwrite"]))
        taken["again"].append(_run(prepare))
        os.utime(features)
        taken["touched"].append(_run(prepare))
        taken["copy"].append(_run(["cp", features, folder / "copy.h5"]))
    return [
        {
            "command": name,
            "videos": videos,
            "CPU s": (seconds := statistics.median(seconds for seconds, _ in runs)),
            "MB a CPU s": megabytes / seconds,
            "peak MiB": max(peak for _, peak in runs),  # no less than this process has
        }
        for name, runs in taken.items()
    ]


def _run(command: list) -> tuple[float, float]:
    """CPU seconds and peak MiB of a process."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command[0]} ended with {process.returncode}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


if __name__ == "__main__":
    main()
