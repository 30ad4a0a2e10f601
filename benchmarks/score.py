"""Write predictions and labels of many queries, and measure `vmr score` on them.

    python -m benchmarks.score 100000 [--videos 20000] [--saliency] [--folder DIR]

As many QVHighlights-like queries of one or two windows, with ten predictions each, --saliency with
75 scores and ratings too. Prints the seconds of wall time and of CPU and the peak memory of the
command, which is a process of its own.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

CLIPS = 75  # of 2 s: QVHighlights' 150 s


def main() -> None:
    """Write the files, run the command, print what it took."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("queries", type=int)
    parser.add_argument("--videos", type=int, help="else one a query")
    parser.add_argument("--saliency", action="store_true")
    parser.add_argument("--folder", type=Path, help="keep the files here")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        target = asked.folder or Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        write(target, asked.queries, asked.videos or asked.queries, asked.saliency)
        command = [sys.executable, "-m", "vmr_jax.cli", "score"]
        start = time.perf_counter()
        subprocess.run(
            [*command, target / "predictions.jsonl", target / "labels.jsonl"],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        wall, used = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
        print(
            f"{asked.queries:,} queries: {wall:.1f} s, {used.ru_utime + used.ru_stime:.1f} s of "
            f"CPU, {used.ru_maxrss / 1024:.0f} MiB"
        )


def write(folder: Path, queries: int, videos: int, saliency: bool) -> None:
    """Write predictions.jsonl and labels.jsonl."""
    rng = np.random.default_rng(0)
    with (
        (folder / "predictions.jsonl").open("w") as predicted,
        (folder / "labels.jsonl").open("w") as labelled,
    ):
        for qid in range(queries):
            asked = {"qid": qid, "query": "a person opens a door", "vid": f"v{qid % videos}"}
            windows = 2.0 * np.sort(rng.integers(0, CLIPS + 1, (10, 2)), axis=1)
            scores = -np.sort(-rng.uniform(size=(10, 1)), axis=0)
            found = {"pred_relevant_windows": np.hstack([windows, scores]).round(4).tolist()}
            first = int(rng.integers(0, 60))
            truths = [[first, first + 14], [first + 20, first + 90]][: 1 + qid % 2]
            true = {"duration": 2 * CLIPS, "relevant_windows": truths}
            if saliency:
                found["pred_saliency_scores"] = rng.normal(size=CLIPS).round(4).tolist()
                clips = range(first // 2, first // 2 + 7)
                ratings = rng.integers(0, 5, (len(clips), 3)).tolist()
                true |= {"relevant_clip_ids": list(clips), "saliency_scores": ratings}
            predicted.write(json.dumps(asked | found) + "\n")
            labelled.write(json.dumps(asked | true) + "\n")


if __name__ == "__main__":
    main()
