"""What `vmr prepare` and `vmr doctor` do: read, check, say what was found, write."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vmr_jax.data.datasets import read_annotations
from vmr_jax.data.datasets.faults import count_splits
from vmr_jax.data.datasets.records import Annotations, Fault
from vmr_jax.data.datasets.repair import is_training
from vmr_jax.data.prepare.doctor import (
    check,
    check_annotations,
    check_built,
    check_names,
    count_errors,
    fault_table,
    features_of,
)
from vmr_jax.data.prepare.feature_check import FeatureCheck
from vmr_jax.data.prepare.feature_sample import describe_numbers
from vmr_jax.data.sources.features import (
    RANDOM,
    SIMULATED,
    FeatureSource,
    from_arrays,
    join,
    open_features,
    without_didemo_padding,
)
from vmr_jax.data.sources.subtitles import pool_subtitles
from vmr_jax.data.tables.atomic_write import OtherContentError
from vmr_jax.data.tables.build import write_dataset
from vmr_jax.data.tables.chunk_table import write_chunks
from vmr_jax.data.tables.dataset import load_dataset
from vmr_jax.data.tables.query_features import write_query_features
from vmr_jax.data.text.noun_chunks import Chunker, make_chunker
from vmr_jax.data.text.vocabulary import load_glove, tokenize
from vmr_jax.progress import shown

if TYPE_CHECKING:
    from vmr_jax.encoders.sentence import SentenceEncoder


def prepare_dataset(
    dataset: str,
    annotations_dir: Path,
    features: Sequence[Path],
    feature_name: str,
    glove: Path | None,
    data_dir: Path,
    *,
    name: str,
    overwrite: bool,
    drop_missing: bool,
    noun_chunks: str,
    patches: bool,
    clip_seconds: float,
    query_features: Path | None,
    query_feature_name: str,
    query_encoder: Path | None,
    key: str,
) -> None:
    """Check a dataset's files and write its tables to data_dir/name, unless an error is found.

    `features` are files, or directories, of different videos.
    `noun_chunks` names how to find the chunks of the queries, "" leaves those that are there.
    With `patches` the features are grids of patches; with `clip_seconds` they are those of the
    subtitles' tokens, which are pooled into clips of that length. `query_features` are those of the
    queries' tokens, stored as `query_feature_name`; the sentence encoder in the folder
    `query_encoder` makes them in their place. `key` is that of `open_features`.

    Raises:
        ValueError: the check found errors, or as in `write_dataset`, `pool_subtitles`,
            `write_query_features`, `open_sentence_encoder`, `make_chunker` and `write_chunks`.
        FileNotFoundError: a file or directory is missing.
    """
    if query_features is not None and query_encoder is not None:
        raise ValueError("--query-features and --query-encoder are two sources: give one")
    if ((query_features or query_encoder) is None) != (not query_feature_name):
        raise ValueError(
            "--query-features or --query-encoder, and --query-feature-name, need each other"
        )
    if patches and clip_seconds:
        raise ValueError("--patches and --pool-subtitles are two kinds of features: give one")
    if clip_seconds and len(features) > 1:
        raise ValueError("--pool-subtitles reads one file of --features")
    chunker = make_chunker(noun_chunks) if noun_chunks else None
    annotations = read_annotations(dataset, annotations_dir)._replace(name=name)
    if clip_seconds:
        source = pool_subtitles(features[0], annotations, clip_seconds)
    else:
        source = _open_features(dataset, features, annotations, patches, key)
    _refuse_disguise(source, features, "feature-name", feature_name)
    tokens = None
    if query_features is not None:
        tokens = open_features(query_features, key=key)
        _refuse_disguise(tokens, [query_features], "query-feature-name", query_feature_name)
    if query_encoder is not None:
        from vmr_jax.encoders.sentence import open_sentence_encoder

        tokens = _encode_queries(open_sentence_encoder(query_encoder), annotations)
    vectors = _load_vectors(annotations, glove)
    faults = check_annotations(annotations, vectors)
    faults += check_names(annotations, source, drop_missing=drop_missing)
    features_check = FeatureCheck(annotations.durations, source)
    _print_annotations(annotations)
    try:
        _refuse(faults)
        written = write_dataset(
            data_dir,
            annotations,
            features_check.source,
            feature_name,
            vectors,
            overwrite=overwrite,
            drop_missing=drop_missing,
            accept=lambda: _refuse(features_check.faults()),
            progress=shown,
        )
    except OtherContentError:
        raise
    except ValueError:
        features_check.read_rest(name, shown)
        if _print_faults(faults + features_check.faults(), name):
            raise
        missing = any(f.kind == "video without features" and not f.repair for f in faults)
        hint = "; --drop-missing leaves videos without features out" if missing else ""
        raise ValueError(f"nothing was written: mend the errors above{hint}") from None
    _print_faults(faults + features_check.faults(), name)
    _print_tables(data_dir / name, written["videos"], written["moments"]["vocabulary"], patches)
    if tokens:
        _write_tokens(data_dir, annotations, tokens, query_feature_name, overwrite=overwrite)
    if chunker:
        _write_chunks(data_dir, annotations, *chunker, overwrite=overwrite)


def _refuse(faults: list[Fault]) -> None:
    """Raise ValueError where a fault is an error."""
    if count_errors(faults):
        raise ValueError("there are errors")


def _print_tables(where: Path, videos: dict, words: dict, patches: bool) -> None:
    """Print what was written: the reports of the videos and of the vocabulary."""
    width = f"{videos['cells']} x {videos['width']}" if patches else videos["width"]
    print(
        f"{where}: {videos['videos']:,} videos, {videos['clips']:,} clips of width "
        f"{width} ({videos['bytes'] / 1e6:,.1f} MB), {words['words']:,} words of width "
        f"{words['width']}"
    )
    left_out = sum(videos["queries_without_video"].values())
    if left_out:
        print(f"left out: {len(videos['missing']):,} videos with {left_out:,} queries")
    if not words["width"]:
        print("no word vectors: systems that read words need --glove FILE (and --overwrite)")


def _encode_queries(encoder: "SentenceEncoder", annotations: Annotations) -> FeatureSource:
    """The tokens of all queries as an encoder gives them, float16."""
    records = [record for split in annotations.splits.values() for record in split]
    rows = encoder.tokens([record.sentence for record in records])
    label = f"{annotations.name}: encoding queries"
    encoded = (tokens.astype(np.float16) for tokens in shown(rows, label, len(records)))
    return from_arrays(dict(zip((r.query_id for r in records), encoded, strict=True)))


def _write_tokens(
    data_dir: Path, annotations: Annotations, tokens: FeatureSource, name: str, *, overwrite: bool
) -> None:
    """Write the features of the queries' tokens and say how many there are."""
    options = {"overwrite": overwrite, "progress": shown}
    report = write_query_features(data_dir, annotations, tokens, name, **options)
    print(
        f"queries-{name}: {report['queries']:,} queries, {report['tokens']:,} tokens of width "
        f"{report['width']} ({report['bytes'] / 1e6:,.1f} MB), the longest query has "
        f"{report['longest']}; {report['unused']:,} entries are of no query"
    )


