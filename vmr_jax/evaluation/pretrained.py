"""A trained run as a folder to hand on: config, parameters, vocabulary, figures, a model card."""

import json
import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy

from vmr_jax import models
from vmr_jax.evaluation.report import BASELINES
from vmr_jax.evaluation.restore import Restored, as_config
from vmr_jax.input_files import digest, read_json, require_file
from vmr_jax.output_files import needing_space, write_whole
from vmr_jax.types import Params
from vmr_jax.weights.fetch import fetch_repository

_CONFIG, _CARD = "vmr_jax.json", "README.md"
_PARAMS, _WORDS, _TOKENIZER = "model.safetensors", "vocabulary.safetensors", "tokenizer"
_TOKENIZER_FILES = ("tokenizer.json", "vocab.json", "merges.txt", "vocab.txt")
_HUB = "hf://"


class Pretrained(NamedTuple):
    """What finds moments without the workdir and the data of its run."""

    restored: Restored
    vocabulary: Sequence[str]  # of the data that it was trained on
    vectors: np.ndarray  # (W, E) of these words
    reports: Sequence[Mapping[str, Any]]  # the metrics.json of its evaluations


def pretrained_folder(given: str | Path) -> Path | None:
    """The folder of a pretrained model, fetched for hf://OWNER/NAME; None for another path.

    Raises ConnectionError and ValueError as `fetch_repository`.
    """
    if str(given).startswith(_HUB):
        return fetch_repository(str(given).removeprefix(_HUB))
    return Path(given) if (Path(given) / _CONFIG).is_file() else None


def write_pretrained(folder: Path, model: Pretrained) -> None:
    """Write a folder that `read_pretrained` reads.

    Raises FileExistsError where it holds something, FullDiskError, and FileNotFoundError where the
    run's tokenizer is not there any more.
    """
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty: give another folder")
    restored = model.restored
    config = restored.config.to_dict()
    params = {name: np.asarray(leaf) for name, leaf in _flat(restored.params).items()}
    folder.mkdir(parents=True, exist_ok=True)
    with needing_space(folder, sum(x.nbytes for x in params.values()) + model.vectors.nbytes):
        safetensors.numpy.save_file(params, folder / _PARAMS)
        if len(model.vocabulary):
            safetensors.numpy.save_file({"vectors": model.vectors}, folder / _WORDS)
        if config.get("text", {}).get("tokenizer"):
            config["text"]["tokenizer"] = _copy_tokenizer(Path(config["text"]["tokenizer"]), folder)
    content = {
        "config": config,
        "spec": dict(restored.trained),
        "checkpoint": restored.checkpoint,
        "made_by": dict(restored.made_by),
        "reports": list(model.reports),
        "vocabulary": list(model.vocabulary),
        "sha256": {path.name: digest(path) for path in sorted(folder.glob("*.safetensors"))},
    }
    write_whole(folder / _CARD, _card(model))
    write_whole(folder / _CONFIG, json.dumps(content, indent=1) + "\n")


def read_pretrained(folder: Path) -> Pretrained:
    """Read what `write_pretrained` wrote; nothing in it is executed.

    Raises FileNotFoundError and ValueError where a file is missing or damaged.
    """
    keys = "config", "spec", "checkpoint", "reports", "vocabulary", "sha256"
    content = read_json(folder / _CONFIG, "fetch or save the model again", *keys)
    for name, expected in content["sha256"].items():
        if digest(require_file(folder / Path(name).name, "file of the model")) != expected:
            raise ValueError(f"{folder / name} is damaged: fetch or save the model again")
    config = as_config(content["config"])
    if config.get("text") and config.text.get("tokenizer"):
        config.text.tokenizer = str(folder / _TOKENIZER / Path(config.text.tokenizer).name)
    flat = safetensors.numpy.load_file(require_file(folder / _PARAMS, "parameters"))
    made_by = content.get("made_by", {})
    restored = Restored(config, _tree(flat), content["spec"], content["checkpoint"], made_by)
    vectors = np.zeros((0, 0), np.float32)
    if content["vocabulary"]:
        vectors = safetensors.numpy.load_file(folder / _WORDS)["vectors"]
    return Pretrained(restored, content["vocabulary"], vectors, content["reports"])


