"""The Transformer layers that CLIP and DistilBERT share.

A stack of equal layers runs as one scan, and its parameters carry a leading axis of layers:
XLA then compiles one layer, not twelve.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from vmr_jax.layers.attention import masked_softmax
from vmr_jax.layers.dropout import dropout
from vmr_jax.types import Array


def layer_norm(epsilon: float) -> nn.LayerNorm:
    """A LayerNorm that computes and returns float32, its variance in two passes."""
    return nn.LayerNorm(epsilon=epsilon, dtype=jnp.float32, use_fast_variance=False)


class TransformerLayer(nn.Module):
    """Self-attention and a feed-forward part, each with a residual and a LayerNorm.

    With `pre_norm` (CLIP) each part reads the normalised rows: x + part(norm(x)). Else (BERT) the
    sum is normalised: norm(x + part(x)). Dropout acts on the attention weights and on the
    feed-forward output, as DistilBERT's does.
    """

    width: int
    heads: int
    hidden: int
    activation: Callable[[Array], Array]
    pre_norm: bool
    epsilon: float
    dropout: float = 0.0
    dtype: Any = jnp.float32

    def setup(self):
        self.qkv = nn.Dense(3 * self.width, dtype=self.dtype)
        self.out = nn.Dense(self.width, dtype=self.dtype)
        self.norm1 = layer_norm(self.epsilon)
        self.fc1 = nn.Dense(self.hidden, dtype=self.dtype)
        self.fc2 = nn.Dense(self.width, dtype=self.dtype)
        self.norm2 = layer_norm(self.epsilon)

    def __call__(self, x: Array, mask: Array, key: Array | None) -> tuple[Array, None]:
        """(B, M, D) and a mask that broadcasts to (B, H, M, M) -> (B, M, D), nothing to stack.

        Row i attends row j where mask[..., i, j] is true.
        """
        keys = (None, None) if key is None else jax.random.split(key)
        if self.pre_norm:
            x = x + self._attend(self._normalise(self.norm1, x), mask, keys[0])
            x = x + self._feed(self._normalise(self.norm2, x), keys[1])
        else:
            x = self._normalise(self.norm1, x + self._attend(x, mask, keys[0]))
            x = self._normalise(self.norm2, x + self._feed(x, keys[1]))
        return x, None

    def _normalise(self, norm: nn.LayerNorm, x: Array) -> Array:
        return norm(x).astype(self.dtype)

    def _attend(self, x: Array, mask: Array, key: Array | None) -> Array:
        """Multi-head self-attention, with scores and softmax in float32."""
        heads = self.qkv(x).reshape(*x.shape[:2], 3, self.heads, -1)
        query, keys, value = heads[:, :, 0], heads[:, :, 1], heads[:, :, 2]
        query = query * query.shape[-1] ** -0.5
        scores = jnp.einsum("bihe,bjhe->bhij", query, keys, preferred_element_type=jnp.float32)
        weight = dropout(key, masked_softmax(scores, mask), self.dropout).astype(self.dtype)
        return self.out(jnp.einsum("bhij,bjhe->bihe", weight, value).reshape(x.shape))

    def _feed(self, x: Array, key: Array | None) -> Array:
        return dropout(key, self.fc2(self.activation(self.fc1(x))), self.dropout)


def transformer_stack(layers: int, remat: bool, **sizes: Any) -> nn.Module:
    """`layers` TransformerLayers of `sizes` as one module, whose parameters have `layers` rows.

    It takes rows, a mask and keys (layers,) or None, and returns rows and None. The backward pass
    finds the dense layers' outputs kept and computes the rest again: on a CPU that takes 35 % of
    the memory of keeping everything, and less time. With `remat` it finds only each layer's input.
    """
    saved = None if remat else jax.checkpoint_policies.dots_with_no_batch_dims_saveable
    stack = nn.scan(
        nn.remat(TransformerLayer, prevent_cse=False, policy=saved),
        variable_axes={"params": 0},
        split_rngs={"params": True},
        in_axes=(nn.broadcast, 0),
        length=layers,
    )
    return stack(**sizes)
