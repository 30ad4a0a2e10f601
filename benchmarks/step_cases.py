"""The train steps that benchmarks/train_step.py times: each system's shapes, and random batches."""

import functools
import json
import tempfile
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from vmr_jax.configs import (
    eva,
    mmcda,
    mmn,
    moment_detr,
    prem_localizer,
    prem_retriever,
    qd_detr,
    vdi,
    vlanet,
)
from vmr_jax.data.text.tokens import vocabulary_size
from vmr_jax.training.steps import as_batch
from vmr_jax.types import AnyBatch, Array, Batch, CandidateBatch, DataSpec, VideoBatch


class Pairs(NamedTuple):
    """Sizes of a domain's random pairs."""

    spec: DataSpec  # padded
    clips: tuple[int, int]  # fewest and most of a video
    moments: int = 0  # A of a query, with the saliency of clips; 0: one moment alone
    videos: int = 0  # C of a query, the true one first; 0: that one alone, without its axis


class Videos(NamedTuple):
    """Sizes of a domain's random videos, each with all its queries."""

    spec: DataSpec  # padded
    queries: float  # a video, on average
    vocabulary: int  # token ids are below it
    patch_frames: int = 0  # L, with 7 x 7 patches each; 0: neither patches nor parts of queries


class Case(NamedTuple):
    """A train step at the shapes of a paper or of the simulated data.

    An ablation, and a form, which has the same results, is a name and what it sets in the config.
    """

    name: str
    config: ConfigDict
    domains: dict[str, Pairs | Videos]
    items: int  # pairs or videos of a domain
    ablations: dict[str, dict] = {}
    forms: dict[str, dict] = {}

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
        cases.append(Case(name, config, domains, 64))
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


def _mmn() -> list[Case]:
    """DistilBERT base on 16 tokens; queries a video as in the datasets, a few videos of the 48.

    The text encoder learns from the first step on.
    """
    shapes = {
        "charades_sta 32x4096": ("charades_sta", (4096, 32), 2.4, 2),
        "activitynet 256x500": ("activitynet_captions", (500, 256), 3.7, 1),
    }
    cases = []
    for name, (dataset, (width, clips), queries, videos) in shapes.items():
        config = mmn.get_config(dataset)
        config.text.tokenizer = _distilbert_vocabulary().name
        config.optimizer.slow.freeze_epochs = 0
        domains = {"target": Videos(DataSpec(width, 0, clips, 16), queries, _DISTILBERT_IDS)}
        forms = {"dense map": {"map.form": "dense"}}
        cases.append(Case(name, config, domains, videos, forms=forms))
    return cases


def _vdi() -> list[Case]:
    """ViT-B/32's text encoder on 77 tokens, three parts of a query; w/o injections: MMN + CLIP."""
    shapes = {
        "charades_sta 32x512": ("charades_sta", 32, 2.4, 2),
        "activitynet 256x512": ("activitynet_captions", 256, 3.7, 1),
    }
    cases = []
    for name, (dataset, clips, queries, videos) in shapes.items():
        config = vdi.get_config(dataset)
        config.text.tokenizer = _clip_vocabulary().name
        domain = Videos(DataSpec(512, 0, clips, 77), queries, _CLIP_IDS, config.target.patch_frames)
        ablations = {"w/o injections": {"vdi.vc": False, "vdi.sd": False}}
        forms = {"rematerialised text": {"text.remat": True}}
        cases.append(Case(name, config, {"target": domain}, videos, ablations, forms))
    return cases


