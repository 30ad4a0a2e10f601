"""What to say where a part of a prepared dataset is missing or out of date: the command to run."""

import re
from pathlib import Path
from typing import NamedTuple


class Needed(NamedTuple):
    """What a run reads of a dataset: the names of its parts, "" for those that it does not read."""

    features: str
    words: bool = True  # vectors of the queries' words
    chunks: bool = False  # the queries' noun chunks
    patches: str = ""
    subtitles: str = ""
    query_features: str = ""


def not_prepared(root: Path, missing: str, needed: Needed) -> FileNotFoundError:
    """Say which commands prepare what is missing, and which kinds of features are there."""
    there = sorted(p.name.removeprefix("videos-") for p in root.glob("videos-*"))
    what_to_do = "Name those that are there, or prepare these" if there else "Prepare it"
    kinds = dict.fromkeys((needed.features, needed.patches, needed.subtitles))
    commands = [_command(root, needed, kind) for kind in kinds if kind and kind not in there]
    return FileNotFoundError(
        f"{root.name} with features {missing!r} is not prepared in {root.parent} "
        f"(features there: {', '.join(there) or 'none'}). {what_to_do} with\n" + "\n".join(commands)
    )


def other_queries(root: Path, features: str, needed: Needed) -> ValueError:
    """Say which command prepares features again for the queries that are there."""
    return ValueError(
        f"features {features!r} of {root.name} in {root.parent} were not prepared for the "
        "queries that are there, so that queries could be missing. Prepare them again with\n"
        f"{_command(root, needed, features)} --overwrite"
    )


def without_chunks(root: Path, needed: Needed) -> FileNotFoundError:
    """Say which command computes the noun chunks of queries."""
    return FileNotFoundError(
        f"the noun chunks of {root.name} in {root.parent} are not prepared. Compute them with\n"
        f"{_command(root, needed, needed.features)}\n"
        "(or --noun-chunks rules, an approximation without a parser)"
    )


def without_query_features(root: Path, needed: Needed) -> FileNotFoundError:
    """Say which command prepares the features of queries."""
    there = sorted(p.name.removeprefix("queries-") for p in root.glob("queries-*"))
    return FileNotFoundError(
        f"the query features {needed.query_features!r} of {root.name} are not prepared in "
        f"{root.parent} (there: {', '.join(there) or 'none'}). Prepare them with\n"
        f"{_command(root, needed, needed.features)}"
    )


def _command(root: Path, needed: Needed, kind: str) -> str:
    """The command that prepares a kind of features; with the first come the parts of queries.

    A dataset is taken for a reader's whose name its own is, or begins with before a "_" or "-".
    """
    from vmr_jax.data.datasets import READERS

    named = [name for name in READERS if re.fullmatch(rf"{name}([-_].*)?", root.name)]
    reader = max(named, key=len, default="jsonl")
    options = {
        f"--name {root.name}": root.name != reader,
        f"--annotations DIR --features PATH --feature-name {kind}": True,
        "--glove FILE": needed.words and not needed.query_features,
        f"--data-dir {root.parent}": True,
        "--patches": kind == needed.patches,
    }
    if kind == needed.features:
        name = needed.query_features
        options["--noun-chunks spacy"] = needed.chunks
        options[f"--query-features FILE --query-feature-name {name}"] = bool(name)
    return " ".join([f"  vmr prepare {reader}", *(o for o, wanted in options.items() if wanted)])
