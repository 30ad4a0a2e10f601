"""What VDI adds to MMN in training: visual context and spatial dynamics (VDI, Eq. 1 to 5).

D is the width of a sentence's feature.
"""

from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp

from vmr_jax.layers.recurrent import LSTM
from vmr_jax.layers.sequences import l2_normalize, sinusoids
from vmr_jax.layers.transformer import TransformerLayer
from vmr_jax.models.vdi.transformer_decoder import QueryDecoder
from vmr_jax.types import Array

HEADS = 8


class Dynamics(NamedTuple):
    """How things move in B videos, and what T queries say of it."""

    heatmap: Array  # (B, L, G) float32, M of Eq. 3
    frames: Array  # (B, L, D), m of Eq. 4
    video: Array  # (B, D) float32, the m with a tilde
    query: Array  # (T, D)


class VisualContext(nn.Module):
    """FC(x^qd) and the context of Eq. 1 and 2, which a query probes a video's frames for.

    Without a probe the context is the mean of the frames after self-attention (Table 3, w/o Q).
    """

    dropout: float
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self,
        dynamic: Array,
        probe: Array | None,
        frames: Array,
        owner: Array,
        key: Array | None = None,
    ) -> tuple[Array, Array]:
        """Features (T, D) of dynamic queries and probes, frames (B, N, F), owner (T,).

        Returns both sides of Eq. 2, (T, D) each, or (T, F) where there is no probe. Without a key
        there is no dropout.
        """
        frames = frames + sinusoids(*frames.shape[1:])
        if probe is None:
            encoder = _encoder(frames.shape[-1], self.dropout, self.dtype, "encoder")
            context = _encoded(encoder, frames, key).mean(axis=1)[owner]
        else:
            width = probe.shape[-1]
            decoder = QueryDecoder(
                width, HEADS, 4 * width, self.dropout, self.dtype, name="decoder"
            )
            context = decoder(probe, frames, owner, key)
        return nn.Dense(context.shape[-1], dtype=self.dtype, name="query")(dynamic), context


class SpatialDynamics(nn.Module):
    """Where the frames' own patches are in them, over time, and FC(x^qd) (Eq. 3 to 5).

    FC_p has no bias: patches of zero have a heatmap of zero. So FC_p can stand on the side of the
    frame's feature, which is one row and not one a cell.
    """

    sequence: str  # transformer | lstm
    l2norm: bool  # of frames and patches (VDI D19)
    dropout: float
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, dynamic: Array, patches: Array, frames: Array, key: Array | None = None
    ) -> Dynamics:
        """Features (T, D) of dynamic queries, patches (B, L, G, P), their frames (B, L, F).

        Without a key there is no dropout.
        """
        width, dtype = dynamic.shape[-1], self.dtype
        if self.l2norm:
            patches, frames = l2_normalize(patches), l2_normalize(frames)
        shape = (patches.shape[-1], width)
        patch = self.param("patch", nn.initializers.lecun_normal(), shape).astype(dtype)
        probe = nn.Dense(width, dtype=dtype, name="frame")(frames) @ patch.T
        heatmap = width**-0.5 * jnp.einsum(
            "blgp,blp->blg", patches.astype(dtype), probe, preferred_element_type=jnp.float32
        )
        rows = nn.Dense(width, dtype=dtype, name="heatmap")(heatmap)
        if self.sequence == "lstm":
            video = LSTM(width, dtype, name="lstm")(rows)
        else:
            encoder = _encoder(width, self.dropout, dtype, "encoder")
            video = _encoded(encoder, rows + sinusoids(*rows.shape[1:]), key).mean(axis=1)
        query = nn.Dense(width, dtype=dtype, name="query")(dynamic)
        return Dynamics(heatmap, rows, video.astype(jnp.float32), query)


def _encoder(width: int, dropout: float, dtype: Any, name: str) -> TransformerLayer:
    """A Transformer encoder block (Vaswani et al., 2017)."""
    sizes = {"width": width, "heads": HEADS, "hidden": 4 * width, "activation": nn.relu}
    return TransformerLayer(
        **sizes, pre_norm=False, epsilon=1e-5, dropout=dropout, dtype=dtype, name=name
    )


def _encoded(encoder: TransformerLayer, rows: Array, key: Array | None) -> Array:
    """Rows (B, L, D), all of them valid -> (B, L, D) float32."""
    return encoder(rows, jnp.ones((1, 1, 1, 1), bool), key)[0].astype(jnp.float32)
