"""Patches from their files to a batch."""

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from vmr_jax.configs.common import domain_block
from vmr_jax.data.batches import data_paths
from vmr_jax.data.batches.domain import make_domain
from vmr_jax.data.batches.sampler import in_order
from vmr_jax.data.datasets.records import Annotations, Fault, MomentRecord
from vmr_jax.data.sources.features import from_arrays, open_features
from vmr_jax.data.tables.build import write_dataset
from vmr_jax.data.tables.dataset import load_dataset
from vmr_jax.training.mesh import make_mesh

TEXT = ConfigDict({"encoder": "clip", "size": "small", "weights": "", "tokenizer": ""})
RNG = np.random.default_rng(0)
LENGTHS = {"v0": 3, "v1": 8, "v2": 5}
FRAMES = {v: 9 * RNG.normal(size=(n, 4)).astype(np.float16) for v, n in LENGTHS.items()}
GRIDS = {v: RNG.normal(size=(n, 9, 6)).astype(np.float16) for v, n in LENGTHS.items()}


def annotations(videos=tuple(LENGTHS)):
    records = [
        MomentRecord(f"q{n}", video, "the man opens the door", np.array([[1.0, 2.0]]))
        for n, video in enumerate(videos)
    ]
    return Annotations("toys", {"train": records}, {v: 10.0 for v in videos}, [], {})


def write(data_dir, grids=GRIDS, **options):
    write_dataset(data_dir, annotations(), from_arrays(FRAMES), "clip", None)
    source = from_arrays(grids, patches=True)
    return write_dataset(data_dir, annotations(), source, "grids", None, **options)["videos"]


def load(data_dir, **options):
    return load_dataset(data_dir, "toys", "clip", **{"patch_name": "grids"} | options)


def test_patches_are_read_with_and_without_a_class_token(tmp_path):
    for cells, name in ((49, "plain"), (50, "token")):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "v.npy", np.arange(2 * cells * 3).reshape(2, cells, 3))
    plain = open_features(tmp_path / "plain", patches=True)
    assert plain.read("v").shape == (2, 49, 3) and plain.faults == ()
    token = open_features(tmp_path / "token", patches=True)
    raw = np.load(tmp_path / "token/v.npy")
    np.testing.assert_array_equal(token.read("v"), raw[:, 1:])
    left_out = "left out; the frame features are the class tokens"
    where = str(tmp_path / "token")
    assert token.faults == (Fault("class token among the patches", where, left_out),)
    with pytest.raises(ValueError, match=r"\(2, 49, 3\); expected \(clips, width\), or --patches"):
        open_features(tmp_path / "plain").read("v")


@pytest.mark.parametrize("shape", [(2, 48, 3), (2, 49), (2, 0, 3), (1, 2, 49, 3)])
def test_other_shapes_are_no_patches(shape):
    with pytest.raises(ValueError, match=r"v: shape .*; expected patches \(frames, cells, width\)"):
        from_arrays({"v": np.zeros(shape)}, patches=True).read("v")


def test_patches_are_stored_as_they_are(tmp_path):
    report = write(tmp_path)
    assert (report["cells"], report["width"], report["clips"]) == (9, 6, 16)
    assert report["bytes"] == 2 * 9 * 6 * 16
    dataset = load(tmp_path)
    assert dataset.patch_shape == (9, 6)
    for row, video in enumerate(dataset.videos.video_id):
        np.testing.assert_array_equal(dataset.patches(row), GRIDS[video])
    plain = load(tmp_path, patch_name="")
    assert plain.patches is None and plain.fingerprint != dataset.fingerprint


def test_patches_must_be_of_the_same_frames(tmp_path):
    shorter = GRIDS | {"v1": GRIDS["v1"][:7]}
    write(tmp_path, shorter)
    with pytest.raises(ValueError, match="1 videos of toys .* e.g. v1: 7 of 'grids', 8 of 'clip'"):
        load(tmp_path)
    fewer = {video: GRIDS[video] for video in ("v0", "v1")}
    write(tmp_path, fewer, overwrite=True, drop_missing=True)
    with pytest.raises(ValueError, match="1 of 3 videos of toys .* no patches 'grids', e.g. v2: p"):
        load(tmp_path)
    with pytest.raises(ValueError, match="features 'clip' of toys are not patches"):
        load(tmp_path, patch_name="clip")
    with pytest.raises(FileNotFoundError, match="toys with features 'other' is not prepared"):
        load(tmp_path, patch_name="other")


def test_widths_that_differ_are_refused(tmp_path):
    other = GRIDS | {"v2": GRIDS["v2"][:, :4]}
    with pytest.raises(ValueError, match="the features of v2 are 4 x 6 wide, others 9 x 6"):
        write(tmp_path, other)


def settings(**changes):
    block = domain_block("toys", labels=True).to_dict() | {"max_clips": 4, "normalize": "l2"}
    return ConfigDict(block | {"clip_sampling": "rounded_bins", "patch_frames": 2} | changes)


def test_a_batch_shows_the_frames_at_the_centres_on_both_paths(tmp_path):
    write(tmp_path)
    domain = make_domain(load(tmp_path), "train", settings(), text=TEXT)
    (index,) = in_order("videos", domain.pairs.video, 3)
    streamed = data_paths.read_batch(domain, index)
    gathered = jax.jit(data_paths.gather_batch)(data_paths.load_tables(domain, make_mesh()), index)
    for name in ("video", "patches", "patch_cls", "tokens"):
        left, right = getattr(streamed, name), getattr(gathered, name)
        np.testing.assert_array_equal(np.asarray(left, right.dtype), right, err_msg=name)
    assert streamed.patches.shape == (3, 2, 9, 6) and streamed.patch_cls.shape == (3, 2, 4)
    for item, (video, length) in enumerate(LENGTHS.items()):
        centres = [int((i + 0.5) * length / 2) for i in range(2)]
        np.testing.assert_array_equal(streamed.patches[item], GRIDS[video][centres])
        np.testing.assert_array_equal(streamed.patch_cls[item], FRAMES[video][centres])
    plain = make_domain(load(tmp_path, patch_name=""), "train", settings(), text=TEXT)
    assert data_paths.read_batch(plain, index).patches is None


def test_mistakes_in_a_config(tmp_path):
    write(tmp_path)
    grids = load_dataset(tmp_path, "toys", "grids")
    with pytest.raises(ValueError, match="'grids' of toys are patches of frames: name them as --c"):
        make_domain(grids, "train", settings(), text=TEXT)
    with pytest.raises(ValueError, match="patch_frames is 0; with patches it must be at least 1"):
        make_domain(load(tmp_path), "train", settings(patch_frames=0), text=TEXT)
