"""The systems by name."""

import importlib
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from ml_collections import ConfigDict

from vmr_jax.layers.moment_map import Cells
from vmr_jax.types import DataSpec, System

_MODULES = {
    "eva": "vmr_jax.models.eva.system",
    "mmcda": "vmr_jax.models.mmcda.system",
    "mmn": "vmr_jax.models.mmn.system",
    "prem_localizer": "vmr_jax.models.prem.localizer",
    "prem_retriever": "vmr_jax.models.prem.retriever",
    "vdi": "vmr_jax.models.vdi.system",
    "vlanet": "vmr_jax.models.vlanet.system",
}

NAMES = tuple(_MODULES)
FIRST_RUN = "first_run"  # its folder in the workdir of the run that reads it


def make(config: ConfigDict, specs: Mapping[str, DataSpec]) -> System:
    """Build the system that `config.system` names; `specs` maps a domain's name to its sizes.

    Raises ValueError for an unknown name.
    """
    return _module(config).make(config, specs)


def domains(config: ConfigDict) -> tuple[str, ...]:
    """The domains that a run of `config` trains on."""
    return _module(config).domains(config)


def epoch(config: ConfigDict) -> str:
    """Which of those domains' pairs make an epoch: the "last" one's, or the "largest" one's."""
    return getattr(_module(config), "EPOCH", "last")


def chooser(config: ConfigDict) -> str:
    """The domain whose validation split may choose a checkpoint."""
    return getattr(_module(config), "chooser", lambda _: "target")(config)


def form(config: ConfigDict) -> str:
    """What a batch holds: "pairs", "videos" with all their queries, or queries' "candidates"."""
    return getattr(_module(config), "FORM", "pairs")


def title(config: ConfigDict) -> str:
    """What a result of the system is called wherever one is shown."""
    return getattr(_module(config), "TITLE", config.system)


def task(config: ConfigDict) -> str:
    """What the system finds: "moments" in a given video, or videos and moments in a "corpus"."""
    return getattr(_module(config), "TASK", "moments")


def moment_map(config: ConfigDict) -> Cells | None:
    """The cells of the 2D moment map that are the moments a system ranks, or None without a map."""
    return getattr(_module(config), "moment_map", lambda _: None)(config)


def first_run(config: ConfigDict) -> ConfigDict | None:
    """The run that has to be trained before this one, which reads it, or None."""
    return getattr(_module(config), "first_run", lambda _: None)(config)


def located(config: ConfigDict, first_workdir: Path) -> ConfigDict:
    """The config that reads its first run, if it needs one, in `first_workdir`."""
    return getattr(_module(config), "located", lambda config, _: config)(config, first_workdir)


def readout(config: ConfigDict) -> tuple[str, ...]:
    """The blocks of a config that no parameter depends on: an evaluation may change them."""
    return getattr(_module(config), "READOUT", ())


def selected_by(config: ConfigDict) -> str:
    """The metric of the selection split that chooses a checkpoint."""
    return getattr(_module(config), "SELECTED_BY", "R@1,IoU=0.5")


def pretraining(config: ConfigDict) -> ConfigDict | None:
    """The run whose parameters this one starts from, or None."""
    before = getattr(_module(config), "pretraining", lambda _: None)
    return before(config)


def _module(config: ConfigDict) -> ModuleType:
    if config.system not in _MODULES:
        known = ", ".join(sorted(_MODULES))
        raise ValueError(f"config.system={config.system!r} is not known. Known systems: {known}.")
    return importlib.import_module(_MODULES[config.system])
