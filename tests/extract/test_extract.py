"""`vmr extract` on small films: rows, times and attributes, what fails, and what goes on."""

import hashlib
import json
import os
import re

import h5py
import jax
import numpy as np
import pytest
import safetensors.numpy

from tests.command_line import vmr
from tests.extract.tiny import TINY
from tests.video.films import cut, write_film, write_images
from vmr_jax.data.sources.features import open_features
from vmr_jax.encoders import images
from vmr_jax.extract import frames
from vmr_jax.extract.feature_file import FeatureFile, parts_folder
from vmr_jax.locks import locked
from vmr_jax.output_files import FullDiskError
from vmr_jax.video.decode import sample_frames
from vmr_jax.video.sampling import Sampling

TENTHS = [index / 10 for index in range(30)]  # 3 s


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setitem(images.ENCODERS, "tiny", TINY)


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """A folder with two good videos, and three that are not."""
    folder = tmp_path_factory.mktemp("films")
    write_film(folder / "a.mp4", TENTHS, rate=10)
    write_film(folder / "b.mkv", TENTHS[:11], rate=10)
    cut(write_film(folder / "cut.mp4", TENTHS, rate=10, noise=True), 0.6)
    (folder / "empty.mp4").touch()
    (folder / "text.mp4").write_text("no video")
    return folder


def extract(*arguments, weights=("--random-weights",), fps=("--fps", 2), jobs=0):
    given = "--encoder", "tiny", *weights, *fps, "--batch-size", 4, "--jobs", jobs
    return vmr("extract", *arguments, *given)


def good(films):
    return films / "a.mp4", films / "b.mkv"


def openai_tensors(params):
    """An image encoder of one layer as OpenAI names its tensors."""
    layer = jax.tree.map(np.asarray, params["layers_0"])
    tensors = {
        "conv1.weight": np.transpose(params["patch"]["kernel"], (3, 2, 0, 1)),
        "class_embedding": params["class_token"],
        "positional_embedding": params["positions"],
        "proj": params["projection"],
    }
    block = "transformer.resblocks.0."
    linear = {"attn.in_proj_": "qkv", "attn.out_proj.": "out"}
    linear |= {"mlp.c_fc.": "fc1", "mlp.c_proj.": "fc2"}
    for name, ours in linear.items():
        tensors[f"{block}{name}weight"] = layer[ours]["kernel"].T
        tensors[f"{block}{name}bias"] = layer[ours]["bias"]
    norms = {"ln_pre.": params["pre_norm"], "ln_post.": params["post_norm"]}
    norms |= {f"{block}ln_1.": layer["norm1"], f"{block}ln_2.": layer["norm2"]}
    for name, ours in norms.items():
        tensors |= {f"{name}weight": ours["scale"], f"{name}bias": ours["bias"]}
    return {f"visual.{name}": np.ascontiguousarray(array) for name, array in tensors.items()}


def read(path):
    """{id: (rows, attributes)} of a feature file."""
    with h5py.File(path) as file:
        return {name: (file[name][()], dict(file[name].attrs)) for name in file}


@pytest.mark.parametrize("jobs", [0, 2])
def test_a_folder_has_the_features_of_its_good_videos_and_a_report_of_the_others(
    films, tmp_path, jobs
):
    out = tmp_path / "new" / "clip.h5"
    result = extract(films, "--out", out, jobs=jobs)
    assert result.exit_code == 1
    assert f"{out}: 2 videos added (" in result.stdout
    told = result.stderr.splitlines()
    assert told[0] == "3 videos have no features:"
    assert told[1].startswith(f"  cut: {films}/cut.mp4: the last good frame is at 1.")
    assert told[1].endswith(" of 3.00 s: what follows is damaged or missing")
    assert told[2] == f"  empty: {films}/empty.mp4 is empty (0 bytes)"
    assert told[3].startswith(f"  text: {films}/text.mp4 is no video that FFmpeg reads")
    assert len(told) == 4
    found = read(out)
    assert sorted(found) == ["a", "b"]
    rows, about = found["a"]
    assert rows.shape == (6, 8) and rows.dtype == np.float16
    np.testing.assert_allclose(about["times"], [0, 0.5, 1, 1.5, 2, 2.5], atol=0.002)
    assert about["duration"] == pytest.approx(3)
    content = (films / "a.mp4").read_bytes()
    assert (about["source"], about["source_bytes"]) == ("a.mp4", len(content))
    assert about["source_sha256"] == hashlib.sha256(content).hexdigest()
    assert "av " in about["versions"] and "vmr_jax " in about["versions"]
    with h5py.File(out) as file:
        assert dict(file.attrs) == {
            "encoder": "tiny",
            "weights": "random",
            "precision": "float32",
            "preprocessing": "short side to 32 (bicubic, antialiased), centre crop, CLIP's mean "
            "and deviation",
            "fps": 2.0,
        }
    assert [path.name for path in out.parent.iterdir()] == ["clip.h5"]


