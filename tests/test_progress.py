"""Progress lines."""

from vmr_jax import progress


def test_plain_lines_away_from_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr(progress, "_SECONDS_A_LINE", 0.0)
    monkeypatch.setattr(progress, "_WORTH_A_LINE", 0.0)
    assert list(progress.shown("abc", "reading", 3)) == ["a", "b", "c"]
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "reading: 1 of 3, about 0 s left"
    assert lines[-1].startswith("reading: 3 in ")


def test_a_short_pass_leaves_no_line(capsys):
    assert list(progress.shown("abc", "reading", 3)) == ["a", "b", "c"]
    assert capsys.readouterr().err == ""


def test_a_bar_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert list(progress.shown(range(5), "reading", 5)) == [0, 1, 2, 3, 4]
    assert "5/5" in capsys.readouterr().err


def test_a_share_and_its_note(capsys, monkeypatch):
    monkeypatch.setattr(progress, "_SECONDS_A_LINE", 0.0)
    with progress.share_shown("extract") as say:
        say(0.0, "0.0 x realtime")
        say(1.0, "3.0 x realtime")
    assert capsys.readouterr().err == "extract: 100%, 3.0 x realtime, about 0 s left\n"


def test_a_share_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    with progress.share_shown("extract") as say:
        say(0.25, "3.0 x realtime")
    told = capsys.readouterr().err
    assert "extract: 3.0 x realtime" in told and "25%" in told


def test_quiet(capsys):
    assert list(progress.quiet(range(3), "reading", 3)) == [0, 1, 2]
    assert capsys.readouterr().err == ""
