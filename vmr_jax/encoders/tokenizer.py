"""Tokenisers of the text encoders: CLIP's byte-pair encoding, BERT's WordPiece, whole words."""

import html
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import NamedTuple

import ftfy
import numpy as np
import tokenizers
from tokenizers import Regex, models, normalizers, pre_tokenizers

# The words of CLIP's tokeniser: clitics, letters, single digits, runs of anything else.
_CLIP_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+"


class Tokens(NamedTuple):
    """B tokenised sentences, padded with zeros to M tokens."""

    ids: np.ndarray  # (B, M) int32
    mask: np.ndarray  # (B, M) bool, true on real tokens, the first and last special ones included
    span: np.ndarray  # (B, M, 2) int32 characters [start, end) of the sentence; special: [0, 0)
    unknown: int  # tokens that stand for a word outside the vocabulary
    cut: int  # sentences that were cut at the context


@dataclass(frozen=True)
class Tokenizer:
    """A vocabulary, its first and last special token, and the most tokens of a sentence.

    `clean` mends a sentence before it is tokenised.
    """

    model: tokenizers.Tokenizer
    first: int
    last: int
    unknown: int
    context: int
    clean: Callable[[str], str] | None = None

    @property
    def vocabulary(self) -> int:
        """The number of ids: the encoder must have as many."""
        return self.model.get_vocab_size()

    def encode(self, sentences: Sequence[str], too_long: str = "error") -> Tokens:
        """Tokenise sentences to M = context tokens: first special token, words, last one.

        With `too_long="cut"` the end of a sentence that does not fit is left out and counted.
        Raises ValueError for one that does not fit otherwise, and for a sentence with something
        that the last special token would have to stand for.
        """
        shape = (len(sentences), self.context)
        tokens = Tokens(np.zeros(shape, np.int32), np.zeros(shape, bool), _no_spans(shape), 0, 0)
        unknown = cut = 0
        read = [self.clean(text) for text in sentences] if self.clean else list(sentences)
        encoded = self.model.encode_batch(read, add_special_tokens=False)
        for row, (sentence, words) in enumerate(zip(sentences, encoded, strict=True)):
            room = self.context - 2
            if len(words.ids) > room:
                if too_long != "cut":
                    raise ValueError(
                        f"sentence {row} has {len(words.ids)} tokens, but the text encoder reads "
                        f'{room}: {sentence!r}. Shorten it, or cut it (too_long="cut").'
                    )
                cut += 1
            ids = words.ids[:room]
            if self.last in ids:
                raise ValueError(
                    f"sentence {row} has a part without a token in the vocabulary, which would end "
                    f"it early: {sentence!r}. Is the vocabulary complete?"
                )
            unknown += ids.count(self.unknown)
            tokens.ids[row, : len(ids) + 2] = [self.first, *ids, self.last]
            tokens.mask[row, : len(ids) + 2] = True
            if ids:
                spans = _spans_before(sentence, read[row], words.offsets[:room])
                tokens.span[row, 1 : len(ids) + 1] = spans
        return tokens._replace(unknown=unknown, cut=cut)


def clip_text(sentence: str) -> str:
    """A sentence as OpenAI's CLIP mends it: broken encodings, curly quotes, widths, HTML entities.

    The steps are `basic_clean`'s of its simple_tokenizer.py: ftfy, then entities twice.
    """
    return html.unescape(html.unescape(ftfy.fix_text(sentence))).strip()


def _spans_before(
    sentence: str, cleaned: str, spans: Sequence[tuple[int, int]]
) -> Sequence[tuple[int, int]]:
    """The characters of a sentence that became those of `spans` of its cleaned text."""
    if sentence == cleaned:
        return spans
    start = np.zeros(len(cleaned) + 1, np.int64)  # where each cleaned character comes from
    end = np.zeros(len(cleaned) + 1, np.int64)
    for kind, first, last, at, to in SequenceMatcher(None, cleaned, sentence, False).get_opcodes():
        own = np.arange(last - first)
        start[first:last] = at + own if kind == "equal" else at
        end[first:last] = at + own + 1 if kind == "equal" else to
    return [(int(start[a]), int(end[max(b - 1, a)])) for a, b in spans]


def _no_spans(shape: tuple[int, int]) -> np.ndarray:
    return np.zeros((*shape, 2), np.int32)


def tokens_in_spans(
    tokens: Tokens, spans: Sequence[Sequence[tuple[int, int]] | np.ndarray]
) -> np.ndarray:
    """True on the tokens that share a character with one of their sentence's spans: (B, M) bool.

    `spans` has, for each sentence, half-open character ranges, such as its noun chunks.
    """
    inside = np.zeros(tokens.mask.shape, bool)
    start, end = tokens.span[..., 0], tokens.span[..., 1]
    for row, ranges in enumerate(spans):
        for first, last in ranges:
            inside[row] |= np.maximum(start[row], first) < np.minimum(end[row], last)
    return inside


