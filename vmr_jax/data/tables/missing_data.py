"""What to say where a part of a prepared dataset is missing or out of date: the command to run."""

from pathlib import Path


def not_prepared(root: Path, feature_name: str) -> FileNotFoundError:
    """Say which command prepares a dataset, and which kinds of features are there."""
    there = sorted(p.name.removeprefix("videos-") for p in root.glob("videos-*"))
    what_to_do = "Name those that are there, or prepare these" if there else "Prepare it"
    return FileNotFoundError(
        f"{root.name} with features {feature_name!r} is not prepared in {root.parent} "
        f"(features there: {', '.join(there) or 'none'}). {what_to_do} with\n"
        f"{_command(root, feature_name)}"
    )


def other_queries(root: Path, feature_name: str) -> ValueError:
    """Say which command prepares features again for the queries that are there."""
    return ValueError(
        f"features {feature_name!r} of {root.name} in {root.parent} were not prepared for the "
        "queries that are there, so that queries could be missing. Prepare them again with\n"
        f"{_command(root, feature_name)} --overwrite"
    )


def without_chunks(root: Path, feature_name: str) -> FileNotFoundError:
    """Say which command computes the noun chunks of queries."""
    return FileNotFoundError(
        f"the noun chunks of {root.name} in {root.parent} are not prepared. Compute them with\n"
        f"{_command(root, feature_name)} --noun-chunks spacy\n"
        "(or --noun-chunks rules, an approximation without a parser)"
    )


def without_query_features(root: Path, feature_name: str, query_name: str) -> FileNotFoundError:
    """Say which command prepares the features of queries."""
    there = sorted(p.name.removeprefix("queries-") for p in root.glob("queries-*"))
    return FileNotFoundError(
        f"the query features {query_name!r} of {root.name} are not prepared in {root.parent} "
        f"(there: {', '.join(there) or 'none'}). Prepare them with\n"
        f"{_command(root, feature_name)} --query-features FILE --query-feature-name {query_name}"
    )


def _command(root: Path, feature_name: str) -> str:
    """The command that prepares a dataset; one named after a reader's is taken for its."""
    from vmr_jax.data.datasets import READERS

    reader = next((name for name in READERS if root.name.startswith(name)), "jsonl")
    name = "" if reader == root.name else f"--name {root.name} "
    return (
        f"  vmr prepare {reader} {name}--annotations DIR --features PATH "
        f"--feature-name {feature_name} --glove FILE --data-dir {root.parent}"
    )
