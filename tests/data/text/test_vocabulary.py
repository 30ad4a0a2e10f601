"""Words and word vectors."""

import os
import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from vmr_jax.data.text.vocabulary import build_vocabulary, load_glove, tokenize

DATA = os.environ.get("VMR_DATA_DIR", "")


@pytest.mark.parametrize(
    ("sentence", "words"),
    [
        ("A person's cat can't (really) SEE it.", "a person 's cat ca n't really see it"),
        ("They're, we'll; he'd -- I've I'm", "they 're we 'll he 'd i 've i 'm"),
        ("that\u2019s the t-shirt, size 2.5!", "that 's the t-shirt size 2.5"),
        ("He asks, 'why?' and/or leaves", "he asks why and or leaves"),
        ("caf\u00e9 o'clock girls' 1,000 3rd", "caf\u00e9 o'clock girls 1,000 3rd"),
        (" ... ", ""),
    ],
)
def test_tokenize(sentence, words):
    assert tokenize(sentence) == words.split()


def test_vocabulary():
    vectors = {"dog": np.array([1.0, 2.0]), "a": np.array([3.0, 4.0]), "unused": np.zeros(2)}
    vocabulary = build_vocabulary(["A dog runs.", "A cat runs."], vectors)
    assert vocabulary.words == ("<pad>", "<unk>", "a", "dog")
    np.testing.assert_array_equal(vocabulary.vectors, [[0, 0], [0, 0], [3, 4], [1, 2]])
    assert vocabulary.vectors.dtype == np.float32
    assert vocabulary.unknown == {"runs": 2, "cat": 1}
    assert vocabulary.coverage == pytest.approx(3 / 6)


def test_vocabulary_without_vectors():
    vocabulary = build_vocabulary(["A dog."], {})
    assert vocabulary.words == ("<pad>", "<unk>")
    assert vocabulary.vectors.shape == (2, 0)
    assert vocabulary.coverage == 0


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_text_vectors(tmp_path):
    lines = ["the 0.5 -1 2e-1", ". . . 1 2 3", "a@b c.com 1 2 3", "dog 4 5 6", "caf\u00e9 7 8 9"]
    path = write(tmp_path / "glove.txt", "\n".join(lines) + "\n")
    found = load_glove(path, ["dog", "caf\u00e9", ".", "cat"])
    assert set(found) == {"dog", "caf\u00e9"}
    np.testing.assert_array_equal(found["dog"], np.array([4, 5, 6], np.float32))


def test_a_byte_order_mark_is_no_part_of_the_first_word(tmp_path):
    path = write(tmp_path / "glove.txt", "\ufeffthe 1 2 3\ndog 4 5 6\n")
    assert set(load_glove(path, ["the", "dog"])) == {"the", "dog"}


def test_a_word_that_also_starts_a_token_with_blanks(tmp_path):
    path = write(tmp_path / "glove.txt", "the 1 2 3\n. . 7 7 7\n. 4 5 6\n")
    np.testing.assert_array_equal(load_glove(path, ["."])["."], [4, 5, 6])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "glove.txt is empty"),
        ("the 1 2 3\ndog 4 5", "glove.txt:2: 2 values, but line 1 has 3; is the file complete"),
        ("the 1 2 3\ndog 4 x 5\n", "glove.txt:2: could not convert string to float"),
        ("the 1 2 3\ndog 4 nan 5\n", "glove.txt:2: a value is not finite"),
        ("400000\n", "glove.txt:1: expected '<word> <number> <number> ...'"),
    ],
)
def test_damaged_text_vectors(tmp_path, content, message):
    with pytest.raises(ValueError, match=message):
        load_glove(write(tmp_path / "glove.txt", content), ["dog"])


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="no word vectors at .*nowhere.txt"):
        load_glove(tmp_path / "nowhere.txt", ["dog"])


@pytest.mark.parametrize("protocol", [3, 5])
def test_pickled_vectors(tmp_path, protocol):
    vectors = [np.zeros(2, np.float32), np.array([1, 2], np.float32)]
    content = {"w2id": {"<PAD>": 0, "dog": 1}, "id2vec": vectors, "counter": Counter(dog=3)}
    path = write(tmp_path / "glove.pkl", pickle.dumps(content, protocol))
    found = load_glove(path, ["dog", "cat"])
    assert set(found) == {"dog"}
    np.testing.assert_array_equal(found["dog"], [1, 2])


@pytest.mark.parametrize("core", [b"numpy.core", b"numpy._core"])
def test_pickles_of_both_numpy_generations(tmp_path, core):
    content = pickle.dumps({"w2id": {"dog": 0}, "id2vec": [np.array([1, 2], np.float32)]}, 3)
    name, other = b"numpy._core.multiarray", core + b".multiarray"
    assert name in content
    content = content.replace(b"c" + name + b"\n", b"c" + other + b"\n")
    found = load_glove(write(tmp_path / "glove.pkl", content), ["dog"])
    np.testing.assert_array_equal(found["dog"], [1, 2])


class Attack:
    """Runs a shell command when it is unpickled without care."""

    def __reduce__(self):
        return os.system, ("exit 3",)


def test_a_pickle_that_runs_code_is_refused(tmp_path, monkeypatch):
    path = write(tmp_path / "glove.pkl", pickle.dumps({"w2id": Attack()}))
    monkeypatch.setattr(os, "system", lambda command: pytest.fail("the command ran"))
    with pytest.raises(ValueError, match=r"unpickle: its pickle asks for (posix|nt).system"):
        load_glove(path, ["dog"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickle.dumps({"w2id": {}})[:-3], "refused to unpickle"),
        (pickle.dumps([1, 2]), r'expected \{"w2id"'),
        (pickle.dumps({"w2id": {"dog": 4}, "id2vec": []}), r'expected \{"w2id"'),
        (
            pickle.dumps({"w2id": {"dog": 0}, "id2vec": [[np.nan, 1.0]]}),
            "the vector of 'dog' is not a list of finite numbers",
        ),
        (
            pickle.dumps({"w2id": {"dog": 0, "cat": 1}, "id2vec": [[1.0], [1.0, 2.0]]}),
            r"vectors of several widths: \[1, 2\]",
        ),
    ],
)
def test_damaged_pickles(tmp_path, content, message):
    with pytest.raises(ValueError, match=message):
        load_glove(write(tmp_path / "glove.pkl", content), ["dog", "cat"])


@pytest.mark.skipif(not DATA, reason="VMR_DATA_DIR names no directory of real files")
def test_the_pickled_subset_of_cpl():
    path = Path(DATA) / "glove/cpl_charades_glove.pkl"
    found = load_glove(path, ["a", "person", "n't", "movie"])
    assert set(found) == {"a", "person", "n't"}
    np.testing.assert_allclose(found["a"][:3], [-0.29712, 0.094049, -0.096662])
