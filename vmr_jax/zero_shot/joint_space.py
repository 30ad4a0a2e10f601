"""Image encoders whose rows can be compared with sentences, and the vectors of sentences there."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from vmr_jax.encoders import concepts, demo, demo_words
from vmr_jax.encoders.clip import ClipText, ClipTextConfig, load_clip_text
from vmr_jax.encoders.images import ImageEncoder, kind_of, open_image_encoder, weights_digest
from vmr_jax.encoders.sentence import open_sentence_encoder
from vmr_jax.encoders.tokenizer import clip_tokenizer
from vmr_jax.weights.registry import entry, require_weights, weights_path
from vmr_jax.zero_shot.moments import GENERIC

_TOKENIZER = "clip-tokenizer"  # its registered name
_LARGE = ClipTextConfig(width=768, heads=12, projection=768)
_CLIP = {"clip-vit-b32": ClipTextConfig(), "clip-vit-b16": ClipTextConfig(), "clip-vit-l14": _LARGE}
ENCODERS = ("concepts", *_CLIP, "demo")


class Sentences(NamedTuple):
    """The encoder of sentences of a joint space."""

    encode: Callable[[Sequence[str]], np.ndarray]  # S sentences -> (S, width) float32
    weights: str  # as those of the image encoder beside it


class JointSpace(NamedTuple):
    """Two encoders of one space: a cosine tells how well an image fits a sentence."""

    images: ImageEncoder
    sentences: Callable[[Sequence[str]], np.ndarray]  # S sentences -> (S, width) float32
    generic: tuple[str, ...] = GENERIC  # sentences that fit any frame
    any_words: bool = True  # whether its sentences may have any words


def usual_clip_seconds(name: str) -> float:
    """The seconds from a frame to the next that suit an encoder."""
    return demo.CLIP_SECONDS if name == "demo" else 2.0


def open_joint_space(name: str, weights: str = "") -> JointSpace:
    """Open an encoder of ENCODERS with the weights of its name, or given ones.

    These are a registered name, a file, or a folder as Hugging Face has it: of CLIP
    model.safetensors or pytorch_model.bin and perhaps the tokenizer, which otherwise is the
    registered one. The encoder demo has its own with it.

    Raises:
        ValueError: for another encoder, and as `open_image_encoder`.
        FileNotFoundError: weights are not here; the message names the command that brings them.
    """
    path, tokenizer = _files(name, weights)
    generic = demo_words.GENERIC if name == "demo" else GENERIC
    sentences = _sentences(name, path, tokenizer)
    return JointSpace(open_image_encoder(name, path), sentences, generic, name != "demo")


def open_sentences(name: str, weights: str = "") -> Sentences:
    """Open the sentences' side alone, which is quicker. Raises as `open_joint_space`."""
    path, tokenizer = _files(name, weights)
    return Sentences(_sentences(name, path, tokenizer), weights_digest(name, path))


def _files(name: str, weights: str) -> tuple[Path, Path | None]:
    """The file of an encoder's weights, and the folder of its own tokenizer if it has one."""
    if name not in ENCODERS:
        raise ValueError(
            f"encoder {name!r} has no sentences to compare with; use one of {', '.join(ENCODERS)}"
        )
    named = weights or kind_of(name).weights or name
    folder = Path(named)
    tokenizer = folder if _holds_tokenizer(folder) else None
    needed = [] if Path(named).exists() else [named]
    if name == "concepts":
        needed += kind_of(name).others
    elif name in _CLIP and tokenizer is None:
        needed.append(_TOKENIZER)
    require_weights(name, needed)
    return _model(folder) if folder.is_dir() else weights_path(named), tokenizer


def _sentences(
    name: str, path: Path, tokenizer: Path | None
) -> Callable[[Sequence[str]], np.ndarray]:
    if name == "concepts":
        encoder = open_sentence_encoder(weights_path(concepts.SENTENCES))
        return lambda texts: concepts.sentence_vectors(encoder, list(texts))
    if name == "demo":
        return partial(demo.encode_sentences, kind_of(name).load(path))
    return _clip_sentences(_CLIP[name], path, tokenizer)


def default_encoder() -> str:
    """The encoder to use where none is named: the first CLIP whose weights are here, else concepts.

    Raises FileNotFoundError, with the commands that bring weights, where those of none are.
    """
    for name in _CLIP:
        if entry(name).here and entry(_TOKENIZER).here:
            return name
    kind = kind_of("concepts")
    try:
        require_weights("concepts", [kind.weights, *kind.others])
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{error}; or `vmr weights get clip-vit-b32 {_TOKENIZER}`"
        ) from error
    return "concepts"


def _holds_tokenizer(folder: Path) -> bool:
    return (folder / "tokenizer.json").exists() or (folder / "vocab.json").exists()


def _model(folder: Path) -> Path:
    """The weights of a folder."""
    safe = folder / "model.safetensors"
    return safe if safe.exists() else folder / "pytorch_model.bin"


def _clip_sentences(
    config: ClipTextConfig, path: Path, tokenizer: Path | None
) -> Callable[[Sequence[str]], np.ndarray]:
    """CLIP's text encoder of a file; the end of a sentence beyond its context is left out."""
    tokens = clip_tokenizer(tokenizer or weights_path(_TOKENIZER), config.context)
    params = load_clip_text(path, config)
    encode = jax.jit(ClipText(config).apply)

    def vectors(texts: Sequence[str]) -> np.ndarray:
        ids = tokens.encode(list(texts), too_long="cut").ids
        return np.asarray(encode({"params": params}, ids))

    return vectors
