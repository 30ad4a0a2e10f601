"""Tensors of a weight file by their names, fitted to a module's parameters."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vmr_jax.types import Params


class Source:
    """Where one parameter comes from: the tensors of `names`, joined on their first axis.

    Then the axes are permuted. A "{}" in the names is the number of the layer: the parameter has
    a leading axis of layers.
    """

    def __init__(self, *names: str, axes: tuple[int, ...] | None = None):
        self.names, self.axes = names, axes

    def per_layer(self, shape: tuple[int, ...]) -> tuple[list[list[str]], tuple[int, ...]]:
        """The names of each layer, or of the only one, and the shape of one in the file."""
        stacked = "{}" in self.names[0]
        layers = range(shape[0] if stacked else 1)
        shape = shape[stacked:]
        if self.axes is not None:
            shape = tuple(shape[self.axes.index(axis)] for axis in range(len(shape)))
        shape = (shape[0] // len(self.names), *shape[1:])
        return [[name.format(i) for name in self.names] for i in layers], shape

    def read(self, tensors: Mapping[str, np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
        """The parameter of `shape`, float32."""
        rows = []
        for names in self.per_layer(shape)[0]:
            joined = np.concatenate([tensors[name] for name in names]).astype(np.float32)
            rows.append(joined if self.axes is None else joined.transpose(self.axes))
        return np.stack(rows).reshape(shape)


def linear(*names: str) -> dict[str, Source]:
    """A Dense layer from PyTorch's linear layers `names`, their outputs side by side."""
    return {
        "kernel": Source(*(f"{name}.weight" for name in names), axes=(1, 0)),
        "bias": Source(*(f"{name}.bias" for name in names)),
    }


def norm(name: str) -> dict[str, Source]:
    """A LayerNorm from PyTorch's layer `name`."""
    return {"scale": Source(f"{name}.weight"), "bias": Source(f"{name}.bias")}


def fit_tensors(
    tensors: Mapping[str, np.ndarray],
    sources: Mapping[str, Any],
    shapes: Mapping[str, Any],
    skipped: str,
    path: str | Path,
) -> Params:
    """Make the parameter tree `shapes` from the tensors that the tree `sources` names.

    Tensors whose whole name matches the pattern `skipped` are known and not needed. Raises
    ValueError with the name of every tensor that is missing, of another shape or kind, or unknown.
    """
    expected: dict[str, tuple[int, ...]] = {}

    def expect(source: Source, leaf: Any) -> None:
        layers, shape = source.per_layer(leaf.shape)
        expected.update((name, shape) for names in layers for name in names)

    jax.tree.map(expect, sources, shapes)
    problems = [f"missing: {name}" for name in expected if name not in tensors]
    for name, shape in expected.items():
        tensor = tensors.get(name)
        if tensor is not None and tensor.shape != shape:
            problems.append(f"misshapen: {name} is {tensor.shape}, expected {shape}")
        elif tensor is not None and not jnp.issubdtype(tensor.dtype, jnp.floating):
            problems.append(f"misshapen: {name} holds {tensor.dtype}, expected floats")
    unknown = (name for name in tensors if name not in expected)
    problems += [f"extra: {name}" for name in unknown if not re.fullmatch(skipped, name)]
    if problems:
        lines = "\n  ".join(problems)
        raise ValueError(f"{path} does not fit this encoder; is it the right model?\n  {lines}")
    return jax.tree.map(lambda source, leaf: source.read(tensors, leaf.shape), sources, shapes)
