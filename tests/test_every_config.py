"""Every config, with every dataset as its argument, builds a system and a training step."""

import functools
import importlib
import itertools
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vmr_jax import configs, models
from vmr_jax.configs.common import DATASETS
from vmr_jax.data.text import tokens
from vmr_jax.training.optimizer import make_optimizer
from vmr_jax.training.state import state_maker
from vmr_jax.training.steps import Pace, as_batch, train_step
from vmr_jax.types import Batch, CandidateBatch, DataSpec, VideoBatch

CONFIGS = sorted(
    path.stem
    for path in Path(configs.__file__).parent.glob("*.py")
    if path.stem not in ("__init__", "common")
)
OTHERS = ("tacos", "didemo_mine", "mine")
WIDTHS = {"c3d": 4096, "clip": 512, "clip_patches": 512, "i3d": 1024, "slowfast_resnet": 4352}
PAIRS, QUERIES_A_VIDEO, CELLS = 2, 2, 4


def arguments(name):
    """What the config can be given: no argument, every dataset, every ordered pair of them."""
    datasets = [*DATASETS, *OTHERS]
    if "source" not in importlib.import_module(f"vmr_jax.configs.{name}").get_config():
        return ["", *datasets]
    return ["", *map(",".join, itertools.permutations(datasets, 2))]


def documented(name):
    """The arguments of the commands in the config's docstring."""
    text = importlib.import_module(f"vmr_jax.configs.{name}").__doc__
    found = re.findall(rf"--config=configs/{name}\.py(?::(\S+))?", text)
    assert "" in found and len(found) > 1, name
    return [argument for argument in found if not argument.isupper()]


def spec_of(config, role):
    """Sizes of batches, with features as wide as their names say."""
    settings = config[role]
    words = 0 if "text" in config else 768 if settings.query_features else 300
    sub = 768 if settings.get("subtitles") else 0
    width = WIDTHS.get(settings.features, 96)
    return DataSpec(width, words, settings.max_clips, settings.max_words, sub)


def shape_of(*shape, dtype=jnp.float32):
    return jax.ShapeDtypeStruct(shape, dtype)


def example(config, role, spec):
    """A batch of `PAIRS` pairs, or of so many videos with all their queries, without numbers."""
    form, count = models.of(config).batch, PAIRS
    lead = (count, 1 + config.negatives) if form == "candidates" else (count,)
    videos = {
        "video": shape_of(*lead, spec.max_clips, spec.video_dim),
        "video_mask": shape_of(*lead, spec.max_clips, dtype=bool),
        "num_clips": shape_of(*lead, dtype=jnp.int32),
        "duration": shape_of(*lead),
        "video_id": shape_of(*lead, dtype=jnp.int32),
        "weight": shape_of(count),
    }
    if form == "videos":
        return video_batch(config, spec, videos)
    queries = {
        "query": shape_of(count, spec.max_words, spec.word_dim),
        "query_mask": shape_of(count, spec.max_words, dtype=bool),
        "query_id": shape_of(count, dtype=jnp.int32),
        "moment": shape_of(count, 2),
        "sub": shape_of(*lead, spec.max_clips, spec.sub_dim) if spec.sub_dim else None,
    }
    if form == "candidates":
        return CandidateBatch(**videos, **queries)
    if config[role].training_moment == "all":
        queries |= {"moments": shape_of(count, 3, 2), "saliency": shape_of(count, spec.max_clips)}
    return Batch(**videos, **queries, span=shape_of(count, 2, dtype=jnp.int32))


