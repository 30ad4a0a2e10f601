import json

import numpy as np
import pytest
from tokenizers import Tokenizer as LibraryTokenizer
from tokenizers import pre_tokenizers

from vmr_jax.encoders.tokenizer import (
    clip_text,
    clip_tokenizer,
    tokens_in_spans,
    word_tokenizer,
    word_vocabulary,
    wordpiece_tokenizer,
)
from vmr_jax.simulation.grammar_events import WORLDS, annotate

MERGES = ["t h", "th e</w>", "m a", "ma n</w>", "o p", "op e", "ope n", "open s</w>", "' s</w>"]
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "man", "open", "##s", "cafe", "'"]
PIECES += ["s", "t", "doesn", "1", "##9", ".", ",", "!", "-", "人", "a", "##a"]
SENTENCES = [
    "the man opens the door",
    "The  MAN\topens\n the Door.  ",
    "he doesn't; they're I'd we'll 've the man's o'clock",
    "'S the MAN'S ''s '' !!!'s -- t-shirt ... (open)",
    "café cafe\u0301 CAFÉ naïve Ünïcode Straße İstanbul",
    "19 1984 3.5 ½ ² ٣",
    "日本語 人 текст ελληνικά ﬁne",
    "a\u00a0b\u2003c\u200bd \ufeff e\u0000f",
    "emoji 🙂👍🏽 <b>bold</b> &amp; # @ $100 _under_score",
    "",
    "   ",
    "<|startoftext|",
]


