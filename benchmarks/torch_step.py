"""A system's training step in plain PyTorch: its comparison with ours, and its timing.

A counterpart is a module benchmarks/<system>_torch.py. FORMS are the ways in which it is written,
the plainest first; NEGATIVES is how many other pairs it draws for each pair; Model(params, config,
device, form) is called with a dict of tensors for each domain and with negatives (NEGATIVES, B),
and returns the terms of the loss in the first epoch. Its gradients() have the layout of the JAX
parameters. Its dropout is `config.dropout` where that is set, else the system's own.
"""

import importlib

import jax
import jax.numpy as jnp
import numpy as np
import torch
from ml_collections import ConfigDict
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.step_cases import Case, random_batch
from vmr_jax import models
from vmr_jax.training.state import split_statistics
from vmr_jax.training.steps import Pace, term_means
from vmr_jax.types import Batch, HybridBatch, Params, VideoBatch


def device() -> str:
    """Where PyTorch runs: on the GPU where JAX does."""
    return "cuda" if jax.default_backend() == "gpu" else "cpu"


def forms(system: str) -> tuple[str, ...]:
    """The ways in which a system's counterpart is written, the plainest first."""
    return _counterpart(system).FORMS


def make_step(
    config: ConfigDict,
    params: Params,
    batch: Batch | VideoBatch | HybridBatch,
    form: str,
    compiled: bool,
):
    """A function that runs one step and waits, its GFLOP, and the GPU memory it needs in MB."""
    _set_precision("high")  # as JAX: products in TF32 where there is such a unit
    on_gpu = device() == "cuda"
    before = torch.cuda.memory_allocated() if on_gpu else 0
    counterpart = _counterpart(config.system)
    model = counterpart.Model(split_statistics(params)[0], config, device(), form)
    domains = _tensors(batch)
    leaves = list(model.parameters())
    adam = _optimizer(config.optimizer, leaves)
    loss_of = torch.compile(model) if compiled else model
    half = torch.bfloat16 if config.precision == "bfloat16" else None
    items = len(domains[0]["num_clips"])

    def run() -> None:
        shift = torch.randint(1, max(items, 2), (counterpart.NEGATIVES, items), device=device())
        negatives = (torch.arange(items, device=device()) + shift) % items
        adam.zero_grad()
        with torch.autocast(device(), dtype=half, enabled=half is not None):
            loss = sum(loss_of(*domains, negatives).values())
        loss.backward()
        if config.optimizer.grad_clip:
            torch.nn.utils.clip_grad_norm_(leaves, config.optimizer.grad_clip)
        adam.step()
        if on_gpu:
            torch.cuda.synchronize()

    run()
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    with FlopCounterMode(display=False) as counter:
        run()
    memory = (torch.cuda.max_memory_allocated() - before) / 1e6 if on_gpu else "-"
    return run, counter.get_total_flops() / 1e9, memory


def compare(case: Case, config: ConfigDict, params: Params) -> str:
    """Refuse to time programs that differ: losses and gradients of two pairs, or videos, a domain.

    Raises AssertionError for another loss and ValueError for another gradient.
    """
    _set_precision("highest")
    config = config.copy_and_resolve_references()
    config.precision = "float32"
    with config.unlocked():
        config.dropout = 0.0
    batch = random_batch(case, 2, 7)
    system, counterpart, worst = models.make(config, case.specs()), _counterpart(config.system), 0.0
    # A key is for negatives, or else for dropout alone.
    key = jax.random.key(0) if counterpart.NEGATIVES else None
    trained, statistics = split_statistics(params)
    start = Pace(steps_per_epoch=1, epochs=1).progress(jnp.int32(0))

    def total(trained):
        means = term_means(system.loss(trained | statistics, batch, key, start).terms)
        return sum(means.values()), means

    with jax.default_matmul_precision("float32"):
        (_, means), gradient = jax.jit(jax.value_and_grad(total, has_aux=True))(trained)
    # Of two pairs the other one is the negative.
    negatives = torch.tensor([[1, 0]] * counterpart.NEGATIVES, device=device())
    for form in counterpart.FORMS:
        model = counterpart.Model(trained, config, device(), form)
        terms = model(*_tensors(batch), negatives)
        sum(terms.values()).backward()
        for name, value in means.items():
            expected = terms[name].item()
            np.testing.assert_allclose(value, expected, rtol=1e-3, atol=1e-4, err_msg=name)
        found, expected = (jax.tree.leaves(tree) for tree in (gradient, model.gradients()))
        largest = max(np.abs(leaf).max() for leaf in expected)
        for one, other in zip(found, expected, strict=True):
            scale = np.abs(other).max()
            # A bias ahead of a batch normalisation has no gradient but rounding.
            scale = scale if scale > 1e-5 * largest else largest
            worst = max(worst, np.abs(np.asarray(one) - other).max() / scale)
    if worst > 1e-2:
        raise ValueError(f"gradients of the two implementations differ by {worst:.1e}")
    return f"same losses; gradients differ by at most {worst:.0e} of a tensor's largest entry"


def _counterpart(system: str):
    return importlib.import_module(f"benchmarks.{system}_torch")


def _tensors(batch: Batch | VideoBatch | HybridBatch) -> tuple[dict, ...]:
    """The arrays of each domain."""
    domains = batch if isinstance(batch, HybridBatch) else (batch,)
    return tuple(
        {
            name: torch.tensor(np.array(leaf), device=device())
            for name, leaf in domain._asdict().items()
            if leaf is not None
        }
        for domain in domains
    )


def _optimizer(settings: ConfigDict, leaves: list[torch.Tensor]) -> torch.optim.Optimizer:
    """Adam or AdamW; that some parameters learn more slowly takes no time."""
    if settings.name == "adam":
        return torch.optim.Adam(leaves, settings.learning_rate)
    decay = settings.weight_decay
    return torch.optim.AdamW(leaves, settings.learning_rate, settings.betas, weight_decay=decay)


def _set_precision(name: str) -> None:
    """Of float32 products: "highest" is IEEE, "high" allows TF32."""
    torch.set_float32_matmul_precision(name)
    torch.backends.cudnn.allow_tf32 = name == "high"
