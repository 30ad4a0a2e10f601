"""The train steps that benchmarks/train_step.py times: each system's shapes, and random pairs."""

from typing import NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from configs import eva, vlanet
from vmr_jax.runtime.steps import as_batch
from vmr_jax.types import Array, Batch, DataSpec, HybridBatch


class Pairs(NamedTuple):
    """Sizes of a domain's random pairs."""

    spec: DataSpec  # padded
    clips: tuple[int, int]  # fewest and most of a video


class Case(NamedTuple):
    """A train step at the shapes of a paper or of the simulated data."""

    name: str
    config: ConfigDict
    domains: dict[str, Pairs]
    pairs: int  # a domain
    ablations: dict[str, dict]  # a name -> what it sets in the config

    def specs(self) -> dict[str, DataSpec]:
        """What the system is made for."""
        return {role: domain.spec for role, domain in self.domains.items()}


def _eva() -> list[Case]:
    """Domains of one shape: half to fully long videos."""
    shapes = {
        "c3d 128x500": ("tvr,activitynet_captions", (128, 500), (128, 500)),
        "i3d 64x1024": ("tvr,charades_sta", (64, 1024), (64, 1024)),
        "charades 128x1024 + tvr 100x1024": ("tvr,charades_sta", (128, 1024), (100, 1024)),
    }
    cases = []
    for name, (datasets, *sizes) in shapes.items():
        config, domains = eva.get_config(datasets), {}
        for role, (clips, width) in zip(("target", "source"), sizes, strict=True):
            domains[role] = Pairs(DataSpec(width, 300, clips, 20), (clips // 2, clips))
            config[role].max_clips = clips
        cases.append(Case(name, config, domains, 64, {}))
    return cases


def _vlanet() -> list[Case]:
    """Lengths around the real ones: 45 clips of 16 frames at 24 fps, 5 or 6 segments, 33 clips."""
    shapes = {
        "charades_sta 96x4096": ("charades_sta", 8, (4096, 300), (24, 64), 128),
        "charades_sta 96x4096, stride 4": ("charades_sta", 4, (4096, 300), (24, 64), 128),
        "didemo 6x4096": ("didemo", 1, (4096, 300), (5, 6), 128),
        "simulated 40x64": ("", 3, (64, 50), (28, 37), 64),
    }
    cases = []
    for name, (dataset, stride, widths, clips, pairs) in shapes.items():
        config = vlanet.get_config(dataset)
        config.proposals.stride = stride
        domains = {"target": Pairs(DataSpec(*widths, config.target.max_clips, 20), clips)}
        ablations = {"w/o surrogates": {"surrogate": False}}
        cases.append(Case(name, config, domains, pairs, ablations))
    return cases


SYSTEMS = {"eva": _eva, "vlanet": _vlanet}


def random_batch(case: Case, pairs: int, seed: int = 0) -> Batch | HybridBatch:
    """Pairs of different videos on the device; lengths are uniform, of queries from 4 words."""
    rng, key = np.random.default_rng(seed), jax.random.key(seed)
    return as_batch(
        {
            role: _random_pairs(domain, pairs, rng, jax.random.fold_in(key, at))
            for at, (role, domain) in enumerate(case.domains.items())
        }
    )


def _random_pairs(domain: Pairs, pairs: int, rng: np.random.Generator, key: Array) -> Batch:
    spec, (fewest, most) = domain
    clips = rng.integers(fewest, most + 1, pairs).astype(np.int32)
    video_mask = np.arange(spec.max_clips) < clips[:, None]
    query_mask = np.arange(spec.max_words) < rng.integers(4, spec.max_words + 1, pairs)[:, None]
    first = rng.integers(0, clips)
    last = rng.integers(first, clips)
    ids = np.arange(pairs, dtype=np.int32)
    of_video, of_query = jax.random.split(key)
    return jax.device_put(
        Batch(
            video=_random_rows(of_video, video_mask, spec.video_dim),
            video_mask=video_mask,
            num_clips=clips,
            query=_random_rows(of_query, query_mask, spec.word_dim),
            query_mask=query_mask,
            duration=clips / np.float32(3),
            video_id=ids,
            query_id=ids,
            moment=np.stack([first, last + 1], -1).astype(np.float32) / 3,
            span=np.stack([first, last], -1).astype(np.int32),
            weight=np.ones(pairs, np.float32),
        )
    )


def _random_rows(key: Array, mask: np.ndarray, width: int) -> Array:
    return jax.random.normal(key, (*mask.shape, width)) * mask[..., None]
