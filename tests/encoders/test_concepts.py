"""Class names as a bridge from frames to sentences."""

import numpy as np
import pytest

from vmr_jax.encoders.concepts import project, read_names

SOURCE = """
__all__ = ["A"]
class A:
    names = ["playing_-not_cat-", "air drumming", "shot put"]
"""


def test_names_are_read_from_a_python_file_that_is_not_run(tmp_path):
    path = tmp_path / "classification.py"
    path.write_text(SOURCE + "raise SystemExit\n")
    assert read_names(path) == ["playing (not cat)", "air drumming", "shot put"]
    path.write_text('x = [("n1", "tench", "tench, Tinca tinca"), ("n2", "cock", "cock")]')
    assert read_names(path) == ["tench", "cock"]
    for text in ("", "x = [f(1), f(2)]", "def", "x = [1, 2]"):
        path.write_text(text)
        with pytest.raises(ValueError, match=r"classification.py has no list of class names"):
            read_names(path)


def test_the_vector_is_the_expected_one():
    vectors = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
    shares = np.array([[0.2, 0.3, 0.5], [1, 0, 0]])
    logits = np.log(np.maximum(shares, 1e-30)).astype(np.float32) + 7
    np.testing.assert_allclose(project(logits, vectors), shares @ vectors, atol=1e-6)
