"""What was found wrong with a dataset's files, gathered by kind, counted by split, or refused."""

import re
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


def bad_split_names(annotations: Annotations) -> list[Fault]:
    """Find the names that cannot be a split's: a table is written under each of the others."""
    bad = [n for n in annotations.splits if not re.fullmatch(r"\w+", n) or n == "all"]
    rule = "letters, digits and '_', and not 'all'"
    return [Fault("a split cannot have this name", f"{name!r}: {rule}", "") for name in bad]


def refuse_faults(annotations: Annotations) -> None:
    """Refuse annotations with a fault that nothing repairs."""
    faults = [*annotations.faults, *bad_split_names(annotations)]
    errors = [group for group in summarise(faults) if not group["repair"]]
    if errors:
        listed = "; ".join(f"{e['kind']} ({len(e['where'])}): {e['where'][0]}" for e in errors)
        raise ValueError(f"{annotations.name}: {listed}. Run `vmr doctor` for all of them")
