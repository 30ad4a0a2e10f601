"""TFDS tables of array_record files, written and read without TensorFlow.

`tfds.builder_from_directory(DIR).as_data_source(SPLIT)` reads them as well. Records keep the
order in which they were written, so that a row number finds a record. They are not compressed:
for clip features that costs a tenth of the space and makes a read three times as fast. Beside the
records a report.json says what they were built from; it is the manifest too, with the size and the
SHA-256 of every other file.
"""

import functools
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vmr_jax.output_files import write_whole

CORPUS = "corpus"  # the one split of a videos table ("all" is reserved in TFDS)
_VERSION = "1.0.0"
_BLOCK = 1024  # records
_FORMAT = 3  # 1 kept times as float32, and no checksums; 2 no statistics of the features
_MANIFEST = ("format", "files", "checksum")  # keys of report.json that are not the report's
AGAIN = "build it again: `vmr prepare` with --overwrite"

Fields = Mapping[str, Any]  # field -> tf.train.Feature


def write_table(
    directory: Path, name: str, schema: Mapping[str, Any], splits: Mapping[str, Iterable[dict]]
) -> None:
    """Write each split's records, in order, into one array_record file.

    Args:
        directory: an existing directory; it receives the records and TFDS's two JSON files.
        name: the dataset's name in TFDS.
        schema: field -> tfds.features connector.
        splits: split -> its records. TFDS reserves the name "all".
    """
    import tensorflow_datasets as tfds
    from array_record.python.array_record_module import ArrayRecordWriter
    from tensorflow_datasets.core import dataset_info, example_serializer, naming
    from tensorflow_datasets.core.splits import SplitDict, SplitInfo

    features = tfds.features.FeaturesDict(schema)
    # TFDS declares a dict of specs, which is invariant, where it takes what its features give.
    specs: Any = features.get_serialized_info()
    serializer = example_serializer.ExampleSerializer(specs)
    infos = []
    for split, records in splits.items():
        template = naming.ShardedFileTemplate(
            data_dir=directory,  # pyright: ignore[reportArgumentType]  # any path is taken
            dataset_name=name,
            split=split,
            filetype_suffix="array_record",
        )
        path = template.sharded_filepath(shard_index=0, num_shards=1)
        writer = ArrayRecordWriter(str(path), "group_size:1,uncompressed")
        count = size = 0
        for record in records:
            line = serializer.serialize_example(features.encode_example(record))
            writer.write(line)
            count += 1
            size += len(line)
        writer.close()
        infos.append(
            SplitInfo(name=split, shard_lengths=[count], num_bytes=size, filename_template=template)
        )
    identity = dataset_info.DatasetIdentity(
        name=name, version=tfds.core.Version(_VERSION), data_dir=str(directory), module_name=""
    )
    info = tfds.core.DatasetInfo(builder=identity, features=features)
    info.set_file_format("array_record")
    info.set_splits(SplitDict(infos))
    info.write_to_directory(directory)


def open_rows(directory: Path, split: str) -> Callable[[int], Fields]:
    """Open a split for random access: row -> its fields. Several threads may read.

    The fields are `tf.train.Feature` messages: TFDS's own decoder costs five times as much.

    Raises:
        ValueError: the split cannot be opened, or, from the read, a record is damaged.
    """
    records = _open(directory, split)
    parse = _parser()

    def read(row: int) -> Fields:
        """Read one record."""
        try:
            return parse(records[row])
        except Exception as error:  # array_record raises many kinds on damaged files
            raise _damaged(directory, f"{split}, record {row}", error) from error

    return read


def read_rows(directory: Path, split: str) -> Iterator[Fields]:
    """Yield the fields of a split's records in order, read in blocks (15 times as fast as rows).

    Raises:
        ValueError: the split cannot be opened, or a record is damaged.
    """
    records = _open(directory, split)
    parse = _parser()
    for start in range(0, len(records), _BLOCK):
        rows = range(start, min(start + _BLOCK, len(records)))
        try:
            block = [parse(record) for record in records.__getitems__(rows)]
        except Exception as error:  # as above
            raise _damaged(directory, f"{split}, from record {start} on", error) from error
        yield from block


