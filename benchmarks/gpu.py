"""All figures of one GPU in one command: steps, a run, a search, an encoder; one table, and JSON.

    python -m benchmarks.gpu --json gpu.json               # 20 to 30 minutes are allowed for
    python -m benchmarks.gpu --only search,images --videos 200000
    JAX_PLATFORMS=cpu python -m benchmarks.gpu --tiny      # the same parts on a CPU, toy sizes

The parts, each the benchmark of its name in a process of its own, which has the GPU's memory to
itself: numerical tests; the train step of every system at its paper's shapes in float32 and
bfloat16, with its share of a matrix product's rate and PyTorch eager and compiled beside; a whole
paper-size run of EVA; an exact search of a million videos; images a second of CLIP ViT-B/32. A part
that fails, or takes longer than its time, is told, and the others go on. Random data made on
the spot: nothing but the packages of the project is needed, and PyTorch is optional.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks.report import machine, table
from benchmarks.step_cases import SYSTEMS

_TESTS = ("tests/layers", "tests/losses", "tests/decoding", "tests/search")


class Part(NamedTuple):
    """A benchmark and its options."""

    kind: str  # what --only names
    name: str
    module: str
    options: tuple[str, ...]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", default="tests,step,run,search,images", help="parts")
    parser.add_argument("--systems", default=",".join(SYSTEMS), help="whose steps")
    parser.add_argument("--precisions", default="float32,bfloat16")
    parser.add_argument("--tiny", action="store_true", help="toy sizes: only to see that it runs")
    parser.add_argument("--videos", type=int, default=1_000_000, help="that are searched")
    parser.add_argument("--clips", type=int, default=10, help="of each of these")
    parser.add_argument("--epochs", type=int, default=50, help="of EVA's run")
    parser.add_argument("--seconds", type=int, default=600, help="that a part may take")
    parser.add_argument("--json", default="")
    args = parser.parse_args()
    done = {}
    for part in parts(args):
        done[part.name] = _run(part, args.seconds)
        told = done[part.name]
        print(f"\n{part.name}: {told['command']}, {told['seconds']:.0f} s", flush=True)
        print(table(told["rows"]) if told["rows"] else told["output"], flush=True)
    about = machine()
    print("\n" + ", ".join(f"{name} {value}" for name, value in about.items()))
    if args.json:
        Path(args.json).write_text(json.dumps({"machine": about, "parts": done}, indent=2) + "\n")
    failed = [name for name, told in done.items() if told["failed"]]
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def parts(args: argparse.Namespace) -> list[Part]:
    """The parts that are asked for, with their sizes."""
    tiny = ("--tiny",) if args.tiny else ()
    few = ("--repeats", "2") if args.tiny else ()
    compiled = () if args.tiny else ("--compile",)
    found = [Part("tests", "tests", "pytest", ("-q", *_TESTS))]
    precisions = args.precisions.split(",")
    for precision in precisions:
        for system in args.systems.split(","):
            options = ("--system", system, "--precision", precision, *tiny, *few, *compiled)
            found.append(Part("step", f"{system}, {precision}", "benchmarks.train_step", options))
    for precision in precisions:
        options = ("--epochs", str(args.epochs), "--precision", precision)
        options += tiny or ("--paper",)
        found.append(Part("run", f"EVA's run, {precision}", "benchmarks.epoch", options))
    options = ("--videos", str(args.videos), "--clips", str(args.clips), *few)
    found.append(Part("search", "search", "benchmarks.search_device", options))
    batches = ("--batches", "1,2") if args.tiny else ()
    options = ("--precisions", args.precisions, *batches, *tiny, *few)
    found.append(Part("images", "images", "benchmarks.encode_images", options))
    return [part for part in found if part.kind in args.only.split(",")]


def _run(part: Part, seconds: int) -> dict:
    """What a part's process told: its rows, or the end of its output where it has none."""
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "rows.json"
        command = [sys.executable, "-m", part.module, *part.options]
        where = () if part.module == "pytest" else ("--json", told)
        # PyTorch, in the same process, must find memory too.
        settings = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", **os.environ}
        started = time.perf_counter()
        try:
            ended = subprocess.run(
                [*command, *where], capture_output=True, text=True, timeout=seconds, env=settings
            )
            output, failed = ended.stdout + ended.stderr, ended.returncode != 0
        except subprocess.TimeoutExpired as error:
            output, failed = f"{error}", True
        return {
            "command": " ".join(("python", *command[1:])),
            "seconds": time.perf_counter() - started,
            "failed": failed,
            "rows": json.loads(told.read_text())["rows"] if told.exists() else [],
            "output": output[-2000:],
        }


if __name__ == "__main__":
    main()