def test_rows_are_the_encoder_s_of_the_frames_whatever_the_batch(films, tmp_path):
    encoder = images.open_image_encoder("tiny", None)
    frames = [
        encoder.crop(frame.image) for frame in sample_frames(films / "a.mp4", Sampling(fps=2))
    ]
    expected = np.asarray(encoder.compiled()(np.stack(frames)))
    extract(films / "a.mp4", "--out", tmp_path / "clip.h5")
    rows, _ = read(tmp_path / "clip.h5")["a"]
    np.testing.assert_allclose(rows, expected, atol=2e-3)
    assert np.ptp(rows, axis=0).max() > 0.01  # frames differ


def test_what_is_there_is_skipped_and_what_changed_is_not(films, tmp_path, monkeypatch):
    out, films = tmp_path / "clip.h5", [write_film(tmp_path / "a.mp4", TENTHS), *good(films)[1:]]
    extract(films[0], "--out", out)
    encoded = []
    origin_of = frames.origin_of
    monkeypatch.setattr(
        frames, "origin_of", lambda video: encoded.append(video.id) or origin_of(video)
    )
    told = extract(*films, "--out", out).stdout.splitlines()
    assert "1 videos added" in told[0] and told[0].endswith("1 were there")
    assert re.fullmatch(r"waited \d+\.\d s for frames, \d+\.\d s for the encoder", told[1])
    assert encoded == ["b"] and sorted(read(out)) == ["a", "b"]
    os.utime(films[0], (1, 1))  # another time, the same content
    assert extract(*films, "--out", out).stdout.endswith("2 were there\n")
    write_film(films[0], TENTHS[:15])
    extract(*films, "--out", out)
    assert encoded == ["b", "a"] and len(read(out)["a"][0]) == 3


def test_a_killed_command_goes_on_after_the_last_whole_video(films, tmp_path, monkeypatch):
    out = tmp_path / "clip.h5"

    def end(self):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(FeatureFile, "join", end)
        assert extract(films / "a.mp4", "--out", out).exit_code == 130
    parts = tmp_path / "clip.h5.parts"
    assert not out.exists() and len(list(parts.iterdir())) == 1
    (parts / ".draft-1.h5").write_bytes(b"half")
    (parts / "joined").write_bytes(b"half")
    result = extract(*good(films), "--out", out)
    assert result.exit_code == 0 and "1 were there\n" in result.stdout
    assert sorted(read(out)) == ["a", "b"] and not parts.exists()


def test_other_settings_are_refused_with_the_difference(films, tmp_path):
    out = tmp_path / "clip.h5"
    extract(films / "a.mp4", "--out", out)
    before = out.read_bytes()
    result = extract(*good(films), "--out", out, fps=("--clip-seconds", 1))
    assert str(result.exception) == (
        f"{out} was made with other settings (fps is 2.0 there, not given now; clip_seconds is not "
        "given there, 1.0 now): give the same, or another --out"
    )
    assert out.read_bytes() == before and not (tmp_path / "clip.h5.parts").exists()
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["a"] = np.zeros((3, 4))
    result = extract(films / "a.mp4", "--out", tmp_path / "other.h5")
    assert str(result.exception) == (
        f"{tmp_path}/other.h5 was not made by `vmr extract`: give another --out"
    )


def test_strict_stops_at_the_first_and_keeps_what_is_done(films, tmp_path):
    out = tmp_path / "clip.h5"
    result = extract(films, "--strict", "--out", out)
    assert str(result.exception).startswith(f"{films}/cut.mp4: the last good frame is at 1.")
    assert str(result.exception).endswith(" (--strict stops here)")
    assert len(list((tmp_path / "clip.h5.parts").iterdir())) == 2
    assert extract(*good(films), "--strict", "--out", out).stdout.endswith("2 were there\n")


def test_a_second_process_is_told_who_writes(films, tmp_path):
    out = tmp_path / "clip.h5"
    with locked(parts_folder(out)):
        message = str(extract(*good(films), "--out", out).exception)
    assert message.startswith(f"{out}.parts is being written by process {os.getpid()} on ")
    assert not out.exists()


def test_a_full_disk_ends_the_command(films, tmp_path, monkeypatch):
    monkeypatch.setattr("vmr_jax.output_files._free", lambda path: 10)
    result = extract(*good(films), "--out", tmp_path / "clip.h5")
    assert isinstance(result.exception, FullDiskError)
    assert not (tmp_path / "clip.h5").exists()


