"""What the API and the tools answer, and what the API is asked in a body."""

from collections.abc import Sequence
from importlib.metadata import version
from typing import Literal, NamedTuple

from pydantic import BaseModel, Field

from vmr_jax.serve.opened import Opened
from vmr_jax.video_index.corpus import Corpus
from vmr_jax.video_index.found import Found

MOST = 100  # moments or videos of an answer
LETTERS = 2000  # of a sentence
VERSION = version("vmr_jax")
Modality = Literal["both", "video", "speech"]


class Moment(BaseModel):
    """A part of a video, in seconds; a higher score is better, for one sentence.

    `probability`, that it is right, is there where `vmr calibrate` was run.
    """

    rank: int
    video: str
    start: float
    end: float
    score: float
    probability: float | None
    found_by: str = Field(
        description="video, speech or speech+video; trained for video where a run places moments"
    )


class Moments(BaseModel):
    """The moments of a sentence, best first."""

    query: str
    moments: list[Moment]


class Find(BaseModel):
    """A sentence to be found in one video."""

    query: str = Field(max_length=LETTERS)
    video: str
    top: int = Field(5, ge=1, le=MOST)
    modality: Modality = "both"


class Curve(BaseModel):
    """How well each frame of a video, at these seconds, fits a sentence; higher is better."""

    video: str
    duration: float
    times: list[float]
    fit: list[float]


class Video(BaseModel):
    """A video of the index, its duration in seconds, and how many of its frames are compared."""

    id: str
    duration: float
    frames: int


class Videos(BaseModel):
    """A part of the videos, in the order of their ids; `count` and `seconds` are those of all."""

    count: int
    seconds: float
    videos: list[Video]


class Indexing(BaseModel):
    """A `vmr index` that runs: how many videos it has read, of how many that were new or changed.

    They can be searched when it ends.
    """

    done: int
    videos: int


class Health(BaseModel):
    """That the server answers, and what it serves."""

    status: str
    version: str
    videos: int
    frames: int
    speech: bool = Field(description="Whether what is said can be searched.")
    indexing: Indexing | None


class Failure(BaseModel):
    """Why there is no answer, in a line."""

    error: str


class Search(NamedTuple):
    """A sentence to be found in all videos."""

    sentence: str
    top: int
    modality: str


def search_together(corpus: Corpus, searches: Sequence[Search]) -> list[Moments | Exception]:
    """The answer to each search, or why it cannot be asked; equal to one after the other."""
    answers: dict[int, Moments | Exception] = {}
    alike: dict[str, list[int]] = {}
    for number, one in enumerate(searches):
        try:
            corpus.check(one.sentence, one.modality)
            alike.setdefault(one.modality, []).append(number)
        except ValueError as error:
            answers[number] = error
    for modality, numbers in alike.items():
        asked = [searches[number] for number in numbers]
        try:
            sentences = [one.sentence for one in asked]
            found = corpus.search_all(sentences, max(one.top for one in asked), None, modality)
            for number, one, moments in zip(numbers, asked, found, strict=True):
                answers[number] = _moments(one.sentence, moments[: one.top])
        except Exception as error:
            answers |= dict.fromkeys(numbers, error)
    return [answers[number] for number in range(len(searches))]


def best_moments(
    opened: Opened, sentence: str, top: int, video: str | None = None, modality: str = "both"
) -> Moments:
    """The best moments of a sentence in all videos or in one. Raises as Corpus.search."""
    among = None if video is None else [opened.video(video).id]
    return _moments(sentence, opened.corpus.search(sentence, top, among, modality))


def _moments(sentence: str, found: Sequence[Found]) -> Moments:
    moments = [
        Moment(
            rank=rank,
            video=one.video,
            start=round(one.start_s, 3),
            end=round(one.end_s, 3),
            score=one.score,
            probability=one.probability,
            found_by=one.found_by,
        )
        for rank, one in enumerate(found, 1)
    ]
    return Moments(query=sentence, moments=moments)