def _copy_tokenizer(path: Path, folder: Path) -> str:
    """Copy a tokenizer's file, or the files of its folder; where it is then, in `folder`."""
    target = folder / _TOKENIZER
    target.mkdir()
    if path.is_dir():
        target = target / "files"
        target.mkdir()
    found = [path / name for name in _TOKENIZER_FILES] if path.is_dir() else [path]
    for file in found:
        if file.is_file() or not path.is_dir():
            shutil.copyfile(require_file(file, "tokenizer of the run"), target / file.name)
    return str(Path(_TOKENIZER, "files" if path.is_dir() else path.name))


def _flat(params: Params) -> dict[str, Any]:
    """The leaves of nested dicts by their paths. Raises ValueError for another tree."""
    flat, left = {}, [("", params)]
    while left:
        prefix, node = left.pop()
        for name, value in node.items():
            if isinstance(value, Mapping):
                left.append((f"{prefix}{name}\0", value))
            elif isinstance(value, jax.Array | np.ndarray):
                flat[f"{prefix}{name}"] = value
            else:
                raise ValueError(f"the parameters have a {type(value).__name__} at {name!r}")
    return {_key(name): leaf for name, leaf in flat.items()}


def _key(path: str) -> str:
    """A path of names as one name, with "/" between them and "//" for a slash in them."""
    return path.replace("/", "//").replace("\0", "/")


def _tree(flat: Mapping[str, np.ndarray]) -> Params:
    """The nested dicts of `_flat`, on the device."""
    tree: dict[str, Any] = {}
    for key, leaf in flat.items():
        names = key.replace("//", "\0").split("/")
        node = tree
        for name in names[:-1]:
            node = node.setdefault(name.replace("\0", "/"), {})
        node[names[-1].replace("\0", "/")] = jnp.asarray(leaf)
    return tree


def _card(model: Pretrained) -> str:
    """The model card, as the README.md of a repository."""
    config, checkpoint = model.restored.config, model.restored.checkpoint
    described = models.of(config)
    roles = described.domains(config)
    data = [f"`{config[role].dataset}` with features `{config[role].features}`" for role in roles]
    parameters = sum(math.prod(leaf.shape) for leaf in _flat(model.restored.params).values())
    lines = [
        "---",
        "library_name: vmr_jax",
        "tags: [video-moment-retrieval, jax]",
        "---",
        "",
        f"# {described.name}",
        "",
        f"{described.paper}. It finds {described.finds} and learns from {described.supervision}.",
        "",
        f"- Trained on {'; '.join(dict.fromkeys(data))}.",
        f"- Step {checkpoint['step']}, chosen by {checkpoint['selected_by']}.",
        f"- {parameters:,} parameters, `model.safetensors`; the config is in `{_CONFIG}`.",
        "- The licence is that of who shares it, and of the data.",
        "",
        "```python",
        "import vmr_jax as vmr",
        "",
        'model = vmr.load("THIS FOLDER")  # or hf://OWNER/NAME',
        'print(model.predict(features, "a person opens a door", duration=30.0))',
        "```",
    ]
    for report in model.reports:
        lines += ["", *_figures(report)]
    if not model.reports:
        lines += ["", "No evaluation stood beside the run."]
    return "\n".join(lines) + "\n"


def _figures(report: Mapping[str, Any]) -> list[str]:
    """A report's figures beside the baselines, in Markdown."""
    columns = ["model", *(name for name in BASELINES if name in report)]
    title = f"## {report.get('dataset')}, {report.get('split')}, {report.get('queries')} queries"
    header = ["percent", *columns]
    rows = [
        [metric, *(f"{report[column].get(metric, math.nan):.2f}" for column in columns)]
        for metric in report.get("model", {})
    ]
    line = "| " + " | ".join(header) + " |"
    rule = "| --- |" + " ---: |" * len(columns)
    return [title, "", line, rule, *("| " + " | ".join(row) + " |" for row in rows)]
