"""Terms of a loss, each a weighted sum and a count."""

from vmr_jax.types import Array


def scaled(term: tuple[Array, Array], factor: Array | float) -> tuple[Array, Array]:
    """Weigh a (sum, count) term: its mean is `factor` times as large."""
    return factor * term[0], term[1]
