"""`vmr index|search --checkpoint` on video files: a run places the moments, no rank changes."""

import json

import pytest

from tests.command_line import vmr
from tests.conftest import small_vlanet, write_toy
from tests.evaluation.random_runs import save_random_run
from tests.search.prem_runs import save_run
from tests.video_index.small import DOOR, film, known, sentences
from vmr_jax.configs import prem_localizer, prem_retriever
from vmr_jax.data.sources.hdf5 import open_hdf5
from vmr_jax.encoders.images import RANDOM
from vmr_jax.evaluation.predictor import load
from vmr_jax.evaluation.windows import predict_in_windows
from vmr_jax.video_index.apart import apart
from vmr_jax.video_index.calibrate import CALIBRATION
from vmr_jax.video_index.corpus import Corpus
from vmr_jax.video_index.layout import FRAMES, RUN
from vmr_jax.zero_shot.joint_space import Sentences

MADE_BY = {"encoder": "tiny", "weights": RANDOM, "clip_seconds": 2.0}


@pytest.fixture(scope="module")
def make_run(tmp_path_factory, toy_data):
    """A run that reads 12 clips, 8 wide, of features made so."""

    def make(**made_by):
        return save_random_run(tmp_path_factory.mktemp("run"), small_vlanet(toy_data), made_by)

    return make


@pytest.fixture(scope="module")
def run(make_run):
    return make_run(**MADE_BY)


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    """Of two films, of which one is longer than the run reads."""
    folder = tmp_path_factory.mktemp("films")
    for number, seconds in enumerate((16, 34)):
        film(folder / f"film{number}.mp4", seconds, number)
    out = folder / "my.index"
    with pytest.MonkeyPatch.context() as patch:
        known(patch)
        assert vmr("index", folder, "--out", out, "--jobs", 0).exit_code == 0
    return out


def opened(index, checkpoint=""):
    return Corpus(index, Sentences(sentences, RANDOM), checkpoint)


def moments_of_run(run, index, video):
    with open_hdf5(index / FRAMES, "features") as file:
        rows = file[video.id][:]
    return apart(predict_in_windows(load(run), rows, [DOOR], duration=video.duration)[0])


def test_borders_are_the_runs_and_ranks_those_of_the_frames(index, run):
    plain = opened(index).search(DOOR, 50)
    found = opened(index, run).search(DOOR, 50)
    assert found != plain and {one.found_by for one in found} == {"trained"}
    for video in opened(index).videos:
        wanted = moments_of_run(run, index, video)
        seen = [one.score for one in plain if one.video == video.id]
        placed = [one for one in found if one.video == video.id]
        assert [one[2:4] for one in placed] == [one[:2] for one in wanted[: len(seen)]]
        assert [one.score for one in placed] == seen[: len(placed)]
    assert len(moments_of_run(run, index, opened(index).videos[1])) > 1  # 17 clips
    for top_k in range(1, len(found)):
        assert opened(index, run).search(DOOR, top_k) == found[:top_k]


def test_what_is_said_keeps_its_own_times(index, run, tmp_path, monkeypatch):
    known(monkeypatch)
    films = tmp_path / "films"
    films.mkdir()
    (films / "film0.mp4").write_bytes((index.parent / "film0.mp4").read_bytes())
    (films / "film0.srt").write_text(f"1\n00:00:03,100 --> 00:00:04,300\n{DOOR}\n")
    out = tmp_path / "my.index"
    assert vmr("index", films, "--out", out, "--jobs", 0).exit_code == 0
    found = opened(out, run).search(DOOR, 50)
    (said,) = [one for one in found if "speech" in one.found_by]
    assert (said.start_s, said.end_s) == (3.1, 4.3)
    assert "trained" in {one.found_by for one in found}