def clip_tokenizer(path: str | Path, context: int = 77) -> Tokenizer:
    """CLIP's tokeniser from a tokenizer.json, or a folder with vocab.json and merges.txt.

    Text is mended as `clip_text` does, brought to Unicode's NFC form and lower case, and runs of
    blanks become one. Raises FileNotFoundError where the files are
    missing, and ValueError where they are damaged or not CLIP's.
    """

    def build(folder: Path) -> tokenizers.Tokenizer:
        files = _existing(folder, "vocab.json", "merges.txt")
        model = models.BPE.from_file(
            *map(str, files), end_of_word_suffix="</w>", unk_token="<|endoftext|>"
        )
        tokenizer = _split_as_clip(tokenizers.Tokenizer(model))
        byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        words = pre_tokenizers.Sequence([tokenizer.pre_tokenizer, byte_level])
        tokenizer.pre_tokenizer = words
        return tokenizer

    model = _load(Path(path), build)
    first, last = _ids(model, path, "<|startoftext|>", "<|endoftext|>")
    if last != model.get_vocab_size() - 1:
        raise ValueError(
            f"{path}: <|endoftext|> is token {last}, but CLIP reads a sentence at the "
            f"highest one, {model.get_vocab_size() - 1}. Is this CLIP's vocabulary?"
        )
    return Tokenizer(model, first, last, unknown=last, context=context, clean=clip_text)


def wordpiece_tokenizer(path: str | Path, context: int = 512) -> Tokenizer:
    """BERT's uncased tokeniser from a tokenizer.json, or a folder with vocab.txt.

    Raises FileNotFoundError where the file is missing, ValueError where it is damaged or not
    BERT's.
    """

    def build(folder: Path) -> tokenizers.Tokenizer:
        (file,) = _existing(folder, "vocab.txt")
        with file.open(encoding="utf-8-sig") as lines:
            vocabulary = {line.rstrip("\n"): row for row, line in enumerate(lines)}
        tokenizer = tokenizers.Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
        tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        return tokenizer

    model = _load(Path(path), build)
    first, last, unknown = _ids(model, path, "[CLS]", "[SEP]", "[UNK]")
    return Tokenizer(model, first, last, unknown, context)


def word_vocabulary(sentences: Iterable[str]) -> tuple[str, ...]:
    """The words of the sentences in alphabetical order, split as CLIP splits them."""
    tokenizer = _split_as_clip(tokenizers.Tokenizer(models.WordLevel({}, "<unk>")))
    words = set()
    for sentence in sentences:
        text = tokenizer.normalizer.normalize_str(sentence)
        words.update(word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(text))
    return tuple(sorted(words))


def word_tokenizer(words: Sequence[str], context: int) -> Tokenizer:
    """A tokeniser of whole words, for small encoders that start from random weights.

    The ids are padding 0, unknown 1, the words, first, last: the last is the highest, where a
    CLIP text encoder reads. The vocabulary has len(words) + 4 ids.
    """
    names = ["<pad>", "<unk>", *words, "<first>", "<last>"]
    vocabulary = {name: row for row, name in enumerate(names)}
    model = _split_as_clip(tokenizers.Tokenizer(models.WordLevel(vocabulary, "<unk>")))
    first, last, unknown = _ids(model, "words", "<first>", "<last>", "<unk>")
    return Tokenizer(model, first, last, unknown, context)


def _split_as_clip(tokenizer: tokenizers.Tokenizer) -> tokenizers.Tokenizer:
    """Give a tokeniser CLIP's normal form of text and its division into words."""
    blanks = normalizers.Replace(Regex(r"\s+"), " ")
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), blanks, normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(_CLIP_WORDS), "removed", invert=True)
    return tokenizer


def _load(path: Path, build: Callable[[Path], tokenizers.Tokenizer]) -> tokenizers.Tokenizer:
    """Read a tokenizer.json, or build a tokeniser from the other files of a folder."""
    if not path.exists():
        raise FileNotFoundError(f"no tokeniser at {path}")
    file = path / "tokenizer.json" if path.is_dir() else path
    try:
        model = tokenizers.Tokenizer.from_file(str(file)) if file.is_file() else build(path)
    except FileNotFoundError:
        raise
    except Exception as error:  # the library raises nothing more precise
        raise ValueError(f"{path}: not a tokeniser's file: {error}") from error
    model.no_truncation()
    model.no_padding()
    model.encode_special_tokens = True  # "<|endoftext|>" inside a sentence is only text
    return model


def _existing(folder: Path, *names: str) -> list[Path]:
    """The files `names` of a folder, all of which must be there."""
    files = [folder / name for name in names]
    if not all(file.is_file() for file in files):
        raise FileNotFoundError(
            f"{folder}: expected tokenizer.json or {' and '.join(names)} in this folder"
        )
    return files


def _ids(model: tokenizers.Tokenizer, path: str | Path, *names: str) -> list[int]:
    """The ids of special tokens, all of which must be in the vocabulary."""
    ids = []
    for name in names:
        found = model.token_to_id(name)
        if found is None:
            raise ValueError(f"{path}: the vocabulary has no token {name!r}")
        ids.append(found)
    return ids
