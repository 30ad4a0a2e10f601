"""The datasets whose annotation files can be read: name -> reader."""

from pathlib import Path

from vmr_jax.data.datasets import activitynet, charades, didemo, ego4d, jsonl, mad, tvr, youcook2
from vmr_jax.data.datasets.records import Annotations
from vmr_jax.data.datasets.repair import repair

READERS = {
    "charades_sta": charades.read,
    "charades_cd": activitynet.read,
    "charades_cg": activitynet.read,
    "activitynet_captions": activitynet.read,
    "activitynet_cd": activitynet.read,
    "activitynet_cg": activitynet.read,
    "tvr": tvr.read,
    "didemo": didemo.read,
    "activitynet_timelens": activitynet.read,
    "charades_timelens": activitynet.read,
    "qvhighlights_timelens": activitynet.read,
    "qvhighlights": jsonl.read_qvhighlights,
    "tacos": activitynet.read,
    "ego4d_nlq": ego4d.read,
    "mad": mad.read,
    "youcook2": youcook2.read,
    "jsonl": jsonl.read,
}


def read_annotations(name: str, directory: str | Path) -> Annotations:
    """Read a dataset's official annotation files and repair what can be repaired.

    Args:
        name: a key of READERS; `jsonl` is the format of one's own data.
        directory: where the files lie, under their official names; for `jsonl` one file will do.

    Raises:
        ValueError: the name is not known, or a file is not in its format (file and line named).
        FileNotFoundError: no split's file, or a needed file, is there.
    """
    if name not in READERS:
        raise ValueError(f"unknown dataset {name!r}; known are {', '.join(READERS)}")
    directory = Path(directory)
    if not directory.exists():
        raise FileNotFoundError(f"{directory} does not exist: give the directory of {name}'s files")
    return repair(READERS[name](name, directory))