def _write_chunks(
    data_dir: Path, annotations: Annotations, chunk: Chunker, method: str, *, overwrite: bool
) -> None:
    """Find the noun chunks of all queries, write them and say how many there are."""
    label = f"{annotations.name}: finding noun chunks of {{}} queries"
    chunks = {
        split: list(shown(chunk(r.sentence for r in records), label.format(split), len(records)))
        for split, records in annotations.splits.items()
    }
    report = write_chunks(data_dir, annotations, chunks, method, overwrite=overwrite)
    about = ", an approximation of a parser's" if method == "rules" else ""
    print(
        f"noun chunks by {method}{about}: {report['chunks']:,} in {report['queries']:,} queries; "
        f"{report['without_static']:,} queries have none, {report['without_dynamic']:,} have "
        "nothing else"
    )


def diagnose_files(
    dataset: str,
    annotations_dir: Path,
    features: Sequence[Path],
    glove: Path | None,
    patches: bool,
    key: str,
) -> bool:
    """Check raw files and print what was found; true when there is no error."""
    annotations = read_annotations(dataset, annotations_dir)
    source = None
    if features:
        source = _open_features(dataset, features, annotations, patches, key)
    vectors = _load_vectors(annotations, glove)
    faults = check(annotations, source, vectors, progress=shown)
    _print_annotations(annotations)
    if source:
        _print_numbers(source)
    return _print_faults(faults, dataset)


