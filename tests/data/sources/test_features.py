"""Feature files."""

import os
import zipfile

import h5py
import numpy as np
import pytest

from vmr_jax.data.datasets.records import Fault
from vmr_jax.data.sources.features import (
    SIMULATED,
    as_float16,
    from_arrays,
    join,
    open_features,
    without_didemo_padding,
)


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    return {f"v{n}": rng.normal(size=(n, 4)).astype(np.float32) for n in (3, 1, 5)}


def assert_serves(source, arrays):
    assert source.ids == tuple(sorted(arrays))
    for video, array in arrays.items():
        np.testing.assert_array_equal(source.read(video), array)


def test_hdf5(tmp_path, arrays):
    with h5py.File(tmp_path / "x.hdf5", "w") as file:
        for video, array in arrays.items():
            file[video] = array
    assert_serves(open_features(tmp_path / "x.hdf5"), arrays)


def test_hdf5_with_a_group_a_video(tmp_path, arrays):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        for video, array in arrays.items():
            file[f"{video}/c3d_features"] = array
        file["two/a"] = file["two/b"] = arrays["v3"]
    source = open_features(tmp_path / "x.h5")
    np.testing.assert_array_equal(source.read("v5"), arrays["v5"])
    with pytest.raises(
        ValueError,
        match=r"two: a group of 2 entries \(a, b\); expected one dataset, 'c3d_features'",
    ):
        source.read("two")


def test_npy(tmp_path, arrays):
    for video, array in arrays.items():
        np.save(tmp_path / f"{video}.npy", array)
    assert_serves(open_features(tmp_path), arrays)


def test_npy_and_npz_are_read_together(tmp_path, arrays):
    for video, array in arrays.items():
        np.savez(tmp_path / f"{video}.npz", array)
    np.save(tmp_path / "stray.NPY", arrays["v1"])
    (tmp_path / "stray.NPY.npy").rename(tmp_path / "stray.NPY")
    assert_serves(open_features(tmp_path), arrays | {"stray": arrays["v1"]})
    np.save(tmp_path / "v1.npy", arrays["v1"])
    with pytest.raises(ValueError, match="v1.npy and v1.npz are features of one video: keep one"):
        open_features(tmp_path)


def test_a_directory_of_arrays_and_an_hdf5_file_is_refused(tmp_path, arrays):
    h5py.File(tmp_path / "all.h5", "w").close()
    with pytest.raises(ValueError, match=r"no .npy or .npz file .but all.h5: give that file itse"):
        open_features(tmp_path)
    np.save(tmp_path / "v1.npy", arrays["v1"])
    with pytest.raises(ValueError, match="holds v1.npy and all.h5: give the HDF5 file itself"):
        open_features(tmp_path)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"\0\0\0\x18ftypmp42", "MP4 or MOV"),
        (b"\x1aE\xdf\xa3\x01", "WebM or MKV"),
        (b"RIFF\x10\0\0\0AVI LIST", "AVI"),
        (b"G" + bytes(187) + b"G" + bytes(187), "MPEG-TS"),
    ],
)
@pytest.mark.parametrize("name", ["v.mp4", "v.npy", "v.npz", "v.h5"])
def test_a_video_is_no_features(tmp_path, content, kind, name):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"{name} is a video .{kind}.; features are needed"):
        open_features(tmp_path / name).read("v")
    (tmp_path / name).rename(tmp_path / "v.mp4")
    with pytest.raises(ValueError, match=r"no .npy or .npz file .but videos, such as v.mp4"):
        open_features(tmp_path)


@pytest.mark.parametrize("name", ["v.npy", "v.npz", "v.h5"])
@pytest.mark.parametrize(("kind", "make"), [("pipe", os.mkfifo), ("directory", os.mkdir)])
def test_only_regular_files_are_opened(tmp_path, name, kind, make):
    make(tmp_path / name)
    if name != "v.h5":
        with pytest.raises(ValueError, match=f"{name} is a {kind}; features are read from a reg"):
            open_features(tmp_path).read("v")
    with pytest.raises(ValueError, match=f"{name} is a {kind}|{name} holds no .npy"):
        open_features(tmp_path / name).read("v")


