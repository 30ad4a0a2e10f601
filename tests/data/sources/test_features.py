"""Feature files."""

import h5py
import numpy as np
import pytest

from vmr_jax.data.datasets.records import Fault
from vmr_jax.data.sources.features import (
    as_float16,
    from_arrays,
    join,
    match_names,
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
    with pytest.raises(ValueError, match="x.h5: two: a group of 2 entries; expected one dataset"):
        source.read("two")


def test_npy(tmp_path, arrays):
    for video, array in arrays.items():
        np.save(tmp_path / f"{video}.npy", array)
    assert_serves(open_features(tmp_path), arrays)


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


def test_files_of_different_videos_are_one_source(arrays):
    parts = [from_arrays({name: arrays[name]}) for name in arrays]
    parts[1] = parts[1]._replace(simulated=True, faults=(Fault("odd", "v1", "kept"),))
    joined = join(parts)
    assert_serves(joined, arrays)
    assert joined.simulated and joined.faults == parts[1].faults
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


def test_names_match_with_and_without_a_video_files_extension():
    names = ["a.mov", "a.mp4", "b.", "c", "d.x", "e.mp4"]
    videos = ["a", "b", "c", "d", "e.mp4"]
    assert match_names(names, videos) == {"a": "a.mov", "b": "b.", "c": "c", "e.mp4": "e.mp4"}


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
        "dark end": rows(1, 2, 3, 4, 0, 0),
        "sixth row": rows(1, 2, 3, 4, 5, 6),
        "nan": rows(1, 2, 3, 4, 5, np.nan),
        "whole": rows(1, 2, 3, 4, 5, 0),
        "five rows": rows(1, 2, 3, 4, 0),
        "by the second": rows(*range(1, 21), *[0] * 5),
        "unused": rows(1, 2, 3, 4, 5, 0),
    }
    durations = {name.removesuffix(".mov"): 25.0 for name in arrays} | {"whole": 30.0}
    del durations["unused"]
    freed = without_didemo_padding(from_arrays(arrays), durations)
    kind = "zero rows after the last segment"
    assert freed.faults == ((kind, "dark end", "left out"), (kind, "padded", "left out"))
    np.testing.assert_array_equal(freed.read("padded.mov"), arrays["padded.mov"][:5])
    np.testing.assert_array_equal(freed.read("dark end"), arrays["dark end"][:5])
    for name in set(arrays) - {"padded.mov", "dark end"}:
        np.testing.assert_array_equal(freed.read(name), arrays[name])


def test_didemo_features_that_cannot_be_read_are_left_to_the_check():
    freed = without_didemo_padding(from_arrays({"v": np.ones(6)}), {"v": 25.0})
    assert freed.faults == ()
    with pytest.raises(ValueError, match="v: shape"):
        freed.read("v")
