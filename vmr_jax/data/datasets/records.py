"""Records that dataset readers make, before anything is written to disk."""

from typing import NamedTuple

import numpy as np


class MomentRecord(NamedTuple):
    """One query: a sentence and the moments (A, 2) in seconds that its A annotators marked.

    A is 0 where the labels are hidden (a public test split). `modality` tells what the query is
    about where the annotations do: v (what is shown), t (what is said) or vt. `saliency` (C, A) is
    how much A annotators found each of the video's C clips of 2 s to be a highlight of the query,
    from 0 (very bad) to 4 (very good), where they were asked.
    """

    query_id: str
    video_id: str
    sentence: str
    moments: np.ndarray
    modality: str = ""
    saliency: np.ndarray | None = None


class Fault(NamedTuple):
    """One thing that is wrong with one record, and what was done about it.

    `kind` is a short key ("moment beyond duration"); `where` the id, or file:line; `repair` is
    "" when it is an error, else what the reader did ("end clipped to the duration").
    """

    kind: str
    where: str
    repair: str


class Annotations(NamedTuple):
    """A dataset's annotation files, read and checked."""

    name: str
    splits: dict[str, list[MomentRecord]]
    durations: dict[str, float]  # video id -> seconds
    faults: list[Fault]
    subtitles: dict[str, list[tuple[float, float, str]]]  # video id -> (start s, end s, text)
