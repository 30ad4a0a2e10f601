"""A trained run on the frames of video files: whether it was made for them, and what it finds."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from vmr_jax.evaluation.predictor import Predictor, load
from vmr_jax.evaluation.windows import predict_in_windows
from vmr_jax.input_files import require_file
from vmr_jax.video.reader import import_av
from vmr_jax.zero_shot.asked import check_sentence
from vmr_jax.zero_shot.find import FoundMoment, encode_frames
from vmr_jax.zero_shot.joint_space import open_joint_space, usual_clip_seconds

_SAME_RATE = 0.01  # of the seconds between frames


class FramesMadeBy(NamedTuple):
    """What the rows of frames were made by."""

    encoder: str
    weights: str  # their SHA-256, or "random"
    clip_seconds: float  # from a frame to the next
    width: int


def find_by_run(
    video: str | Path,
    sentence: str,
    workdir: str | Path,
    *,
    encoder: str,
    weights: str = "",
    top_k: int = 5,
    clip_seconds: float | None = None,
) -> tuple[list[FoundMoment], float]:
    """The best moments of a sentence in a video file, best first, and the seconds of a clip.

    The run in `workdir` must have been trained on the features of `encoder`, as `vmr extract` makes
    them, a frame each `clip_seconds`: without it the run's, else what suits the encoder. Longer
    videos than the run reads are searched by windows (`vmr_jax.evaluation.windows`).

    Raises:
        FileNotFoundError: no such video, run or weights.
        ValueError: as `check_run`, the run finds no moments; and as `find`.
    """
    check_sentence(sentence)
    path = require_file(video, "video")
    import_av()
    predictor = load(workdir)
    space = open_joint_space(encoder, weights)
    of_run = _seconds(predictor.made_by) or predictor.config.get("clip_seconds")
    usual = of_run or usual_clip_seconds(encoder)
    seconds = usual if clip_seconds is None else clip_seconds
    frames = encode_frames(path, space, seconds)
    made_by = FramesMadeBy(encoder, space.images.weights, seconds, frames.rows.shape[1])
    check_run(workdir, predictor, made_by, "name it by --encoder, --weights or --clip-seconds")
    (found,) = predict_in_windows(
        predictor, frames.rows, [sentence], duration=frames.duration, top_k=top_k
    )
    return [FoundMoment(*moment, "trained") for moment in found], seconds


def check_run(
    workdir: str | Path, predictor: Predictor, frames: FramesMadeBy, what_to_do: str
) -> None:
    """Raise ValueError for a run that reads something else than these frames and a sentence.

    A run on features that `vmr extract` did not make is known by their width alone.
    """
    if predictor.spec.sub_dim:
        raise ValueError(f"{workdir} reads subtitle features too, which frames have not")
    if predictor.config.target.get("query_features", ""):
        raise ValueError(f"{workdir} reads features of a query's tokens, not sentences")
    known, wanted = predictor.made_by, predictor.spec.video_dim
    reads = f"{workdir} was trained on features"
    if known.get("encoder", frames.encoder) != frames.encoder:
        raise ValueError(
            f"{reads} of {known['encoder']}, these frames are of {frames.encoder}: {what_to_do}"
        )
    if frames.width != wanted:
        raise ValueError(
            f"{reads} {wanted} wide, those of {frames.encoder} are {frames.width} wide: "
            f"{what_to_do}"
        )
    if known.get("weights", frames.weights) != frames.weights:
        raise ValueError(
            f"{reads} of {frames.encoder} with other weights ({known['weights'][:12]}, here "
            f"{frames.weights[:12]}): {what_to_do}"
        )
    seconds = _seconds(known)
    if seconds and abs(seconds / frames.clip_seconds - 1) > _SAME_RATE:
        raise ValueError(
            f"{reads} of a frame each {seconds:g} s, here is one each {frames.clip_seconds:g} s: "
            f"{what_to_do}"
        )


def _seconds(made_by: Mapping[str, Any]) -> float | None:
    """The seconds between the frames of features; None where that is not known."""
    if "clip_seconds" in made_by:
        return float(made_by["clip_seconds"])
    return 1 / float(made_by["fps"]) if made_by.get("fps") else None
