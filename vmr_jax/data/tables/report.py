"""The report of a build: what was read, repaired and dropped, and a hash of the content."""

import json
from collections import Counter
from pathlib import Path

import numpy as np

from vmr_jax.data.datasets.records import Annotations, Fault
from vmr_jax.data.datasets.repair import DROPPED


def summarise(faults: list[Fault]) -> list[dict]:
    """Gather faults of one kind and repair, errors first: {"kind", "repair", "where": [...]}."""
    where: dict[tuple[str, str], list[str]] = {}
    for fault in faults:
        where.setdefault((fault.repair, fault.kind), []).append(fault.where)
    ordered = sorted(where.items(), key=lambda item: (item[0][0] != "", item[0][1], item[0][0]))
    return [{"kind": kind, "repair": repair, "where": ids} for (repair, kind), ids in ordered]


def count_splits(annotations: Annotations) -> dict[str, dict[str, int]]:
    """Count each split's queries: read, kept and dropped."""
    dropped = Counter(
        fault.where.split(" ")[0] for fault in annotations.faults if fault.repair == DROPPED
    )
    return {
        split: {
            "read": len(records) + dropped[split],
            "kept": len(records),
            "dropped": dropped[split],
        }
        for split, records in annotations.splits.items()
    }


def hash_video(digest, video: str, duration: float, clips: np.ndarray) -> None:
    """Add a video, as it is stored, to a hashlib digest."""
    digest.update(f"{video}\0{np.float32(duration)}\0{clips.shape}\0".encode())
    digest.update(clips.tobytes())


def read_report(directory: Path) -> dict | None:
    """Read the report of a table; None when the table is not there."""
    path = directory / "report.json"
    return json.loads(path.read_text("utf-8")) if path.is_file() else None


def write_json(path: Path, content: dict) -> None:
    """Write a dict as indented JSON."""
    path.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
