"""What the switches of a config may be."""

import functools
from collections.abc import Collection, Mapping

from ml_collections import ConfigDict


def check_choices(config: ConfigDict, choices: Mapping[str, Collection]) -> None:
    """Raise ValueError for a key, dotted, whose value is not one of its choices."""
    for path, allowed in choices.items():
        value = functools.reduce(lambda part, name: part[name], path.split("."), config)
        if value not in allowed:
            raise ValueError(f"config.{path}={value!r}: use one of {', '.join(map(str, allowed))}.")
