"""Configs by name or by path: `eva`, `eva:tvr,charades_sta`, `configs/eva.py`, `my/own.py`."""

import ast
import importlib.util
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vmr_jax.types import Config

_FOLDER = Path(__file__).parent / "configs"
_NOT_CONFIGS = ("__init__", "common")


def config_names() -> list[str]:
    """The names of the configs that are installed with the package."""
    return sorted(p.stem for p in _FOLDER.glob("*.py") if p.stem not in _NOT_CONFIGS)


def config_file(name: str) -> Path:
    """The file of a config: a name of ours, or the path of any other.

    Raises FileNotFoundError, with the nearest name and all names, where there is neither.
    """
    if name in config_names():
        return _FOLDER / f"{name}.py"
    path = Path(name)
    if path.is_file():
        return path
    near = " or ".join(get_close_matches(path.stem, config_names()))
    raise FileNotFoundError(
        f"no config {name!r}: it is neither a file nor a name"
        f"{f'. Did you mean {near}?' if near else '.'} Names: {', '.join(config_names())}"
    )


def split_argument(config: str) -> tuple[str, str]:
    """ "eva:tvr,charades_sta" -> ("eva", "tvr,charades_sta")."""
    name, _, argument = config.partition(":")
    return name, argument


def load_config(config: str) -> "Config":
    """The settings of NAME[:ARGUMENT] or FILE.py[:ARGUMENT].

    Raises FileNotFoundError as `config_file`, ValueError for a file that is no config, and what
    its own `get_config` raises.
    """
    name, argument = split_argument(config)
    path = config_file(name)
    spec = importlib.util.spec_from_file_location(f"config_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{path} is no config: it is not a Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not hasattr(module, "get_config"):
        raise ValueError(f"{path} is no config: it defines no get_config(argument='')")
    return module.get_config(argument) if argument else module.get_config()


def summary(name: str) -> str:
    """The first line of a config's docstring, without running it."""
    text = ast.get_docstring(ast.parse(config_file(name).read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0]
