"""Config keys that a command line sets for many runs, KEY=VALUE."""

import ast
from collections.abc import Sequence
from difflib import get_close_matches

import jax

from vmr_jax.types import Config


def parse_settings(texts: Sequence[str]) -> dict[str, object]:
    """["epochs=3", "share=()"] -> {"epochs": 3, "share": ()}; what is no literal is text."""
    settings = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not (key and equals):
            raise ValueError(f"--set {text!r} must be KEY=VALUE, e.g. --set epochs=3")
        try:
            settings[key] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            settings[key] = value
    return settings


def set_key(config: Config, key: str, value: object, name: str) -> None:
    """Set a dotted key of a config, configs/`name`.py.

    Raises ValueError for an unknown key and for a value of another type than the one it replaces.
    """
    try:
        config.update_from_flattened_dict({key: value})
    except (KeyError, TypeError) as error:
        known = flattened(config)
        if key in known:
            raise ValueError(
                f"cannot set {key}={value!r}, of type {type(value).__name__}: {key} is of type "
                f"{type(known[key]).__name__}, {known[key]!r} by default"
            ) from error
        near = " or ".join(get_close_matches(key, known))
        raise ValueError(
            f"cannot set {key}={value!r}: unknown key; {f'did you mean {near}? ' if near else ''}"
            f"configs/{name}.py and configs/common.py list the keys"
        ) from error


def flattened(config: Config) -> dict[str, object]:
    """The values of a config by dotted key: {"epochs": 30, "optimizer.name": "adam", ...}."""
    values = jax.tree.leaves_with_path(
        config.to_dict(), is_leaf=lambda value: not isinstance(value, dict)
    )
    return {jax.tree_util.keystr(path, simple=True, separator="."): value for path, value in values}
