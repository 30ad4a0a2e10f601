"""Start a run from the parameters of another one."""

import jax

from vmr_jax.types import Params


def merge_params(params: Params, restored: Params) -> Params:
    """Fill `params` with the leaves of `restored` that have the same path.

    Leaves of `restored` that `params` does not have are left out: a part of a larger model can be
    taken. Raises ValueError that lists every leaf of `params` that is missing there or has
    another shape.
    """
    found = dict(jax.tree_util.tree_leaves_with_path(restored))
    misfits = []

    def take(path, leaf):
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        other = found.get(path)
        if other is None:
            misfits.append(f"{name}: not among the restored parameters")
        elif other.shape != leaf.shape:
            misfits.append(f"{name}: restored with shape {other.shape}, needed {leaf.shape}")
        return other

    adopted = jax.tree_util.tree_map_with_path(take, params)
    if misfits:
        raise ValueError(
            "The restored parameters do not fit this model; use a checkpoint of the same "
            "configuration:\n  " + "\n  ".join(misfits)
        )
    return adopted
