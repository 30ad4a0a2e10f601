"""`vmr index` and `vmr search` on small films: what is kept, found, refused and followed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import vmr_jax as vmr_package
from tests.command_line import vmr
from tests.video_index.small import DOOR, film, known, random_index, sentences
from vmr_jax.encoders.images import RANDOM
from vmr_jax.locks import locked
from vmr_jax.output_files import FullDiskError
from vmr_jax.types import Moment
from vmr_jax.video_index.apart import apart
from vmr_jax.video_index.corpus import Corpus, most_similar
from vmr_jax.video_index.layout import FRAMES, open_layout, unit_rows
from vmr_jax.zero_shot.joint_space import Sentences
from vmr_jax.zero_shot.moments import find_in_frames, find_moments

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    folder = tmp_path_factory.mktemp("films")
    for number, seconds in enumerate((12, 16, 30)):
        film(folder / f"film{number}.mp4", seconds, number)
    return folder


@pytest.fixture(scope="module")
def index(films, tmp_path_factory):
    out = tmp_path_factory.mktemp("index") / "my.index"
    with pytest.MonkeyPatch.context() as patch:
        known(patch)
        done = vmr("index", films, "--out", out, "--jobs", 0)
    assert done.exit_code == 0, done.output
    assert "3 videos encoded" in done.stdout and "3 in all, 29 frames, encoder tiny" in done.stdout
    return out


@pytest.fixture
def corpus(index):
    return Corpus(index, Sentences(sentences, RANDOM))


def state(index) -> dict:
    """All that an index says, but for the times of files."""
    opened = open_layout(index)
    videos = [video._replace(path=video.path.name) for video in opened.videos]
    return {
        "videos": videos,
        "rows": opened.rows.tolist(),
        "times": opened.times.tolist(),
        "settings": opened[:4],
    }


def test_a_search_is_that_of_the_formulas(corpus, index, films):
    found = corpus.search(DOOR, top_k=50)
    best = {}
    for moment in found:
        best.setdefault(moment.video, moment)
        assert moment.path == films / f"{moment.video}.mp4"
    assert set(best) == {"film0", "film1", "film2"}  # none is hidden by another
    opened = open_layout(index)
    query = unit_rows(sentences([DOOR]))[0]
    generic = unit_rows(sentences(vmr_package.zero_shot.moments.GENERIC))
    for number, video in enumerate(opened.videos):
        rows = opened.rows[opened.begin[number] : opened.begin[number + 1]].astype(np.float64)
        times = opened.times[opened.begin[number] : opened.begin[number + 1]]
        wanted = find_moments(rows @ query, rows @ generic.T, times, video.duration)[0]
        moment = best[video.id]
        assert (moment.start_s, moment.end_s) == pytest.approx((wanted.start_s, wanted.end_s))
        inside = (times >= wanted.start_s) & (times <= wanted.end_s)
        fit = (rows @ query)[inside].mean()
        assert moment.score == pytest.approx(fit, abs=1e-3)
    scores = [moment.score for moment in found]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("top_k", range(1, 8))
def test_how_many_are_asked_for_changes_nothing(corpus, top_k):
    assert corpus.search(DOOR, top_k=top_k) == corpus.search(DOOR, top_k=50)[:top_k]
    together = corpus.search_all(["a box", DOOR], top_k)[1]
    for one, other in zip(together, corpus.search(DOOR, top_k=top_k), strict=True):
        assert one[:4] == other[:4] and one.score == pytest.approx(other.score, abs=1e-5)


def test_some_videos_alone(corpus):
    assert {moment.video for moment in corpus.search(DOOR, videos=["film2"])} == {"film2"}
    with pytest.raises(ValueError, match="no video 'other' in"):
        corpus.search(DOOR, videos=["other"])


def test_a_curve_and_a_picture(corpus, films, tmp_path):
    curve = corpus.curve("film1", DOOR)
    assert curve.times == pytest.approx(np.arange(8) * 2 + 1, abs=0.11)
    assert curve.fit.shape == (8,) and np.isfinite(curve.fit).all()
    picture = corpus.thumbnail("film1", 3.0)
    assert picture[:3] == b"\xff\xd8\xff" and corpus.thumbnail("film1", 3.0) == picture


def test_parts_of_a_moment_are_not_listed_beside_it():
    whole, part, wider = Moment(10, 20, 5.0), Moment(12, 14, 4.0), Moment(5, 21, 3.0)
    after, touching = Moment(20, 30, 2.0), Moment(17, 27, 1.0)
    listed = [whole, part, wider, after, touching]
    assert apart(listed) == [whole, after]
    assert apart([whole, touching]) == [whole, touching]  # 3 of 10 s are shared


@pytest.mark.parametrize("length", [3, 10, 40, 120, 320])
def test_a_moment_comes_out_whole_wherever_it_lies(length):
    frames = 900
    borders = np.arange(frames + 1.0)
    noise = np.random.default_rng(0).normal(size=frames) * 0.1
    for begin in range(0, frames - length + 1, 37):
        excess = noise.copy()
        excess[begin : begin + length] += 3
        best = find_in_frames(excess, borders, 1)[0]
        inter = min(best.end_s, begin + length) - max(best.start_s, begin)
        assert inter / (max(best.end_s, begin + length) - min(best.start_s, begin)) > 0.75


def test_it_follows_the_folder(films, tmp_path, monkeypatch, index):
    known(monkeypatch)
    folder, out = tmp_path / "films", tmp_path / "my.index"
    shutil.copytree(films, folder)
    command = ("index", folder, "--out", out, "--jobs", 0)
    assert vmr(*command).exit_code == 0
    first = state(out)
    assert first == state(index)
    assert "0 videos encoded" in vmr(*command).stdout and state(out) == first
    film(folder / "film1.mp4", 20, 5)  # changed
    film(folder / "film3.mp4", 12)  # new
    (folder / "film0.mp4").unlink()
    done = vmr(*command)
    assert (
        "2 videos encoded" in done.stdout
        and "the files of 1 videos are gone (film0)" in done.stdout
    )
    assert [video.id for video in open_layout(out).videos] == ["film0", "film1", "film2", "film3"]
    done = vmr(*command, "--prune")
    assert "1 pruned" in done.stdout and "0 videos encoded" in done.stdout
    assert [video.id for video in open_layout(out).videos] == ["film1", "film2", "film3"]
    fresh = tmp_path / "fresh.index"
    assert vmr("index", folder, "--out", fresh, "--jobs", 0).exit_code == 0
    assert state(fresh) == state(out)


def test_broken_files_cost_themselves_alone(films, tmp_path, monkeypatch):
    known(monkeypatch)
    folder = tmp_path / "films"
    folder.mkdir()
    shutil.copy(films / "film0.mp4", folder)
    (folder / "text.mp4").write_text("no video")
    (folder / "empty.mkv").touch()
    done = vmr("index", folder, "--out", tmp_path / "out", "--jobs", 0)
    assert done.exit_code == 1 and "1 in all" in done.stdout
    assert "2 videos are not in it:" in done.stderr and "  text: " in done.stderr
    assert [video.id for video in open_layout(tmp_path / "out").videos] == ["film0"]


def test_files_of_one_name_are_told_apart(films, tmp_path, monkeypatch):
    known(monkeypatch)
    for name in ("a", "b"):
        (tmp_path / "films" / name).mkdir(parents=True)
        shutil.copy(films / "film0.mp4", tmp_path / "films" / name / "clip.mp4")
    assert vmr("index", tmp_path / "films", "--out", tmp_path / "out", "--jobs", 0).exit_code == 0
    assert [video.id for video in open_layout(tmp_path / "out").videos] == ["a-clip", "b-clip"]


def test_what_does_not_fit_the_index_is_refused(films, index, monkeypatch, tmp_path):
    known(monkeypatch)
    done = vmr("index", films, "--out", index, "--encoder", "clip-vit-b32")
    assert "was made with the encoder tiny, not clip-vit-b32: give another --out" in str(
        done.exception
    )
    done = vmr("index", films, "--out", index, "--clip-seconds", 3)
    assert "clip_seconds is 2.0 there, 3.0 now" in str(done.exception)
    done = vmr("index", films, "--out", index, "--localizer", "runs/x")
    assert "video files are encoded here: options of features" in str(done.exception)
    with locked(index):
        done = vmr("index", films, "--out", index)
    assert f"{index} is being written by" in str(done.exception)
    other = Corpus(index, Sentences(sentences, "another hash"))
    with pytest.raises(ValueError, match="was made with other weights of tiny"):
        other.search(DOOR)
    empty = tmp_path / "none"
    empty.mkdir()
    assert "holds no video file" in str(vmr("index", empty, "--out", tmp_path / "o").exception)
    with pytest.raises(FileNotFoundError, match="`vmr index VIDEOS --out` makes one"):
        Corpus(tmp_path / "nowhere")


def test_a_search_from_the_command_line(index, monkeypatch, tmp_path, corpus):
    known(monkeypatch)
    done = vmr("search", index, DOOR, "--top", 2, "--json")
    line = json.loads(done.stdout)
    wanted = corpus.search(DOOR, top_k=2)
    assert [moment["video"] for moment in line["moments"]] == [moment.video for moment in wanted]
    assert line["moments"][0]["start"] == round(wanted[0].start_s, 3)
    assert vmr("search", DOOR, "--index", index, "--top", 2, "--json").stdout == done.stdout
    assert wanted[0].video in vmr("search", index, DOOR).stdout
    queries = tmp_path / "queries.jsonl"
    rows = [{"qid": 1, "query": DOOR}, {"qid": 2, "query": "🚪"}, {"qid": 3, "query": "a " * 400}]
    queries.write_text("".join(json.dumps(row) + "\n" for row in rows))
    lines = vmr("search", index, "--queries", queries, "--json", "--top", 2)
    first, *odd = map(json.loads, lines.stdout.splitlines())
    assert first["moments"] == line["moments"]
    assert all(not row["moments"] and row["error"] for row in odd)
    assert "2 of 3 queries were not asked" in lines.stderr
    table = tmp_path / "found.csv"
    assert vmr("search", index, DOOR, "--csv", table).exit_code == 0 and table.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "which index?"),
        (("INDEX",), "give either one sentence"),
        (("INDEX", "🚪"), "has no words"),
        (("INDEX", "a " * 400), "has 400 words"),
    ],
)
def test_a_search_that_says_too_little_is_refused(index, monkeypatch, arguments, message):
    known(monkeypatch)
    done = vmr("search", *(index if one == "INDEX" else one for one in arguments))
    assert message in str(done.exception) and "\n" not in str(done.exception)


def test_a_video_that_vanished_is_still_found(films, tmp_path, monkeypatch):
    known(monkeypatch)
    folder = tmp_path / "films"
    shutil.copytree(films, folder)
    vmr("index", folder, "--out", tmp_path / "out", "--jobs", 0)
    shutil.rmtree(folder)
    corpus = Corpus(tmp_path / "out")
    assert corpus.search(DOOR)
    with pytest.raises(FileNotFoundError, match=r"no video at .*film0.mp4"):
        corpus.thumbnail("film0", 1.0)


_INDEX = """
import pytest
from pathlib import Path
from tests.video_index.small import space
from vmr_jax.video.sources import find_videos
from vmr_jax.video_index.build import build_index
import sys
print("ready", flush=True)
build_index(Path(sys.argv[2]), find_videos([sys.argv[1]]), space(), jobs=0, batch_size=8)
"""


def test_a_killed_index_goes_on_to_the_same(films, tmp_path, index):
    out = tmp_path / "killed.index"
    command = [sys.executable, "-c", _INDEX, str(films), str(out)]
    parts = tmp_path / "killed.index" / f"{FRAMES}.parts"
    for wanted in (1, 2):
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
            end = time.monotonic() + 120
            while len(list(parts.glob("*.h5"))) < wanted and process.poll() is None:
                assert time.monotonic() < end
                time.sleep(0.005)
            process.send_signal(signal.SIGKILL)
    assert subprocess.run(command, cwd=ROOT, env=dict(os.environ)).returncode == 0
    assert state(out)["rows"] == state(index)["rows"]
    assert [v.id for v in state(out)["videos"]] == [v.id for v in state(index)["videos"]]
    assert not list(out.glob("**/.draft*")) and len(list(out.glob("rows-*.npy"))) == 1


# Kills itself at the n-th change of a file of the index, or tells at the end how many there were.
_CHANGES = """
import os, sys
changes = 0
def count(event, arguments):
    global changes
    writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & os.O_CREAT
    if not (writes or event in ("os.rename", "os.remove", "os.mkdir")):
        return
    if str(arguments[0]).startswith(sys.argv[2]):
        changes += 1
        if changes == int(sys.argv[3]):
            os.kill(os.getpid(), 9)
