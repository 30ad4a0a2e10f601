"""Features as .npz or .npy files with a .json each: what they hold, and what goes on."""

import json

import numpy as np
import pytest

from tests.video.films import write_film
from vmr_jax.data.sources.features import open_features
from vmr_jax.extract.feature_folder import FeatureFolder
from vmr_jax.extract.origin import origin_of
from vmr_jax.video.sources import VideoFile

SETTINGS = {"encoder": "tiny", "weights": "random", "fps": 2.0}
ROWS = np.arange(6, dtype=np.float16).reshape(3, 2)


@pytest.fixture
def video(tmp_path):
    return VideoFile("v.1", write_film(tmp_path / "v.1.mp4", [0, 0.1]))


def store(folder, video, rows=ROWS):
    folder.add(video.id, rows, {"times": [0.0, 0.5, 1.0], **origin_of(video)._asdict()})


@pytest.mark.parametrize("suffix", ["npz", "npy"])
def test_a_folder_is_read_with_its_attributes(tmp_path, video, suffix):
    out = tmp_path / "clip"
    folder = FeatureFolder(out, SETTINGS, suffix)
    assert not folder.holds(video)
    store(folder, video)
    assert sorted(path.name for path in out.iterdir()) == ["v.1.json", f"v.1.{suffix}"]
    source = open_features(out)
    assert source.ids == ("v.1",) and source.made_up == "random"
    np.testing.assert_array_equal(source.read("v.1"), ROWS)
    told = source.attributes("v.1")
    assert told == json.loads((out / "v.1.json").read_text())
    assert (told["fps"], told["times"], told["source"]) == (2.0, [0, 0.5, 1], "v.1.mp4")
    if suffix == "npz":
        np.testing.assert_array_equal(np.load(out / "v.1.npz")["times"], [0, 0.5, 1])


def test_it_goes_on_after_any_end(tmp_path, video):
    out = tmp_path / "clip"
    store(FeatureFolder(out, SETTINGS, "npy"), video)
    assert FeatureFolder(out, SETTINGS, "npy").holds(video)
    (out / ".draft-1.npy").write_bytes(b"half")
    (out / "v.1.npy").unlink()  # it was killed between the two
    folder = FeatureFolder(out, SETTINGS, "npy")
    assert not folder.holds(video) and not (out / ".draft-1.npy").exists()
    store(folder, video)
    write_film(video.path, [0, 0.1, 0.2])
    assert not FeatureFolder(out, SETTINGS, "npy").holds(video)


def test_what_else_is_there_is_refused(tmp_path, video):
    out = tmp_path / "clip"
    store(FeatureFolder(out, SETTINGS, "npy"), video)

    def refused(settings=SETTINGS, suffix="npy"):
        with pytest.raises(ValueError) as error:
            FeatureFolder(out, settings, suffix)
        return str(error.value)

    assert refused({**SETTINGS, "fps": 1.0}) == (
        f"{out}/v.1.npy was made with other settings (fps is 2.0 there, 1.0 now): give the same, "
        "or another --out"
    )
    assert refused(suffix="npz") == f"{out}/v.1.npy is there: give --format npy, or another --out"
    np.save(out / "a.npy", ROWS)
    assert refused() == f"{out}/a.npy was not made by `vmr extract`: give another --out"
    (out / "v.1.json").write_text("{")
    with pytest.raises(ValueError, match=r"v\.1\.json is damaged .*: extract the video again$"):
        open_features(out)
    (out / "v.1.json").write_text("[1]")  # of another program
    assert open_features(out).attributes("v.1") == {}
