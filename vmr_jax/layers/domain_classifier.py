"""The domain classifier of EVA (Eq. 9) and of MMCDA (MMCDA M3)."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from vmr_jax.types import Array


class DomainClassifier(nn.Module):
    """FC_1(act(FC_2(J))); class 1 is the target.

    `out` is "softmax2" (two logits) or "sigmoid" (one), `act` is "relu" or "none" (EVA A9, A10).
    """

    dim: int
    out: str = "softmax2"
    act: str = "relu"
    kernel_init: Callable = nn.initializers.xavier_uniform()
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, joint: Array) -> Array:
        """Log-odds of "target", so that G_d = sigmoid: features (B, F) -> (B,) float32."""
        hidden = nn.Dense(self.dim, kernel_init=self.kernel_init, dtype=self.dtype, name="fc_2")(
            joint
        )
        if self.act == "relu":
            hidden = jax.nn.relu(hidden)
        classes = 2 if self.out == "softmax2" else 1
        logits = nn.Dense(classes, kernel_init=self.kernel_init, dtype=self.dtype, name="fc_1")(
            hidden
        )
        logits = logits.astype(jnp.float32)
        return logits[:, 1] - logits[:, 0] if classes == 2 else logits[:, 0]
