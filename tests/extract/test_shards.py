"""Videos are split over shards by their ids, and the shards' files are made one."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.command_line import vmr
from tests.extract.tiny import TINY
from tests.video.films import write_film
from vmr_jax.encoders import images
from vmr_jax.extract.shards import merge, of_shard
from vmr_jax.video.sources import VideoFile

SETTINGS = {"encoder": "tiny", "weights": "0a", "fps": 2.0}


def write(path, rows, sources=(), **settings):
    """A feature file as `vmr extract` makes it: {id: number in its rows}."""
    with h5py.File(path, "w") as file:
        file.attrs.update({**SETTINGS, **settings})
        for name, number in rows.items():
            file[name] = np.full((3, 2), number, np.float16)
            file[name].attrs["source_sha256"] = dict(sources).get(name, name)
    return path


def test_each_video_is_in_one_shard_whatever_the_others():
    videos = tuple(VideoFile(f"v{number}", Path("x")) for number in range(100))
    shards = [of_shard(videos, 4, shard) for shard in range(4)]
    assert sorted(video for shard in shards for video in shard) == sorted(videos)
    assert all(15 <= len(shard) <= 35 for shard in shards)
    assert [of_shard(videos[50:], 4, shard) for shard in range(4)] == [
        tuple(video for video in shard if video in videos[50:]) for shard in shards
    ]
    assert of_shard(videos, 1, 0) == videos
    assert [video.id for video in shards[0]][:3] == ["v10", "v11", "v19"]  # on every machine
    with pytest.raises(ValueError, match=r"^--shard 4 is not in 0 \.\.\. 3 of --num-shards 4$"):
        of_shard(videos, 4, 4)


def test_files_are_merged_with_their_attributes(tmp_path):
    one = write(tmp_path / "0.h5", {"a": 1, "b": 2})
    other = write(tmp_path / "1.h5", {"c": 3, "b": 2})  # the same b
    assert merge([one, other], tmp_path / "all.h5") == 3
    with h5py.File(tmp_path / "all.h5") as file:
        assert dict(file.attrs) == SETTINGS
        assert {name: file[name][0, 0] for name in file} == {"a": 1, "b": 2, "c": 3}
        assert file["c"].attrs["source_sha256"] == "c"
    more = write(tmp_path / "2.h5", {"d": 4})
    assert merge([tmp_path / "all.h5", more], tmp_path / "all.h5") == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.h5", "1.h5", "2.h5", "all.h5"]


def test_files_that_do_not_belong_together_are_refused(tmp_path):
    out, first = tmp_path / "all.h5", write(tmp_path / "0.h5", {"a": 1})

    def refused(path):
        with pytest.raises(ValueError) as error:
            merge([first, path], out)
        assert not out.exists()
        return str(error.value)

    other = tmp_path / "1.h5"
    assert refused(write(other, {"b": 1}, fps=1.0, weights="0b")) == (
        f"{first} and {other} were made with other settings (weights is 0a in 0.h5, 0b in 1.h5; "
        "fps is 2.0 in 0.h5, 1.0 in 1.h5)"
    )
    told = f"{first} and {other} have different features of 'a': remove one of them"
    assert refused(write(other, {"a": 2})).startswith(told)
    assert refused(write(other, {"a": 1}, {"a": "another"})).startswith(told)
    with h5py.File(other, "w") as file:
        file["b"] = np.zeros((3, 2))
    assert refused(other) == f"{other} was not made by `vmr extract`"
    (tmp_path / "1.h5.parts").mkdir()
    assert refused(write(other, {"b": 1})).startswith(f"{other} is not finished: ")
    (tmp_path / "1.h5.parts").rmdir()
    write(out, {"x": 1})
    with pytest.raises(ValueError, match=r"all\.h5 is there: give another --out"):
        merge([first, other], out)


def test_two_shards_by_the_command_line(tmp_path, monkeypatch):
    monkeypatch.setitem(images.ENCODERS, "tiny", TINY)
    (tmp_path / "films").mkdir()
    for name in "abcd":
        write_film(tmp_path / "films" / f"{name}.mp4", [0, 0.1, 0.2], rate=10)
    files = [tmp_path / f"clip.shard{shard}.h5" for shard in (0, 1)]
    for shard, out in enumerate(files):
        given = "--encoder", "tiny", "--random-weights", "--fps", 10, "--jobs", 0, "--out", out
        sharded = "--num-shards", 2, "--shard", shard
        result = vmr("extract", tmp_path / "films", *given, *sharded)
        assert result.exit_code == 0, result.exception
    result = vmr("extract", "--merge", *files, "--out", tmp_path / "clip.h5")
    assert result.stdout == f"{tmp_path}/clip.h5: 4 videos of 2 files\n"
    with h5py.File(tmp_path / "clip.h5") as file:
        assert list(file) == ["a", "b", "c", "d"]
        assert {len(file[name]) for name in file} == {3}
    assert str(vmr("extract", tmp_path / "films", "--out", "x.h5", "--fps", 1).exception) == (
        "--encoder NAME is missing"
    )
