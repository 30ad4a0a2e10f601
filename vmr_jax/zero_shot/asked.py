"""Which sentences can be asked; nothing heavy is imported, so that mistakes are told at once."""

from vmr_jax.data.text.vocabulary import tokenize

_WORDS = 60  # of a sentence; CLIP reads 77 tokens


def check_sentence(sentence: str) -> None:
    """Raise ValueError for a sentence that has no words, or more than encoders read."""
    words = tokenize(sentence)
    if not words:
        raise ValueError(
            f"the sentence {sentence[:40]!r} has no words; say what happens, such as "
            '"a person opens a door"'
        )
    if len(words) > _WORDS:
        raise ValueError(
            f"the sentence has {len(words)} words, encoders read {_WORDS}: say in fewer what "
            "happens in the moment"
        )
