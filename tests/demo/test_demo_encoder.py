"""The demo's encoder: its words, its weights, and how well it finds moments of drawn worlds."""

import numpy as np
import pytest
import safetensors.numpy

from vmr_jax.demo.train_encoder import grammar, recall
from vmr_jax.encoders import demo, demo_words


def test_words_beyond_the_grammar_are_refused():
    with pytest.raises(ValueError, match="the encoder demo does not know the word 'person': it is"):
        demo_words.word_ids("a person opens the door")
    for sentence in ("the", "red " * 9):
        with pytest.raises(ValueError, match=r"has \d words but for articles; the encoder demo"):
            demo_words.word_ids(sentence)
    plain, whole = map(demo_words.word_ids, ("Red circle vanishes!", "the red circle vanishes"))
    np.testing.assert_array_equal(plain, whole)


def test_the_grammar_says_each_thing_once():
    sentences = [said for both in grammar() for said in set(both)]
    assert len(sentences) == len(set(sentences)) == 1 + 24 * 6 + 24 * 23
    assert all(demo_words.word_ids(sentence).any() for sentence in sentences)


def test_shipped_weights_find_what_they_are_recorded_to():
    assert demo.WEIGHTS.stat().st_size < 1.5e6
    params = demo.load_demo(demo.WEIGHTS)
    found = recall(params, "test", 6)
    assert found["R@1,IoU=0.5"] == pytest.approx(100, abs=6)


def test_other_weights_are_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    safetensors.numpy.save_file({"image.out.bias": np.zeros(3)}, path)
    with pytest.raises(ValueError, match="is not of the encoder demo: no image.conv0.bias of"):
        demo.load_demo(path)
