"""How many words the queries of two datasets share: EVA's 41 % of TVR's and 61 % of ActivityNet's.

EVA (Cai, Huang, Gong; BMVC 2022), section 1, of the words in the training splits.
"""

from collections.abc import Sequence
from pathlib import Path

from vmr_jax.data.datasets import read_annotations
from vmr_jax.data.text.vocabulary import tokenize


def shared_words(datasets: Sequence[str], split: str) -> list[str]:
    """A line for each of two datasets, DATASET=DIR: its different words, and how many are in both.

    Raises ValueError where there are not two, and as `_words_of`.
    """
    if len(datasets) != 2:
        raise ValueError(f"{len(datasets)} given: give two datasets, DATASET=DIR DATASET=DIR")
    used, lines = [_words_of(named, split) for named in datasets], []
    for named, own in zip(datasets, used, strict=True):
        name, shared = named.partition("=")[0], 100 * len(used[0] & used[1]) / len(own)
        lines.append(f"{name} / {split}: {len(own):,} different words, {shared:.1f} % in both")
    return lines


def _words_of(named: str, split: str) -> set[str]:
    """The different words of a split's queries. `named` is DATASET=DIR.

    Raises ValueError for another form, an unknown split, and one without words.
    """
    name, _, directory = named.partition("=")
    if not directory:
        raise ValueError(f"{named!r} names no directory: give DATASET=DIR, e.g. tvr=annotations")
    splits = read_annotations(name, Path(directory)).splits
    if split not in splits:
        raise ValueError(
            f"{name} in {directory} has no split {split!r}, but {', '.join(splits)}: --split names "
            "one"
        )
    found = {word for record in splits[split] for word in tokenize(record.sentence)}
    if not found:
        raise ValueError(f"{name} / {split} in {directory} has no words")
    return found
