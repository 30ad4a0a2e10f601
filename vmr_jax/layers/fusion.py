"""A Transformer layer in which a video's clips attend each other, then the words of a query."""

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, PRNGKeyArray

from vmr_jax.layers.sequences import dropout
from vmr_jax.layers.transformer import TransformerLayer, layer_norm, multi_head_attention
from vmr_jax.types import AnyArray, Array

# Keys and values of the words for each of H heads
Memory = tuple[Float[Array, "B M H E"], Float[Array, "B M H E"]]


class FusionLayer(nn.Module):
    """Self-attention, cross-attention and a feed-forward part, each norm(x + dropout(part(x))).

    The words' keys and values are made once a query, and serve all its videos. Source: PREM,
    section 3.4.
    """

    width: int  # D
    heads: int
    hidden: int
    activation: Callable[[Array], Array]
    epsilon: float
    dropout: float = 0.0
    kernel_init: Callable = nn.initializers.lecun_normal()
    dtype: Any = jnp.float32

    def setup(self):
        common = {"kernel_init": self.kernel_init, "dtype": self.dtype}
        self.clips = TransformerLayer(
            width=self.width,
            heads=self.heads,
            hidden=self.hidden,
            activation=self.activation,
            pre_norm=False,
            epsilon=self.epsilon,
            dropout=self.dropout,
            drop_attended=True,
            **common,
        )
        self.query = nn.Dense(self.width, **common)
        self.keys_values = nn.Dense(2 * self.width, **common)
        self.out = nn.Dense(self.width, **common)
        self.norm = layer_norm(self.epsilon)

    def memory(self, words: Float[AnyArray, "B M D"]) -> Memory:
        """What the clips attend."""
        rows = self.keys_values(words).reshape(*words.shape[:2], 2, self.heads, -1)
        return rows[:, :, 0], rows[:, :, 1]

    def __call__(
        self,
        x: Float[AnyArray, "B C N D"],
        mask: Bool[AnyArray, "B C N"],
        memory: Memory,
        word_mask: Bool[AnyArray, "B M"],
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "B C N D"]:
        """The clips `x` of C videos a query, after all three parts.

        Without a key there is no dropout.
        """
        keys = (None,) * 4 if key is None else jax.random.split(key, 4)
        items, videos, clips, width = x.shape
        x = x.reshape(items * videos, clips, width)
        x = self.clips.attend(x, mask.reshape(items * videos, 1, 1, clips), keys[0])
        x = x.reshape(items, videos * clips, width)  # for the words all clips are one sequence
        return self.meet(x, memory, word_mask, keys[1:]).reshape(items, videos, clips, width)

    def meet(
        self,
        x: Float[AnyArray, "B L D"],
        memory: Memory,
        word_mask: Bool[AnyArray, "B M"],
        keys: Sequence[PRNGKeyArray | None] | Array,
    ) -> Float[Array, "B L D"]:
        """Cross-attention and feed-forward alone, on L clips a query.

        `keys` are three, of the weights, the attended rows and the feed-forward part.
        """
        query = self.query(x).reshape(*x.shape[:2], self.heads, -1)
        words = word_mask[:, None, None]
        mixed = multi_head_attention(query, *memory, words, keys[0], self.dropout)
        x = self.norm(x + dropout(keys[1], self.out(mixed), self.dropout)).astype(self.dtype)
        return self.clips.feed(x, keys[2])
