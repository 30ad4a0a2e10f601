"""A Transformer decoder block for single queries, each about one of several memories."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from vmr_jax.layers.sequences import dropout
from vmr_jax.layers.transformer import layer_norm, multi_head_attention
from vmr_jax.types import Array


class QueryDecoder(nn.Module):
    """Self-attention, cross-attention and a feed-forward part, each norm(x + dropout(part(x))).

    A sequence of one query attends itself with weight 1: its self-attention is two linear maps.
    Source: Vaswani et al., 2017, section 3; VDI, Eq. 1.
    """

    width: int  # D
    heads: int
    hidden: int
    dropout: float = 0.0
    dtype: Any = jnp.float32

    def setup(self):
        for name in ("self_value", "self_out", "query", "key", "value", "out"):
            setattr(self, name, nn.Dense(self.width, dtype=self.dtype))
        self.fc1 = nn.Dense(self.hidden, dtype=self.dtype)
        self.fc2 = nn.Dense(self.width, dtype=self.dtype)
        self.norm1, self.norm2, self.norm3 = (layer_norm(1e-5) for _ in range(3))

    def __call__(self, x: Array, memory: Array, owner: Array, key: Array | None = None) -> Array:
        """Queries (T, D), memories (B, N, F), the memory (T,) of each query -> (T, D) float32.

        All N rows of a memory are attended. Without a key there is no dropout.
        """
        keys = (None,) * 3 if key is None else jax.random.split(key, 3)
        drop = lambda k, part: dropout(keys[k], part, self.dropout)  # noqa: E731
        x = self.norm1(x + drop(0, self.self_out(self.self_value(x))))
        x = self.norm2(x + drop(1, self._attend(x, memory, owner)))
        return self.norm3(x + drop(2, self.fc2(nn.relu(self.fc1(x)))))

    def _attend(self, x: Array, memory: Array, owner: Array) -> Array:
        """Multi-head attention of each query to its memory."""
        split = lambda rows: rows.reshape(*rows.shape[:-1], self.heads, -1)  # noqa: E731
        query, keys, values = (
            split(self.query(x)),
            split(self.key(memory)),
            split(self.value(memory)),
        )
        every = jnp.ones((1, 1, 1, 1), bool)
        mixed = multi_head_attention(query[:, None], keys[owner], values[owner], every, None, 0.0)
        return self.out(mixed[:, 0])
