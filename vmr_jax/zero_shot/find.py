"""Find the moment of a sentence in a video file, without any training."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from vmr_jax.data.text.vocabulary import tokenize
from vmr_jax.extract.batches import Waits, encode_videos
from vmr_jax.extract.frames import Unreadable, read_video
from vmr_jax.input_files import require_file
from vmr_jax.types import Moment
from vmr_jax.video.reader import import_av
from vmr_jax.video.sampling import Sampling
from vmr_jax.video.sources import VideoFile
from vmr_jax.zero_shot.joint_space import JointSpace, open_joint_space
from vmr_jax.zero_shot.moments import GENERIC, find_moments

_BATCH = 32  # frames encoded at once
_WORDS = 60  # of a sentence; CLIP reads 77 tokens


class Frames(NamedTuple):
    """A video's frames in a joint space."""

    rows: np.ndarray  # (N, width) float32
    times: list[float]  # (N,) seconds
    duration: float  # seconds


def find(
    video: str | Path,
    sentence: str,
    *,
    encoder: str = "concepts",
    weights: str = "",
    top_k: int = 5,
    clip_seconds: float = 2.0,
) -> list[Moment]:
    """Find the best moments of a sentence in a video file, best first, without any training.

    A frame each `clip_seconds` is compared with the sentence, so that borders are multiples of it;
    `top_k` only cuts the list, which may be shorter. `encoder` is "concepts", "clip-vit-b32",
    "clip-vit-b16" or "clip-vit-l14"; `weights` are a registered name, a file or a folder, else
    those that `vmr weights get` keeps. See `vmr_jax.zero_shot.moments` for what is found and for
    what a score is.

    Raises:
        FileNotFoundError: there is no such video, or the weights are not here.
        ValueError: the sentence has no words or too many, the video cannot be read, PyAV is
            missing, or for an unknown encoder.
    """
    check_sentence(sentence)
    path = require_file(video, "video")
    import_av()
    space = open_joint_space(encoder, weights)
    frames = encode_frames(path, space, clip_seconds)
    vectors = _unit(space.sentences([sentence, *GENERIC]))
    similarity = _unit(frames.rows) @ vectors.T
    return find_moments(
        similarity[:, 0], similarity[:, 1:], frames.times, frames.duration, top_k=top_k
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


def encode_frames(path: Path, space: JointSpace, clip_seconds: float) -> Frames:
    """A frame at the centre of each `clip_seconds` of a video.

    Raises ValueError for a video that cannot be read to its end.
    """
    source = VideoFile(path.stem, path)
    events = read_video(0, source, Sampling(clip_seconds=clip_seconds), space.images.crop)
    (found,) = encode_videos(events, space.images.compiled(), _BATCH, Waits())
    if isinstance(found, Unreadable):
        raise ValueError(found.reason)
    known = found.whole.duration
    end = found.seconds[-1] + clip_seconds / 2
    return Frames(found.rows, found.seconds, end if np.isnan(known) else known)


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
