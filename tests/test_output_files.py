"""Result files are replaced whole or not at all."""

import errno
import os
import re
import threading
from threading import get_ident
from types import SimpleNamespace

import numpy as np
import pytest

from vmr_jax import output_files
from vmr_jax.output_files import (
    FullDiskError,
    need_space,
    whole_file,
    whole_path,
    write_whole,
)


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
    for error in (
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        OSError("1048576 requested and 503744 written"),  # NumPy's
        ValueError("RESOURCE_EXHAUSTED: No space left on device [os_error_code='28']"),
    ):
        said = (
            rf"no space is left for {path}: more than the [\d,]+ free bytes are needed; make space"
        )
        with pytest.raises(FullDiskError, match=said), whole_file(path) as file:
            file.write("half")
            raise error
        assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_another_error_stays_what_it_is(tmp_path):
    with pytest.raises(ValueError, match="^the data are at fault$"), whole_file(tmp_path / "a"):
        raise ValueError("the data are at fault")


def test_space_is_asked_for_before_a_write(tmp_path, monkeypatch):
    path = tmp_path / "not" / "there" / "yet.json"

    def tell(total: int, free: int) -> None:
        usage = lambda path: SimpleNamespace(total=total, free=free)  # noqa: E731
        monkeypatch.setattr(output_files.shutil, "disk_usage", usage)

    tell(10**6, 999)
    need_space(path, 999)
    said = re.escape(f"no space is left for {path}: 1,000 bytes are needed, 999 are free; make ")
    with pytest.raises(FullDiskError, match=said):
        need_space(path, 1000)
    with pytest.raises(FullDiskError), whole_path(tmp_path / "a.npy", 1000):
        pytest.fail("it was written")
    tell(0, 0)
    need_space(path, 10**15)  # a drive that does not tell


def test_a_disk_that_fills_up_while_it_is_written(small_disk):
    path = small_disk / "rows.npy"
    np.save(path, np.zeros(4))
    (small_disk / "other").write_bytes(bytes(1_500_000))
    with pytest.raises(FullDiskError, match=re.escape(str(path))), whole_path(path) as draft:
        np.save(draft, np.zeros(200_000))
    with pytest.raises(FullDiskError, match="3,000,000 bytes are needed, [0-9,]+ are free"):
        write_whole(path, 3_000_000 * "x")
    assert {file.name for file in small_disk.iterdir()} == {"rows.npy", "other"}
    assert np.load(path).tolist() == [0, 0, 0, 0]


def test_file_and_folder_are_on_the_disk_when_it_stands(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(output_files, "sync", lambda path: synced.append(path.name))
    write_whole(tmp_path / "metrics.json", "{}")
    assert synced == [f".draft-{os.getpid()}-{get_ident()}.json", tmp_path.name]


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
