"""Subtitle features: pooled from tokens, stored beside the image features, shown in batches."""

import h5py
import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from vmr_jax.configs.common import domain_block
from vmr_jax.data.batches import data_paths
from vmr_jax.data.batches.domain import make_domain
from vmr_jax.data.batches.pairs import PairIndex
from vmr_jax.data.datasets.records import Annotations, Fault, MomentRecord
from vmr_jax.data.sources.features import from_arrays
from vmr_jax.data.sources.subtitles import fit_rows, pool_subtitles
from vmr_jax.data.tables.build import write_dataset
from vmr_jax.data.tables.dataset import load_dataset
from vmr_jax.training.mesh import make_mesh

RNG = np.random.default_rng(0)
LENGTHS = {"v0": 4, "v1": 9, "v2": 6}
CLIPS = {v: RNG.normal(size=(n, 4)).astype(np.float16) for v, n in LENGTHS.items()}
SPOKEN = {v: RNG.normal(size=(n, 3)).astype(np.float16) for v, n in LENGTHS.items()}


def annotations(subtitles=()):
    records = [
        MomentRecord(f"q{n}", video, "the man opens", np.array([[1.0, 2.0]]))
        for n, video in enumerate(LENGTHS)
    ]
    durations = {"v0": 6.0, "v1": 13.4, "v2": 9.0}
    return Annotations("toys", {"train": records}, durations, [], dict(subtitles))


LINES = {
    "v0": [(0.2, 1.0, "a"), (1.0, 3.0, "b b"), (4.6, 99.0, "c")],
    "v1": [(1.5, 3.0, "a"), (6.0, 6.1, "never spoken")],
    "v2": [],
}


def write_tokens(path, **changes):
    tokens = {
        "v0": [[1, -5], [2, -6], [0, -7], [9, 9]],
        "v0-lengths": [1, 2, 1],
        "v1": [[3, 3]],
        "v1-lengths": [1],
    }
    with h5py.File(path, "w") as file:
        for name, value in (tokens | changes).items():
            if value is not None:
                file[name] = np.array(value, np.float32)
    return path


def test_a_clip_is_the_maximum_over_the_tokens_of_its_lines(tmp_path):
    source = pool_subtitles(write_tokens(tmp_path / "sub.h5"), annotations(LINES), 1.5)
    assert source.ids == ("v0", "v1", "v2")
    assert source.read("v0").tolist() == [[2, -5], [2, -6], [0, 0], [9, 9]]
    # 13.4 s are nine clips; a line that ends where a clip begins does not reach into it
    assert source.read("v1").tolist() == [[0, 0], [3, 3], *[[0, 0]] * 7]
    assert source.read("v2").tolist() == [[0, 0]] * 6
    assert set(source.faults) == {
        Fault("subtitle lines without tokens", "v1", "the last lines carry nothing"),
        Fault("video without subtitles", "v2", "its subtitle rows are zero"),
    }
    assert not source.made_up


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"v0-lengths": [1, 2]}, r"v0: tokens of shape \(4, 2\), but the lines have 3"),
        ({"v0-lengths": [1, 1, 1, 1]}, "v0: 4 lines of tokens, but 3 subtitle lines"),
        ({"v0-lengths": None}, "v0: no v0-lengths, the number of tokens of each line"),
        ({"v0": [1, 2, 3, 4]}, r"v0: tokens of shape \(4,\), but the lines have 4"),
    ],
)
def test_tokens_that_do_not_fit_name_the_video(tmp_path, changes, message):
    path = write_tokens(tmp_path / "sub.h5", **changes)
    source = pool_subtitles(path, annotations(LINES), 1.5)
    with pytest.raises(ValueError, match=f"sub.h5: {message}"):
        source.read("v0")


def test_what_pooling_needs(tmp_path):
    path = write_tokens(tmp_path / "sub.h5", v0=None)
    assert pool_subtitles(path, annotations(LINES), 1.5).ids == ("v1", "v2")
    with pytest.raises(ValueError, match="annotations of toys hold no subtitles: to pool"):
        pool_subtitles(path, annotations(), 1.5)
    with pytest.raises(ValueError, match="cannot be pooled into clips of -1 s"):
        pool_subtitles(path, annotations(LINES), -1)
    with pytest.raises(FileNotFoundError, match="no subtitle features at"):
        pool_subtitles(tmp_path / "none.h5", annotations(LINES), 1.5)
    (tmp_path / "text.h5").write_text("text")
    with pytest.raises(ValueError, match="text.h5 cannot be read as HDF5; is it complete?"):
        pool_subtitles(tmp_path / "text.h5", annotations(LINES), 1.5)


