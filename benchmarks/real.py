"""Every system on real features of real videos with human sentences, beside the yardsticks.

    VMR_DATA_DIR=DATA python -m benchmarks.real --minilm DIR --out runs/real
    ... --only mmn --only vlanet --seeds 1       # some of the runs
    ... --transfer                               # the second table

DATA/real has msrvtt_1ka and activitynet_46, DIR is the folder of all-MiniLM-L6-v2 (config.json,
tokenizer.json, model.safetensors). Nothing is downloaded. A run that has ended is not run again:
the same command goes on. Checkpoints are chosen on `val`, figures are those of `test`: percent, the
mean over seeds, with the interval of a bootstrap over the test videos of that mean.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.real_runs import RUNS, TRANSFERS, Row
from benchmarks.real_yardsticks import Queries, ridge_moments
from benchmarks.report import show
from vmr_jax import api
from vmr_jax.data.tables.dataset import load_dataset
from vmr_jax.evaluation.predictions import read_predictions
from vmr_jax.metrics.intervals import bootstrap_intervals
from vmr_jax.metrics.linear_match import unit
from vmr_jax.metrics.moments import query_metrics

RANKED = ("VR/R@1", "VCMR/R@1,IoU=0.5")  # of a corpus
SHOWN = ("R@1,IoU=0.5", "R@1,IoU=0.7", "R@5,IoU=0.5", "mIoU")
_BASELINES = ("linear_match", "location_prior", "random")
_SPLITS = ("train", "val", "test")


def main() -> None:
    """Prepare the data, train what has not been trained, print the table."""
    args = _arguments()
    real = Path(os.environ["VMR_DATA_DIR"]).resolve() / "real"
    out = args.out.resolve()
    prepare(real, out / "data", args.minilm)
    rows = TRANSFERS if args.transfer else RUNS
    table = []
    for row in rows:
        if not args.only or row.name in args.only:
            table += _rows(row, [_report(row, seed, out) for seed in range(args.seeds)])
    if not args.transfer:
        table += _ridges(real, out / "data")
    about = "activitynet_46 / val, labels of msrvtt_1ka" if args.transfer else "msrvtt_1ka / test"
    show(f"{about}: percent, mean of {args.seeds} seeds [95 %]", table, args.json)


def prepare(real: Path, data: Path, minilm: Path) -> None:
    """Both datasets with clip features, word vectors and token features, where they are not yet."""
    composed, official = real / "msrvtt_1ka", real / "activitynet_46"
    files = [f"--features={composed}/composed_{split}.h5" for split in _SPLITS]
    asked = {
        "msrvtt": ["jsonl", f"--annotations={composed}/annotations", *files],
        "anet46": [
            "activitynet_captions",
            f"--annotations={official}/annotations",
            f"--features={official}/features.h5",
        ],
    }
    for name, options in asked.items():
        if (data / name / "queries-minilm" / "report.json").exists():
            continue
        glove = real / "glove_6b_50d" / "glove.6B.50d.annotations.txt"
        options += [f"--glove={glove}", f"--query-encoder={minilm}", "--query-feature-name=minilm"]
        options += [f"--data-dir={data}", "--feature-name=effnet", f"--name={name}"]
        command = [sys.executable, "-m", "vmr_jax.cli", "prepare", *options, "--overwrite"]
        subprocess.run(command, check=True)


def _report(row: Row, seed: int, out: Path) -> dict:
    """A run's metrics.json, with the folder that it is in and the seconds that the run took."""
    workdir = out / row.name / str(seed)
    if not (workdir / "seconds").exists():
        settings = row.settings | {"seed": seed, "data_dir": str(out / "data")}
        start = time.time()
        api.train(row.config, workdir, **{k.replace(".", "__"): v for k, v in settings.items()})
        (workdir / "seconds").write_text(f"{time.time() - start:.0f}\n")
    (path,) = workdir.glob("eval/*/metrics.json")
    seconds = float((workdir / "seconds").read_text())
    return json.loads(path.read_text()) | {"folder": path.parent, "seconds": seconds}


