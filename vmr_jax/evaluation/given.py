"""What a file predicts for a split: its windows, or the moments of a language model's answers."""

from pathlib import Path
from typing import NamedTuple

from vmr_jax.answers.files import Unread, moments_of_answers, read_answer_file, told
from vmr_jax.evaluation.labels import Labels
from vmr_jax.evaluation.predictions import Predictions, read_prediction_file

FORMATS = ("windows", "text")


class Given(NamedTuple):
    """The predictions of a file, and the answers in it that cannot be read."""

    predictions: Predictions
    unread: tuple[Unread, ...]
    said: tuple[str, ...]  # of a terminal, about the answers


def read_given(
    path: Path, labels: Labels, kind: str = "windows", fps: float = 0, bins: float = 0
) -> Given:
    """Read a file of predictions ("windows") or of answers ("text").

    `fps` and `bins` say what a plain number of an answer is, see `answers.grammar.read_answer`.

    Raises:
        ValueError: the kind is another one; the file is not in its format; `fps` or `bins` is given
            for windows, or is not positive.
        FileNotFoundError: there is no such file.
    """
    if kind not in FORMATS:
        raise ValueError(f"the format is {kind!r}; it must be one of {', '.join(FORMATS)}")
    if kind == "windows":
        if fps or bins:
            raise ValueError("--fps and --bins are of answers in words, --format text")
        return Given(read_prediction_file(path), (), ())
    answers, durations = read_answer_file(path), labels.annotations.durations
    windows, unread = moments_of_answers(answers, labels.records, durations, fps=fps, bins=bins)
    lines = told(unread, len(labels.records))
    return Given(Predictions(windows, {}), tuple(unread), tuple(lines))
