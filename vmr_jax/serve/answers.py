"""What the API and the tools answer, and what the API is asked in a body."""

from importlib.metadata import version

from pydantic import BaseModel, Field

from vmr_jax.serve.opened import Opened

MOST = 100  # moments or videos of an answer
LETTERS = 2000  # of a sentence
VERSION = version("vmr_jax")


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


class Moments(BaseModel):
    """The moments of a sentence, best first."""

    query: str
    moments: list[Moment]


class Find(BaseModel):
    """A sentence to be found in one video."""

    query: str = Field(max_length=LETTERS)
    video: str
    top: int = Field(5, ge=1, le=MOST)


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


class Health(BaseModel):
    """That the server answers, and what it serves."""

    status: str
    version: str
    videos: int
    frames: int


class Failure(BaseModel):
    """Why there is no answer, in a line."""

    error: str


def best_moments(opened: Opened, sentence: str, top: int, video: str | None = None) -> Moments:
    """The best moments of a sentence in all videos or in one. Raises as Corpus.search."""
    among = None if video is None else [opened.video(video).id]
    found = opened.corpus.search(sentence, top, among)
    moments = [
        Moment(
            rank=rank,
            video=one.video,
            start=round(one.start_s, 3),
            end=round(one.end_s, 3),
            score=one.score,
            probability=one.probability,
        )
        for rank, one in enumerate(found, 1)
    ]
    return Moments(query=sentence, moments=moments)
