"""A report of a search: what was found for each query, beside what is true where that is known."""

from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from vmr_jax.export.report_page import Figures, Hit, Plot, Section, page
from vmr_jax.export.report_queries import LabelledQuery
from vmr_jax.metrics.moments import reaches, temporal_iou
from vmr_jax.output_files import write_whole
from vmr_jax.progress import Progress, quiet

MOST = 200  # sections of a page
_POINTS = 300  # of a curve
_SUCCESS = 0.5  # IoU


class Video(Protocol):
    """A video of a corpus."""

    @property
    def id(self) -> str: ...

    @property
    def duration(self) -> float: ...


class Found(Protocol):
    """A moment in a video of a corpus."""

    @property
    def video(self) -> str: ...

    @property
    def start_s(self) -> float: ...

    @property
    def end_s(self) -> float: ...

    @property
    def score(self) -> float: ...


class Curve(Protocol):
    """How well each frame of a video fits a sentence."""

    @property
    def times(self) -> np.ndarray:
        """(N,) seconds."""
        ...

    @property
    def fit(self) -> np.ndarray:
        """(N,), higher is better."""
        ...


class Searched(Protocol):
    """A corpus that can be reported on, such as `vmr_jax.video_index.corpus.Corpus`."""

    @property
    def videos(self) -> Sequence[Video]: ...

    def search(self, sentence: str, top_k: int) -> Sequence[Found]:
        """The best moments, best first. Raises ValueError for a sentence that cannot be asked."""
        ...

    def curve(self, video: str, sentence: str) -> Curve: ...

    def thumbnail(self, video: str, seconds: float) -> bytes:
        """A small JPEG. Raises ValueError and OSError."""
        ...


class _Answer(NamedTuple):
    """What was found for a query, and how good the first of it is."""

    query: LabelledQuery
    found: Sequence[Found]
    refused: str  # why it could not be asked
    iou: float  # of the first with the best of the true moments; NaN without labels


def write_report(
    out: str | Path,
    corpus: Searched,
    queries: Sequence[LabelledQuery],
    *,
    title: str,
    top_k: int = 3,
    progress: Progress = quiet,
) -> Figures:
    """Write a page of HTML that needs nothing else, a section a query; returns its figures.

    Figures are of all labelled queries, in the corpus: a moment in another video has IoU 0, and so
    has a query that could not be asked. With labels the largest errors come first. Of more than
    MOST queries the worst and the best ones are shown, without labels the first ones. Raises
    ValueError where no query could be asked, and OSError.
    """
    answers = [_ask(corpus, query, top_k) for query in progress(queries, "search", len(queries))]
    if all(answer.refused for answer in answers):
        raise ValueError(f"none of the {len(answers)} queries can be asked: {answers[0].refused}")
    chosen = _chosen(answers)
    sections = [_section(corpus, answer) for answer in progress(chosen, "report", len(chosen))]
    figures = _figures(answers)
    write_whole(out, page(title, len(corpus.videos), figures, sections))
    return figures


def _ask(corpus: Searched, query: LabelledQuery, top_k: int) -> _Answer:
    try:
        found, refused = corpus.search(query.sentence, top_k), ""
    except ValueError as error:
        found, refused = [], str(error)
    iou = 0.0 if query.windows else float("nan")
    if query.windows and found and found[0].video == query.video:
        iou = float(temporal_iou((found[0].start_s, found[0].end_s), query.windows).max())
    return _Answer(query, found, refused, iou)


def _chosen(answers: Sequence[_Answer]) -> Sequence[_Answer]:
    """At most MOST answers: by their error where that is known, the largest first."""
    labelled = sorted(
        (answer for answer in answers if answer.query.windows), key=lambda answer: answer.iou
    )
    others = [answer for answer in answers if not answer.query.windows]
    if len(labelled) > MOST:
        return [*labelled[: MOST // 2], *labelled[-MOST // 2 :]]
    return [*labelled, *others][:MOST]


def _figures(answers: Sequence[_Answer]) -> Figures:
    refused = sum(bool(answer.refused) for answer in answers)
    iou = np.array([answer.iou for answer in answers if answer.query.windows])
    right = [
        bool(answer.found) and answer.found[0].video == answer.query.video
        for answer in answers
        if answer.query.windows
    ]
    if not len(iou):
        return Figures(len(answers), refused, 0, {})
    recalls = {
        f"R@1,IoU={threshold}": 100 * float(reaches(iou, threshold).mean())
        for threshold in (0.5, 0.7)
    }
    others = {"mIoU": 100 * float(iou.mean()), "right video": 100 * float(np.mean(right))}
    return Figures(len(answers), refused, len(iou), recalls | others)


def _section(corpus: Searched, answer: _Answer) -> Section:
    """What the page shows of an answer."""
    query, found = answer.query, answer.found
    hits = [_hit(corpus, one.video, one.start_s, one.end_s, one.score) for one in found]
    durations = {video.id: video.duration for video in corpus.videos}
    shown = [found[0].video] if found else []
    if query.video and query.video not in shown and not answer.refused:
        shown.append(query.video)
    plots = [
        _plot(corpus, answer, video, durations[video]) for video in shown if video in durations
    ]
    note = answer.refused
    if query.video and query.video not in durations:
        note = note or f"the true video, {query.video}, is not in the index"
    success = bool(reaches(answer.iou, _SUCCESS)) if query.windows else None
    missed = None
    if success is False and query.video in durations:
        missed = _hit(corpus, query.video, *query.windows[0], float("nan"))
    return Section(query, hits, missed, plots, answer.iou, success, note)


def _hit(corpus: Searched, video: str, start: float, end: float, score: float) -> Hit:
    """A moment with the picture in its middle, where there is one."""
    try:
        jpeg = corpus.thumbnail(video, (start + end) / 2)
    except (ValueError, OSError):
        return Hit(video, start, end, score, "")
    return Hit(video, start, end, score, f"data:image/jpeg;base64,{b64encode(jpeg).decode()}")


def _plot(corpus: Searched, answer: _Answer, video: str, duration: float) -> Plot:
    curve = corpus.curve(video, answer.query.sentence)
    times, values = _thinned(np.asarray(curve.times), np.asarray(curve.fit))
    found = [(one.start_s, one.end_s) for one in answer.found[:1] if one.video == video]
    true = answer.query.windows if video == answer.query.video else ()
    return Plot(video, times, values, duration, found, true)


def _thinned(times: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """At most _POINTS of a curve (N,): the largest of each stretch."""
    stretches = np.array_split(np.arange(len(times)), min(len(times), _POINTS))
    kept = [int(part[np.argmax(values[part])]) for part in stretches]
    return times[kept], values[kept]