def _rows(row: Row, reports: list[dict]) -> list[dict]:
    """The rows of a system, and of the yardsticks that see what it sees."""
    first = reports[0]
    seconds = np.mean([report["seconds"] for report in reports])
    rows = [
        {"run": row.name}
        | _moments_found([report["folder"] / "predictions.jsonl" for report in reports], first)
        | {name: _mean(reports, "model", name) for name in RANKED}
        | {"seconds": f"{seconds:.0f}"}
    ]
    prefix = "SVMR/" if "VR/R@1" in first["model"] else ""
    for name in filter(first.__contains__, _BASELINES):
        shown = {metric: _mean([first], name, prefix + metric) for metric in SHOWN}
        ranked = {metric: _mean([first], name, metric) for metric in RANKED}
        rows.append({"run": f"  {name}"} | shown | ranked | {"seconds": ""})
    return rows


def _moments_found(files: list[Path], report: dict) -> dict[str, str]:
    """SHOWN of the predictions of several seeds, "" of a retriever, which finds no moments."""
    if not files[0].exists():
        return dict.fromkeys(SHOWN, "")
    dataset = load_dataset(report["folder"].parents[3] / "data", report["dataset"], "effnet")
    table = dataset.splits[report["split"]]
    of_seeds = []
    for found in map(read_predictions, files):
        of_seeds.append(query_metrics([found[qid] for qid in table.query_id], table.moments))
    return _with_intervals(of_seeds, table.video)


def _with_intervals(of_seeds: list[dict], video: np.ndarray) -> dict[str, str]:
    """SHOWN as the mean over seeds and queries, with its interval over the videos."""
    mean = {name: np.mean([values[name] for values in of_seeds], axis=0) for name in SHOWN}
    intervals = bootstrap_intervals(mean, video)
    return {
        name: f"{100 * mean[name].mean():.1f} [{intervals[name][0]:.1f}, {intervals[name][1]:.1f}]"
        for name in SHOWN
    }


def _mean(reports: list[dict], of: str, metric: str) -> str:
    """The mean over seeds of one metric, "" where a system has none."""
    values = [report[of].get(metric) for report in reports]
    return "" if None in values else f"{np.mean(values):.1f}"


def _ridges(real: Path, data: Path) -> list[dict]:
    """The two ridge figures of msrvtt_1ka's README, made anew."""
    dataset = load_dataset(data, "msrvtt", "effnet", query_feature_name="minilm")
    asked = {}
    for split in ("train", "test"):
        table = dataset.splits[split]
        vectors = [dataset.query_vectors[a : a + n].mean(0, np.float64) for a, n in table.tokens]
        asked[split] = Queries(
            video=np.array(dataset.videos.video_id)[table.video],
            moment=np.concatenate(table.moments),
            vector=unit(np.stack(vectors)),
        )
    files = {split: real / "msrvtt_1ka" / f"composed_{split}.h5" for split in asked}
    table, rows = dataset.splits["test"], []
    for name, cuts in (("ridge, windows", False), ("ridge, detected cuts", True)):
        found = ridge_moments(files, asked["train"], asked["test"], cuts=cuts)
        values = _with_intervals([query_metrics(found, table.moments)], table.video)
        rows.append({"run": name} | values | dict.fromkeys((*RANKED, "seconds"), ""))
    return rows


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minilm", type=Path, required=True, help="folder of all-MiniLM-L6-v2")
    parser.add_argument("--out", type=Path, required=True, help="where data and runs go")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", action="append", choices=[r.name for r in (*RUNS, *TRANSFERS)])
    parser.add_argument("--transfer", action="store_true", help="the second table")
    parser.add_argument("--json", default="", help="also write the table here")
    return parser.parse_args()


if __name__ == "__main__":
    main()
