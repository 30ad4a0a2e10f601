"""A system's training step in plain PyTorch: its comparison with ours, and its timing.

A counterpart is a module benchmarks/<system>_torch.py. FORMS are the ways in which it is written,
the plainest first; NEGATIVES is how many other pairs it draws for each pair; Model(params, config,
device, form) is called with a dict of tensors for each domain and with negatives (NEGATIVES, B),
and returns the terms of the loss. Its gradients() have the layout of the JAX parameters.
"""

import importlib

import jax
import numpy as np
import torch
from ml_collections import ConfigDict
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.step_cases import Case, random_batch
from vmr_jax import models
from vmr_jax.runtime.steps import term_means
from vmr_jax.types import Batch, HybridBatch, Params


def device() -> str:
    """Where PyTorch runs: on the GPU where JAX does."""
    return "cuda" if jax.default_backend() == "gpu" else "cpu"


def forms(system: str) -> tuple[str, ...]:
    """The ways in which a system's counterpart is written, the plainest first."""
    return _counterpart(system).FORMS


def make_step(
    config: ConfigDict, params: Params, batch: Batch | HybridBatch, form: str, compiled: bool
):
    """A function that runs one step and waits, its GFLOP, and the GPU memory it needs in MB."""
    _set_precision("high")  # as JAX: products in TF32 where there is such a unit
    on_gpu = device() == "cuda"
    before = torch.cuda.memory_allocated() if on_gpu else 0
    counterpart = _counterpart(config.system)
    model = counterpart.Model(params, config, device(), form)
    domains = _tensors(batch)
    leaves = list(model.parameters())
    adam = torch.optim.Adam(leaves, lr=config.optimizer.learning_rate)
    loss_of = torch.compile(model) if compiled else model
    half = torch.bfloat16 if config.precision == "bfloat16" else None
    pairs = len(domains[0]["num_clips"])

    def run() -> None:
        shift = torch.randint(1, pairs, (counterpart.NEGATIVES, pairs), device=device())
        negatives = (torch.arange(pairs, device=device()) + shift) % pairs
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
    """Refuse to time programs that differ: losses and gradients of two pairs a domain.

    Raises AssertionError for another loss and ValueError for another gradient.
    """
    _set_precision("highest")
    config = config.copy_and_resolve_references()
    config.precision = "float32"
    if "dropout" in config:
        config.dropout = 0.0
    batch = random_batch(case, 2, 7)
    system = models.make(config, case.specs())

    def total(params):
        means = term_means(system.loss(params, batch, jax.random.key(0), 0).terms)
        return sum(means.values()), means

    with jax.default_matmul_precision("float32"):
        (_, means), gradient = jax.jit(jax.value_and_grad(total, has_aux=True))(params)
    counterpart, worst = _counterpart(config.system), 0.0
    # Of two pairs the other one is the negative.
    negatives = torch.tensor([[1, 0]] * counterpart.NEGATIVES, device=device())
    for form in counterpart.FORMS:
        model = counterpart.Model(params, config, device(), form)
        terms = model(*_tensors(batch), negatives)
        sum(terms.values()).backward()
        for name, value in means.items():
            expected = terms[name].item()
            np.testing.assert_allclose(value, expected, rtol=1e-3, atol=1e-4, err_msg=name)
        leaves = (jax.tree.leaves(tree) for tree in (gradient, model.gradients()))
        for found, expected in zip(*leaves, strict=True):
            scale = max(np.abs(expected).max(), 1e-6)
            worst = max(worst, np.abs(np.asarray(found) - expected).max() / scale)
    if worst > 1e-2:
        raise ValueError(f"gradients of the two implementations differ by {worst:.1e}")
    return f"same losses; gradients differ by at most {worst:.0e} of a tensor's largest entry"


def _counterpart(system: str):
    return importlib.import_module(f"benchmarks.{system}_torch")


def _tensors(batch: Batch | HybridBatch) -> tuple[dict, ...]:
    """What the PyTorch models read of each domain."""
    names = ("video", "video_mask", "query", "query_mask", "num_clips", "span")
    domains = batch if isinstance(batch, HybridBatch) else (batch,)
    return tuple(
        {name: torch.tensor(np.array(getattr(half, name)), device=device()) for name in names}
        for half in domains
    )


def _set_precision(name: str) -> None:
    """Of float32 products: "highest" is IEEE, "high" allows TF32."""
    torch.set_float32_matmul_precision(name)
    torch.backends.cudnn.allow_tf32 = name == "high"
