"""Videos are found by folder, file and list; frame folders give frames like files do."""

import json
from pathlib import Path

import pytest

from tests.video.films import number, write_film, write_images
from vmr_jax.video.sampling import Sampling
from vmr_jax.video.sources import FrameFolder, VideoFile, find_videos


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_a_folder_is_searched_with_all_below_it(tmp_path):
    touch(tmp_path / "b.mp4", tmp_path / "x/a.MKV", tmp_path / "notes.txt", tmp_path / "._b.mp4")
    assert find_videos([tmp_path]) == (
        VideoFile("a", tmp_path / "x/a.MKV"),
        VideoFile("b", tmp_path / "b.mp4"),
    )


def test_files_have_any_extension_and_come_once(tmp_path):
    touch(tmp_path / "v_1.5.mp4", tmp_path / "clip.dat")
    given = [tmp_path / "clip.dat", tmp_path / "v_1.5.mp4", tmp_path]
    assert [video.id for video in find_videos(given)] == ["clip.dat", "v_1.5"]


def test_lists_name_files_from_their_own_folder_on(tmp_path):
    touch(tmp_path / "raw/a.mp4", tmp_path / "raw/b.mp4")
    (jsonl := tmp_path / "list.jsonl").write_text(
        json.dumps({"path": "raw/a.mp4"}) + "\n" + json.dumps({"path": "raw/b.mp4", "vid": "B"})
    )
    (table := tmp_path / "list.csv").write_text("vid,path\n,raw/a.mp4\nB,raw/b.mp4\n")
    wanted = (VideoFile("B", tmp_path / "raw/b.mp4"), VideoFile("a", tmp_path / "raw/a.mp4"))
    assert find_videos([jsonl]) == find_videos([table]) == wanted


def test_two_videos_of_one_id_are_refused_with_both_paths(tmp_path):
    one, other = tmp_path / "x/a.mp4", tmp_path / "y/a.avi"
    touch(one, other)
    with pytest.raises(ValueError, match=f"{one} and {other} have the id 'a'"):
        find_videos([tmp_path])


def test_what_is_not_there_is_said(tmp_path):
    touch(tmp_path / "empty/notes.txt", tmp_path / "a.mp4")
    with pytest.raises(ValueError, match="empty holds no video file$"):
        find_videos([tmp_path / "empty"])
    with pytest.raises(ValueError, match="empty holds no frames such as 000123.jpg$"):
        find_videos([tmp_path / "empty"], frame_fps=3)
    with pytest.raises(FileNotFoundError, match=f"no video at {tmp_path / 'b.mp4'}"):
        find_videos([tmp_path / "b.mp4"])
    with pytest.raises(ValueError, match="a.mp4 is no folder of frames"):
        find_videos([tmp_path / "a.mp4"], frame_fps=3)
    with pytest.raises(ValueError, match="frame_fps is 0; expected a positive number"):
        find_videos([tmp_path], frame_fps=0)
    (table := tmp_path / "list.csv").write_text("path\na.mp4\nb.mp4\n")
    with pytest.raises(FileNotFoundError, match=f"list.csv:3: no video at {tmp_path / 'b.mp4'}"):
        find_videos([table])
    table.write_text("file\na.mp4\n")
    with pytest.raises(ValueError, match='list.csv:2: no "path"; found file'):
        find_videos([table])


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_a_folder_of_frames_is_a_video(tmp_path, suffix):
    """At 4 a second, from number 1 on, without 4 and 5."""
    folder = write_images(tmp_path / "frames/v1", [1, 2, 3, 6, 7, 8], suffix)
    assert find_videos([tmp_path / "frames"], frame_fps=4) == (FrameFolder("v1", folder, 4),)
    assert find_videos([folder], frame_fps=4) == (FrameFolder("v1", folder, 4),)
    frames = list(FrameFolder("v1", folder, 4).frames(Sampling(fps=2)))
    # 5 would be shown at 1 s; 6, at 1.25 s, is nearer than 3, at 0.5 s
    assert [number(frame.image) for frame in frames] == [1, 3, 6, 7]
    assert [frame.time for frame in frames] == [0, 0.5, 1.25, 1.5]
    assert frames[0].image.shape == (48, 64, 3)
    every = FrameFolder("v1", folder, 4).frames(Sampling(every=2))
    assert [number(frame.image) for frame in every] == [1, 3, 7]


def test_a_folder_of_frames_samples_as_its_video_does(tmp_path):
    path = write_film(tmp_path / "a.mkv", [index / 10 for index in range(25)], rate=10)
    folder = write_images(tmp_path / "a", range(25))
    for sampling in (Sampling(fps=3), Sampling(clip_seconds=0.8), Sampling(times=(0.33, 2.4))):
        pair = VideoFile("a", path), FrameFolder("a", folder, 10)
        film, images = ([number(f.image) for f in video.frames(sampling)] for video in pair)
        assert film == images


def test_a_damaged_folder_of_frames_names_the_file(tmp_path):
    folder = write_images(tmp_path / "a", [1, 2])
    (folder / "000002.jpg").write_bytes(b"")
    with pytest.raises(ValueError, match=r"000002\.jpg is empty"):
        list(FrameFolder("a", folder, 1).frames(Sampling(fps=1)))
    (folder / "2.jpg").touch()
    with pytest.raises(ValueError, match=r"000002\.jpg and .*/2\.jpg have the same number"):
        list(FrameFolder("a", folder, 1).frames(Sampling(fps=1)))
    with pytest.raises(ValueError, match=r"no frame at 5 s; it ends at 2\.00 s"):
        list(FrameFolder("b", write_images(tmp_path / "b", [1, 2]), 1).frames(Sampling(times=(5,))))
