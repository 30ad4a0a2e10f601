"""Find what is wrong with features while they are read, each of them once."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from vmr_jax.data.datasets.records import Fault
from vmr_jax.data.prepare.feature_attributes import mixed, of_video
from vmr_jax.data.sources.features import FLOAT16_MAX, FeatureSource
from vmr_jax.data.sources.names import match_names
from vmr_jax.progress import Progress

# A video's features look wrong when their number differs from what the dataset's median clip
# length predicts by this factor, and by more than this many clips.
_ODD_RATIO = 1.5
_ODD_CLIPS = 2

_LONGEST_CLIP = 10  # seconds: features of longer ones are those of whole videos


class FeatureCheck:
    """Checks the features of a dataset's videos as whoever needs them reads them."""

    def __init__(self, durations: Mapping[str, float], features: FeatureSource):
        """Check the `features` of the videos with `durations`, seconds by their id."""
        self._durations, self._features = durations, features
        self._names = match_names(features.ids, durations)
        self._videos = {name: video for video, name in self._names.items()}
        self._read: set[str] = set()
        self._faults: list[Fault] = []  # of single videos
        self._widths: dict[str, str] = {}
        self._lengths: dict[str, int] = {}
        self._zeros: list[str] = []
        self._told: dict[str, Mapping[str, Any]] = {}

    @property
    def source(self) -> FeatureSource:
        """The same features; what is read of them is checked."""
        return self._features._replace(read=self._checked)

    def read_rest(self, dataset: str, progress: Progress) -> None:
        """Read the videos that nobody has read yet."""
        left = sorted(video for video in self._names if video not in self._read)
        for video in progress(left, f"{dataset}: checking features", len(left)):
            try:
                self._checked(self._names[video])
            except ValueError:  # noted
                continue

    def faults(self) -> list[Fault]:
        """What is wrong with those that have been read; without a `repair` it is an error."""
        durations, widths, lengths = self._durations, self._widths, self._lengths
        faults = self._faults + mixed(self._told)
        faults += _zeros(self._zeros, len(lengths))
        faults += _transposed(widths, lengths) or _odd_widths(widths)
        return faults + _single_clips(durations, lengths) + _odd_lengths(durations, lengths)

    def _checked(self, name: str) -> np.ndarray:
        """Read the features of a name and note what is wrong with them."""
        video = self._videos.get(name)
        if video is None or video in self._read:
            return self._features.read(name)
        self._read.add(video)
        try:
            clips = self._features.read(name)
            self._told[video] = self._features.attributes(name)
        except ValueError as error:
            self._faults.append(Fault("features cannot be read", str(error), ""))
            raise
        self._note(video, clips)
        return clips

    def _note(self, video: str, clips: np.ndarray) -> None:
        if not len(clips):
            self._faults.append(Fault("features without a clip", video, ""))
            return
        self._widths[video] = " x ".join(map(str, clips.shape[1:]))
        self._lengths[video] = len(clips)
        # NaN and infinity survive both; a width of 0 has neither.
        largest = max(float(clips.max(initial=0)), -float(clips.min(initial=0)))
        if not largest:
            self._zeros.append(video)
        if not np.isfinite(largest):
            self._faults.append(Fault("features with NaN or infinity", video, ""))
        elif largest > FLOAT16_MAX:
            self._faults.append(Fault(f"features beyond float16 ({FLOAT16_MAX})", video, ""))
        elif largest:
            self._faults += _dull_rows(video, clips)
        self._faults += of_video(video, len(clips), self._told[video], self._durations[video])


def _dull_rows(video: str, clips: np.ndarray) -> list[Fault]:
    """Find rows without content: those at the end that are zero, and rows that are all the same."""
    if len(clips) > 1 and (clips[-1] == clips[0]).all() and (clips == clips[0]).all():
        return [Fault("all rows are the same", video, "kept; nothing is found in it")]
    if clips[-1].any():
        return []
    content = clips.reshape(len(clips), -1).any(axis=1)
    ending = len(clips) - 1 - int(np.flatnonzero(content)[-1])
    return [Fault("zero rows at the end", f"{video} ({ending} of {len(clips)})", "kept")]


def _zeros(zeros: list[str], videos: int) -> list[Fault]:
    """Report videos all of whose features are zero; that all of them are so is one error."""
    if len(zeros) == videos > 0:
        return [Fault("all features are zero", f"{videos} videos", "")]
    return [
        Fault("features are all zero", video, "kept; nothing is found in it") for video in zeros
    ]


def _transposed(widths: Mapping[str, str], lengths: Mapping[str, int]) -> list[Fault]:
    """Find arrays (width, clips): as many rows in each video, and columns that vary."""
    rows, columns = set(lengths.values()), Counter(widths.values())
    if len(rows) != 1 or rows == {1} or max(columns.values()) > len(lengths) / 2:
        return []
    where = f"({rows.pop()}, {' or '.join(sorted(columns)[:3])}, …); expected (clips, width)"
    return [Fault("features look transposed", f"{len(lengths)} videos of shape {where}", "")]


def _odd_widths(widths: Mapping[str, str]) -> list[Fault]:
    """Find videos whose features are of another width than those of most."""
    usual = Counter(widths.values()).most_common(1)[0][0] if widths else ""
    return [
        Fault("features of another width", f"{video} ({width}, usual is {usual})", "")
        for video, width in widths.items()
        if width != usual
    ]


def _single_clips(durations: Mapping[str, float], lengths: Mapping[str, int]) -> list[Fault]:
    """Find features that are one row for each whole, long video: no moment can be found in it."""
    if set(lengths.values()) != {1}:
        return []
    seconds = float(np.median([durations[video] for video in lengths]))
    where = f"{len(lengths)} videos of about {seconds:.0f} s; a row for each clip is needed"
    return [Fault("one clip a video", where, "")] if seconds > _LONGEST_CLIP else []


def _odd_lengths(durations: Mapping[str, float], lengths: Mapping[str, int]) -> list[Fault]:
    """Find videos whose clips are far longer or shorter than the median of the dataset."""
    if len(set(lengths.values())) < 2:  # resampled to one length
        return []
    clip_seconds = np.median([durations[video] / n for video, n in lengths.items()])
    faults = []
    for video, clips in lengths.items():
        wanted = durations[video] / clip_seconds
        ratio = max(clips / wanted, wanted / clips)
        if ratio > _ODD_RATIO and abs(clips - wanted) > _ODD_CLIPS:
            where = f"{video} ({clips} clips, {wanted:.0f} expected of {durations[video]:.1f} s)"
            repair = "kept; its clips are spread over the duration"
            faults.append(Fault("number of clips does not fit the duration", where, repair))
    return faults
