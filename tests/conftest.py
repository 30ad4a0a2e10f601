"""What several tests share: a prepared pair of tiny domains, small systems on it."""

import functools
import gc
import os
import shutil
import subprocess
from importlib.metadata import version

import hypothesis
import jax
import numpy as np
import pytest
from jaxtyping import install_import_hook

from vmr_jax.configs import eva, mmcda, mmn, qd_detr, vdi, vlanet
from vmr_jax.data.datasets.records import Annotations, MomentRecord
from vmr_jax.data.sources.features import from_arrays
from vmr_jax.data.tables.build import write_dataset
from vmr_jax.data.tables.chunk_table import write_chunks
from vmr_jax.data.tables.query_features import write_query_features
from vmr_jax.layers.hashed_keys import HASHED

# Property tests: no time limit on an example, since a first one compiles; the same ones in CI.
hypothesis.settings.register_profile(
    "vmr",
    deadline=None,
    derandomize="CI" in os.environ,
    database=None,
    max_examples=40,
    phases=set(hypothesis.Phase) - {hypothesis.Phase.explain},  # it is slow and names NumPy's lines
)
hypothesis.settings.load_profile("vmr")

# Annotated shapes are checked in tests, and only there; an int is a float, as for pyright.
install_import_hook(
    ("vmr_jax.layers", "vmr_jax.losses", "vmr_jax.decoding"),
    "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))",
)

_WORDS = ["a", "person", "opens", "closes", "the", "door", "window", "box", "red", "blue"]


def write_toy(
    data_dir, name: str, videos: int = 24, width: int = 8, seed: int = 0, labels: bool = True
) -> None:
    """Prepare a dataset of random features with splits train, val and test.

    It has features of clips, patches and subtitles, some of them silent, and of query tokens. The
    first word of a query is its noun chunk.
    """
    rng = np.random.default_rng([seed, len(name)])
    splits, durations, features = {}, {}, {}
    for split, count in (("train", videos), ("val", 4), ("test", 5)):
        splits[split] = []
        for index in range(count):
            video = f"{split}{index}"
            durations[video] = duration = float(rng.uniform(10, 30))
            features[video] = rng.normal(size=(int(rng.integers(5, 16)), width)).astype(np.float32)
            for query in range(2):
                moment = np.sort(rng.uniform(0, duration, (1, 2)), axis=1).astype(np.float32)
                sentence = " ".join(rng.choice(_WORDS, rng.integers(3, 7)))
                moment = moment if labels else moment[:0]
                record = MomentRecord(f"{video}#{query}", video, sentence, moment)
                splits[split].append(record)
    vectors = {word: rng.normal(size=6).astype(np.float32) for word in _WORDS}
    annotations = Annotations(name, splits, durations, [], {})
    write_dataset(data_dir, annotations, from_arrays(features), "features", vectors)
    grids = {video: rng.normal(size=(len(rows), 4, width)) for video, rows in features.items()}
    write_dataset(data_dir, annotations, from_arrays(grids, patches=True), "patches", None)
    chunks = {
        split: [np.array([[0, record.sentence.index(" ")]]) for record in records]
        for split, records in splits.items()
    }
    write_chunks(data_dir, annotations, chunks, "first word")
    spoken = {
        video: rng.normal(size=(len(rows), 5)) * rng.integers(2, size=(len(rows), 1))
        for video, rows in features.items()
    }
    write_dataset(data_dir, annotations, from_arrays(spoken), "subtitles", None)
    tokens = {
        record.query_id: rng.normal(size=(len(record.sentence.split()), 7))
        for records in splits.values()
        for record in records
    }
    write_query_features(data_dir, annotations, from_arrays(tokens), "tokens")


# XLA's older code generator for CPUs takes a third of the time; one module of code a program, no
# check of what each pass leaves and no inlined calls save another quarter.
_XLA_FLAGS = (
    "--xla_cpu_use_fusion_emitters=false",
    "--xla_cpu_parallel_codegen_split_count=1",
    "--xla_disable_hlo_passes=call-inliner,hlo-verifier",
)

# Minutes long: they start first, so that pytest-xdist's workers end together.
_LONGEST = {
    "test_multiprocess.py",
    "test_your_data.py",
    "test_devices.py",
    "test_evaluate_corpus.py",
    "test_loop.py",
}


def pytest_configure(config):
    """Compile quickly programs that run once, and wait for no disk.

    What JAX traces is many small objects: the garbage collector looks at them less often.
    """
    config.option.loadscopereorder = False  # else files of few tests come last
    gc.set_threshold(100_000, 50, 100)
    os.fsync = lambda descriptor: None  # what tests write need not outlast the machine
    if version("jaxlib").startswith("0.10."):  # XLA ends a process whose flags it does not know
        os.environ["XLA_FLAGS"] = " ".join([*_XLA_FLAGS, os.environ.get("XLA_FLAGS", "")]).strip()


def pytest_collection_modifyitems(items):
    """Bring the longest files to the front."""
    items.sort(key=lambda item: item.path.name not in _LONGEST)


