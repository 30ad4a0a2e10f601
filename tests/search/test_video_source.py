"""Files of videos and of their subtitles."""

import h5py
import numpy as np
import pytest

from vmr_jax.search.video_source import open_files


def test_how_files_are_read_is_told(tmp_path):
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file["a/rgb"], file["a/flow"], file["b/rgb"] = np.ones((3, 2)), np.ones(1), np.ones((4, 2))
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file["a.mp4"], file["b"] = np.ones((3, 5)), np.ones((4, 5))
    source = open_files(str(tmp_path / "v.h5"), str(tmp_path / "s.h5"), "rgb")
    assert source.video_id == ("a", "b")
    assert [part.shape for part in source.read(0)] == [(3, 2), (3, 5)]
    (told,) = source.notes
    assert told == (
        f"1 videos have another form of their id in {tmp_path}/s.h5, such as 'a.mp4' for 'a': "
        "taken as one"
    )
    with h5py.File(tmp_path / "t.h5", "w") as file:
        file["a.mp4"] = file["a.avi"] = file["b"] = np.ones((3, 5))
    with pytest.raises(ValueError, match="1 of 2 videos have no subtitles in .*, such as a: a vid"):
        open_files(str(tmp_path / "v.h5"), str(tmp_path / "t.h5"), "rgb")