def video_batch(config, spec, videos):
    """Videos with their queries' tokens, and with parts and patches where the config has them."""
    count = PAIRS * QUERIES_A_VIDEO
    tokens = shape_of(count, spec.max_words, dtype=jnp.int32)
    mask = shape_of(count, spec.max_words, dtype=bool)
    found = {
        "tokens": tokens,
        "token_mask": mask,
        "owner": shape_of(count, dtype=jnp.int32),
        "query_id": shape_of(count, dtype=jnp.int32),
        "moment": shape_of(count, 2),
        "query_weight": shape_of(count),
    }
    if config.text.get("query_mask_mode"):
        for part in ("static", "dynamic"):
            ok = shape_of(count, dtype=bool)
            found |= {f"{part}_tokens": tokens, f"{part}_mask": mask, f"{part}_ok": ok}
    if config.target.get("patches"):
        lead = (PAIRS, config.target.patch_frames)
        width = WIDTHS.get(config.target.patches, spec.video_dim)
        found["patches"] = shape_of(*lead, CELLS, width)
        found["patch_cls"] = shape_of(*lead, spec.video_dim)
    return VideoBatch(**videos, **found)


def content(config):
    """What a config's step depends on, as text: all but names of data."""
    found = json.loads(config.to_json_best_effort())
    for role in ("source", "target"):
        for name in ("dataset", "train_split", "select_split", "eval_split", "metric"):
            found.get(role, {}).pop(name, None)
    for name in ("first", "metric", "eval", "epochs", "batch_size", "select"):
        found.pop(name, None)
    return json.dumps(found, sort_keys=True)


class Sizes(NamedTuple):
    """What a config is built for."""

    specs: dict[str, DataSpec]
    batch: object

    def parts(self) -> set:
        """Each domain's sizes, and the widths that meet in shared parameters."""
        widths = [(s.video_dim, s.word_dim, s.sub_dim) for s in self.specs.values()]
        return {*self.specs.items(), tuple(widths)}


def sizes_of(config):
    specs = {role: spec_of(config, role) for role in models.of(config).domains(config)}
    return Sizes(specs, as_batch({role: example(config, role, s) for role, s in specs.items()}))


def made(config, sizes):
    """A config's system, with its pace and optimiser."""
    pace = Pace(10, config.epochs)
    return {
        "system": models.make(config, sizes.specs),
        "pace": pace,
        "optimizer": make_optimizer(config.optimizer, pace),
    }


def first_state(config, sizes, made):
    return jax.eval_shape(state_maker(made["system"], made["optimizer"], sizes.batch, config.seed))


def distinct(name, arguments):
    """The config of an argument, and the argument, once for all that have equal settings."""
    get_config = importlib.import_module(f"vmr_jax.configs.{name}").get_config
    configs = {argument: get_config(argument) for argument in arguments}
    return {content(config): (argument, config) for argument, config in configs.items()}.values()


@pytest.fixture(autouse=True)
def vocabulary(monkeypatch):
    """Stands for the tokenisers that the papers' text encoders need files for."""
    made = SimpleNamespace(vocabulary=1000)
    monkeypatch.setattr(tokens, "make_tokenizer", lambda text, max_words: made)


def check_step(system, before, batch):
    """A step keeps every parameter's shape and type, and its metrics are scalars."""
    step = functools.partial(train_step, seed=np.uint32(0), **system)
    after, metrics = jax.eval_shape(step, before, batch)
    shapes = [jax.tree.map(lambda x: (x.shape, x.dtype), state) for state in (before, after)]
    assert shapes[0] == shapes[1]
    assert {metric.shape for metric in metrics.values()} == {()}
    assert {"loss", "grad_norm"} < set(metrics)


@pytest.mark.parametrize("name", CONFIGS)
def test_every_argument_builds_and_every_documented_command_takes_a_step(name):
    """Parameters are made for the sizes of every dataset, and for all widths that meet."""
    seen = set()
    commands = [argument for argument in documented(name) if argument]  # that of "": test_one_step
    steps = {content(config) for _, config in distinct(name, commands)}
    found = distinct(name, [*commands, *arguments(name)])
    assert len(found) > len(steps) > 0
    for _, config in found:
        sizes = sizes_of(config)
        system = made(config, sizes)
        if sizes.parts() <= seen and content(config) not in steps:
            continue
        seen |= sizes.parts()
        state = first_state(config, sizes, system)
        assert len(jax.tree.leaves(state.params)) > 4
        if content(config) in steps:
            check_step(system, state, sizes.batch)