def test_a_header_that_promises_more_than_there_is(tmp_path, arrays):
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 4), }"
    content = b"\x93NUMPY\x01\0" + len(header).to_bytes(2, "little") + header + bytes(64)
    (tmp_path / "v.npy").write_bytes(content)
    promise = r"cannot be read \(its header promises 16,000,000,000,000 bytes of shape"
    with pytest.raises(ValueError, match=promise):
        open_features(tmp_path).read("v")
    (tmp_path / "v.npy").unlink()
    with zipfile.ZipFile(tmp_path / "v.npz", "w") as archive:
        archive.writestr("features.npy", content)
    with pytest.raises(ValueError, match=promise):
        open_features(tmp_path).read("v")


def test_a_member_that_unpacks_to_far_too_much(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "v.npz", features=np.zeros((2**21, 9), np.float32))
    assert (tmp_path / "v.npz").stat().st_size < 2**20
    message = "its 'features' has .* would unpack to 75,497,600: .*VMR_MAX_UNPACKED=75497600 allows"
    with pytest.raises(ValueError, match=message):
        open_features(tmp_path).read("v")
    monkeypatch.setenv("VMR_MAX_UNPACKED", "75497600")
    assert open_features(tmp_path).read("v").shape == (2**21, 9)


@pytest.mark.parametrize("ending", ["npy", "npz"])
def test_the_file_of_one_video(tmp_path, arrays, ending):
    for video, array in arrays.items():
        {"npy": np.save, "npz": np.savez}[ending](tmp_path / f"{video}.{ending}", array)
    assert_serves(open_features(tmp_path / f"v3.{ending}"), {"v3": arrays["v3"]})


@pytest.mark.parametrize("key", ["features", "arr_0"])
def test_npz(tmp_path, arrays, key):
    for video, array in arrays.items():
        np.savez(tmp_path / f"{video}.npz", **{key: array})
    assert_serves(open_features(tmp_path), arrays)


def test_npz_with_several_arrays(tmp_path, arrays):
    np.savez(tmp_path / "a.npz", features=arrays["v3"], other=arrays["v5"])
    np.savez(tmp_path / "b.npz", one=arrays["v3"], other=arrays["v5"])
    source = open_features(tmp_path)
    np.testing.assert_array_equal(source.read("a"), arrays["v3"])
    with pytest.raises(ValueError, match=r"b.npz: cannot be read \(it holds \['one', 'other'\]"):
        source.read("b")
    chosen = open_features(tmp_path, key="one")
    np.testing.assert_array_equal(chosen.read("b"), arrays["v3"])
    with pytest.raises(ValueError, match=r"holds \['features', 'other'\]; expected the key 'one'"):
        chosen.read("a")


def test_files_of_different_videos_are_one_source(arrays):
    parts = [from_arrays({name: arrays[name]}) for name in arrays]
    parts[1] = parts[1]._replace(made_up=SIMULATED, faults=(Fault("odd", "v1", "kept"),))
    joined = join(parts)
    assert_serves(joined, arrays)
    assert joined.made_up == SIMULATED and joined.faults == parts[1].faults
    assert join(parts[:1]) is parts[0]
    with pytest.raises(ValueError, match="1 videos are in several of the 4 feature files, such as"):
        join([*parts, parts[0]])


def test_axes_of_length_one_are_removed():
    source = from_arrays(
        {"a": np.zeros((1, 5, 4)), "b": np.zeros((5, 1, 1, 4)), "c": np.ones((1, 4))}
    )
    assert [source.read(video).shape for video in "abc"] == [(5, 4), (5, 4), (1, 4)]


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(4), r"v: shape \(4,\); expected \(clips, width\)"),
        (np.zeros((2, 3, 4)), r"v: shape \(2, 3, 4\)"),
        (np.array([["a"]]), "v: features are of type <U1; expected numbers"),
    ],
)
def test_bad_arrays(array, message):
    with pytest.raises(ValueError, match=message):
        from_arrays({"v": array}).read("v")


