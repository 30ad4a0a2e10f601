"""Operations on the rows of padded sequences: clips of a video, words of a query, proposals.

Softmax, pooling, vectors of length 1, positions, convolution and dropout. Masks are true on valid
rows.
"""

from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Float32, Int, PRNGKeyArray

from vmr_jax.types import AnyArray, Array


def masked_softmax(
    scores: Float[AnyArray, "*batch L"], mask: Bool[AnyArray, "*#batch #L"]
) -> Float32[Array, "*batch L"]:
    """Softmax over the last axis where mask is true, in float32.

    Masked entries are 0; a row without a valid entry is all 0.
    """
    scores = jnp.where(mask, scores.astype(jnp.float32), -1e9)
    return jax.nn.softmax(scores, axis=-1) * mask


def masked_log_softmax(
    scores: Float[AnyArray, "*batch L"], mask: Bool[AnyArray, "*#batch L"]
) -> Float[Array, "*batch L"]:
    """Log-softmax over the last axis where mask is true; elsewhere below -1e9."""
    return jax.nn.log_softmax(jnp.where(mask, scores, -1e10), axis=-1)


def masked_max(
    x: Float[AnyArray, "*batch L D"], mask: Bool[AnyArray, "*batch L"]
) -> Float[Array, "*batch D"]:
    """Largest value of each feature over the valid rows.

    Zero where no row is valid. Max-pooling of EVA, Eq. 3 and 9.
    """
    lowest = jnp.asarray(-1e9, x.dtype)
    highest = jnp.max(jnp.where(mask[..., None], x, lowest), axis=-2)
    return jnp.where(jnp.any(mask, axis=-1)[..., None], highest, 0)


def masked_mean(
    x: Float[AnyArray, "*batch L D"], mask: Bool[AnyArray, "*batch L"]
) -> Float32[Array, "*batch D"]:
    """Mean of each feature over the valid rows, in float32.

    Zero where no row is valid.
    """
    weight = mask.astype(jnp.float32)
    total = jnp.einsum("...ld,...l->...d", x.astype(jnp.float32), weight)
    return total / jnp.maximum(weight.sum(axis=-1), 1)[..., None]


def top_mean(
    x: Float[AnyArray, "*batch N"],
    mask: Bool[AnyArray, "*#batch N"],
    count: Int[AnyArray, "*#batch"] | int,
    most: int,
) -> Float[Array, "*batch"]:
    """Mean of the `count` largest valid values, at most `most`.

    All values where there are fewer, 0 where none.
    """
    best = jax.lax.top_k(jnp.where(mask, x, -1e9), min(most, x.shape[-1]))[0]
    found = jnp.minimum(count, mask.sum(axis=-1))
    kept = jnp.arange(best.shape[-1]) < found[..., None]
    return jnp.sum(best, axis=-1, where=kept) / jnp.maximum(kept.sum(axis=-1), 1)


def running_maxima(
    x: Float[AnyArray, "B L D"], longest: int
) -> tuple[Float[Array, "B R D"], list[int]]:
    """Largest value of each feature over all windows of 1, 2, 4, ... rows, up to `longest` rows.

    And for each length 2^l the row at which its windows begin; the window that starts at row i of
    x is the i-th of them.
    """
    levels, offsets = [x], [0]
    while 2 ** len(levels) <= longest:
        half = 2 ** (len(levels) - 1)
        offsets.append(offsets[-1] + levels[-1].shape[1])
        levels.append(jnp.maximum(levels[-1][:, :-half], levels[-1][:, half:]))
    return jnp.concatenate(levels, axis=1), offsets


def range_max(
    x: Float[AnyArray, "B L D"],
    first: Int[AnyArray, "B K"],
    last: Int[AnyArray, "B K"],
    longest: int,
) -> Float[Array, "B K D"]:
    """Largest value of each feature over rows first ... last.

    0 <= first <= last < L, and no range has more than `longest` rows. A range of n rows is two
    windows of 2^floor(log2 n) rows that may overlap, so memory does not grow with n.
    """
    table, offsets = running_maxima(x, longest)
    level = 31 - jax.lax.clz(last - first + 1)
    base = jnp.asarray(offsets)[level]
    left, right = (
        jnp.take_along_axis(table, (base + row)[..., None], axis=1)
        for row in (first, last + 1 - 2**level)
    )
    return jnp.maximum(left, right)


