"""Find what is wrong with features by what their files say of them, as `vmr extract` writes it."""

import math
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np

from vmr_jax.data.datasets.records import Fault

# What all features of a dataset must have in common.
_COMMON = {
    "encoder": "features of several encoders",
    "weights": "features of several weights",
    "preprocessing": "features of several preprocessings",
    "precision": "features of several precisions",
    "fps": "features of several rates",
    "every": "features of several rates",
    "clip_seconds": "features of several rates",
}
_SPREAD = "kept; its clips are spread over the annotated duration"
_LATE = 1.0  # seconds that a video may go on after the step that begins with its last row
_OTHER_DURATION = (1.0, 0.05)  # seconds, and share of the annotated duration


def mixed(attributes: Mapping[str, Mapping[str, Any]]) -> list[Fault]:
    """Compare the settings of all videos' features, {video: attributes}; a difference is an error.

    Videos whose file says nothing are left out.
    """
    faults = []
    known = {video: found for video, found in attributes.items() if "encoder" in found}
    for key, kind in _COMMON.items():
        videos = defaultdict(list)
        for video, found in known.items():
            videos[str(found.get(key, "not given"))].append(video)
        if len(videos) > 1:
            counts = (
                f"{value} ({len(names)}, such as {names[0]})" for value, names in videos.items()
            )
            faults.append(Fault(kind, f"{key}: {', '.join(sorted(counts))}", ""))
    return faults


def of_video(video: str, rows: int, attributes: Mapping[str, Any], annotated: float) -> list[Fault]:
    """Compare a video's rows and annotated duration with the times and duration that are stored."""
    times = np.asarray(attributes.get("times", ()), float)
    duration = float(attributes.get("duration", math.nan))
    faults = []
    if len(times) and rows != len(times):
        where = f"{video} ({rows} rows, {len(times)} times)"
        faults.append(Fault("rows are not those of the stored times", where, ""))
    elif len(times) > 1:
        step = (times[-1] - times[0]) / (len(times) - 1)
        if duration - times[-1] > 1.5 * step + _LATE:
            where = f"{video} (the last row is of {times[-1]:.1f} s, the video ends at "
            where += f"{duration:.1f} s)"
            faults.append(Fault("frames are missing at the end", where, _SPREAD))
    if abs(duration - annotated) > max(_OTHER_DURATION[0], _OTHER_DURATION[1] * annotated):
        where = f"{video} ({annotated:.1f} s annotated, {duration:.1f} s decoded)"
        faults.append(Fault("annotated duration is not that of the video", where, _SPREAD))
    return faults
