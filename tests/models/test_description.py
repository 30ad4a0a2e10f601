"""Descriptions of systems: refused where they are wrong, found where installed, true of ours."""

import dataclasses
import re
import sys

import jax
import jax.numpy as jnp
import pytest
import vlanet_cases
from ml_collections import ConfigDict
from test_one_step import cases_of

from vmr_jax import models
from vmr_jax.config_files import config_names, load_config
from vmr_jax.configs import common, mmn, prem_retriever, vlanet
from vmr_jax.decoding import corpus_moments
from vmr_jax.models import Description
from vmr_jax.training.steps import Pace
from vmr_jax.types import Localizer, MomentSystem, Queries, Videos

MODULE = "borrowed_plug_in"
SOURCE = """
import dataclasses
from vmr_jax import models
SYSTEM = dataclasses.replace(models.describe("vlanet"), name="borrowed", paper="of others")
NAMES = ("borrowed",)
def misspelt():
    models.Description(name="borrowed", READOUTS=())
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """install(lines of entry_points.txt, package, what its module has): as pip would put it."""

    def put(points, package="borrowed", source=SOURCE):
        info = tmp_path / f"{package}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{models.ENTRY_POINTS}]\n{points}\n")
        (tmp_path / f"{MODULE}.py").write_text(source)

    def forget():
        for cached in (models.names, models.describe, models._ours, models._plug_ins):
            cached.cache_clear()
        sys.modules.pop(MODULE, None)

    monkeypatch.syspath_prepend(tmp_path)
    forget()
    yield put
    forget()


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("kind", "moment", "system 'x': kind='moment'; it must be one of moments, retriever, loc"),
        ("batch", "pair", "system 'x': batch='pair'; it must be one of pairs, videos, candidates"),
        ("epoch", "first", "system 'x': epoch='first'; it must be one of last, largest"),
        ("reads", ("eval.topk",), r"system 'x': reads=\['eval.topk'\] are no optional keys; those"),
        ("reads", ("seed",), r"reads=\['seed'\] are no optional keys"),
        ("reads", "precision", "system 'x': reads must be a tuple of names"),
        ("readout", "infer", "system 'x': readout must be a tuple of names"),
    ],
)
def test_a_bad_value_is_refused_at_once(field, value, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(models.describe("vlanet"), **{"name": "x", field: value})


def test_a_misspelt_or_missing_field_is_an_error():
    right = dict(name="x", paper="", supervision="", kind="moments", build=id, domains=id)
    assert Description(**right).finds == "moments in a video"
    with pytest.raises(TypeError, match="unexpected keyword argument 'READOUTS'"):
        Description(**right, READOUTS=("infer",))
    for field in right:
        with pytest.raises(TypeError, match=f"missing 1 required .* argument: '{field}'"):
            Description(**{name: value for name, value in right.items() if name != field})
    with pytest.raises(dataclasses.FrozenInstanceError):
        models.describe("vlanet").reads = ()


def test_a_build_of_another_kind_is_refused(monkeypatch):
    wrong = dataclasses.replace(models.describe("vlanet"), kind="retriever")
    monkeypatch.setattr(models, "describe", lambda name: wrong)
    with pytest.raises(ValueError, match="kind 'retriever', so build must make a Retriever, not a"):
        models.make(vlanet_cases.config(), vlanet_cases.SPECS)


def test_a_plug_in_is_found_listed_and_built(install):
    assert "borrowed" not in models.names()
    install(f"borrowed = {MODULE}:SYSTEM")
    models.names.cache_clear()
    models._plug_ins.cache_clear()
    assert set(models.names()) == {*models._ours(), "borrowed"}
    config = vlanet_cases.config()
    config.system = "borrowed"
    assert models.of(config).paper == "of others"
    assert isinstance(models.make(config, vlanet_cases.SPECS), MomentSystem)


@pytest.mark.parametrize(
    ("points", "asked", "message"),
    [
        ("NAMES", "borrowed", r"'borrowed' must be registered as .*Description.* not as \('borr"),
        ("lent = SYSTEM", "lent", "the system 'lent' must be registered .* of that name"),
        ("missing", "borrowed", f"{MODULE}:missing, .* cannot be loaded: AttributeError: module"),
        ("misspelt", "borrowed", r"must be registered as a .*Description.*, not as <function"),
        ("SYSTEM\neva = SYSTEM", "borrowed", f"{MODULE}:SYSTEM is .* 'eva', but one of ours is"),
        ("SYSTEM", "borowed", "'borowed' is not known: did you mean borrowed"),
    ],
)
def test_a_bad_plug_in_is_refused(install, points, asked, message):
    lines = (line if "=" in line else f"borrowed = {line}" for line in points.splitlines())
    install("\n".join(re.sub("= ", f"= {MODULE}:", line) for line in lines))
    with pytest.raises(ValueError, match=message):
        models.describe(asked)
    assert models.describe("eva").paper.endswith("BMVC 2022")  # a bad plug-in stops no other run


def test_a_plug_in_whose_module_fails_is_named(install):
    install(f"borrowed = {MODULE}:SYSTEM", source=SOURCE + "misspelt()")
    message = "'borrowed', cannot be loaded: TypeError: .* unexpected keyword argument 'READOUTS'"
    with pytest.raises(ValueError, match=message):
        models.describe("borrowed")


def test_two_packages_with_one_name_are_refused(install):
    for package in ("first", "second"):
        install(f"borrowed = {MODULE}:SYSTEM", package)
    with pytest.raises(ValueError, match=f"'borrowed', but {MODULE}:SYSTEM is already: one of the"):
        models.names()


def changed(get_config, **keys):
    config = get_config()
    config.update_from_flattened_dict({k.replace("__", "."): v for k, v in keys.items()})
    return config


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (changed(mmn.get_config, data__queries_per_video=2), "data.queries_per_video=2 has no"),
        (changed(prem_retriever.get_config, metric__iou_cmp="gt"), "metric.iou_cmp='gt' has no"),
        (changed(prem_retriever.get_config, metric__discounted=True), "prem_retriever does not"),
        (changed(prem_retriever.get_config, eval__nms=0.3), "eval.nms=0.3.*Leave it at 0.5"),
    ],
)
def test_a_key_that_nothing_reads_is_refused(config, message):
    with pytest.raises(ValueError, match=message):
        models.of(config).refuse_unread(config, common.run())


def test_precision_is_refused_where_it_is_not_read():
    config = changed(vlanet.get_config, precision="bfloat16")
    models.of(config).refuse_unread(config, common.run())
    without = dataclasses.replace(models.of(config), reads=(), readout=())
    with pytest.raises(ValueError, match="config.precision='bfloat16' has no effect: vlanet does"):
        without.refuse_unread(config, common.run())
    lacking = ConfigDict({"system": "vlanet"})
    without.refuse_unread(lacking, common.run())


@pytest.mark.parametrize("name", config_names())
def test_our_configs_set_no_key_that_nothing_reads(name):
    pairs = name in ("eva", "mmcda")
    for dataset in ("", *common.DATASETS):
        config = load_config(f"{name}:{f'tvr,{dataset}' if pairs and dataset else dataset}")
        described = models.of(config)
        for run in (config, described.pretraining(config), described.first_run(config)):
            if run is not None:
                models.of(run).refuse_unread(run, common.run())


# A key that only this block of a config has -> how keys of the block begin. A copy counts as well.
BLOCKS = {"system": "", "top_k": "eval.", "queries_per_video": "data.", "iou_cmp": "metric."}


@pytest.fixture
def seen(monkeypatch):
    """The dotted keys of configs that are read from now on; to copy a config reads none."""
    read_key, copy, keys = ConfigDict.__getitem__, ConfigDict.to_dict, set()

    def read(block, key):
        keys.update(f"{before}{key}" for mark, before in BLOCKS.items() if mark in block)
        return read_key(block, key)

    def copy_unseen(block, *arguments, **settings):
        before = set(keys)
        copied = copy(block, *arguments, **settings)
        keys.intersection_update(before)
        return copied

    monkeypatch.setattr(ConfigDict, "__getitem__", read)
    monkeypatch.setattr(ConfigDict, "to_dict", copy_unseen)
    return keys


def use(config, specs, batch) -> str:
    """Build a system, trace its loss and a prediction; the program of the loss."""
    system, key = models.make(config, specs), jax.random.key(0)
    params = jax.eval_shape(system.init, key, batch)
    progress = Pace(10, 2).progress(jnp.int32(3))
    program = str(jax.make_jaxpr(system.loss)(params, batch, key, progress))
    if isinstance(system, MomentSystem):
        jax.eval_shape(system.predict, params, getattr(batch, "target", batch))
        return program
    first = (slice(None), 0) if models.of(config).batch == "candidates" else ()
    mask = batch.video_mask[first]
    videos = Videos(batch.video[first], mask, batch.sub[first])
    code = jax.eval_shape(system.encode_videos, params, videos)
    queries = Queries(batch.query, batch.query_mask)
    asked = jax.eval_shape(system.encode_queries, params, queries)
    if isinstance(system, Localizer):
        corpus_moments.readout(config)
        alone = jax.eval_shape(lambda code: jax.tree.map(lambda leaf: leaf[:, None], code), code)
        jax.eval_shape(system.locate, params, asked, alone, mask[:, None])
    return program


@pytest.mark.parametrize("name", models.names())
def test_a_system_reads_the_keys_that_it_says(name, seen):
    config, specs, batch = cases_of(name).one_step(name)
    config.precision = "bfloat16"
    described = models.of(config)
    seen.clear()
    program = use(config, specs, batch)
    assert set(described.reads) <= seen
    assert not seen & set(described.unread)
    assert ("bf16" in program) == ("precision" in described.reads)