def l2_normalize(x: Float[AnyArray, "*batch D"], eps: float = 1e-8) -> Float[Array, "*batch D"]:
    """x / |x| over the last axis, computed in float32, in the dtype of `x`.

    A vector shorter than `eps` becomes zero and gets no gradient.
    """
    y = jnp.asarray(x, jnp.float32)
    square = jnp.sum(y * y, axis=-1, keepdims=True)
    long = square > eps**2
    scale = jnp.where(long, jax.lax.rsqrt(jnp.where(long, square, 1)), 0)
    return (y * scale).astype(x.dtype)


def unit_rows(x: Float[AnyArray, "*batch D"], eps: float = 1e-8) -> Float32[Array, "*batch D"]:
    """`l2_normalize` in float32, whatever the dtype of `x`."""
    return l2_normalize(x.astype(jnp.float32), eps)


def sinusoids(length: int, width: int) -> Float32[np.ndarray, "{length} {width}"]:
    """Positions of `length` rows: sine in even channels, cosine in odd ones.

    Each row is brought to length 1, so that it weighs as much as a frame at length 1. Source:
    Vaswani et al., 2017, section 3.5, but for that length.
    """
    channel = np.arange(width)
    angle = np.arange(length)[:, None] / 10000.0 ** (2 * (channel // 2) / width)
    rows = np.where(channel % 2 == 0, np.sin(angle), np.cos(angle))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


class ClipConvolution(nn.Module):
    """`convolve_clips` over `width` clips. It starts uniform in +- (width D)^-0.5, as PyTorch's."""

    width: int
    features: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[AnyArray, "*batch N D"]
    ) -> Float32[Array, "*batch N {self.features}"]:
        """Convolve x; there is nothing beyond either end."""
        shape = (self.width, x.shape[-1], self.features)
        bound = (self.width * x.shape[-1]) ** -0.5
        kernel = self.param("kernel", symmetric_uniform, shape, bound)
        return convolve_clips(x.astype(self.dtype), kernel.astype(self.dtype))


def convolve_clips(
    x: Float[AnyArray, "*batch N D"], kernel: Float[AnyArray, "width D E"]
) -> Float32[Array, "*batch N E"]:
    """A 1-D convolution over N without bias.

    There is nothing beyond either end. It is one matrix product a tap: inside a scan, where
    training steps run, XLA's own convolution takes 20 to 40 times as long on a CPU.
    """
    width, clips = len(kernel), x.shape[-2]
    padded = jnp.pad(x, [(0, 0)] * (x.ndim - 2) + [(width // 2, width // 2), (0, 0)])
    parts = (
        jnp.matmul(
            padded[..., tap : tap + clips, :], kernel[tap], preferred_element_type=jnp.float32
        )
        for tap in range(width)
    )
    return cast(Array, sum(parts))


def symmetric_uniform(
    key: PRNGKeyArray, shape: tuple[int, ...], bound: float
) -> Float32[Array, "..."]:
    """Initialiser: an array of `shape`, uniform on [-bound, bound]."""
    return jax.random.uniform(key, shape, jnp.float32, -bound, bound)


def dropout(
    key: PRNGKeyArray | None, x: Float[Array, "*shape"], rate: float
) -> Float[Array, "*shape"]:
    """Zero each element of x with probability `rate` and scale the others by 1 / (1 - rate).

    The identity where `key` is None or `rate` is 0. Whole bits are
    compared: a draw from `jax.random.bernoulli` would be made a float first.
    """
    if key is None or rate == 0:
        return x
    bits = jax.random.bits(key, x.shape, jnp.uint32)
    kept = bits < jnp.uint32(round((1 - rate) * 2**32))
    return jnp.where(kept, x * jnp.asarray(1 / (1 - rate), x.dtype), 0)


def feature_dropout(
    key: PRNGKeyArray | None, x: Float[Array, "B N D"], rate: float
) -> Float[Array, "B N D"]:
    """`dropout` of whole features of a sequence: what is zero at one step is so at all of them.

    A maximum or a mean over steps then sees as much noise as one step.
    """
    if key is None or rate == 0:
        return x
    return x * dropout(key, jnp.ones_like(x[:, :1]), rate)