"""


@pytest.mark.slow
def test_an_index_that_is_killed_at_ten_points_goes_on_to_the_same(films, tmp_path):
    def command(out, number):
        code = f"{_CHANGES}{_INDEX}print(changes)"
        code = code.replace('print("ready", flush=True)', "sys.addaudithook(count)")
        arguments = [sys.executable, "-c", code, str(films), str(out), str(number)]
        return subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True)

    whole = command(tmp_path / "whole.index", 0)
    assert whole.returncode == 0, whole.stderr
    changes = int(whole.stdout)
    assert changes >= 10
    for point in np.linspace(1, changes, 10).astype(int):
        out = tmp_path / f"{point}.index"
        assert command(out, point).returncode == -signal.SIGKILL
        assert command(out, 0).returncode == 0
        assert state(out) == state(tmp_path / "whole.index")
        left = [str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()]
        there = (tmp_path / "whole.index").rglob("*")
        wanted = {str(path.relative_to(tmp_path / "whole.index")) for path in there}
        assert set(left) <= wanted


def test_a_full_disk_leaves_the_index_as_it_was(films, tmp_path, monkeypatch):
    known(monkeypatch)
    folder, out = tmp_path / "films", tmp_path / "my.index"
    shutil.copytree(films, folder)
    command = ("index", folder, "--out", out, "--jobs", 0)
    assert vmr(*command).exit_code == 0
    before = state(out)
    film(folder / "film3.mp4", 12)
    with monkeypatch.context() as patch:
        patch.setattr("vmr_jax.output_files._free", lambda path: 0)
        done = vmr(*command)
    assert isinstance(done.exception, FullDiskError) and "make space, then" in str(done.exception)
    assert state(out) == before and Corpus(out).search(DOOR)
    assert "1 videos encoded" in vmr(*command).stdout and len(open_layout(out).videos) == 4


def test_a_short_list_is_the_head_of_all_moments(tmp_path):
    counts = [1, 2, 3, *np.random.default_rng(1).integers(4, 60, size=27)]
    random_index(tmp_path, counts)
    searched = Corpus(tmp_path, Sentences(sentences, RANDOM))
    for sentence in (DOOR, "a box", "two boxes"):
        whole = searched.search(sentence, top_k=1000)
        assert len({one.video for one in whole}) == 30
        for top_k in (1, 3, 10, 40):
            assert searched.search(sentence, top_k=top_k) == whole[:top_k]
        named = [video.id for video in searched.videos]
        assert searched.search(sentence, top_k=1000, videos=named) == whole


def test_no_span_is_more_similar_than_the_bound():
    rng = np.random.default_rng(0)
    for count in (1, 2, 3, 5, 9):
        own = rng.normal(size=count)
        shortest = min(2, count)
        spans = [(a, b) for a in range(count) for b in range(a + shortest, count + 1)]
        highest = max(own[a:b].mean() for a, b in spans)
        assert highest <= most_similar([own])[0] <= highest + 2e-5