def test_a_row_more_or_less_is_fitted():
    rows = np.ones((4, 2), np.float16)
    np.testing.assert_array_equal(fit_rows(rows, 3, "v"), rows[:3])
    assert fit_rows(rows, 5, "v").tolist() == [[1, 1]] * 4 + [[0, 0]]
    for clips in (2, 6):
        with pytest.raises(ValueError, match=f"v has 4 rows of subtitles for {clips} clips: pool"):
            fit_rows(rows, clips, "v")


def write(data_dir, spoken=SPOKEN, **options):
    vectors = {"man": np.array([1.0, 2.0])}
    write_dataset(data_dir, annotations(), from_arrays(CLIPS), "image", vectors)
    write_dataset(data_dir, annotations(), from_arrays(spoken), "sub", None, **options)


def load(data_dir, **options):
    return load_dataset(data_dir, "toys", "image", **{"subtitle_name": "sub"} | options)


def test_subtitles_are_of_the_same_clips(tmp_path):
    fitted = SPOKEN | {"v0": SPOKEN["v0"][:3], "v1": np.ones((10, 3), np.float16)}
    write(tmp_path, fitted)
    dataset = load(tmp_path)
    assert (dataset.sub_dim, dataset.fitted_subtitles) == (3, 2)
    np.testing.assert_array_equal(dataset.subtitles(0)[:3], SPOKEN["v0"][:3])
    assert dataset.subtitles(0).shape == (4, 3) and not dataset.subtitles(0)[3].any()
    assert dataset.subtitles(1).tolist() == [[1, 1, 1]] * 9
    np.testing.assert_array_equal(dataset.subtitles(2), SPOKEN["v2"])
    plain = load(tmp_path, subtitle_name="")
    assert plain.subtitles is None and plain.fingerprint != dataset.fingerprint


def test_other_clips_or_videos_are_refused(tmp_path):
    write(tmp_path, SPOKEN | {"v1": SPOKEN["v1"][:7]})
    with pytest.raises(ValueError, match="1 videos of toys .* v1: 7 of 'sub', 9 of 'image'; p"):
        load(tmp_path)
    fewer = {video: SPOKEN[video] for video in ("v0", "v1")}
    write(tmp_path, fewer, overwrite=True, drop_missing=True)
    with pytest.raises(ValueError, match="1 of 3 videos of toys .* no subtitles 'sub', e.g. v2: p"):
        load(tmp_path)
    grids = from_arrays({v: np.ones((n, 4, 3)) for v, n in LENGTHS.items()}, patches=True)
    write_dataset(tmp_path, annotations(), grids, "grids", None)
    with pytest.raises(ValueError, match="'grids' of toys are patches of frames: subtitles"):
        load(tmp_path, subtitle_name="grids")
    with pytest.raises(FileNotFoundError, match="toys with features 'other' is not prepared"):
        load(tmp_path, subtitle_name="other")


@pytest.mark.parametrize("sampling", ["cut", "native_capped", "uniform"])
def test_a_batch_shows_what_is_said_in_its_clips_on_both_paths(tmp_path, sampling):
    write(tmp_path)
    block = domain_block("toys", labels=True).to_dict()
    block |= {"max_clips": 5, "max_words": 3, "normalize": "l2", "clip_sampling": sampling}
    domain = make_domain(load(tmp_path), "train", ConfigDict(block))
    assert domain.spec.sub_dim == 3
    index = PairIndex(np.array([2, 0, 1], np.int32), np.ones(3, np.float32))
    streamed = data_paths.read_batch(domain, index)
    gathered = jax.jit(data_paths.gather_batch)(data_paths.load_tables(domain, make_mesh()), index)
    for name in ("video", "sub", "video_mask", "num_clips"):
        left, right = getattr(streamed, name), getattr(gathered, name)
        np.testing.assert_array_equal(np.asarray(left, right.dtype), right, err_msg=name)
    assert streamed.sub.shape == (3, 5, 3)
    if sampling == "cut":
        assert streamed.num_clips.tolist() == [5, 4, 5]
        np.testing.assert_array_equal(streamed.sub[0], SPOKEN["v2"][:5])  # not normalised
        np.testing.assert_array_equal(streamed.sub[1][:4], SPOKEN["v0"])
        assert not streamed.sub[1][4].any()
        lengths = np.linalg.norm(streamed.video.astype(np.float32), axis=-1)
        np.testing.assert_allclose(lengths, streamed.video_mask, atol=1e-3)