def test_an_index_names_its_run(index, run, make_run, monkeypatch, tmp_path):
    known(monkeypatch)
    plain = json.loads(vmr("search", index, DOOR, "--json").stdout)["moments"]
    command = ("index", index.parent, "--out", index, "--jobs", 0)
    done = vmr(*command, "--checkpoint", run)
    assert f"moments are placed by the trained run {run}" in done.stdout
    placed = json.loads(vmr("search", index, DOOR, "--json").stdout)["moments"]
    assert {one["found_by"] for one in placed} == {"trained"} and placed != plain
    asked = vmr("search", index, DOOR, "--json", "--checkpoint", "none")
    assert json.loads(asked.stdout)["moments"] == plain
    moved = (index / RUN).read_text().replace(run, str(tmp_path / "none"))
    kept, _ = (index / RUN).read_text(), (index / RUN).write_text(moved)
    done = vmr("search", index, DOOR)
    assert "cannot be opened" in str(done.exception) and "--checkpoint none" in str(done.exception)
    (index / RUN).write_text(kept.replace('"fingerprint": "', '"fingerprint": "0'))
    assert "has changed since" in str(vmr("search", index, DOOR).exception)
    assert "no trained run" in vmr(*command, "--checkpoint", "none").stdout
    assert json.loads(vmr("search", index, DOOR, "--json").stdout)["moments"] == plain


def test_words_that_the_run_does_not_know(index, run, monkeypatch):
    known(monkeypatch)
    done = vmr("search", index, "a person zzyzx", "--checkpoint", run, "--json")
    assert done.stderr.count("words without a vector: zzyzx") == 1
    done = vmr("search", index, "zzyzx", "--checkpoint", run)
    assert "zzyzx" in str(done.exception)


def test_a_probability_is_of_the_moments_that_it_was_learnt_of(index, run):
    curve = {"slope": 2.0, "offset": -3.0}
    (index / CALIBRATION).write_text(json.dumps(curve))
    assert opened(index).search(DOOR)[0].probability is not None
    assert opened(index, run).search(DOOR)[0].probability is None
    curve["run"] = load(run).fingerprint
    (index / CALIBRATION).write_text(json.dumps(curve))
    assert opened(index).search(DOOR)[0].probability is None
    assert opened(index, run).search(DOOR)[0].probability is not None
    (index / CALIBRATION).unlink()


@pytest.mark.parametrize(
    ("made_by", "message"),
    [
        ({"encoder": "clip-vit-b32"}, "of clip-vit-b32, these frames are of tiny: give another"),
        (MADE_BY | {"weights": "9" * 64}, "of tiny with other weights (999999999999, here random)"),
        (MADE_BY | {"clip_seconds": 0.5}, "of a frame each 0.5 s, here is one each 2 s"),
        ({"encoder": "tiny", "fps": 4.0}, "of a frame each 0.25 s, here is one each 2 s"),
    ],
)
def test_a_run_on_other_features_is_refused(index, make_run, made_by, message, monkeypatch):
    known(monkeypatch)
    other = make_run(**made_by)
    for command in (("search", index, DOOR), ("index", index.parent, "--out", index)):
        done = vmr(*command, "--checkpoint", other)
        assert isinstance(done.exception, ValueError)
        assert f"{other} was trained on features {message}" in str(done.exception)
    assert not (index / RUN).exists()


def test_a_run_that_ranks_videos_is_refused(index, tmp_path, monkeypatch):
    known(monkeypatch)
    done = vmr("search", index, DOOR, "--checkpoint", tmp_path / "none")
    assert "no trained run at" in str(done.exception)
    write_toy(tmp_path / "data", "toy")
    retriever = save_run(tmp_path / "r", prem_retriever.get_config, tmp_path / "data")
    done = vmr("search", index, DOOR, "--checkpoint", retriever)
    assert "ranks videos and finds no moments in them" in str(done.exception)
    localizer = save_run(tmp_path / "l", prem_localizer.get_config, tmp_path / "data")
    done = vmr("search", index, DOOR, "--checkpoint", localizer)
    assert f"{localizer} reads subtitle features too, which frames have not" in str(done.exception)