def diagnose_built(data_dir: Path, name: str, feature_name: str) -> bool:
    """Check a built dataset and print what was found; true when there is no error.

    Raises ValueError where several kinds of features are there and `feature_name` is "".
    """
    if not feature_name:
        there = sorted(p.name.removeprefix("videos-") for p in (data_dir / name).glob("videos-*"))
        if len(there) > 1:
            raise ValueError(f"--feature-name says which to check; there are {', '.join(there)}")
        feature_name = there[0] if there else "features"
    faults = check_built(data_dir, name, feature_name, progress=shown)
    if not count_errors(faults):
        _print_numbers(features_of(load_dataset(data_dir, name, feature_name, verify=False)))
    return _print_faults(faults, name)


def _open_features(
    dataset: str, paths: Sequence[Path], annotations: Annotations, patches: bool, key: str
) -> FeatureSource:
    """Open a dataset's features; DiDeMo's are freed of their padding."""
    source = join([open_features(path, patches=patches, key=key) for path in paths])
    if dataset == "didemo":
        return without_didemo_padding(source, annotations.durations)
    return source


def _refuse_disguise(source: FeatureSource, paths: Sequence[Path], option: str, name: str) -> None:
    """Refuse to store made-up features under a name that does not say so."""
    if source.made_up == RANDOM and not name.startswith(RANDOM):
        raise ValueError(
            f"{', '.join(map(str, paths))} was made with random weights, and its features mean "
            f"nothing: use a name that says so, --{option} random_{name}"
        )
    if source.made_up == SIMULATED and SIMULATED not in name:
        raise ValueError(
            f"{', '.join(map(str, paths))} was made by `vmr simulate`; its results must not pass "
            f"for the real benchmark's: use a name that says so, --{option} simulated_{name}"
        )


def _load_vectors(annotations: Annotations, glove: Path | None) -> dict[str, np.ndarray] | None:
    """Load the vectors of the words that the queries use."""
    if glove is None:
        return None
    records = (record for split in annotations.splits.values() for record in split)
    return load_glove(glove, {word for record in records for word in tokenize(record.sentence)})


def _print_annotations(annotations: Annotations) -> None:
    """Print how many queries each split has, and how many videos there are."""
    for split, counts in count_splits(annotations).items():
        videos = {record.video_id for record in annotations.splits[split]}
        dropped = f" ({counts['dropped']:,} of {counts['read']:,} dropped)"
        print(
            f"{annotations.name} {split}: {counts['kept']:,} queries"
            f"{dropped if counts['dropped'] else ''} on {len(videos - {''}):,} videos"
            f"{' (a training split)' if is_training(split) else ''}"
        )


def _print_numbers(source: FeatureSource) -> None:
    """Print what the numbers of the features are like, where some can be read."""
    line = describe_numbers(source)
    if line:
        print(line)


def _print_faults(faults: list[Fault], name: str) -> bool:
    """Print the table of faults; true when none is an error."""
    from rich.console import Console

    if not faults:
        print(f"{name}: nothing to report")
        return True
    errors = count_errors(faults)
    Console(markup=False).print(fault_table(faults, f"{name}: {errors:,} errors"))
    return errors == 0
