"""Feature files give the arrays that were written into them, and name what they refuse."""

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from vmr_jax.data.sources.features import (
    FLOAT16_MAX,
    as_float16,
    from_arrays,
    join,
    match_names,
    open_features,
)

# Any name that a file and an HDF5 link can have.
NAMES = st.text(st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1, max_size=8)
NAMES = NAMES.filter(lambda name: name.strip("."))
NUMBERS = st.sampled_from(["float16", "float32", "float64", "int16", "uint8"])
SIZES = st.tuples(st.integers(1, 4), st.integers(1, 4))


@st.composite
def features(draw, sizes=SIZES, names=NAMES) -> dict[str, np.ndarray]:
    """Arrays of some videos, NaN and infinite numbers among them."""
    ids = draw(st.lists(names, min_size=1, max_size=3, unique=True))
    return {video: draw(arrays_of.arrays(draw(NUMBERS), sizes)) for video in ids}


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return tmp_path_factory.mktemp("features")


def empty(directory):
    for path in directory.iterdir():
        path.unlink()
    return directory


def assert_serves(source, arrays) -> None:
    assert source.ids == tuple(sorted(arrays))
    for video, array in arrays.items():
        found = source.read(video)
        np.testing.assert_array_equal(found, array)
        assert found.dtype == array.dtype and found.shape == array.shape


@given(features())
def test_npy(directory, arrays):
    empty(directory)
    for video, array in arrays.items():
        np.save(directory / f"{video}.npy", array)
    assert_serves(open_features(directory), arrays)


@given(features(), st.booleans(), st.sampled_from([np.savez, np.savez_compressed]))
def test_npz(directory, arrays, alone, save):
    empty(directory)
    for video, array in arrays.items():
        entries = {"arr_0": array} if alone else {"features": array, "fps": np.array(3.0)}
        with (directory / f"{video}.npz").open("wb") as file:
            save(file, **entries)
    assert_serves(open_features(directory), arrays)


@given(features(), st.booleans())
def test_hdf5(directory, arrays, grouped):
    path = empty(directory) / "x.h5"
    with h5py.File(path, "w") as file:
        for video, array in arrays.items():
            file.create_dataset(f"{video}/c3d" if grouped else video, data=array)
    assert_serves(open_features(path), arrays)


@given(features(), features())
def test_several_sources_are_one(first, second):
    sources = [from_arrays(first), from_arrays(second)]
    if first.keys() & second.keys():
        with pytest.raises(ValueError, match="are in several of the 2 feature files"):
            join(sources)
    else:
        assert_serves(join(sources), first | second)


@given(arrays_of.arrays(NUMBERS, st.tuples(st.integers(2, 4), st.integers(2, 4))), st.data())
def test_axes_of_length_one_are_removed(array, data):
    shape = list(array.shape)
    for _ in range(data.draw(st.integers(0, 3))):
        shape.insert(data.draw(st.integers(0, len(shape))), 1)
    np.testing.assert_array_equal(from_arrays({"v": array.reshape(shape)}).read("v"), array)


@given(st.integers(1, 4), st.integers(1, 3), st.booleans(), st.integers(1, 3))
def test_patches_are_square_grids_without_the_class_token(frames, side, token, width):
    grid = np.arange(frames * (side**2 + token) * width).reshape(frames, -1, width)
    found = from_arrays({"v": grid}, patches=True).read("v")
    assert found.shape == (frames, side**2, width)
    np.testing.assert_array_equal(found, grid[:, int(token) :])


WRONG_SHAPES = st.sampled_from([(), (3,), (2, 3, 4), (2, 2, 1, 2)])
WRONG_TYPES = st.sampled_from(["bool", "complex64", "U3", "S2", "datetime64[s]"])


@given(
    arrays_of.arrays(NUMBERS, WRONG_SHAPES) | arrays_of.arrays(WRONG_TYPES, SIZES),
    st.sampled_from(["npy", "npz"]),
)
def test_what_are_no_features_is_refused_with_its_name(directory, array, kind):
    path = empty(directory) / f"some video.{kind}"
    (np.save if kind == "npy" else np.savez)(path, array)
    with pytest.raises(ValueError, match=f"some video.{kind}: .*expected"):
        open_features(directory).read("some video")


@given(features(), st.sampled_from(["npy", "npz", "h5"]), st.data())
def test_a_truncated_file_is_refused_with_its_name(directory, arrays, kind, data):
    path = empty(directory) / f"v.{kind}"
    array = next(iter(arrays.values()))
    if kind == "h5":
        with h5py.File(path, "w") as file:
            file["v"] = array
    else:
        (np.save if kind == "npy" else np.savez)(path, array)
    whole = path.read_bytes()
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(ValueError, match=rf"v\.{kind}"):
        open_features(path if kind == "h5" else directory).read("v")


@given(st.binary(max_size=40), st.sampled_from(["npy", "npz", "h5"]))
def test_any_other_bytes_are_refused_with_their_name(directory, content, kind):
    path = empty(directory) / f"v.{kind}"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"v\.{kind}"):
        open_features(path if kind == "h5" else directory).read("v")


@given(arrays_of.arrays(NUMBERS, SIZES))
def test_float16_is_as_near_as_it_can_be_or_refused(array):
    values = array.astype(np.float64)
    if np.isfinite(values).all() and (np.abs(values) < FLOAT16_MAX + 16).all():
        found = as_float16(array, array.shape[1:], "v")
        assert found.dtype == np.float16 and found.flags.c_contiguous
        error = np.abs(found.astype(np.float64) - values)
        assert (error <= np.maximum(np.abs(values) * 2.0**-11, 2.0**-25)).all()
    else:
        with pytest.raises(ValueError, match="the features of v hold a value that is"):
            as_float16(array, array.shape[1:], "v")


@given(
    st.dictionaries(
        NAMES.filter(lambda name: "." not in name), st.sampled_from(["", ".mp4", ".AVI", "."])
    ),
    st.sets(NAMES),
)
def test_videos_are_found_by_name_with_or_without_extension(extensions, others):
    ids = {video: f"{video}{extension}" for video, extension in extensions.items()}
    absent = {name for name in others if "." not in name} - ids.keys()
    assert match_names(sorted(ids.values()), [*ids, *absent]) == ids
