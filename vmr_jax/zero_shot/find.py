"""Find the moment of a sentence in a video file, without any training."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vmr_jax.data.sources.names import stem
from vmr_jax.extract.batches import Waits, encode_videos
from vmr_jax.extract.frames import Unreadable, read_video
from vmr_jax.extract.snippets import in_snippets
from vmr_jax.input_files import require_file
from vmr_jax.speech.modality import check_modality, rank_both, rank_spoken
from vmr_jax.speech.said import read_said
from vmr_jax.speech.transcribe import open_speech_model
from vmr_jax.speech.utterances import Utterance, read_subtitles, subtitle_files
from vmr_jax.speech.words import Spoken, utterance_vectors
from vmr_jax.video.reader import import_av
from vmr_jax.video.sampling import Sampling
from vmr_jax.video.sources import VideoFile
from vmr_jax.zero_shot.asked import check_sentence
from vmr_jax.zero_shot.joint_space import JointSpace, open_joint_space, usual_clip_seconds
from vmr_jax.zero_shot.moments import find_moments

_BATCH = 32  # frames encoded at once
_MOMENTS = 100  # that are seen, at most, where others are said


class FoundMoment(NamedTuple):
    """A moment that was found in a video file."""

    start_s: float  # seconds
    end_s: float  # seconds
    score: float  # higher is better; comparable within one query
    found_by: str = "video"  # or "speech", or "speech+video"


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
    clip_seconds: float | None = None,
    modality: str = "both",
    subtitles: str | Path | None = None,
    speech: str = "",
) -> list[FoundMoment]:
    """Find the best moments of a sentence in a video file, best first, without any training.

    A frame each `clip_seconds` is compared with the sentence, so that borders are multiples of it;
    without it that of `usual_clip_seconds`. `top_k` only cuts the list, which may be
    shorter. `encoder` is "concepts", "clip-vit-b32", "clip-vit-b16", "clip-vit-l14", or "demo" for
    the rendered videos of `vmr demo`; `weights` are a registered name, a file or a folder, else
    those that `vmr weights get` keeps. See `vmr_jax.zero_shot.moments` for what is found and for
    what a score is.

    What is said is read from `subtitles`, or the subtitle files beside the video, or the streams in
    it; where there are none, it is heard by `speech`, a name or folder of Whisper. It is searched
    as well, unless `modality` is "video"; then scores are those of `vmr_jax.speech.fusion`.
    "speech" searches its words alone, for which no weights are needed.

    Raises:
        FileNotFoundError: there is no such video, no such subtitles, or the weights are not here.
        ValueError: the sentence has no words or too many, the video or given subtitles cannot be
            read, PyAV is missing; or for an unknown encoder or modality, or "speech" where nothing
            is said. Other subtitles that cannot be read are a warning.
    """
    check_sentence(sentence)
    check_modality(modality)
    path = require_file(video, "video")
    import_av()
    heard_by = open_speech_model(speech) if speech and modality != "video" else None
    said = [] if modality == "video" else _read_said(path, subtitles, heard_by)
    if modality == "speech":
        return _find_spoken(path, said, sentence)[:top_k]
    space = open_joint_space(encoder, weights)
    vectors = _unit(space.sentences([sentence, *space.generic]))
    seconds = usual_clip_seconds(encoder) if clip_seconds is None else clip_seconds
    frames = encode_frames(path, space, seconds)
    similarity = _unit(frames.rows) @ vectors.T
    kept = max(top_k, _MOMENTS) if said else top_k
    seen = find_moments(
        similarity[:, 0], similarity[:, 1:], frames.times, frames.duration, top_k=kept
    )
    if not said:
        return [FoundMoment(*moment) for moment in seen]
    vectors_of_said = utterance_vectors(said, space.sentences if space.any_words else None)
    spoken = Spoken({path.name: said}, vectors_of_said)
    of_video = [_Seen(path.name, *moment) for moment in seen[:_MOMENTS]]
    found = rank_both(spoken, sentence, vectors[0], vectors[1:], of_video)
    return [FoundMoment(*one[1:4], "+".join(one.found_by)) for one in found[:top_k]]


class _Seen(NamedTuple):
    """A moment that is seen, as `vmr_jax.speech.fusion` takes it."""

    video: str
    start_s: float
    end_s: float
    score: float


def _read_said(path: Path, subtitles: str | Path | None, heard_by: Any) -> Sequence[Utterance]:
    """What is said in a video; what of it cannot be read, other than what was given, is told."""
    if subtitles is not None:
        read = read_subtitles(Path(subtitles))
    else:
        read = read_said(path, subtitle_files(path.parent).get(stem(path.name), ()), heard_by)
    for note in read.notes:
        warnings.warn(note, stacklevel=3)
    return read.utterances


def _find_spoken(path: Path, said: Sequence[Utterance], sentence: str) -> list[FoundMoment]:
    if not said:
        raise ValueError(
            f"no subtitles are beside {path} or in it, so that nothing is said: give "
            "a file (--subtitles), or hear it (--speech MODEL)"
        )
    found = rank_spoken(Spoken({path.name: said}), sentence)
    return [FoundMoment(*one[1:4], "speech") for one in found]


def encode_frames(path: Path, space: JointSpace, clip_seconds: float) -> Frames:
    """A frame at the centre of each `clip_seconds` of a video; with snippets, a row of several.

    Raises ValueError for a video that cannot be read to its end.
    """
    source = VideoFile(path.stem, path)
    events = read_video(0, source, Sampling(clip_seconds=clip_seconds), space.images.crop)
    count = space.images.kind.frames
    events = in_snippets(events, count) if count > 1 else events
    (found,) = encode_videos(events, space.images.compiled(), _BATCH, Waits())
    if isinstance(found, Unreadable):
        raise ValueError(found.reason)
    known = found.whole.duration
    end = found.seconds[-1] + count * clip_seconds / 2
    return Frames(found.rows, found.seconds, end if np.isnan(known) else known)


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
