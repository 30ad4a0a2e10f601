"""The proposal convolutions of MMN over the 2D moment map (MMN A3).

L times: k x k convolution, batch normalisation, ReLU, and a weight that is zero outside the reach
of the valid cells. The dense form does this on whole maps. The sparse form computes the reached
positions alone (map_reach.py): a row of k taps is gathered for the positions that it serves, and
one matrix product a kernel row does the rest. Every other position holds the bias, so its part
in the batch statistics is a count. Both forms give the same results and gradients.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Float, Num

from vmr_jax.layers.map_reach import KernelRows, LayerReach, map_reach, map_weights
from vmr_jax.layers.moment_map import moment_cells, on_map
from vmr_jax.layers.sequences import symmetric_uniform
from vmr_jax.types import AnyArray, Array

FORMS = ("sparse", "dense")


class MapConvolutions(nn.Module):
    """The L layers, from the map at the valid cells to the features at the valid cells.

    Parameters: kernel1 (k, k, D_in, D), bias1, scale1, offset1 (D,), ... Running statistics:
    mean1, var1 (D,), ... in the collection "batch_stats", which a training step updates where the
    caller makes it mutable. `group_size` videos share batch statistics, 0 for the whole batch;
    the running ones follow the first group, as on the first GPU of the public code (MMN A5).
    """

    clips: int
    pooling_counts: tuple[int, ...]
    kernel: int
    layers: int
    features: int = 512
    form: str = "sparse"
    group_size: int = 0
    momentum: float = 0.9
    epsilon: float = 1e-5
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self,
        rows: Float[AnyArray, "B P D_in"],
        train: bool,
        weight: Float[AnyArray, "B"] | None = None,
    ) -> Float[Array, "B P D"]:
        """The features, float32, of the P valid cells in row-major order.

        In training the statistics are the batch's, over videos of `weight` 1 (not 0: the padding
        of a last batch). Raises ValueError for an unknown form, and for sizes that do not fit each
        other.
        """
        if self.form not in FORMS:
            raise ValueError(f"the form of the map's convolutions is {self.form!r}, not of {FORMS}")
        cells = len(moment_cells(*self._size[:2]).row)
        if rows.shape[1] != cells:
            raise ValueError(
                f"the map has {rows.shape[1]} cells, but {self.clips} clips with pooling counts "
                f"{list(self.pooling_counts)} have {cells}"
            )
        form = {"dense": self._whole_maps, "sparse": self._reached_positions}[self.form]
        return form(jnp.asarray(rows), train, weight)

    def _whole_maps(self, rows: Array, train: bool, weight: AnyArray | None) -> Array:
        """The dense form."""
        cells = moment_cells(*self._size[:2])
        padding = (self.kernel - 1) * self.layers // 2
        weights = map_weights(*self._size)
        x = jnp.pad(on_map(rows, cells), [(0, 0), (padding,) * 2, (padding,) * 2, (0, 0)])
        for number, cell_weight in enumerate(weights, 1):
            kernel, bias = self._convolution(number, x.shape[-1])
            x = _convolve(x.astype(self.dtype), kernel) + bias
            flat = x.reshape(len(x), -1, self.features)
            flat = self._normalise(number, flat, bias, 0, train, weight)
            x = nn.relu(flat).reshape(x.shape) * cell_weight[..., None]
        return x[:, cells.row, cells.column]

    def _reached_positions(self, rows: Array, train: bool, weight: AnyArray | None) -> Array:
        """The sparse form."""
        reach = map_reach(*self._size, train)
        for number, layer in enumerate(reach.layers, 1):
            kernel, bias = self._convolution(number, rows.shape[-1])
            rows = convolve_rows(layer, rows.astype(self.dtype), kernel) + bias
            others = layer.size**2 - len(layer.weight)
            rows = self._normalise(number, rows, bias, others, train, weight)
            rows = nn.relu(rows) * layer.weight[:, None]
        return rows if len(reach.valid) == rows.shape[1] else rows[:, reach.valid]

    @property
    def _size(self) -> tuple[int, tuple[int, ...], int, int]:
        """What the static lists depend on."""
        return self.clips, tuple(self.pooling_counts), self.kernel, self.layers

    def _convolution(self, number: int, width: int) -> tuple[Array, Array]:
        """Kernel and bias of a layer, drawn as PyTorch does."""
        bound = (self.kernel**2 * width) ** -0.5
        shape = (self.kernel, self.kernel, width, self.features)
        kernel = self.param(f"kernel{number}", symmetric_uniform, shape, bound)
        bias = self.param(f"bias{number}", symmetric_uniform, shape[-1:], bound)
        return kernel.astype(self.dtype), bias

    def _normalise(
        self,
        number: int,
        rows: Array,
        bias: Array,
        others: int,
        train: bool,
        weight: AnyArray | None,
    ) -> Array:
        """Batch normalisation of (B, R, D) rows of maps with `others` positions at the bias."""
        shape = (self.features,)
        scale = self.param(f"scale{number}", nn.initializers.ones, shape)
        offset = self.param(f"offset{number}", nn.initializers.zeros, shape)
        running_mean = self.variable("batch_stats", f"mean{number}", jnp.zeros, shape)
        running_var = self.variable("batch_stats", f"var{number}", jnp.ones, shape)
        if train:
            weight = jnp.ones(len(rows)) if weight is None else weight
            group = self.group_size or len(rows)
            mean, var = batch_statistics(rows, bias, others, weight, group)
            if self.is_mutable_collection("batch_stats") and not self.is_initializing():
                for running, new in ((running_mean, mean), (running_var, var)):
                    running.value = self.momentum * running.value + (1 - self.momentum) * new[0]
            mean, var = (jnp.repeat(x, group, axis=0)[:, None] for x in (mean, var))
        else:
            mean, var = running_mean.value, running_var.value
        return (rows - mean) * (jax.lax.rsqrt(var + self.epsilon) * scale) + offset


def batch_statistics(
    rows: Float[AnyArray, "B R D"],
    bias: Float[AnyArray, "D"],
    others: int,
    weight: Num[AnyArray, "B"],
    group: int,
) -> tuple[Float[Array, "G D"], Float[Array, "G D"]]:
    """Mean and biased variance over the whole maps of each of G groups of videos; MMN A4.

    A map is its R rows and `others` positions that hold `bias`. Videos of weight 0 do not count.
    Raises ValueError where the groups do not fill the batch.
    """
    batch, reached, width = rows.shape
    if batch % group:
        raise ValueError(f"{batch} videos cannot be split into groups of {group}")
    rows = rows.reshape(-1, group, reached, width)
    weight = weight.reshape(-1, group)
    videos = jnp.maximum(weight.sum(axis=1, keepdims=True), 1)

    def average(values: AnyArray, of_others: AnyArray) -> Array:
        total = (values * weight[..., None, None]).sum(axis=(1, 2)) + videos * others * of_others
        return total / (videos * (reached + others))

    mean = average(rows, bias)
    return mean, average(jnp.square(rows - mean[:, None, None]), jnp.square(bias - mean))


def _convolve(x: Array, kernel: Array) -> Array:
    """Convolution without padding: (B, H, W, D_in), (k, k, D_in, D) -> (B, H', W', D) float32."""
    layout = ("NHWC", "HWIO", "NHWC")
    out = jax.lax.conv_general_dilated(x, kernel, (1, 1), "VALID", dimension_numbers=layout)
    return out.astype(_wide(out.dtype))


def convolve_rows(
    layer: LayerReach, rows: Float[AnyArray, "B R_in D_in"], kernel: Float[AnyArray, "k k D_in D"]
) -> Float[Array, "B R D"]:
    """A convolution without padding from reached positions to reached positions, in float32.

    A scan over the kernel's rows, which holds the taps of one row at a time. The transposes of
    gathers are scatters, so the backward pass has tables of its own. There one gather of the
    cotangents serves the gradients of rows and kernel.
    """
    inputs, outputs = kernel.shape[2:]

    @jax.custom_vjp
    def run(rows: Array, kernel: Array) -> Array:
        padded = _with_zeros(rows)

        def add(total: Array, row: tuple[KernelRows, Array]) -> tuple[Array, None]:
            table, tap = row
            part = _multiply("bnr,rd->bnd", _taps(padded, table), tap.reshape(-1, outputs))
            return total + _placed(part, table), None

        total = jnp.zeros((len(rows), len(layer.weight), outputs), _wide(rows.dtype))
        return jax.lax.scan(add, total, (layer.forward, kernel))[0]

    def backward(saved: tuple[Array, Array], cotangent: Array) -> tuple[Array, Array]:
        rows, kernel = saved
        padded = _with_zeros(cotangent.astype(kernel.dtype))

        def add(of_rows: Array, row: tuple[KernelRows, Array]) -> tuple[Array, Array]:
            table, tap = row
            taps = _taps(padded, table)
            part = _multiply("bnr,cr->bnc", taps, tap.swapaxes(0, 1).reshape(inputs, -1))
            of_tap = _multiply("bnc,bnr->cr", _served(rows, table), taps)
            of_tap = of_tap.reshape(inputs, -1, outputs).swapaxes(0, 1)
            return of_rows + _placed(part, table), of_tap.astype(kernel.dtype)

        of_rows = jnp.zeros(rows.shape, _wide(rows.dtype))
        of_rows, of_kernel = jax.lax.scan(add, of_rows, (layer.backward, kernel))
        return of_rows.astype(rows.dtype), of_kernel

    run.defvjp(lambda rows, kernel: (run(rows, kernel), (rows, kernel)), backward)
    return run(rows, kernel)


def _wide(dtype: Any) -> Any:
    """The dtype of sums: float32, or float64 for float64."""
    return jnp.promote_types(dtype, jnp.float32)


def _multiply(equation: str, one: Array, other: Array) -> Array:
    """An einsum with wide sums."""
    return jnp.einsum(equation, one, other, preferred_element_type=_wide(one.dtype))


def _taps(padded: Array, table: KernelRows) -> Array:
    """What the k taps of one kernel row read: (B, R + 1, D) -> (B, n, k D)."""
    taps = _gathered(padded, table.taps)
    return taps.reshape(*taps.shape[:2], -1)


def _gathered(rows: Array, index: AnyArray) -> Array:
    """The rows at indices that all exist: (B, R, D), (...) -> (B, ..., D)."""
    return rows.at[:, index].get(mode="promise_in_bounds")


def _with_zeros(rows: Array) -> Array:
    """One more row of zeros: (B, R, D) -> (B, R + 1, D)."""
    return jnp.pad(rows, ((0, 0), (0, 1), (0, 0)))


def _served(rows: Array, table: KernelRows) -> Array:
    """The positions that one kernel row serves: (B, R, D) -> (B, n, D)."""
    everywhere = table.served.shape == table.place.shape
    return rows if everywhere else _gathered(rows, table.served)


def _placed(values: Array, table: KernelRows) -> Array:
    """The other way, with zeros where not served: (B, n, D) -> (B, R, D)."""
    everywhere = table.served.shape == table.place.shape
    return values if everywhere else _gathered(_with_zeros(values), table.place)
