"""What HDF5 files may be: whole, or refused with the file and the path inside it."""

import os

import h5py
import numpy as np
import pytest

from vmr_jax.data.datasets.records import Fault
from vmr_jax.data.sources.features import open_features

ROWS = np.arange(12, dtype=np.float32).reshape(4, 3)


@pytest.fixture
def path(tmp_path):
    with h5py.File(tmp_path / "source.h5", "w") as file:
        file["x"] = ROWS
    return tmp_path / "x.h5"


def virtual(path, sources, shape=(8, 3)):
    """Write a virtual dataset v whose rows 0 ... 3, 4 ... 7 are dataset x of each source."""
    layout = h5py.VirtualLayout(shape, "f4")
    for number, source in enumerate(sources):
        layout[4 * number : 4 * number + 4] = h5py.VirtualSource(source, "x", (4, 3))
    with h5py.File(path, "a") as file:
        file.create_virtual_dataset("v", layout)


def refused(path, message, name="v"):
    with pytest.raises(ValueError, match=message) as error:
        open_features(path).read(name)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_a_virtual_dataset_with_all_its_sources(path, monkeypatch):
    with h5py.File(path, "w") as file:
        file["x"] = 2 * ROWS
    virtual(path, ["source.h5", "."])
    monkeypatch.chdir("/")
    whole = open_features(path).read("v")
    np.testing.assert_array_equal(whole, np.concatenate([ROWS, 2 * ROWS]))


def test_part_of_a_source(path):
    layout = h5py.VirtualLayout((2, 2), "f4")
    layout[:] = h5py.VirtualSource(path.parent / "source.h5", "x", (4, 3))[2:4, 1:]
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("v", layout)
    np.testing.assert_array_equal(open_features(path).read("v"), ROWS[2:4, 1:])
    with h5py.File(path.parent / "source.h5", "w") as file:
        file["x"] = ROWS[:3]
    refused(path, r"v: a virtual dataset of x of .*source.h5, which is smaller \(\(3, 3\)\)")


@pytest.mark.parametrize("folder", ["", "/nowhere/"])
def test_a_virtual_dataset_without_a_source(path, folder):
    virtual(path, ["source.h5", f"{folder}gone.h5"])
    refused(path, f"v: a virtual dataset of x of {folder}gone.h5: the file {folder}gone.h5 is miss")


def test_a_virtual_dataset_of_a_dataset_that_is_not_there(path):
    virtual(path, ["source.h5", "."])
    refused(path, "v: a virtual dataset of x of ., which is not in that file")


def test_a_virtual_dataset_with_a_gap(path):
    virtual(path, ["source.h5"])
    refused(path, "v: a virtual dataset; 12 of its values have no source")


def test_a_virtual_dataset_of_virtual_ones(path):
    virtual(path.parent / "middle.h5", ["gone.h5"], (4, 3))
    layout = h5py.VirtualLayout((4, 3), "f4")
    layout[:] = h5py.VirtualSource("middle.h5", "v", (4, 3))
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("v", layout)
    refused(path, "a virtual dataset of x of gone.h5: the file gone.h5 is missing")


def test_a_virtual_dataset_of_itself(path):
    layout = h5py.VirtualLayout((4, 3), "f4")
    layout[:] = h5py.VirtualSource(".", "v", (4, 3))
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("v", layout)
    refused(path, "virtual datasets more than 8 deep, or in a circle")


def test_a_virtual_dataset_that_grows_with_its_sources(path):
    (path.parent / "part-0.h5").write_bytes((path.parent / "source.h5").read_bytes())
    endless = h5py.h5s.UNLIMITED
    space = h5py.h5s.create_simple((0, 3), (endless, 3))
    space.select_hyperslab((0, 0), (endless, 1), (4, 3), block=(4, 3))
    settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    settings.set_virtual(space, b"part-%b.h5", b"x", h5py.h5s.create_simple((4, 3)))
    with h5py.File(path, "w") as file:
        h5py.h5d.create(file.id, b"v", h5py.h5t.NATIVE_FLOAT, space, settings)
    refused(path, "v: a virtual dataset of x of part-%b.h5 without a fixed size: store it as a pl")


def test_a_source_that_is_a_pipe(path):
    os.mkfifo(path.parent / "pipe.h5")
    virtual(path, ["pipe.h5"], (4, 3))
    with pytest.raises(ValueError, match="pipe.h5 is a pipe; features are read from a regular"):
        open_features(path).read("v")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (h5py.SoftLink("/gone"), "v: a link to /gone that cannot be opened"),
        (h5py.SoftLink("/v"), "v: a link to /v that cannot be opened .*too many links"),
        (h5py.ExternalLink("gone.h5", "/x"), "v: a link to /x: the file gone.h5 is missing"),
        (h5py.ExternalLink("source.h5", "/y"), "v: a link to /y of source.h5 that cannot be open"),
        (h5py.Empty("f4"), "v: an empty dataset: it has no shape"),
        (np.zeros(3, [("a", "f4")]), r"v: features are of type \[\('a', '<f4'\)\]; expected num"),
        ("text", "v: features are of type strings; expected numbers"),
        (np.dtype("f4"), "v: a named type; expected a dataset"),
        (np.float32(3), r"v: shape \(\); expected \(clips, width\)"),
    ],
)
def test_what_is_no_dataset_of_numbers(path, value, message):
    with h5py.File(path, "w") as file:
        file["v"] = value
    refused(path, message)


