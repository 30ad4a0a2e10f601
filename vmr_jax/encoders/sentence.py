"""A sentence encoder from its folder: any size of BERT, DistilBERT or MiniLM."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from vmr_jax.encoders.distilbert import EPSILON, DistilBert, DistilBertConfig, load_distilbert
from vmr_jax.encoders.tokenizer import Tokenizer, wordpiece_tokenizer
from vmr_jax.input_files import read_json
from vmr_jax.types import Params

MODEL_TYPES = ("bert", "distilbert")
_BATCH = 64  # sentences encoded at once
_LENGTHS = (16, 32, 64, 128, 256, 512)  # to which batches are padded: one program each


class SentenceEncoder(NamedTuple):
    """An encoder of sentences, ready to run."""

    config: DistilBertConfig
    tokenizer: Tokenizer
    params: Params

    def tokens(self, sentences: Sequence[str]) -> Iterator[np.ndarray]:
        """Yield the rows (L, D) float32 of each sentence's tokens, the special ones included.

        Their mean is the sentence's vector where the encoder pools by the mean, as
        sentence-transformers' MiniLM does. The end of a sentence beyond the encoder's context is
        left out.
        """
        encode = jax.jit(DistilBert(self.config).apply)
        for first in range(0, len(sentences), _BATCH):
            part = list(sentences[first : first + _BATCH])
            tokens = self.tokenizer.encode(part, too_long="cut")
            counts = tokens.mask.sum(axis=1)
            length = next(n for n in (*_LENGTHS, self.config.context) if n >= counts.max())
            shape = (_BATCH if len(part) > 1 else 1, min(length, self.config.context))
            ids, mask = np.zeros(shape, np.int32), np.zeros(shape, bool)
            mask[:, 0] = True
            ids[: len(part)] = tokens.ids[:, : shape[1]]
            mask[: len(part)] = tokens.mask[:, : shape[1]]
            rows = np.asarray(encode({"params": self.params}, ids, mask))
            yield from (rows[row, :count] for row, count in enumerate(counts))


def open_sentence_encoder(folder: str | Path) -> SentenceEncoder:
    """Open a folder as Hugging Face has it: config.json, tokenizer.json, model.safetensors.

    Width, layers, heads and context are read from config.json, tokenizer.json may be vocab.txt.
    Raises FileNotFoundError where a file is missing, and ValueError for a model that is not one of
    MODEL_TYPES, of a form that is not read here, or damaged.
    """
    folder = Path(folder)
    config = read_sizes(folder / "config.json")
    weights = folder / "model.safetensors"
    if not weights.exists():
        weights = folder / "pytorch_model.bin"
    tokenizer = wordpiece_tokenizer(
        folder / "tokenizer.json" if (folder / "tokenizer.json").exists() else folder,
        config.context,
    )
    if tokenizer.vocabulary != config.vocabulary:
        raise ValueError(
            f"{folder}: the tokenizer has {tokenizer.vocabulary} tokens, config.json says "
            f"{config.vocabulary}: are both of one model?"
        )
    return SentenceEncoder(config, tokenizer, load_distilbert(weights, config))


def read_sizes(path: Path) -> DistilBertConfig:
    """The sizes that a config.json gives.

    Raises ValueError for an encoder that is not built here, and FileNotFoundError without the file.
    """
    found = read_json(path, "it must be the config.json of BERT or DistilBERT", "model_type")
    kind = found["model_type"]
    if kind not in MODEL_TYPES:
        raise ValueError(
            f"{path}: model_type is {kind!r}; encoders that are read are {', '.join(MODEL_TYPES)}"
        )
    names = _NAMES[kind]
    missing = [name for name in (*names, "vocab_size") if not isinstance(found.get(name), int)]
    if missing:
        raise ValueError(f"{path}: no whole number {', '.join(missing)}; is the file complete?")
    width, layers, heads, hidden, context = (found[name] for name in names)
    activation = found.get("hidden_act", found.get("activation", "gelu"))
    if hidden != 4 * width or width % heads or activation != "gelu":
        raise ValueError(
            f"{path}: width {width}, hidden width {hidden}, {heads} heads, activation "
            f"{activation!r}; encoders that are read have a hidden width of 4 times the width, "
            "heads that divide it, and gelu"
        )
    if found.get("layer_norm_eps", EPSILON) != EPSILON:
        raise ValueError(f"{path}: layer_norm_eps is {found['layer_norm_eps']}, not {EPSILON}")
    return DistilBertConfig(found["vocab_size"], context, width, layers, heads)


_NAMES = {
    "bert": (
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "intermediate_size",
        "max_position_embeddings",
    ),
    "distilbert": ("dim", "n_layers", "n_heads", "hidden_dim", "max_position_embeddings"),
}
