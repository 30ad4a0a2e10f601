"""Every config, with every dataset as its argument, builds a system and a training step."""

import importlib
import itertools
import json
import re
from pathlib import Path
from types import SimpleNamespace

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


def build(config):
    """A config's state and a function that traces one training step, at the config's sizes."""
    specs = {role: spec_of(config, role) for role in models.of(config).domains(config)}
    system = models.make(config, specs)
    batch = as_batch({role: example(config, role, spec) for role, spec in specs.items()})
    pace = Pace(10, config.epochs)
    optimizer = make_optimizer(config.optimizer, pace)
    state = jax.eval_shape(state_maker(system, optimizer, batch, config.seed))

    def step(state, batch):
        seed = np.uint32(0)
        return train_step(state, batch, seed, system=system, optimizer=optimizer, pace=pace)

    return state, lambda: jax.eval_shape(step, state, batch)


@pytest.fixture(autouse=True)
def vocabulary(monkeypatch):
    """Stands for the tokenisers that the papers' text encoders need files for."""
    made = SimpleNamespace(vocabulary=1000)
    monkeypatch.setattr(tokens, "make_tokenizer", lambda text, max_words: made)


@pytest.mark.parametrize("name", CONFIGS)
def test_every_argument_builds(name):
    """Arguments with equal sizes are built once."""
    get_config = importlib.import_module(f"vmr_jax.configs.{name}").get_config
    distinct = {content(get_config(argument)): argument for argument in arguments(name)}
    assert len(distinct) > 1
    for argument in distinct.values():
        state, _ = build(get_config(argument))
        assert len(jax.tree.leaves(state.params)) > 4, argument


@pytest.mark.parametrize("name", CONFIGS)
def test_a_step_of_every_documented_command(name):
    """It keeps every parameter's shape and type, and its metrics are scalars."""
    get_config = importlib.import_module(f"vmr_jax.configs.{name}").get_config
    for argument in documented(name):
        before, step = build(get_config(argument))
        after, metrics = step()
        shapes = [jax.tree.map(lambda x: (x.shape, x.dtype), state) for state in (before, after)]
        assert shapes[0] == shapes[1], argument
        assert {metric.shape for metric in metrics.values()} == {()}, argument
        assert {"loss", "grad_norm"} < set(metrics), argument
