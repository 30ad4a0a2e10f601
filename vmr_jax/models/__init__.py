"""The systems by name: ours are found by their folder, outside packages' by their entry points."""

import functools
import importlib
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from vmr_jax.models.description import Description, Specs
from vmr_jax.types import Config, System

ENTRY_POINTS = "vmr_jax.systems"
FIRST_RUN = "first_run"  # its folder in the workdir of the run that reads it


@functools.cache
def names() -> tuple[str, ...]:
    """The names of all systems, in order."""
    return tuple(sorted({*_ours(), *_plug_ins()}))


@functools.cache
def describe(name: str) -> Description:
    """The description of a system.

    Raises ValueError for an unknown name, and for a plug-in that is no Description or has another
    name than its entry point.
    """
    if name in _ours():
        described = importlib.import_module(_ours()[name]).SYSTEM
    elif name in _plug_ins():
        described = _plug_ins()[name].load()
    else:
        near = " or ".join(get_close_matches(name, names()))
        raise ValueError(
            f"config.system={name!r} is not known{f': did you mean {near}?' if near else '.'} "
            f"Known systems: {', '.join(names())}."
        )
    if not isinstance(described, Description) or described.name != name:
        raise ValueError(
            f"the system {name!r} must be registered as a vmr_jax.models.Description of that name, "
            f"not as {described!r}"
        )
    return described


def of(config: Config) -> Description:
    """The description of the system that `config.system` names. Raises as `describe`."""
    return describe(config.system)


def make(config: Config, specs: Specs) -> System:
    """Build the system that `config.system` names. Raises as `describe` and Description.build."""
    described = of(config)
    described.domains(config)
    return described.build(config, specs)


@functools.cache
def _ours() -> dict[str, str]:
    """models/eva/system.py is "eva", models/prem/retriever_system.py is "prem_retriever"."""
    found = {}
    for path in Path(__file__).parent.glob("*/*system.py"):
        name = f"{path.parent.name}_{path.stem}".removesuffix("_system")
        found[name] = f"{__name__}.{path.parent.name}.{path.stem}"
    return found


@functools.cache
def _plug_ins() -> dict[str, EntryPoint]:
    """The entry points of outside packages; of two with one name none is taken in silence."""
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=ENTRY_POINTS):
        if point.name in found or point.name in _ours():
            raise ValueError(f"two packages register a system named {point.name!r}: {point.value}")
        found[point.name] = point
    return found
