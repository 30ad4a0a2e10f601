"""What a run says while it trains."""

import io
import re
import struct

import numpy as np
import pytest
from rich.console import Console
from rich.table import Table
from tensorboardX.proto import event_pb2

from tests.conftest import fill
from vmr_jax.output_files import FullDiskError
from vmr_jax.training import logs


def test_the_time_left_does_not_count_the_compilation(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(logs.time, "monotonic", lambda: now[0])
    said = io.StringIO()
    log = logs.RunLog(tmp_path, Console(file=said, width=200), first_step=20, last_step=100)
    for seconds, step in ((60, 30), (11, 52), (11, 100)):
        now[0] += seconds
        log.progress(step, {"loss": 1.5})
    assert said.getvalue().splitlines() == [
        "step 30/100  loss 1.5",
        "step 52/100  24 s left  2.0 steps/s  loss 1.5",
        "step 100/100  0 s left  3.2 steps/s  loss 1.5",
    ]


def test_the_bar_of_a_narrow_terminal_keeps_count_and_time_left(tmp_path):
    said = io.StringIO()
    console = Console(file=said, width=80, force_terminal=True, color_system=None)
    losses = {f"term_{n}": 1.0 for n in range(20)} | {"loss": 7.5}
    with logs.RunLog(tmp_path, console, first_step=0, last_step=1260) as log:
        log.progress(21, losses)
    last = [line for line in said.getvalue().splitlines() if "training" in line][-1]
    assert re.search(r" 21/1260 \d:\d\d:\d\d ETA \S+ loss 7.5  term_0 1 .*…$", last)


def test_no_text_of_a_user_is_read_as_markup(capsys):
    name = "How to cook rice [dQw4w9WgXcQ].npy, man [/b] door"
    table = Table("video", title=name)
    table.add_row(name)
    console = logs.make_console()
    console.print(name)
    console.print(table)
    said = capsys.readouterr().out
    assert said.count("[dQw4w9WgXcQ]") == 3 and said.count("[/b]") == 3


def test_a_torn_last_line_of_a_kill_is_cut(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 3, "loss": 1.0}\n{"step": 6, "loss": 0.5}\n{"step": 9, "lo\xc3')
    with logs.RunLog(tmp_path, Console(quiet=True), first_step=6, last_step=12) as log:
        log.write(9, {"loss": 0.25})
    lines = ['{"step": 3, "loss": 1.0}', '{"step": 6, "loss": 0.5}', '{"step": 9, "loss": 0.25}']
    assert path.read_text().splitlines() == lines


def test_a_full_disk_ends_a_log_in_one_line_and_never_hangs(small_disk):
    quiet = Console(quiet=True)
    said = rf"no space is left for {small_disk}/metrics.jsonl: more than the 0 free bytes are"
    with (
        pytest.raises(FullDiskError, match=said),
        logs.RunLog(small_disk, quiet, first_step=0, last_step=9000) as log,
    ):
        log.write(1, {"loss": 1.0})
        fill(small_disk, free=0)
        for step in range(2, 9000):
            log.write(step, {"loss": 1.0, "term": 2.0})
    (small_disk / "other").unlink()
    with logs.RunLog(small_disk, quiet, first_step=1, last_step=9) as log:
        log.write(2, {"loss": 0.5})
    lines = (small_disk / "metrics.jsonl").read_text().splitlines()
    assert lines == ['{"step": 1, "loss": 1.0}', '{"step": 2, "loss": 0.5}']


def test_tensorboard_reads_what_was_logged(tmp_path):
    with logs.RunLog(tmp_path, Console(quiet=True), first_step=4, last_step=9) as log:
        log.write(5, {"loss": 0.5, "val/mIoU": 20.0})
    [file] = (tmp_path / "tensorboard").iterdir()
    content, events = file.read_bytes(), []
    while content:  # length, its checksum, event, its checksum
        size = 12 + struct.unpack("<Q", content[:8])[0]
        events.append(event_pb2.Event.FromString(content[12:size]))
        content = content[size + 4 :]
    assert [event.step for event in events] == [0, 5, 5, 5]
    assert events[1].session_log.status == event_pb2.SessionLog.START  # hides what came after 4
    shown = [event.summary.value[0] for event in events[2:]]
    assert [(value.tag, value.simple_value) for value in shown] == [("loss", 0.5), ("val/mIoU", 20)]


@pytest.mark.parametrize("damaged", ["{", '{"loss": 1}', "[3]", '{"step": null}', "\0", "[" * 9999])
def test_a_damaged_line_amid_the_others_is_said_and_kept(tmp_path, damaged):
    path, console = tmp_path / "metrics.jsonl", Console(file=io.StringIO(), width=10_000)
    before = f'{{"step": 3}}\n{damaged}\n{{"step": 6}}\n{{"step": 9}}\n'
    path.write_text(before)
    logs.RunLog(tmp_path, console, first_step=6, last_step=12).__exit__()
    assert path.read_text() == '{"step": 3}\n{"step": 6}\n'
    aside = tmp_path / "damaged" / "metrics.jsonl"
    said = console.file.getvalue().replace("\n", "")
    assert said == f"{path}:2 is damaged: left out; the file is kept as {aside}"
    assert aside.read_text() == before


@pytest.mark.parametrize(
    ("apart", "said"),
    [([0.2, 0.003, 0.003, 0.002, 0.002], 1), ([0.2, 0.003, 0.2, 0.003], 0), ([0.2, 0.3, 0.003], 0)],
    ids=["for an epoch", "now and then", "for less"],
)
def test_a_collapse_of_an_epoch_is_said_once(tmp_path, monkeypatch, apart, said):
    monkeypatch.setattr(logs, "_PATIENCE", 0)
    console = Console(file=io.StringIO(), width=200)
    with logs.RunLog(tmp_path, console, 0, 6) as log:
        for step, value in enumerate(apart):
            pairs = {"similarity_positive": np.array([value]), "similarity_negative": np.zeros(1)}
            log.record((step, step + 1, {"loss": np.ones(1)} | pairs))
            log.warn_of_collapse(step + 1, 3)
    assert console.file.getvalue().count("warning: for an epoch the similarities") == said


def test_the_first_steps_of_a_run_are_no_collapse(tmp_path):
    console = Console(file=io.StringIO(), width=200)
    with logs.RunLog(tmp_path, console, 0, 500) as log:
        for step in range(0, 440, 20):
            pairs = {
                "similarity_positive": np.full(20, 0.4),
                "similarity_negative": np.full(20, 0.4),
            }
            log.record((step, step + 20, {"loss": np.ones(20)} | pairs))
            log.warn_of_collapse(step + 20, 20)
            assert ("collapsed" in console.file.getvalue()) == (step + 20 >= 400)


def test_a_system_without_similarities_does_not_collapse(tmp_path):
    console = Console(file=io.StringIO(), width=200)
    with logs.RunLog(tmp_path, console, 0, 6) as log:
        for step in range(4):
            log.record((step, step + 1, {"loss": np.ones(1)}))
            log.warn_of_collapse(step + 1, 2)
    assert "collapsed" not in console.file.getvalue()


@pytest.mark.parametrize(
    ("losses", "said"),
    [
        ([0.5, 1e6], "warning: training diverged, the loss rose from 0.5 to 1e+06"),
        ([-1.0, 9.5], "warning: training diverged, the loss rose from -1 to 9.5"),
        ([0.5, 10.0], ""),
        ([30.0, 1.0], ""),
    ],
)
def test_divergence_is_said(tmp_path, losses, said):
    console = Console(file=io.StringIO(), width=200)
    with logs.RunLog(tmp_path, console, 0, len(losses)) as log:
        for step, loss in enumerate(losses):
            log.record((step, step + 1, {"loss": np.array([loss])}))
        console.file.truncate(0)
        log.warn_of_divergence()
    assert console.file.getvalue().strip("\0\n").startswith(said)
    assert bool(console.file.getvalue().strip("\0\n")) == bool(said)
