import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vmr_jax.models.eva.matching_head import MatchingHead

DIM = 6


def _literal(params, rows, query):
    """Eq. 3 with every joint vector j_k built, in float64."""
    p = jax.tree.map(lambda leaf: np.asarray(leaf).astype(np.float64), params)
    query = np.broadcast_to(query[:, None], rows.shape)
    both = np.concatenate([rows, query], -1)
    joint = both @ p["fc_kernel"] + p["fc_bias"] if "fc_kernel" in p else both
    joint = np.concatenate([rows + query, rows * query, joint], -1)
    return (joint @ p["scorer"])[..., 0] + p["bias"]


@pytest.mark.parametrize(("fc_out", "width"), [("d", 3), ("2d", 4), ("identity", 4)])
def test_the_collapsed_head_equals_eq_3(fc_out, width):
    rng = np.random.default_rng(0)
    rows, query = rng.standard_normal((3, 5, DIM)), rng.standard_normal((3, DIM))
    rows, query = rows.astype(np.float32), query.astype(np.float32)
    head = MatchingHead(DIM, fc_out=fc_out)
    params = head.init(jax.random.key(0), rows, query)["params"]
    params = jax.tree.map(lambda leaf: leaf + 0.1, params)
    assert params["scorer"].shape == (width * DIM, 1)
    logits = head.apply({"params": params}, rows, query)
    np.testing.assert_allclose(logits, _literal(params, rows, query), atol=1e-5)


def test_parameters_of_the_default_head():
    shapes = jax.eval_shape(
        MatchingHead(256).init, jax.random.key(0), jnp.zeros((1, 1, 256)), jnp.zeros((1, 256))
    )
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == 131_328 + 769