@pytest.fixture(scope="session", autouse=True)
def quick_compilation(pytestconfig, tmp_path_factory):
    """Compile once what several tests, their subprocesses, workers and later test runs share.

    The programs lie in .pytest_cache; `pytest --cache-clear` removes them; with
    `-p no:cacheprovider` they lie in a temporary directory. XLA leaves out its long passes,
    and JAX where in the code an operation was asked for.
    """
    kept = getattr(pytestconfig, "cache", None)
    cache = str(kept.mkdir("xla") if kept else tmp_path_factory.mktemp("xla"))
    os.environ["JAX_COMPILATION_CACHE_DIR"] = cache
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.1"
    os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"
    os.environ["JAX_INCLUDE_FULL_TRACEBACKS_IN_LOCATIONS"] = "0"
    jax.config.update("jax_compilation_cache_dir", cache)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    jax.config.update("jax_disable_most_optimizations", True)
    jax.config.update("jax_include_full_tracebacks_in_locations", False)


@pytest.fixture(scope="module")
def quick_random_numbers():
    """Draw random numbers, such as those of dropout, that compile quickly."""
    own = jax.random.key
    jax.random.key = functools.partial(own, impl=HASHED)
    yield
    jax.random.key = own


def fill(disk, free: int) -> None:
    """Fill a file system up with a file "other", until only so many bytes are free, about."""
    (disk / "other").write_bytes(b"")
    (disk / "other").write_bytes(bytes(shutil.disk_usage(disk).free - free))


@pytest.fixture
def small_disk(tmp_path):
    """A directory with a file system of 2 MB of its own, where the tests may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture(scope="session")
def toy_data(tmp_path_factory):
    """A data directory with the prepared datasets toy_source and toy_target."""
    data_dir = tmp_path_factory.mktemp("data")
    for name in ("toy_source", "toy_target"):
        write_toy(data_dir, name)
    return data_dir


def small_settings(data_dir) -> dict:
    """Config keys that make `configs/eva.py:toy_source,toy_target` run in seconds."""
    settings = {
        "data_dir": str(data_dir),
        "epochs": 3,
        "batch_size": 8,
        "dim": 8,
        "log_every": 3,
        "checkpoint_every": 3,
        "optimizer.learning_rate": 1e-3,
        "data.threads": 2,
        "data.prefetch": 2,
        "eval.batch_size": 8,
    }
    for role in ("source", "target"):
        settings |= {
            f"{role}.max_clips": 12,
            f"{role}.max_words": 6,
            f"{role}.windows": (2, 4),
            f"{role}.stride": 2,
        }
    return settings


def small_mmcda(data_dir):
    """A small MMCDA on the toy pair."""
    config = mmcda.get_config("toy_source,toy_target")
    settings = small_settings(data_dir)
    sizes = {"joint_dim": 8, "heads": 2, "position_rows": 12, "dropout": 0.0}
    config.update_from_flattened_dict(
        {k: v for k, v in settings.items() if not k.endswith((".windows", ".stride"))} | sizes
    )
    return config


def target_settings(data_dir) -> dict:
    """The same for a system that reads one domain, in which it slides no windows."""
    of_eva = ("source.", "target.windows", "target.stride")
    return {k: v for k, v in small_settings(data_dir).items() if not k.startswith(of_eva)}


def vlanet_settings(data_dir) -> dict:
    """The same for VLANet, the system that compiles fastest."""
    return target_settings(data_dir) | {"proposals.widths": (2, 4), "proposals.stride": 2}


def small_vlanet(data_dir):
    """A small VLANet on the toy target."""
    config = vlanet.get_config("toy_target")
    config.update_from_flattened_dict(vlanet_settings(data_dir))
    return config


def small_mmn(data_dir, get_config=mmn.get_config):
    """A small MMN on the toy target, with the small text encoder."""
    config = get_config("toy_target")
    sizes = {"map.clips": 6, "map.pooling_counts": (5,), "map.kernel": 3, "map.layers": 1}
    text = {"text.size": "small", "target.max_words": 8, "joint_dim": 8}
    config.update_from_flattened_dict(target_settings(data_dir) | sizes | text)
    return config


def small_vdi(data_dir):
    """A small VDI on the toy target."""
    config = small_mmn(data_dir, vdi.get_config)
    config.target.update({"features": "features", "patches": "patches", "patch_frames": 3})
    config.vdi.dropout = 0.0
    config.select = "last"
    return config


def small_detr(data_dir, get_config=qd_detr.get_config):
    """A small QD-DETR on the toy target; its switches are all those of the family."""
    config = get_config("toy_target")
    sizes = {
        "heads": 2,
        "hidden": 8,
        "dropout": 0.0,
        "input.dropout": 0.0,
        "optimizer.grad_clip": 0.0,
    }
    layers = {"encoder_layers": 1, "decoder_layers": 2, "slots": 4, "most_moments": 2}
    config.update_from_flattened_dict(target_settings(data_dir) | sizes | layers)
    return config


@pytest.fixture
def toy_config(toy_data):
    """A small EVA on the toy pair."""
    config = eva.get_config("toy_source,toy_target")
    config.update_from_flattened_dict(small_settings(toy_data))
    return config
