"""The matching head of EVA (Eq. 3): how well a sentence fits each proposal of a video."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from vmr_jax.types import Array


class MatchingHead(nn.Module):
    """m_k = w^T j_k + b with j_k = (p_k + q) || (p_k * q) || FC(p_k || q).

    `fc_out` is the width of the FC: "d", "2d", or "identity" for p_k || q itself (EVA A3).
    Everything after q is linear in p_k, so with w = (w1, w2, w3) and FC(x) = x W + c

        m_k = p_k . u + s,  u = w1 + w2 * q + W_p w3,  s = q . (w1 + W_q w3) + c . w3 + b

    and no j_k is ever built.
    """

    dim: int
    fc_out: str = "d"
    kernel_init: Callable = nn.initializers.xavier_uniform()
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, rows: Array, query: Array) -> Array:
        """Logits of P_m(p_k | Q): rows (B, P, D), query (B, D) -> (B, P) float32."""
        width = {"d": self.dim, "2d": 2 * self.dim, "identity": 2 * self.dim}[self.fc_out]
        scorer = self.param("scorer", self.kernel_init, (2 * self.dim + width, 1))[:, 0]
        bias = self.param("bias", nn.initializers.zeros, (1,))
        add, multiply, joint = jnp.split(scorer, [self.dim, 2 * self.dim])
        if self.fc_out != "identity":
            kernel = self.param("fc_kernel", self.kernel_init, (2 * self.dim, width))
            bias = bias + self.param("fc_bias", nn.initializers.zeros, (width,)) @ joint
            joint = kernel @ joint
        of_rows, of_query = jnp.split(joint, 2)
        query = query.astype(jnp.float32)
        direction = (add + multiply * query + of_rows).astype(self.dtype)
        logits = jnp.einsum("bpd,bd->bp", rows, direction, preferred_element_type=jnp.float32)
        return logits + (query @ (add + of_query) + bias)[:, None]
