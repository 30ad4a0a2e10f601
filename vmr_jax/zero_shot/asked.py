"""What can be asked; nothing heavy is imported, so that mistakes are told at once."""

from pathlib import Path

from vmr_jax.data.text.vocabulary import tokenize
from vmr_jax.encoders.demo_words import word_ids

_WORDS = 60  # of a sentence; CLIP reads 77 tokens


NO_RUN = "none"  # in the place of a run's folder: no trained run


def require_run(workdir: str) -> None:
    """Raise FileNotFoundError for the folder of a trained run that is not there."""
    if workdir not in ("", NO_RUN) and "://" not in workdir and not Path(workdir).is_dir():
        raise FileNotFoundError(
            f"no trained run at {workdir}: --checkpoint is the workdir of a run, or {NO_RUN}"
        )


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


def check_words(encoder: str, sentence: str) -> None:
    """Raise ValueError for a sentence whose words an encoder of a joint space does not know."""
    if encoder == "demo":
        word_ids(sentence)
