"""Multi-head attention and Transformer layers: one alone, and stacks of equal ones.

A stack of equal layers runs as one scan, and its parameters carry a leading axis of layers:
XLA then compiles one layer, not twelve.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, PRNGKeyArray

from vmr_jax.layers.sequences import dropout, masked_softmax
from vmr_jax.types import AnyArray, Array


def layer_norm(epsilon: float) -> nn.LayerNorm:
    """A LayerNorm that computes and returns float32, its variance in two passes."""
    return nn.LayerNorm(epsilon=epsilon, dtype=jnp.float32, use_fast_variance=False)


def multi_head_attention(
    query: Float[AnyArray, "B L H E"],
    keys: Float[AnyArray, "B M H E"],
    values: Float[AnyArray, "B M H V"],
    mask: Bool[AnyArray, "#B #H #L #M"],
    key: PRNGKeyArray | None,
    rate: float,
) -> Float[Array, "B L H*V"]:
    """softmax(Q K^T / sqrt(E)) V of H heads, side by side.

    Row l attends row m where `mask` is true. Scores and softmax are float32. The weights have
    dropout of `rate`, none without a key. Source: Vaswani et al., 2017, section 3.2.
    """
    query = query * query.shape[-1] ** -0.5
    scores = jnp.einsum("blhe,bmhe->bhlm", query, keys, preferred_element_type=jnp.float32)
    weight = dropout(key, masked_softmax(scores, mask), rate).astype(values.dtype)
    mixed = jnp.einsum("bhlm,bmhe->blhe", weight, values)
    return mixed.reshape(*mixed.shape[:2], -1)


class TransformerLayer(nn.Module):
    """Self-attention and a feed-forward part, each with a residual and a LayerNorm.

    With `pre_norm` (CLIP) each part reads the normalised rows: x + part(norm(x)). Else (BERT) the
    sum is normalised: norm(x + part(x)). Dropout acts on the attention weights and on the
    feed-forward output, as DistilBERT's does; with `drop_attended` (BERT) on the attention's
    output too.
    """

    width: int
    heads: int
    hidden: int
    activation: Callable[[Array], Array]
    pre_norm: bool
    epsilon: float
    dropout: float = 0.0
    drop_attended: bool = False
    kernel_init: Callable = nn.initializers.lecun_normal()
    dtype: Any = jnp.float32

    def setup(self):
        common = {"kernel_init": self.kernel_init, "dtype": self.dtype}
        self.qkv = nn.Dense(3 * self.width, **common)
        self.out = nn.Dense(self.width, **common)
        self.norm1 = layer_norm(self.epsilon)
        self.fc1 = nn.Dense(self.hidden, **common)
        self.fc2 = nn.Dense(self.width, **common)
        self.norm2 = layer_norm(self.epsilon)

    def __call__(
        self,
        x: Float[AnyArray, "B M D"],
        mask: Bool[AnyArray, "#B #H #M #M"],
        key: PRNGKeyArray | None,
        count: int | None = None,
    ) -> tuple[Float[Array, "B C D"], None]:
        """Both parts, and nothing to stack.

        Row i attends row j where mask[..., i, j] is true. Of the result the first `count` rows are
        made, without it all.
        """
        keys = (None, None) if key is None else jax.random.split(key)
        return self.feed(self.attend(x, mask, keys[0], count), keys[1]), None

    def attend(
        self,
        x: Float[AnyArray, "B M D"],
        mask: Bool[AnyArray, "#B #H #M #M"],
        key: PRNGKeyArray | None,
        count: int | None = None,
    ) -> Float[Array, "B C D"]:
        """The first part, self-attention, with its residual and LayerNorm."""
        part = lambda rows: self._attention(rows, mask[:, :, :count], key, count)  # noqa: E731
        return self._residual(self.norm1, part, jnp.asarray(x))

    def feed(self, x: Float[AnyArray, "B M D"], key: PRNGKeyArray | None) -> Float[Array, "B M D"]:
        """The second part, feed-forward, with its residual and LayerNorm."""
        hidden = lambda rows: self.activation(self.fc1(rows))  # noqa: E731
        part = lambda rows: dropout(key, self.fc2(hidden(rows)), self.dropout)  # noqa: E731
        return self._residual(self.norm2, part, jnp.asarray(x))

    def _residual(self, norm: nn.LayerNorm, part: Callable[[Array], Array], x: Array) -> Array:
        """Of the rows that `part` gives, which are the first of x or all."""
        if self.pre_norm:
            made = part(norm(x).astype(self.dtype))
            return x[:, : made.shape[1]] + made
        made = part(x)
        return norm(x[:, : made.shape[1]] + made).astype(self.dtype)

    def _attention(self, x: Array, mask: AnyArray, key: Array | None, count: int | None) -> Array:
        heads = self.qkv(x).reshape(*x.shape[:2], 3, self.heads, -1)
        query, keys, values = heads[:, :count, 0], heads[:, :, 1], heads[:, :, 2]
        out = self.out(multi_head_attention(query, keys, values, mask, key, self.dropout))
        if self.drop_attended and key is not None:
            out = dropout(jax.random.fold_in(key, 1), out, self.dropout)
        return out


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
        in_axes=(nn.broadcast, 0),  # pyright: ignore[reportArgumentType] Flax's annotation is int
        length=layers,
    )
    return stack(**sizes)