def test_bad_files(tmp_path, arrays):
    with pytest.raises(FileNotFoundError, match="no features at .*nowhere"):
        open_features(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="holds no .npy or .npz file; features are one HDF5 file"):
        open_features(tmp_path)
    np.save(tmp_path / "a.npy", arrays["v5"])
    content = (tmp_path / "a.npy").read_bytes()
    for damaged in (content[:150], content[:10], b""):
        (tmp_path / "a.npy").write_bytes(damaged)
        with pytest.raises(ValueError, match="a.npy: cannot be read"):
            open_features(tmp_path).read("a")
    np.save(tmp_path / "a.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(ValueError, match="a.npy: cannot be read .*pickle"):
        open_features(tmp_path).read("a")
    with pytest.raises(ValueError, match="a.npy: cannot be read .*pickle"):
        open_features(tmp_path / "a.npy").read("a")
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(ValueError, match="a.txt cannot be read as HDF5; is it complete"):
        open_features(tmp_path / "a.txt")
    h5py.File(tmp_path / "x.h5", "w").close()
    with pytest.raises(ValueError, match="is an HDF5 file without a dataset"):
        open_features(tmp_path / "x.h5")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.nan, "features of v hold a value that is NaN or infinite"),
        (-np.inf, "features of v hold a value that is NaN or infinite"),
        (7e4, r"features of v hold a value that is beyond float16 \(65504\)"),
    ],
)
def test_as_float16_refuses_values(value, message):
    with pytest.raises(ValueError, match=message):
        as_float16(np.array([[1, value]], np.float32), (2,), "v")


def test_as_float16_refuses_shapes():
    with pytest.raises(ValueError, match="features of v have no clips"):
        as_float16(np.zeros((0, 2)), (2,), "v")
    with pytest.raises(ValueError, match="features of v are 3 wide, others 2"):
        as_float16(np.zeros((1, 3)), (2,), "v")
    assert as_float16(np.full((1, 2), 65504.0), (2,), "v").dtype == np.float16


def rows(*values):
    return np.repeat(np.array(values, np.float32)[:, None], 3, axis=1)


def test_zero_rows_after_didemos_last_segment_are_left_out():
    arrays = {
        "padded.mov": rows(1, 2, 3, 4, 5, 0),
        "padded.mp4": rows(9, 9, 9, 9, 9, 9),
        "dark end": rows(1, 2, 3, 4, 0, 0),
        "sixth row": rows(1, 2, 3, 4, 5, 6),
        "nan": rows(1, 2, 3, 4, 5, np.nan),
        "whole": rows(1, 2, 3, 4, 5, 0),
        "five rows": rows(1, 2, 3, 4, 0),
        "by the second": rows(*range(1, 21), *[0] * 5),
        "unused": rows(1, 2, 3, 4, 5, 0),
    }
    durations = {name.split(".")[0]: 25.0 for name in arrays} | {"whole": 30.0}
    del durations["unused"]
    freed = without_didemo_padding(from_arrays(arrays), durations)
    kind = "zero rows after the last segment"
    assert freed.faults == (
        ("video under two extensions", "padded.mp4", "the first is read"),
        (kind, "dark end", "left out"),
        (kind, "padded", "left out"),
    )
    assert "padded.mp4" not in freed.ids
    np.testing.assert_array_equal(freed.read("padded.mov"), arrays["padded.mov"][:5])
    np.testing.assert_array_equal(freed.read("dark end"), arrays["dark end"][:5])
    for name in set(arrays) - {"padded.mov", "padded.mp4", "dark end"}:
        np.testing.assert_array_equal(freed.read(name), arrays[name])


def test_didemo_features_that_cannot_be_read_are_left_to_the_check():
    freed = without_didemo_padding(from_arrays({"v": np.ones(6)}), {"v": 25.0})
    assert freed.faults == ()
    with pytest.raises(ValueError, match="v: shape"):
        freed.read("v")


def test_sizes_are_told_without_reading(tmp_path):
    array = np.ones((7, 3), np.float32)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["a"] = array
    folder = tmp_path / "arrays"
    folder.mkdir()
    np.save(folder / "b.npy", array)
    np.savez(folder / "c.npz", array)
    (folder / "d.npy").write_bytes(b"no array")
    source = join([open_features(tmp_path / "a.h5"), open_features(folder)])
    assert [source.size(video) for video in "abcd"] == [21, 21, 0, 0]
    assert from_arrays({"a": array}).size("a") == 21
