"""A sentence encoder is what its folder says, by BERT's and by DistilBERT's names."""

import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from vmr_jax.encoders.distilbert import _OF_BERT, DistilBert, DistilBertConfig
from vmr_jax.encoders.sentence import open_sentence_encoder

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "man", "opens", "door", "##s"]
BERT = {
    "model_type": "bert",
    "vocab_size": len(PIECES),
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 20,
}
SENTENCES = ["the man opens the doors", "", "man", "the door opens " * 9]


@pytest.fixture(scope="module")
def tensors():
    """The tensors of a random BERT."""
    rng = np.random.default_rng(0)
    draw = lambda *shape: rng.normal(0, 0.3, shape).astype(np.float32)  # noqa: E731
    found = {
        "embeddings.word_embeddings.weight": draw(len(PIECES), 16),
        "embeddings.position_embeddings.weight": draw(20, 16),
        "embeddings.token_type_embeddings.weight": draw(2, 16),
        "pooler.dense.weight": draw(16, 16),
    }
    parts = ["embeddings.LayerNorm"]
    for layer in range(2):
        at = f"encoder.layer.{layer}."
        for name in ("self.query", "self.key", "self.value", "output.dense"):
            found[f"{at}attention.{name}.weight"] = draw(16, 16)
            found[f"{at}attention.{name}.bias"] = draw(16)
        found |= {f"{at}intermediate.dense.weight": draw(64, 16)}
        found |= {f"{at}intermediate.dense.bias": draw(64)}
        found |= {f"{at}output.dense.weight": draw(16, 64), f"{at}output.dense.bias": draw(16)}
        parts += [f"{at}attention.output.LayerNorm", f"{at}output.LayerNorm"]
    for part in parts:
        found |= {f"{part}.weight": 1 + draw(16), f"{part}.bias": draw(16)}
    return found


def write(folder, tensors, config):
    folder.mkdir(exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(PIECES) + "\n", encoding="utf-8")
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    safetensors.numpy.save_file(tensors, folder / "model.safetensors")
    return folder


@pytest.fixture
def bert(tmp_path, tensors):
    return write(tmp_path / "bert", tensors, BERT)


def test_tokens_are_those_of_the_network(bert):
    encoder = open_sentence_encoder(bert)
    assert encoder.config == DistilBertConfig(len(PIECES), 20, 16, 2, 4)
    found = list(encoder.tokens(SENTENCES))
    assert [len(rows) for rows in found] == [8, 2, 3, 20]  # the last one is cut
    for sentence, rows in zip(SENTENCES, found, strict=True):
        tokens = encoder.tokenizer.encode([sentence], too_long="cut")
        ids, mask = jnp.asarray(tokens.ids), jnp.asarray(tokens.mask)
        whole = jax.jit(DistilBert(encoder.config).apply)({"params": encoder.params}, ids, mask)
        np.testing.assert_allclose(rows, whole[0][tokens.mask[0]], atol=1e-5)


def test_bert_is_a_distilbert_whose_positions_have_the_first_token_type(bert, tmp_path, tensors):
    named = {}
    for name, tensor in tensors.items():
        for theirs, ours in _OF_BERT.items():
            name = name.replace(theirs, ours)
        named[f"distilbert.{name}"] = tensor
    types = named.pop("distilbert.embeddings.token_type_embeddings.weight")
    positions = "distilbert.embeddings.position_embeddings.weight"
    named[positions] = named[positions] + types[0]
    sizes = {"dim": 16, "n_layers": 2, "n_heads": 4, "hidden_dim": 64}
    config = {"model_type": "distilbert", "vocab_size": len(PIECES), **sizes}
    config |= {"max_position_embeddings": 20, "activation": "gelu"}
    other = write(tmp_path / "distilbert", named, config)
    expected = open_sentence_encoder(bert).tokens(SENTENCES)
    for rows, same in zip(open_sentence_encoder(other).tokens(SENTENCES), expected, strict=True):
        np.testing.assert_array_equal(rows, same)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "t5"}, "model_type is 't5'; encoders that are read are bert, distilbert"),
        ({"hidden_act": "relu"}, "activation 'relu'; encoders that are read"),
        ({"intermediate_size": 48}, "hidden width 48"),
        ({"hidden_size": None}, "no whole number hidden_size"),
        ({"vocab_size": 10}, "the tokenizer has 9 tokens, config.json says 10"),
        ({"layer_norm_eps": 1e-5}, "layer_norm_eps is 1e-05"),
        ({"num_hidden_layers": 3}, "missing: transformer.layer.2"),
    ],
)
def test_what_is_no_such_encoder_is_refused(tmp_path, tensors, change, message):
    folder = write(tmp_path / "bad", tensors, BERT | change)
    with pytest.raises(ValueError, match=re.escape(message)):
        open_sentence_encoder(folder)
