"""What was found wrong with a dataset's files, gathered by kind, counted by split, or refused."""

from collections import Counter

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


def refuse_faults(annotations: Annotations) -> None:
    """Refuse annotations with a fault that nothing repairs."""
    errors = [group for group in summarise(annotations.faults) if not group["repair"]]
    if errors:
        listed = "; ".join(f"{e['kind']} ({len(e['where'])}): {e['where'][0]}" for e in errors)
        raise ValueError(f"{annotations.name}: {listed}. Run `vmr doctor` for all of them")
