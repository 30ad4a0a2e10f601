"""Running statistics of a Linen network among the parameters of a system."""

from collections.abc import Mapping

from vmr_jax.types import STATISTICS, Params


def as_params(variables: Mapping) -> Params:
    """What a network's `init` made, as a system's parameters."""
    statistics = {STATISTICS: variables["batch_stats"]} if "batch_stats" in variables else {}
    return {**variables["params"], **statistics}


def as_variables(params: Params) -> dict:
    """A system's parameters, as the network's `apply` takes them."""
    trained = {name: leaf for name, leaf in params.items() if name != STATISTICS}
    return {"params": trained, "batch_stats": params.get(STATISTICS, {})}