def test_references(path):
    with h5py.File(path, "w") as file:
        file["x"] = ROWS
        file.create_dataset("v", (3,), h5py.ref_dtype)
        file.create_dataset("w", (3,), h5py.vlen_dtype("f4"))
    refused(path, "v: features are of type references; expected numbers")
    refused(path, "w: features are of type object; expected numbers", "w")


def test_what_was_never_written(path):
    with h5py.File(path, "w") as file:
        file.create_dataset("v", (100, 8), "f4")
        file.create_dataset("w", (100, 8), "f4", chunks=(10, 8))[:30] = 1
        file.create_dataset("x", (100, 8), "f4", chunks=(10, 8))[:] = 0
    refused(path, "v: was created, but nothing was ever written to it")
    refused(path, "w: only 3 of its 10 chunks were ever written", "w")
    np.testing.assert_array_equal(open_features(path).read("x"), np.zeros((100, 8)))


def test_values_in_another_file(path):
    raw = path.parent / "raw.bin"
    with h5py.File(path, "w") as file:
        file.create_dataset("v", (4, 3), "f4", external=[(str(raw), 0, 48)])
    refused(path, "v: its values in .*raw.bin: the file .*raw.bin is missing")
    raw.write_bytes(ROWS.tobytes())
    np.testing.assert_array_equal(open_features(path).read("v"), ROWS)
    raw.write_bytes(ROWS.tobytes()[:40])
    refused(path, "v: its values in .*raw.bin: that file is shorter than the 48 bytes needed")


def test_a_filter_that_is_not_there(path):
    with h5py.File(path, "w") as file:
        file.create_dataset("v", data=np.ones((100, 8)), chunks=(100, 8), compression="lzf")
    content = path.read_bytes()
    assert content.count(b"lzf\0") == 1
    place = content.index(b"lzf\0") - 8
    assert content[place : place + 2] == (32000).to_bytes(2, "little")
    path.write_bytes(content[:place] + (32100).to_bytes(2, "little") + content[place + 2 :])
    refused(path, "v: cannot be read .it is stored with the filter lzf.*h5repack -f GZIP=4")


def test_what_would_unpack_to_far_too_much(path, monkeypatch):
    with h5py.File(path, "w") as file:
        bomb = file.create_dataset("v", (2**22, 8), "f4", chunks=(2**22, 8), compression="gzip")
        bomb[:] = 0
    refused(path, "v has .* bytes and would unpack to 134,217,728: more than 100 times as many")
    monkeypatch.setenv("VMR_MAX_UNPACKED", "134217728")
    assert open_features(path).read("v").shape == (2**22, 8)


def test_a_group_with_one_dataset_is_a_video_and_that_is_noted(path):
    with h5py.File(path, "w") as file:
        file["v/c3d"] = file["w/c3d"] = ROWS
        file["x/other"] = ROWS
    source = open_features(path)
    assert source.faults == (Fault("features in groups", f"{path}: v/c3d", "a group is a video"),)
    np.testing.assert_array_equal(source.read("w"), ROWS)
    refused(path, r"x: a group of 1 entry \(other\); expected one dataset, 'c3d' as in the", "x")


def test_the_key_names_the_dataset_in_each_group(path):
    with h5py.File(path, "w") as file:
        file["v/clip"], file["v/slowfast"] = ROWS, 2 * ROWS
        file["w/slowfast"] = file["plain"] = ROWS
    refused(path, r"v: a group of 2 entries \(clip, slowfast\).*--key NAME for that of several")
    source = open_features(path, key="slowfast")
    np.testing.assert_array_equal(source.read("v"), 2 * ROWS)
    np.testing.assert_array_equal(source.read("plain"), ROWS)
    with pytest.raises(ValueError, match=r"w: a group of 1 entry.*expected the dataset 'clip'"):
        open_features(path, key="clip").read("w")


def test_groups_of_groups_and_a_group_beside_datasets_are_refused(path):
    with h5py.File(path, "w") as file:
        file["a"] = ROWS
        file["dir/inner"] = ROWS
        file["train/v1/c3d"] = file["train/v2/c3d"] = ROWS
        file["test/v3/c3d"] = ROWS
    refused(path, r"dir: a group of 1 entry \(inner\); expected one dataset", "dir")
    refused(path, r"train: a group of 2 groups \(v1, v2\); expected one dataset", "train")
    refused(path, r"test: a group of 1 group \(v3\); expected one dataset", "test")
    with pytest.raises(ValueError, match=r"test/v3: a group of 1 entry \(c3d\); expected a data"):
        open_features(path, key="v3").read("test")


def test_a_file_of_groups_of_several_is_refused_when_it_is_opened(path):
    with h5py.File(path, "w") as file:
        file["all/v1"] = file["all/v2"] = ROWS
    with pytest.raises(
        ValueError, match=r"x.h5: all: a group of 2 entries \(v1, v2\); expected one"
    ):
        open_features(path)
    with h5py.File(path, "w") as file:
        file["test/v3/c3d"] = ROWS
    with pytest.raises(ValueError, match=r"x.h5: test: a group of 1 group \(v3\); expected one"):
        open_features(path)
