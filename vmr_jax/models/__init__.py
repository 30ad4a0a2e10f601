"""The systems by name: ours are found by their folder, outside packages' by their entry points."""

import functools
import importlib
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from vmr_jax.models.description import Description, Specs
from vmr_jax.models.input_dropout import with_input_dropout
from vmr_jax.models.normalized_inputs import with_normalized_inputs
from vmr_jax.types import Config, Localizer, MomentSystem, Retriever, System

ENTRY_POINTS = "vmr_jax.systems"
FIRST_RUN = "first_run"  # its folder in the workdir of the run that reads it
_FORMS = {"moments": MomentSystem, "retriever": Retriever, "localizer": Localizer}


@functools.cache
def names() -> tuple[str, ...]:
    """The names of all systems, in order."""
    return tuple(sorted({*_ours(), *_plug_ins()}))


@functools.cache
def describe(name: str) -> Description:
    """The description of a system.

    Raises ValueError for an unknown name, and for a plug-in that cannot be loaded, is no
    Description or has another name than its entry point.
    """
    if name in _ours():
        described = importlib.import_module(_ours()[name]).SYSTEM
    elif name in _plug_ins():
        described = _loaded(_plug_ins()[name])
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
    """Build the system that `config.system` names, with what its domain blocks do to features.

    Raises as `describe`, Description.build, `with_input_dropout` and `with_normalized_inputs`.
    """
    described = of(config)
    trained_on = described.domains(config)
    system = described.build(config, specs)
    if not isinstance(system, _FORMS[described.kind]):
        raise ValueError(
            f"the system {described.name!r} is of the kind {described.kind!r}, so build must make "
            f"a {_FORMS[described.kind].__name__}, not a {type(system).__name__}"
        )
    system = with_input_dropout(system, config, trained_on)
    return with_normalized_inputs(system, config, trained_on, specs)


@functools.cache
def _ours() -> dict[str, str]:
    """models/eva/system.py is "eva", models/prem/retriever_system.py is "prem_retriever".

    A name that ends in the folder's stands alone: models/detr/qd_detr_system.py is "qd_detr".
    """
    found = {}
    for path in Path(__file__).parent.glob("*/*system.py"):
        folder, kind = path.parent.name, path.stem.removesuffix("system").rstrip("_")
        name = kind if kind.endswith(f"_{folder}") else f"{folder}_{kind}".rstrip("_")
        found[name] = f"{__name__}.{folder}.{path.stem}"
    return found


@functools.cache
def _plug_ins() -> dict[str, EntryPoint]:
    """The entry points of outside packages; of two with one name none is taken in silence."""
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=ENTRY_POINTS):
        if point.name in found or point.name in _ours():
            other = f"{found[point.name].value} is" if point.name in found else "one of ours is"
            raise ValueError(
                f"the plug-in {point.value} is registered as the system {point.name!r}, but "
                f"{other} already: one of the packages must go, or name its system otherwise"
            )
        found[point.name] = point
    return found


def _loaded(point: EntryPoint) -> object:
    try:
        return point.load()
    except Exception as error:  # of a module of others
        raise ValueError(
            f"the plug-in {point.value}, registered as the system {point.name!r}, cannot be "
            f"loaded: {type(error).__name__}: {error}"
        ) from error
