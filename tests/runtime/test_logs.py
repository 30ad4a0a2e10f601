import io

from rich.console import Console

from vmr_jax.runtime import logs


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
