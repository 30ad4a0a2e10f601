"""`vmr find --checkpoint`: a trained run on the frames of a film that is longer than it reads."""

import json

import pytest

from tests.command_line import vmr
from tests.conftest import small_vlanet
from tests.evaluation.random_runs import save_random_run
from tests.extract.tiny import TINY
from tests.video.films import write_film
from vmr_jax.encoders.images import RANDOM, ImageEncoder
from vmr_jax.evaluation.predictor import load
from vmr_jax.evaluation.windows import predict_in_windows
from vmr_jax.zero_shot import trained
from vmr_jax.zero_shot.find import encode_frames
from vmr_jax.zero_shot.joint_space import JointSpace

DOOR = "a person opens the door"


@pytest.fixture(scope="module")
def workdir(tmp_path_factory, toy_data):
    """Of a run that reads 12 clips, 8 wide."""
    return save_random_run(tmp_path_factory.mktemp("vlanet"), small_vlanet(toy_data))


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    return write_film(path, [index / 5 for index in range(80)], rate=5, noise=True)  # 16 s


def test_a_run_is_asked_by_windows(film, workdir, monkeypatch):
    space = JointSpace(ImageEncoder("tiny", RANDOM, TINY, TINY.init()), None)
    monkeypatch.setattr(trained, "open_joint_space", lambda *_: space)
    command = ("find", film, DOOR, "--checkpoint", workdir, "--clip-seconds", 1, "--top", 3)
    found = json.loads(vmr(*command, "--json").stdout)["moments"]
    frames = encode_frames(film, space, 1.0)
    assert len(frames.rows) == 16
    (wanted,) = predict_in_windows(
        load(workdir), frames.rows, [DOOR], duration=frames.duration, top_k=3
    )
    assert [(one["start_s"], one["end_s"], one["score"]) for one in found] == wanted
    assert {one["found_by"] for one in found} == {"trained"}
    assert f"trained run {workdir}" in vmr(*command).stdout.replace("\n", "")


def test_what_does_not_go_together_is_refused(film, workdir, monkeypatch):
    kind = TINY._replace(
        encode=lambda params, images, dtype: TINY.encode(params, images, dtype)[:, :5]
    )
    space = JointSpace(ImageEncoder("narrow", RANDOM, kind, TINY.init()), None)
    monkeypatch.setattr(trained, "open_joint_space", lambda *_: space)
    done = vmr("find", film, DOOR, "--checkpoint", workdir)
    assert "8 wide, those of concepts are 5 wide: name it by --encoder" in str(done.exception)
    done = vmr("find", film, DOOR, "--checkpoint", workdir, "--modality", "speech")
    assert "--checkpoint finds what is seen alone" in str(done.exception)