@pytest.mark.parametrize(
    "options, told",
    [
        ({"fps": ()}, "give one of --fps, --every and --clip-seconds"),
        ({"fps": ("--fps", 1, "--every", 2)}, "give one of --fps, --every and --clip-seconds"),
        (
            {"fps": ("--fps", 1, "--precision", "half")},
            "--precision half: use one of float32, bfloat16",
        ),
        (
            {"weights": ("--weights", "clip.pt", "--random-weights")},
            "give either --weights or, for a try, --random-weights",
        ),
        ({"weights": ()}, "no weights at tiny"),
        ({"weights": ("--weights", "no.safetensors")}, "no weights at no.safetensors"),
    ],
)
def test_mistakes_end_before_any_work(films, tmp_path, options, told):
    result = extract(films, "--out", tmp_path / "clip.h5", **options)
    assert str(result.exception) == told
    assert not list(tmp_path.iterdir())


def test_a_folder_of_images_is_a_video_too(tmp_path):
    folder = write_images(tmp_path / "frames" / "v1", range(1, 11))
    (tmp_path / "frames" / "v2").mkdir()
    (tmp_path / "frames" / "v2" / "1.jpg").write_text("no image")
    given = tmp_path / "frames", "--frame-fps", 5, "--out", tmp_path / "clip.h5"
    result = extract(*given)
    assert result.exit_code == 1
    assert result.stderr.startswith("1 videos have no features:\n  v2: ")
    rows, about = read(tmp_path / "clip.h5")["v1"]
    assert len(rows) == 4 and about["duration"] == 2 and about["source"] == "v1"
    np.testing.assert_allclose(about["times"], [0, 0.4, 1, 1.4], atol=0.11)
    content = b"".join(path.read_bytes() for path in sorted(folder.iterdir()))
    assert about["source_sha256"] == hashlib.sha256(content).hexdigest()
    assert extract(*given).stdout.endswith(
        "0 videos added (0.0 s of video in 0.0 s), 1 were there\n"
    )


def test_files_of_arrays_have_the_same_rows_and_attributes(films, tmp_path):
    extract(films / "a.mp4", "--out", tmp_path / "clip.h5")
    out = tmp_path / "clip"
    result = extract(films, "--out", out, "--format", "npz")
    assert result.exit_code == 1 and f"{out}: 2 videos added (" in result.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip", "clip.h5"]
    assert sorted(path.name for path in out.iterdir()) == ["a.json", "a.npz", "b.json", "b.npz"]
    one, other = open_features(tmp_path / "clip.h5"), open_features(out)
    np.testing.assert_array_equal(one.read("a"), other.read("a"))
    assert {k: np.ravel(v).tolist() for k, v in one.attributes("a").items()} == {
        k: np.ravel(v).tolist() for k, v in other.attributes("a").items()
    }
    assert extract(*good(films), "--out", out, "--format", "npz").stdout.endswith("2 were there\n")
    assert str(extract(films, "--out", out, "--format", "zip").exception) == (
        "--format zip: use one of hdf5, npz, npy"
    )


def test_the_file_says_which_weights_made_it(films, tmp_path):
    encoder = images.open_image_encoder("tiny", None)
    weights = tmp_path / "tiny.safetensors"
    safetensors.numpy.save_file(openai_tensors(encoder.params), weights)
    given = films / "a.mp4", "--out", tmp_path / "own.h5"
    assert extract(*given, weights=("--weights", weights)).exit_code == 0
    with h5py.File(tmp_path / "own.h5") as file:
        assert file.attrs["weights"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    extract(films / "a.mp4", "--out", tmp_path / "random.h5")
    (own, _), (random, _) = (read(tmp_path / name)["a"] for name in ("own.h5", "random.h5"))
    np.testing.assert_array_equal(own, random)


def test_an_id_that_hdf5_takes_for_a_folder_is_refused(films, tmp_path):
    listed = tmp_path / "list.jsonl"
    listed.write_text(json.dumps({"path": str(films / "a.mp4"), "vid": "x/a"}))
    result = extract(listed, "--out", tmp_path / "clip.h5")
    assert "the id 'x/a' cannot name a dataset" in str(result.exception)


def test_features_are_prepared_and_random_ones_under_an_honest_name_only(films, tmp_path):
    out, annotations = tmp_path / "clip.h5", tmp_path / "annotations"
    extract(*good(films), "--out", out)
    annotations.mkdir()
    for split, (video, duration) in {"train": ("a", 3.0), "test": ("b", 1.1)}.items():
        query = {"qid": video, "query": "it gets light", "vid": video, "duration": duration}
        query |= {"relevant_windows": [[0, 1]]}
        (annotations / f"{split}.jsonl").write_text(json.dumps(query) + "\n")
    given = "prepare", "jsonl", "--annotations", annotations, "--features", out
    given += "--data-dir", tmp_path / "data", "--feature-name"
    assert str(vmr(*given, "clip").exception) == (
        f"{out} was made with random weights, and its features mean nothing: use a name that says "
        "so, --feature-name random_clip"
    )
    result = vmr(*given, "random_clip")
    assert result.exit_code == 0, result.exception
    assert "2 videos, 9 clips of width 8" in result.stdout
