"""Prompts that ask a language model for the moments of a benchmark, so that people ask alike."""

from collections.abc import Iterator

from vmr_jax.data.datasets import READERS
from vmr_jax.data.datasets.records import Annotations

_ONE = (
    'The video lasts {duration} seconds. Find the moment that this sentence describes: "{query}". '
    "Answer with its start and its end in seconds, with one decimal, in this form and with nothing "
    "else: From <start> to <end> seconds."
)
_SEVERAL = (
    "The video lasts {duration} seconds. Find every moment that this sentence describes: "
    '"{query}". There may be several: list all of them, the one that you are most sure of first. '
    "Answer with a list of their starts and ends in seconds, with one decimal, in this form and "
    "with nothing else: [[<start>, <end>], [<start>, <end>]]"
)
_LONG = (
    "The video lasts {clock}. Find the moment that this sentence or question is about: "
    '"{query}". Answer with its start and its end as hours, minutes and seconds, in this form and '
    "with nothing else: hh:mm:ss.s - hh:mm:ss.s"
)
_OTHERS = {"qvhighlights": _SEVERAL, "ego4d_nlq": _LONG, "mad": _LONG}
NAMES = tuple(READERS)


def template(dataset: str) -> str:
    """The prompt of a benchmark, with {query} and {duration} or {clock}.

    Raises ValueError for a name that is not known.
    """
    if dataset not in NAMES:
        raise ValueError(f"no prompt for {dataset!r}; there are {', '.join(NAMES)}")
    return _OTHERS.get(dataset, _ONE)


def prompts(dataset: str, annotations: Annotations, split: str = "") -> Iterator[dict]:
    """A line for each query of a split, or of all: {"qid", "vid", "duration", "query", "prompt"}.

    Raises ValueError for a split that is not there and a video whose duration is not known.
    """
    text = template(dataset)
    if split and split not in annotations.splits:
        known = ", ".join(annotations.splits)
        raise ValueError(f"{dataset} has no split {split!r} here; it has {known}")
    for name in [split] if split else annotations.splits:
        for record in annotations.splits[name]:
            duration = annotations.durations.get(record.video_id)
            if duration is None:
                raise ValueError(f"query {record.query_id}: no duration of {record.video_id}")
            values = {"duration": f"{duration:.1f}", "clock": _clock(duration)}
            yield {
                "qid": record.query_id,
                "vid": record.video_id,
                "duration": duration,
                "query": record.sentence,
                "prompt": text.format(query=record.sentence, **values),
            }


def _clock(seconds: float) -> str:
    """Seconds as hh:mm:ss.s."""
    minutes, tenths = divmod(round(seconds * 10), 600)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{tenths / 10:04.1f}"
