"""The text encoder of MMN and VDI is as large as its folder says."""

import json

import pytest

from vmr_jax.configs import mmn
from vmr_jax.encoders.distilbert import DistilBertConfig
from vmr_jax.models.mmn.network import text_sizes

MINI = {
    "model_type": "bert",
    "vocab_size": 9,
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 40,
}


@pytest.fixture
def text(tmp_path):
    config = mmn.get_config("charades_sta")
    config.text.tokenizer = str(tmp_path / "tokenizer.json")
    return config.text


def test_a_config_beside_the_tokeniser_gives_the_sizes(text, tmp_path):
    assert text_sizes(text, 11) == DistilBertConfig(vocabulary=11)
    (tmp_path / "config.json").write_text(json.dumps(MINI))
    assert text_sizes(text, 11) == DistilBertConfig(11, 40, 16, 3, 2)
    text.tokenizer = str(tmp_path)
    assert text_sizes(text, 11) == DistilBertConfig(11, 40, 16, 3, 2)
    text.size = "small"
    assert text_sizes(text, 11).width == 64


def test_another_model_beside_the_tokeniser_is_refused(text, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(MINI | {"model_type": "gpt2"}))
    with pytest.raises(ValueError, match="model_type is 'gpt2'"):
        text_sizes(text, 11)
