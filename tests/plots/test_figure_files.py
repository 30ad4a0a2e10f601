"""PNG and JSON side by side, and the commands that write them."""

import json
import subprocess
import sys

import numpy as np
import pytest

from tests.plots.figure_cases import DRAW, SENTENCE, assert_readable
from vmr_jax import cli
from vmr_jax.plots import drawing, figure_files


def colours_of(picture):
    from matplotlib.image import imread

    return imread(picture)[..., :3]


@pytest.mark.parametrize("figure", ["attention", "timeline"])
def test_files_and_figures_of_queries(figure, workdir, other_data, tmp_path):
    (picture,) = figure_files.write_query_figures(
        figure, workdir, ["a/b #1"], data_dir=other_data, out=tmp_path
    )
    assert picture == tmp_path / f"{figure}_a%2Fb%20#1.png"
    shown = json.loads(picture.with_suffix(".json").read_text())
    assert shown["figure"] == figure
    drawn = DRAW[figure](shown)
    pixels = colours_of(picture)
    width, height = drawn.get_size_inches() * drawing.DPI
    assert pixels.shape[:2] == (int(height), int(width))
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 100
    texts = " ".join(assert_readable(drawn)).replace("\n", " ")
    assert f"“{SENTENCE}”" in texts and "toy_target / test, query a/b #1, video v" in texts
    if figure == "attention":
        assert "[unheard-of]" in texts and "truth ×2" in texts and "last 5 words" in texts
    else:
        assert texts.count("truth: 1.0 – 4.0 s") == 2 and "truth: 2.0 – 8.5 s" in texts
        best = [shown["predictions"][name][1] for name in ("start", "end")]
        assert f"top 2: {best[0]:.1f} – {best[1]:.1f} s" in texts
        count = len(shown["proposals"]["start"])
        assert f"strongest proposals: {shown['shown']} of {count}" in texts


@pytest.mark.parametrize("figure", ["attention", "timeline"])
def test_figures_of_surrogates_and_signed_words(figure, vlanet_workdir, tmp_path):
    (picture,) = figure_files.write_query_figures(figure, vlanet_workdir, ["test0#0"], out=tmp_path)
    shown = json.loads(picture.with_suffix(".json").read_text())
    drawn = DRAW[figure](shown)
    texts = " ".join(assert_readable(drawn)).replace("\n", " ")
    assert shown["system"] == "vlanet" and "query test0#0" in texts
    if figure == "timeline":
        starts = shown["proposals"]["start"]
        assert len(starts) == len(set(starts))  # one surrogate a group
        return
    assert "alignment of word and proposal" in texts
    mesh = drawn.axes[0].collections[0]
    low, high = mesh.get_clim()
    if np.min(shown["rows"]["words"]) < 0:
        assert low == -high < 0


def test_similarities_of_a_run(workdir):
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    picture = figure_files.write_similarity_figure(workdir / "checkpoints")
    assert picture == workdir / "plots" / "similarity.png"
    shown = json.loads(picture.with_suffix(".json").read_text())
    assert shown["step"] == [3, 6, 9, 12, 15, 18]
    for name in ("positive", "negative"):
        assert shown[name] == [line[f"train/similarity_{name}"] for line in lines]
    figure = drawing.draw_similarity(shown)
    texts = assert_readable(figure)
    assert "eva on toy_target: similarity of its training pairs" in texts
    curves = {line.get_label(): line for line in figure.axes[0].lines}
    np.testing.assert_array_equal(curves["positive pairs"].get_ydata(), shown["positive"])
    assert len(np.unique(colours_of(picture).reshape(-1, 3), axis=0)) > 20


def run_cli(monkeypatch, *arguments):
    """Run the `vmr` command with arguments; its exit code or message."""
    monkeypatch.setattr(sys, "argv", ["vmr", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return stop.value.code


def test_commands(workdir, monkeypatch, capsys, tmp_path):
    asked = ["--checkpoint", workdir, "--qid", "test0#0", "--qid", "test1#1", "--out", tmp_path]
    for figure in ("attention", "timeline"):
        assert run_cli(monkeypatch, "plot", figure, *asked) == 0
        pictures = [tmp_path / f"{figure}_{qid}.png" for qid in ("test0#0", "test1#1")]
        assert capsys.readouterr().out.split() == list(map(str, pictures))
        assert all(picture.is_file() for picture in pictures)
    assert run_cli(monkeypatch, "plot", "similarity", "--checkpoint", workdir) == 0
    message = run_cli(monkeypatch, "plot", "timeline", "--checkpoint", workdir, "--qid", "x")
    assert message.startswith("vmr: no query 'x' in")


def test_help_is_quick():
    program = (
        "import sys\nfrom typer.testing import CliRunner\nfrom vmr_jax import cli\n"
        "said = CliRunner().invoke(cli.app, ['--help']).output\n"
        "assert ' plot ' in said, said\n"
        "assert not {'matplotlib', 'jax', 'orbax'} & set(sys.modules)\n"
        "from vmr_jax.plots import figure_files\nassert 'matplotlib' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