@pytest.fixture
def clip_files(tmp_path):
    """A folder with CLIP's kind of vocabulary: all bytes, few merges."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [*alphabet, *(f"{letter}</w>" for letter in alphabet)]
    words += [merge.replace(" ", "") for merge in MERGES]
    words += ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {word: row for row, word in enumerate(words)}
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary))
    (tmp_path / "merges.txt").write_text("#version: 0.2\n" + "\n".join(MERGES) + "\n")
    return tmp_path


@pytest.fixture
def bert_files(tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join(PIECES) + "\n", encoding="utf-8")
    return tmp_path


def test_a_byte_order_mark_is_no_part_of_the_first_word(bert_files):
    plain = wordpiece_tokenizer(bert_files).encode(["[PAD] the man"])
    marked = "\ufeff" + "\n".join(PIECES) + "\n"
    (bert_files / "vocab.txt").write_text(marked, encoding="utf-8")
    tokenizer = wordpiece_tokenizer(bert_files)
    assert tokenizer.model.token_to_id("[PAD]") == 0
    np.testing.assert_array_equal(tokenizer.encode(["[PAD] the man"]).ids, plain.ids)


def _odd_sentences(count):
    """Random strings of letters, clitics, marks and rare characters."""
    parts = [*"ab 'THE stlvreéĀß1٣ -.!?\t\u0301人🙂", "'s", "'re", "the man", "\u2019", "\u00a0"]
    rng = np.random.default_rng(0)
    return ["".join(rng.choice(parts, rng.integers(1, 15))) for _ in range(count)]


def _words(tokens, row):
    return tokens.ids[row, tokens.mask[row]].tolist()


def test_clip_ids_are_those_of_transformers(clip_files):
    transformers = pytest.importorskip("transformers", reason="parity needs transformers")
    theirs = transformers.CLIPTokenizer.from_pretrained(clip_files)
    sentences = SENTENCES + _odd_sentences(300)
    tokens = clip_tokenizer(clip_files).encode(sentences)
    for row, sentence in enumerate(sentences):
        # Theirs does not mend text, as OpenAI's own tokeniser does.
        assert _words(tokens, row) == theirs(clip_text(sentence))["input_ids"], repr(sentence)


MENDED = {
    "the man\u2019s \u201cdoor\u201d": 'the man\'s "door"',
    "the man&#39;s caf&eacute;": "the man's café",
    "a &amp;amp; b &lt;3": "a & b <3",
    "cafÃ© \uff34\uff28\uff25 man": "café THE man",
    "\u2018open\u2019 o\u2019clock \ufb01ne": "'open' o'clock fine",
    " the man opens ": "the man opens",
    "doesnâ€™t \u2026 open": "doesn't … open",
}


@pytest.mark.parametrize("sentence", MENDED)
def test_clip_mends_text(clip_files, sentence):
    tokenizer = clip_tokenizer(clip_files)
    assert clip_text(sentence) == MENDED[sentence]
    odd, plain = tokenizer.encode([sentence]), tokenizer.encode([MENDED[sentence]])
    np.testing.assert_array_equal(odd.ids, plain.ids)


def test_tokens_of_mended_text_know_the_characters_that_were_written(clip_files):
    sentence = "  The man\u2019s caf&eacute; &amp; the \u201cdoor\u201d"
    tokens = clip_tokenizer(clip_files).encode([sentence])
    texts = [sentence[a:b] for a, b in tokens.span[0, tokens.mask[0]]]
    assert texts[:7] == ["", "The", "man", "\u2019s", "c", "a", "f"]
    assert texts[7:9] == ["&eacute;"] * 2 and texts[9:11] == ["&", "the"]
    assert texts[11] == "\u201c" and texts[-2] == "\u201d"
    inside = tokens_in_spans(tokens, [[(sentence.index("caf"), sentence.index(" &amp;"))]])
    assert inside[0].nonzero()[0].tolist() == [4, 5, 6, 7, 8]


def test_wordpiece_ids_are_those_of_transformers(bert_files):
    transformers = pytest.importorskip("transformers", reason="parity needs transformers")
    theirs = transformers.DistilBertTokenizer.from_pretrained(bert_files)
    sentences = SENTENCES + _odd_sentences(300)
    tokens = wordpiece_tokenizer(bert_files).encode(sentences)
    unknown = 0
    for row, sentence in enumerate(sentences):
        expected = theirs(sentence)["input_ids"]
        assert _words(tokens, row) == expected, repr(sentence)
        unknown += expected.count(1)
    assert tokens.unknown == unknown > 0


def test_clip_tokens(clip_files):
    tokenizer = clip_tokenizer(clip_files)
    assert tokenizer.vocabulary == 512 + len(MERGES) + 2
    tokens = tokenizer.encode(["The man opens", "man"])
    assert tokens.ids.shape == (2, 77)
    names = [tokenizer.model.id_to_token(i) for i in _words(tokens, 0)]
    assert names == ["<|startoftext|>", "the</w>", "man</w>", "opens</w>", "<|endoftext|>"]
    assert tokens.ids.argmax(axis=1).tolist() == [4, 2]
    assert not tokens.ids[~tokens.mask].any()
    assert (tokens.unknown, tokens.cut) == (0, 0)


def test_special_tokens_in_a_sentence_are_text(clip_files):
    tokens = clip_tokenizer(clip_files).encode(["man <|endoftext|> man"])
    assert tokens.ids[0].argmax() == tokens.mask[0].sum() - 1 > 4


def test_a_saved_tokenizer_reads_as_its_files(clip_files, bert_files, tmp_path):
    for make, folder in ((clip_tokenizer, clip_files), (wordpiece_tokenizer, bert_files)):
        first = make(folder)
        padded = LibraryTokenizer.from_str(first.model.to_str())
        padded.enable_padding(length=9)
        padded.enable_truncation(2)
        padded.save(str(tmp_path / f"{make.__name__}.json"))
        second = make(tmp_path / f"{make.__name__}.json")
        for one, other in zip(first.encode(SENTENCES), second.encode(SENTENCES), strict=True):
            np.testing.assert_array_equal(one, other)


def test_sentences_that_do_not_fit(clip_files):
    tokenizer = clip_tokenizer(clip_files, context=5)
    fits = tokenizer.encode(["man the man"])
    assert fits.mask.all() and fits.cut == 0
    with pytest.raises(ValueError, match="sentence 1 has 4 tokens, .* reads 3: 'man the man the'"):
        tokenizer.encode(["man", "man the man the"])
    cut = tokenizer.encode(["man", "man the man the"], too_long="cut")
    assert cut.cut == 1
    np.testing.assert_array_equal(cut.ids[1], fits.ids[0])


def test_tokens_know_their_characters(clip_files):
    sentence = "The  man's  café\topens"
    tokens = clip_tokenizer(clip_files).encode([sentence, "man"])
    texts = [sentence[a:b] for a, b in tokens.span[0, tokens.mask[0]]]
    assert texts == ["", "The", "man", "'s", "c", "a", "f", "é", "é", "opens", ""]
    inside = tokens_in_spans(tokens, [[(0, 8), (12, 16)], []])
    assert inside[0].nonzero()[0].tolist() == [1, 2, 4, 5, 6, 7, 8]
    assert not inside[1].any()
    assert not tokens_in_spans(tokens, [[(1, 1), (6, 2)], []]).any()  # no character at all


def test_whole_words():
    sentences = ["The man opens the man's door.", "a DOOR"]
    words = word_vocabulary(sentences)
    assert words == ("'s", ".", "a", "door", "man", "opens", "the")
    tokenizer = word_tokenizer(words, context=9)
    assert tokenizer.vocabulary == len(words) + 4
    tokens = tokenizer.encode([*sentences, "the <first> man"], too_long="cut")
    assert _words(tokens, 1) == [9, 4, 5, 10]
    assert _words(tokens, 0) == [9, 8, 6, 7, 8, 6, 2, 5, 10]
    assert (tokens.unknown, tokens.cut) == (3, 1)


def test_the_embedded_sentences_fit_a_small_vocabulary():
    moments = [moment for d in WORLDS.values() for m in annotate(d).splits.values() for moment in m]
    sentences = [moment.sentence for moment in moments]
    words = word_vocabulary(sentences)
    assert len(words) < 200
    tokens = word_tokenizer(words, context=16).encode(sentences)
    assert tokens.unknown == 0
    assert (tokens.ids.argmax(axis=1) == tokens.mask.sum(axis=1) - 1).all()


def test_files_that_are_not_a_tokenizer(clip_files, bert_files, tmp_path):
    with pytest.raises(FileNotFoundError, match="no tokeniser at .*none"):
        clip_tokenizer(tmp_path / "none")
    empty = tmp_path / "empty"
    empty.mkdir()
    expected = r"empty: expected tokenizer.json or vocab.json and merges.txt in this folder"
    with pytest.raises(FileNotFoundError, match=expected):
        clip_tokenizer(empty)
    with pytest.raises(FileNotFoundError, match="empty: expected tokenizer.json or vocab.txt in"):
        wordpiece_tokenizer(empty)
    broken = tmp_path / "broken.json"
    broken.write_text("{}")
    with pytest.raises(ValueError, match="broken.json: not a tokeniser's file: "):
        wordpiece_tokenizer(broken)
    bert = tmp_path / "bert.json"
    wordpiece_tokenizer(bert_files).model.save(str(bert))
    with pytest.raises(ValueError, match=r"bert.json: the vocabulary has no token '<\|startoft"):
        clip_tokenizer(bert)


def test_a_vocabulary_that_clip_cannot_read(clip_files):
    vocabulary = json.loads((clip_files / "vocab.json").read_text())
    other = {**vocabulary, "extra": len(vocabulary)}
    (clip_files / "vocab.json").write_text(json.dumps(other))
    with pytest.raises(ValueError, match=r"<\|endoftext\|> is token 522, .* the highest one, 523"):
        clip_tokenizer(clip_files)
    del vocabulary["z</w>"]
    renumbered = {word: row for row, word in enumerate(vocabulary)}
    (clip_files / "vocab.json").write_text(json.dumps(renumbered))
    with pytest.raises(ValueError, match="sentence 1 has a part without a token .*: 'jazz'"):
        clip_tokenizer(clip_files).encode(["man", "jazz"])