def find_report(directory: Path, *, verify: bool = False, replacing: bool = False) -> dict | None:
    """Read the report of a table; None when the table is not there.

    `verify` compares the size and SHA-256 of every file of the table; a file is read once a
    process, unless it changes. A table that is about to be replaced, `replacing`, is None where it
    is damaged or old. Raises ValueError for such a table, with the file's path, otherwise.
    """
    path = directory / "report.json"
    if not path.is_file():
        return None
    try:
        manifest = _read_manifest(path)
        if verify:
            _check_files(directory, manifest["files"])
    except ValueError:
        if replacing:
            return None
        raise
    return {key: value for key, value in manifest.items() if key not in _MANIFEST}


def read_report(directory: Path) -> dict:
    """Read the report of a table. Raises FileNotFoundError when the table is not there."""
    report = find_report(directory)
    if report is None:
        raise FileNotFoundError(f"{directory} is not prepared: it has no report.json")
    return report


def write_report(directory: Path, report: dict) -> None:
    """Write report.json: the report, and the size and SHA-256 of every other file."""
    files = {path.name: _measure(path) for path in sorted(directory.iterdir())}
    files.pop("report.json", None)
    manifest = report | {"format": _FORMAT, "files": files}
    write_json(directory / "report.json", manifest | {"checksum": _checksum(manifest)})


def read_array(path: Path, *, mapped: bool = False) -> np.ndarray:
    """Read or map an array that `write_table`'s callers saved beside the records.

    Raises ValueError with the path where it is damaged.
    """
    try:
        return np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
    except (ValueError, EOFError, MemoryError) as error:
        raise ValueError(f"{path} is damaged ({error}); {AGAIN}") from error


def write_json(path: Path, content: dict) -> None:
    """Write a dict as indented JSON."""
    write_whole(path, json.dumps(content, indent=1) + "\n")


def _read_manifest(path: Path) -> dict:
    """Read a report.json. Raises ValueError where it is damaged or of an older version."""
    try:
        manifest = dict(json.loads(path.read_text("utf-8")))
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"{path} is damaged ({error}); {AGAIN}") from error
    written = manifest.get("format", 1)
    if written != _FORMAT:
        version = "an older" if written < _FORMAT else "a newer"
        raise ValueError(f"{path.parent} was prepared by {version} version of vmr_jax; {AGAIN}")
    if manifest.pop("checksum", None) != _checksum(manifest):
        raise ValueError(f"{path} is damaged: it is not what was written; {AGAIN}")
    return manifest


def _checksum(manifest: dict) -> str:
    """The SHA-256 of a manifest's content, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def _check_files(directory: Path, files: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise ValueError where a file is not as a manifest notes it."""
    for name, noted in files.items():
        path = directory / name
        if not path.is_file():
            raise ValueError(f"{path} is missing; {AGAIN}")
        if path.stat().st_size != noted["bytes"]:
            raise ValueError(
                f"{path} is damaged: it has {path.stat().st_size:,} bytes, {noted['bytes']:,} were "
                f"written; {AGAIN}"
            )
        if _measure(path) != noted:
            raise ValueError(
                f"{path} is damaged: its SHA-256 is not that of what was written; {AGAIN}"
            )


def _measure(path: Path) -> dict[str, Any]:
    """The size in bytes and the SHA-256 of a file."""
    stat = path.stat()
    return {"bytes": stat.st_size, "sha256": _sha256(path, stat.st_size, stat.st_mtime_ns)}


@functools.cache
def _sha256(path: Path, size: int, modified: int) -> str:
    """The SHA-256 of a file that has this size and this time of its last change."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _open(directory: Path, split: str) -> Any:
    """Open a split as TFDS's sequence of undecoded records."""
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder_from_directory(directory)
        # A decorator of TFDS hides the parameters.
        return builder.as_data_source(split).data_source  # pyright: ignore[reportCallIssue]
    except Exception as error:  # TFDS raises many kinds on missing or damaged files
        raise _damaged(directory, split, error) from error


def _parser() -> Callable[[bytes], Fields]:
    """Make the function that parses one undecoded record."""
    from tensorflow_datasets.proto import tf_example_pb2

    # protobuf makes the class at run time.
    example = tf_example_pb2.Example  # pyright: ignore[reportAttributeAccessIssue]
    return lambda record: example.FromString(record).features.feature


def _damaged(directory: Path, what: str, error: Exception) -> ValueError:
    """Say that a table cannot be read, and what to do."""
    return ValueError(f"{directory}: {what} cannot be read ({error}); {AGAIN}")
