"""`vmr words`: how many words the queries of two datasets share."""

import json

import pytest

from vmr_jax.data.prepare.shared_words import shared_words


def write(folder, split, *sentences):
    folder.mkdir(exist_ok=True)
    lines = [
        {
            "qid": f"q{n}",
            "vid": "v",
            "query": sentence,
            "duration": 9.0,
            "relevant_windows": [[0, 5]],
        }
        for n, sentence in enumerate(sentences)
    ]
    (folder / f"{split}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return f"jsonl={folder}"


def test_shares_are_of_each_datasets_own_words(tmp_path):
    first = write(tmp_path / "a", "train", "A cat runs.", "the cat sits")
    second = write(tmp_path / "b", "train", "The Cat")
    assert shared_words([first, second], "train") == [
        "jsonl / train: 5 different words, 40.0 % in both",
        "jsonl / train: 2 different words, 100.0 % in both",
    ]


@pytest.mark.parametrize(
    ("named", "split", "message"),
    [
        (["jsonl=a"], "train", "1 given: give two datasets"),
        (["jsonl", "jsonl"], "train", "'jsonl' names no directory: give DATASET=DIR"),
        (["jsonl={}", "jsonl={}"], "val", "has no split 'val', but train: --split names"),
    ],
)
def test_what_cannot_be_compared(tmp_path, named, split, message):
    write(tmp_path / "a", "train", "a cat")
    with pytest.raises(ValueError, match=message):
        shared_words([name.format(tmp_path / "a") for name in named], split)
