"""Find the moment of a sentence in a video file by a trained run."""

from pathlib import Path

from vmr_jax.evaluation.predictor import load
from vmr_jax.evaluation.windows import predict_in_windows
from vmr_jax.input_files import require_file
from vmr_jax.video.reader import import_av
from vmr_jax.zero_shot.asked import check_sentence
from vmr_jax.zero_shot.find import FoundMoment, encode_frames
from vmr_jax.zero_shot.joint_space import open_joint_space, usual_clip_seconds


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
        ValueError: the run reads features of another width, or no sentences, or finds no moments;
            and as `find`.
    """
    check_sentence(sentence)
    path = require_file(video, "video")
    import_av()
    predictor = load(workdir)
    space = open_joint_space(encoder, weights)
    usual = predictor.config.get("clip_seconds") or usual_clip_seconds(encoder)
    seconds = usual if clip_seconds is None else clip_seconds
    frames = encode_frames(path, space, seconds)
    width, wanted = frames.rows.shape[1], predictor.spec.video_dim
    if width != wanted:
        raise ValueError(
            f"{workdir} reads features {wanted} wide, those of {encoder} are {width} wide: name "
            "the --encoder that it was trained on"
        )
    (found,) = predict_in_windows(
        predictor, frames.rows, [sentence], duration=frames.duration, top_k=top_k
    )
    return [FoundMoment(*moment, "trained") for moment in found], seconds
