"""Ranked moments from the similarities of a video's frames to a sentence, without any training.

That a frozen vision-language model's similarities of frames and a sentence give moments is the idea
of Luo et al., "Zero-Shot Video Moment Retrieval from Frozen Vision-Language Models" (WACV 2024).
That a span is judged by its inside against its outside is that of AutoLoc's contrast (Shou et al.,
ECCV 2018), the square root of the length that of scan statistics. Candidates, the video's own unit
from generic prompts, and what was chosen are ours.
"""

import numpy as np
from numpy.typing import ArrayLike

from vmr_jax.types import Moment

# What fits any frame; a sentence says something only by how far it exceeds these.
GENERIC = (
    "a video",
    "a scene of a video",
    "a photo",
    "something happens",
    "a person",
    "people",
    "someone does something",
    "a thing",
    "a place",
    "the camera shows something",
)
_GROWTH = 1.25  # from a length of candidates to the next
_SHORTEST = 2  # frames, where there are as many
_FLAT = 1e-9  # of their size: what exceeds by less does not stand out
_OVERLAP = 0.5  # IoU above which the lower one of two moments goes


def find_moments(
    similarity: ArrayLike, generic: ArrayLike, times: ArrayLike, duration: float, top_k: int = 5
) -> list[Moment]:
    """The best moments of a video, best first; several where they do not overlap much.

    `similarity` (N,) is of the frames to the sentence, `generic` (N, P) of the same frames to
    neutral sentences such as GENERIC, `times` (N,) their ascending seconds in a video of `duration`
    seconds. A moment ends half-way between two frames, or where the video does. `top_k` cuts the
    list and changes nothing in it; only what stands out is in it. Where nothing does, as in one
    frame, it is the whole video with score 0. A score is of `score_spans`, in the unit of
    `normalise`.

    Raises ValueError for similarities or times that are not finite, do not fit or do not ascend,
    and for a `top_k` below 1.
    """
    values, generic, times = (np.asarray(x, np.float64) for x in (similarity, generic, times))
    _check(values, generic, times, duration, top_k)
    return find_in_frames(normalise(values, generic), between_frames(times, duration), top_k)


def between_frames(times: np.ndarray, duration: float) -> np.ndarray:
    """The seconds (N + 1,) at which moments may end: half-way between frames, and both ends."""
    middles = (times[1:] + times[:-1]) / 2
    return np.concatenate([[0.0], middles, [max(duration, times[-1])]])


def find_in_frames(excess: np.ndarray, borders: np.ndarray, top_k: int) -> list[Moment]:
    """As `find_moments`, of frames (N,) as of `normalise` and the seconds (N + 1,) between them."""
    spans, scores = score_spans(smooth(excess))
    kept = suppress(spans, scores, top_k)
    return [
        Moment(float(borders[begin]), float(borders[end]), float(score))
        for (begin, end), score in zip(spans[kept], scores[kept], strict=True)
    ]


def normalise(similarity: np.ndarray, generic: np.ndarray) -> np.ndarray:
    """How far each frame (N,) exceeds the generic prompts (N, P), in the video's own unit.

    Zero is the mean and 1 the deviation of all the video's similarities to the prompts.
    """
    spread = generic.std()
    varies = spread > _FLAT * np.abs(generic).max()
    return (similarity - generic.mean()) / (spread if varies else 1.0)


def smooth(values: np.ndarray) -> np.ndarray:
    """Each frame (N,) with half the weight, its two neighbours with a quarter each."""
    wide = np.concatenate([values[:1], values, values[-1:]])
    return (wide[:-2] + 2 * wide[1:-1] + wide[2:]) / 4


def score_spans(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The candidates (C, 2) that stand out, half-open spans of frames, and their scores (C,).

    Candidates have all `lengths` and start at all frames. The score is the mean inside minus the
    mean of the video, times the root of the length: with r of the frames outside, that is r times
    inside minus outside. The root makes short and long ones as likely in noise. Where none stands
    out, it is the whole video with score 0.
    """
    frames = len(values)
    sums = np.concatenate([[0.0], np.cumsum(values - values.mean())])
    begins = [np.arange(frames - length + 1) for length in lengths(frames)]
    ends = [begin + length for begin, length in zip(begins, lengths(frames), strict=True)]
    spans = np.stack([np.concatenate(begins), np.concatenate(ends)], axis=1)
    begin, end = spans.T
    scores = (sums[end] - sums[begin]) / np.sqrt(end - begin)
    high = scores > _FLAT * np.abs(values).max()
    return (spans[high], scores[high]) if high.any() else (np.array([[0, frames]]), np.zeros(1))


def best_span(values: np.ndarray) -> tuple[int, int, float]:
    """The best candidate of `score_spans`, of equal ones the shorter, then the earlier."""
    sums = np.concatenate([[0.0], np.cumsum(values - values.mean())])
    best = 0, len(values), 0.0
    high = _FLAT * float(np.abs(values).max())
    for length in lengths(len(values)):
        scores = sums[length:] - sums[:-length]
        begin = int(scores.argmax())
        score = float(scores[begin] / np.sqrt(length))
        if score > max(high, best[2]):
            best = begin, begin + length, score
    return best


def lengths(frames: int) -> list[int]:
    """The lengths of candidates in a video of so many frames, ascending."""
    found = [min(_SHORTEST, frames)]
    while found[-1] < frames:
        found.append(min(frames, max(found[-1] + 1, round(found[-1] * _GROWTH))))
    return found


def suppress(spans: np.ndarray, scores: np.ndarray, top_k: int) -> np.ndarray:
    """Which candidates stay, best first: none overlaps a better one by more than _OVERLAP.

    Equal scores keep their order: the shorter span, then the earlier.
    """
    left = np.argsort(-scores, kind="stable")
    kept = []
    while len(left) and len(kept) < top_k:
        kept.append(left[0])
        (begin, end), others = spans[left[0]], spans[left]
        shared = np.minimum(others[:, 1], end) - np.maximum(others[:, 0], begin)
        union = (others[:, 1] - others[:, 0]) + (end - begin) - shared
        left = left[np.maximum(shared, 0) <= _OVERLAP * union]
    return np.array(kept, int)


def _check(
    similarity: np.ndarray, generic: np.ndarray, times: np.ndarray, duration: float, top_k: int
) -> None:
    if similarity.ndim != 1 or not len(similarity) or times.shape != similarity.shape:
        raise ValueError(
            f"similarities of shape {similarity.shape} at times of shape {times.shape}; needed is "
            "one of each a frame, and a frame at least"
        )
    if generic.ndim != 2 or len(generic) != len(similarity) or not generic.shape[1]:
        raise ValueError(
            f"similarities to generic prompts of shape {generic.shape}; needed is "
            f"({len(similarity)}, prompts)"
        )
    for name, found in (("similarity", similarity), ("generic similarity", generic)):
        if not np.isfinite(found).all():
            frame = int(np.argwhere(~np.isfinite(found))[0][0])
            raise ValueError(f"the {name} of frame {frame} is not finite")
    if not np.isfinite([*times, duration]).all() or (np.diff(times) <= 0).any() or times[0] < 0:
        raise ValueError("times of frames are finite seconds from 0 on that ascend")
    if top_k < 1:
        raise ValueError(f"top_k is {top_k}; expected 1 or more")