def _mmcda() -> list[Case]:
    """The transfer of EVA's third set-up."""
    config, domains = mmcda.get_config("tvr,charades_sta"), {}
    for role, clips in (("source", 100), ("target", 128)):
        domains[role] = Pairs(DataSpec(1024, 300, clips, 20), (clips // 2, clips))
        config[role].max_clips = clips
    return [Case("tvr 100x1024 + charades 128x1024", config, domains, 32)]


def _prem_retriever() -> list[Case]:
    """TVR's clips with subtitles, RoBERTa's tokens as queries."""
    return [Case("tvr 100x4352", prem_retriever.get_config("tvr"), {"target": _TVR}, 256)]


def _prem_localizer() -> list[Case]:
    """The same with four videos beside the true one."""
    config = prem_localizer.get_config("tvr")
    domain = _TVR._replace(videos=1 + config.negatives)
    return [Case("tvr 100x4352, 5 videos", config, {"target": domain}, 32)]


def _detr(module) -> list[Case]:
    """QVHighlights: SlowFast and CLIP side by side, clips of 2 s of 150 s, CLIP's tokens."""
    config = module.get_config("qvhighlights")
    domain = Pairs(DataSpec(2816, 512, 75, 32), (37, 75), config.most_moments)
    return [Case("qvhighlights 75x2816", config, {"target": domain}, 32)]


def tiny() -> list[tuple[str, Case]]:
    """Each system with the network of its simulated run on two items of 8 numbers a clip."""
    modules = (eva, mmcda, mmn, moment_detr, prem_localizer, prem_retriever, qd_detr, vdi, vlanet)
    return [(module.get_config().system, _tiny(module.get_config())) for module in modules]


def _tiny(config: ConfigDict) -> Case:
    domains = {}
    for role in ("source", "target"):
        if role not in config:
            continue
        block = config[role]
        clips, sub_dim = block.max_clips, 8 if "subtitles" in block and block.subtitles else 0
        spec = DataSpec(8, 8, clips, block.max_words, sub_dim)
        domains[role] = Pairs(
            spec,
            (clips // 2, clips),
            moments=2 if block.training_moment == "all" else 0,
            videos=1 + config.negatives if config.system == "prem_localizer" else 0,
        )
        if "text" in config:
            patches = block.patch_frames if config.system == "vdi" else 0
            spec = spec._replace(word_dim=0)
            domains[role] = Videos(spec, 2.0, vocabulary_size(config.text), patches)
    return Case("tiny", config, domains, 2)


@functools.cache
def _distilbert_vocabulary() -> tempfile.TemporaryDirectory:
    """A folder with a vocab.txt as long as DistilBERT's: it tells the number of token ids."""
    folder = tempfile.TemporaryDirectory()
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    words += [f"word{row}" for row in range(len(words), _DISTILBERT_IDS)]
    Path(folder.name, "vocab.txt").write_text("\n".join(words) + "\n")
    return folder


@functools.cache
def _clip_vocabulary() -> tempfile.TemporaryDirectory:
    """A folder with files of CLIP's tokeniser that have as many tokens as CLIP's."""
    folder = tempfile.TemporaryDirectory()
    words = [f"word{row}" for row in range(_CLIP_IDS - 2)] + ["<|startoftext|>", "<|endoftext|>"]
    Path(folder.name, "vocab.json").write_text(json.dumps({w: row for row, w in enumerate(words)}))
    Path(folder.name, "merges.txt").write_text("#version: 0.2\n")
    return folder


_CLIP_IDS, _DISTILBERT_IDS = 49408, 30522
_TVR = Pairs(DataSpec(4352, 768, 100, 30, sub_dim=768), (20, 80))
SYSTEMS = {
    "eva": _eva,
    "mmn": _mmn,
    "vdi": _vdi,
    "vlanet": _vlanet,
    "mmcda": _mmcda,
    "prem_retriever": _prem_retriever,
    "prem_localizer": _prem_localizer,
    "moment_detr": functools.partial(_detr, moment_detr),
    "qd_detr": functools.partial(_detr, qd_detr),
}


def random_batch(case: Case, items: int, seed: int = 0) -> AnyBatch:
    """Pairs of different videos, or videos, on the device.

    Lengths are uniform, of queries from 4 words, or 6 tokens, to the most.
    """
    rng, key = np.random.default_rng(seed), jax.random.key(seed)
    make = {Pairs: _random_pairs, Videos: _random_videos}
    return as_batch(
        {
            role: make[type(domain)](domain, items, rng, jax.random.fold_in(key, at))
            for at, (role, domain) in enumerate(case.domains.items())
        }
    )


def _random_pairs(
    domain: Pairs, pairs: int, rng: np.random.Generator, key: Array
) -> Batch | CandidateBatch:
    spec, (fewest, most), several, videos = domain
    clips = rng.integers(fewest, most + 1, (pairs, max(videos, 1))).astype(np.int32)
    video_mask = np.arange(spec.max_clips) < clips[..., None]
    query_mask = np.arange(spec.max_words) < rng.integers(4, spec.max_words + 1, pairs)[:, None]
    first = rng.integers(0, clips[:, 0])
    last = rng.integers(first, clips[:, 0])
    of_video, of_query, of_sub = jax.random.split(key, 3)
    of_videos = {
        "video": _random_rows(of_video, video_mask, spec.video_dim),
        "video_mask": video_mask,
        "num_clips": clips,
        "duration": clips / np.float32(3),
        "video_id": np.arange(clips.size, dtype=np.int32).reshape(clips.shape),
        "sub": _random_rows(of_sub, video_mask, spec.sub_dim) if spec.sub_dim else None,
    }
    of_queries = {
        "query": _random_rows(of_query, query_mask, spec.word_dim),
        "query_mask": query_mask,
        "query_id": np.arange(pairs, dtype=np.int32),
        "moment": np.stack([first, last + 1], -1).astype(np.float32) / 3,
        "weight": np.ones(pairs, np.float32),
    }
    if videos:
        return jax.device_put(CandidateBatch(**of_videos, **of_queries))
    of_videos = {name: leaf if leaf is None else leaf[:, 0] for name, leaf in of_videos.items()}
    batch = Batch(**of_videos, **of_queries, span=np.stack([first, last], -1).astype(np.int32))
    if several:
        inside = (np.arange(spec.max_clips) >= first[:, None]) & (
            np.arange(spec.max_clips) <= last[:, None]
        )
        saliency = np.where(inside, rng.integers(0, 5, inside.shape), -1).astype(np.float32)
        moments = np.repeat(batch.moment[:, None], several, axis=1)
        moments[:, 1:] = np.nan
        batch = batch._replace(moments=moments, saliency=saliency)
    return jax.device_put(batch)


def _random_videos(domain: Videos, videos: int, rng: np.random.Generator, key: Array) -> VideoBatch:
    spec = domain.spec
    queries = round(domain.queries * videos)
    owner = np.arange(queries, dtype=np.int32) * videos // queries
    token_mask = np.arange(spec.max_words) < rng.integers(6, spec.max_words + 1, queries)[:, None]
    tokens = rng.integers(4, domain.vocabulary, token_mask.shape) * token_mask
    duration = rng.uniform(20, 40, videos).astype(np.float32)
    moment = np.sort(rng.uniform(0, duration[owner][:, None], (queries, 2)), axis=1)
    video_mask = np.ones((videos, spec.max_clips), bool)
    parts = {}
    if domain.patch_frames:
        frames = jnp.ones((videos, domain.patch_frames), bool)
        patches = jnp.ones((videos, domain.patch_frames, 49), bool)
        parts["patches"] = _random_rows(jax.random.fold_in(key, 1), patches, spec.video_dim)
        parts["patch_cls"] = _random_rows(jax.random.fold_in(key, 2), frames, spec.video_dim)
        for part in ("static", "dynamic"):
            kept = token_mask & (np.arange(spec.max_words) < spec.max_words // 2)
            parts |= {f"{part}_tokens": (tokens * kept).astype(np.int32), f"{part}_mask": kept}
            parts[f"{part}_ok"] = np.ones(queries, bool)
    return jax.device_put(
        VideoBatch(
            video=_random_rows(key, video_mask, spec.video_dim),
            video_mask=video_mask,
            num_clips=np.full(videos, spec.max_clips, np.int32),
            duration=duration,
            video_id=np.arange(videos, dtype=np.int32),
            weight=np.ones(videos, np.float32),
            tokens=tokens.astype(np.int32),
            token_mask=token_mask,
            owner=owner,
            query_id=np.arange(queries, dtype=np.int32),
            moment=moment.astype(np.float32),
            query_weight=np.ones(queries, np.float32),
            **parts,
        )
    )


def _random_rows(key: Array, mask: np.ndarray, width: int) -> Array:
    return jax.random.normal(key, (*mask.shape, width)) * mask[..., None]
