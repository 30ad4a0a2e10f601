"""Configs by name and by path."""

from pathlib import Path

import pytest

from vmr_jax import configs
from vmr_jax.config_files import config_file, config_names, load_config, split_argument, summary

FOLDER = Path(configs.__file__).parent
NAMES = ", ".join(config_names())


def test_names_are_the_files_that_make_configs():
    names = config_names()
    assert names == sorted(names) and {"eva", "vlanet", "prem_localizer"} <= set(names)
    for name in names:
        assert config_file(name) == FOLDER / f"{name}.py"
        assert load_config(name).is_locked and load_config(name).system == name


def test_a_name_is_found_from_anywhere_and_before_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "eva").write_text("not a config")
    assert config_file("eva").samefile(FOLDER / "eva.py")


def test_arguments():
    assert split_argument("eva") == ("eva", "")
    assert split_argument("eva:tvr,charades_sta") == ("eva", "tvr,charades_sta")
    assert split_argument("my/own.py:a:b") == ("my/own.py", "a:b")
    config = load_config("eva:tvr,charades_sta")
    assert (config.source.dataset, config.target.dataset) == ("tvr", "charades_sta")
    with pytest.raises(ValueError, match="argument is 'tvr'; it must be SOURCE,TARGET"):
        load_config("eva:tvr")


def test_paths(tmp_path, monkeypatch):
    assert load_config(f"{FOLDER / 'vlanet.py'}:didemo") == load_config("vlanet:didemo")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text(
        "from vmr_jax.configs import vlanet\n"
        "def get_config(argument='mine'):\n"
        "    config = vlanet.get_config(argument)\n"
        "    config.dim = 8\n"
        "    return config\n"
    )
    assert config_file("own.py") == Path("own.py")
    assert (load_config("own.py").target.dataset, load_config("own.py").dim) == ("mine", 8)
    assert load_config("own.py:other").target.dataset == "other"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("vlanett", f"no config 'vlanett': .* Did you mean vlanet.* Names: {NAMES}"),
        ("configs/mnn.py", "no config 'configs/mnn.py': .* Did you mean mmn"),
        ("configs/none.py", f"it is neither a file nor a name. Names: {NAMES}"),
        ("common", "no config 'common'"),
        ("", "no config ''"),
    ],
)
def test_missing_ones_suggest_the_nearest_name(name, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=message):
        load_config(name)


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("notes.txt", "get_config = dict", "notes.txt is no config: it is not a Python file"),
        ("empty.py", "", r"empty.py is no config: it defines no get_config\(argument=''\)"),
    ],
)
def test_files_that_are_no_configs(file, text, message, tmp_path):
    (tmp_path / file).write_text(text)
    with pytest.raises(ValueError, match=message):
        load_config(str(tmp_path / file))


def test_a_file_that_is_no_python_says_where(tmp_path):
    (tmp_path / "own.py").write_text("import this is\n")
    with pytest.raises(SyntaxError) as error:
        load_config(str(tmp_path / "own.py"))
    assert (error.value.filename, error.value.lineno) == (str(tmp_path / "own.py"), 1)


def test_the_summary_is_the_first_line_and_runs_nothing(tmp_path):
    assert summary("eva").startswith("EVA: hybrid-learning video moment retrieval")
    assert all(summary(name) and "\n" not in summary(name) for name in config_names())
    own = tmp_path / "own.py"
    own.write_text('"""What it trains.\n\nMore of it.\n"""\nraise SystemExit\n')
    assert summary(str(own)) == "What it trains."
    own.write_text("raise SystemExit\n")
    assert summary(str(own)) == ""
