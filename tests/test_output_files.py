"""Result files are replaced whole or not at all."""

import errno
import os
import threading

import pytest

from vmr_jax import output_files
from vmr_jax.output_files import whole_file, whole_path, write_whole


def test_a_whole_file_takes_the_place_of_the_old_one(tmp_path):
    path = tmp_path / "metrics.json"
    path.write_text("old")
    with whole_file(path) as file:
        file.write("né\n")
        assert path.read_text() == "old"
    assert path.read_text("utf-8") == "né\n" and list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "metrics.json"
    path.write_text("old")
    with pytest.raises(OSError, match="No space left"), whole_file(path) as file:
        file.write("half")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_file_and_folder_are_on_the_disk_when_it_stands(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(output_files, "sync", lambda path: synced.append(path.name))
    write_whole(tmp_path / "metrics.json", "{}")
    assert synced == [f".draft-{os.getpid()}.json", tmp_path.name]


def test_a_link_stays_and_its_file_is_replaced(tmp_path):
    (tmp_path / "there").mkdir()
    real, link = tmp_path / "there" / "real.json", tmp_path / "link.json"
    real.write_text("old")
    link.symlink_to(real)
    write_whole(link, "new")
    assert link.is_symlink() and real.read_text() == "new"


def test_pipes_and_open_files_are_written_in_place(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    write_whole(pipe, "through")
    reader.join()
    assert read == ["through"] and pipe.is_fifo()
    for path in ("/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"):
        with whole_path(path) as to:
            assert str(to) == path
