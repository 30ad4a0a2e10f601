"""Frames and snippets in a sentence encoder's space, without any training on videos.

A classifier's probabilities of its classes weigh the sentence vectors of "a video of NAME".
"""

import ast
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vmr_jax.encoders.sentence import SentenceEncoder, open_sentence_encoder
from vmr_jax.types import Array, Params
from vmr_jax.weights.registry import weights_path

SENTENCES = "all-minilm-l6-v2"  # whose space it is
_WIDTH = 384  # of it
_TEMPLATE = "a video of {}"


def project(logits: Array, vectors: Array) -> Array:
    """Logits (B, C) of classes and their vectors (C, E) -> the expected vector (B, E) float32."""
    return jnp.matmul(jax.nn.softmax(logits, axis=-1), vectors, precision="highest")


def load_concepts(path: Path, load: Callable[[Path], Params], names: str) -> dict[str, Any]:
    """A classifier's parameters from a file, and the vectors of its classes' names.

    `names`, a registered list of names, and the sentence encoder lie where `vmr weights get` keeps
    them. Raises FileNotFoundError where they are not, and as `load`.
    """
    classes = read_names(weights_path(names))
    encoder = open_sentence_encoder(weights_path(SENTENCES))
    vectors = sentence_vectors(encoder, [_TEMPLATE.format(name) for name in classes])
    return {"classifier": load(path), "vectors": vectors}


def init_concepts(init: Callable[[], Params], classes: int) -> dict[str, Any]:
    """Random parameters and vectors."""
    vectors = jax.random.normal(jax.random.key(1), (classes, _WIDTH))
    return {"classifier": init(), "vectors": vectors}


def sentence_vectors(encoder: SentenceEncoder, sentences: list[str]) -> np.ndarray:
    """The mean (S, E) of each sentence's tokens, L2-normalised."""
    means = np.stack([rows.mean(axis=0) for rows in encoder.tokens(sentences)])
    return means / np.linalg.norm(means, axis=1, keepdims=True)


def read_names(path: Path) -> list[str]:
    """The names of classes, as the longest list in a Python file of GluonCV; none of it is run.

    Of a class with several names, (synset, name, "name, other name"), it is the first. Kinetics'
    names of folders, shooting_goal_-soccer-, become shooting goal (soccer). Raises ValueError for a
    file without such a list.
    """
    try:
        nodes = ast.walk(ast.parse(path.read_text("utf-8")))
        lists = [node for node in nodes if isinstance(node, ast.List)]
        found = ast.literal_eval(max(lists, key=lambda node: len(node.elts)))
        names = [name if isinstance(name, str) else name[1] for name in found]
    except (SyntaxError, ValueError, IndexError, TypeError, RecursionError, MemoryError) as error:
        raise ValueError(f"{path} has no list of class names ({error})") from error
    return [re.sub(r"_-(.*)-$", r" (\1)", name).replace("_", " ") for name in names]
