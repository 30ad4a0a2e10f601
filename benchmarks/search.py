"""How long does an exact search of a corpus take, and how much memory, as the corpus grows?

    python -m benchmarks.search                              # 1 k, 10 k, 100 k videos of 50 clips
    python -m benchmarks.search --sizes 2179x100 --json search.json       # TVR's validation split

Every measurement is a process of its own, so that its peak of memory is its own; the processes of
a size take turns, `--rounds` times, so that a busy machine slows all of them. Time is the median
of all repeats, CPU time leaves out what other programs did meanwhile. Clips are random, which
makes ranking hard: neighbouring scores differ by less than a thousandth. Recall is against an exact
float32 search in NumPy. `over table` is the peak of the process beyond the vectors that it
searches, Python and its libraries included.
"""

import argparse
import importlib.util
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.report import show
from benchmarks.search_cases import IMPLEMENTATIONS, Size, make_queries, recall, write_corpus

_PACKAGE = {"PyTorch": "torch", "FAISS flat": "faiss"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sizes", default="1000x50,10000x50,100000x50", help="VIDEOSxCLIPS,...")
    parser.add_argument("--dtypes", default="float32,float16,bfloat16,int8")
    parser.add_argument("--queries", default="1,8,64,512", help="that are searched for at once")
    parser.add_argument("--implementations", default=",".join(IMPLEMENTATIONS))
    parser.add_argument("--repeats", type=int, default=7, help="of a process")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--dir", default=tempfile.gettempdir(), help="for the corpora")
    parser.add_argument("--json", default="")
    parser.add_argument("--measure", default="", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        print(json.dumps(_measure(**json.loads(args.measure))))
        return
    absent = [name for name, package in _PACKAGE.items() if not importlib.util.find_spec(package)]
    for name in absent:
        print(f"{name} is not installed: its rows are left out.")
    names = [name for name in args.implementations.split(",") if name not in absent]
    rows = []
    for text in args.sizes.split(","):
        rows += _compare(Size(*map(int, text.split("x"))), names, args)
    show("Exact search of a corpus, two modalities of width 384", rows, args.json)


def _compare(size: Size, names: list[str], args) -> list[dict]:
    """The rows of one size."""
    dtypes = []
    for dtype in args.dtypes.split(","):
        needed, free = 1.1 * size.bytes(dtype), _bytes("/proc/meminfo", "MemAvailable")
        if needed < free:
            dtypes.append(dtype)
        else:
            print(
                f"{size.videos} videos in {dtype} are left out: {needed / 1e9:.1f} GB are needed, "
                f"{free / 1e9:.1f} GB of memory are free."
            )
    # int8 with a scale a vector is ours alone.
    cases = [(n, d) for d in dtypes for n in names if d != "int8" or n == "vmr_jax"]
    runs = {case: [] for case in cases}
    with tempfile.TemporaryDirectory(prefix="vmr_benchmark_", dir=args.dir) as folder:
        counts = list(map(int, args.queries.split(",")))
        exact = write_corpus(Path(folder), size, dtypes, max(counts))
        np.save(Path(folder) / "exact.npy", exact)
        for _ in range(args.rounds):
            for name, dtype in cases:
                setting = {"name": name, "folder": folder, "size": size, "dtype": dtype}
                setting = json.dumps(setting | {"repeats": args.repeats, "counts": counts})
                command = [sys.executable, "-m", "benchmarks.search", "--measure", setting]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                runs[name, dtype].append(json.loads(done.stdout.splitlines()[-1]))
    return [
        _row(size, name, dtype, str(count), results)
        for count in counts
        for (name, dtype), results in runs.items()
    ]


def _row(size: Size, name: str, dtype: str, count: str, results: list[dict]) -> dict:
    seconds, worked = (
        np.concatenate([result[count][kind] for result in results]) for kind in ("wall", "cpu")
    )
    peak = max(result["peak"] for result in results)
    return {
        "videos": f"{size.videos}x{size.clips}",
        "queries": int(count),
        "implementation": f"{name} {dtype}",
        "median ms": 1e3 * float(np.median(seconds)),
        "best ms": 1e3 * float(seconds.min()),
        "CPU ms": 1e3 * float(np.median(worked)),
        "queries/s": int(count) / float(np.median(seconds)),
        "recall@10 %": results[0][count]["recall10"],
        "recall@100 %": results[0][count]["recall100"],
        "table MB": size.bytes(dtype) / 1e6,
        "peak MB": peak / 1e6,
        "over table MB": (peak - size.bytes(dtype)) / 1e6,
    }


def _measure(
    name: str, folder: str, size: list[int], dtype: str, repeats: int, counts: list[int]
) -> dict:
    """Seconds of wall and CPU of each repeat, recall, and the process's peak of memory."""
    exact = np.load(Path(folder) / "exact.npy")
    search = IMPLEMENTATIONS[name](Path(folder), Size(*size), dtype)
    measured = {}
    for count in counts:
        queries = make_queries(max(counts))[:count]
        found = search(queries)
        wall, cpu = [], []
        for _ in range(repeats):
            started, worked = time.perf_counter(), time.process_time()
            search(queries)
            wall.append(time.perf_counter() - started)
            cpu.append(time.process_time() - worked)
        measured[str(count)] = {
            "wall": wall,
            "cpu": cpu,
            "recall10": recall(found, exact, 10),
            "recall100": recall(found, exact, 100),
        }
    # Not getrusage's figure, which a process inherits from the one that started it.
    return measured | {"peak": _bytes("/proc/self/status", "VmHWM")}


def _bytes(path: str, name: str) -> float:
    """A figure that Linux tells in kB."""
    for line in Path(path).read_text().splitlines():
        if line.startswith(name):
            return 1024 * float(line.split()[1])
    raise ValueError(f"{path} has no {name}")


if __name__ == "__main__":
    main()
