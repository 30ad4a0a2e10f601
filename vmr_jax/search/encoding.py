"""The videos of a corpus, encoded once: read, brought to the length of a model, batched."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from vmr_jax.data.batches import clips
from vmr_jax.data.batches.normalization import normalization_of, normalize_frames
from vmr_jax.data.sources.subtitles import fit_rows
from vmr_jax.search.trained import Trained
from vmr_jax.search.video_source import VideoSource
from vmr_jax.types import Config, Localizer, Retriever, Videos

_BATCH = 16  # videos that are encoded at a time
_LENGTH_STEP = 20  # they are padded to multiples of so many clips


class EncodedVideo(NamedTuple):
    """One video of n clips."""

    position: int  # in its source
    native_clips: int  # before longer videos are cut
    fitted: bool  # its subtitles had a row more or less than it has clips
    vectors: np.ndarray  # (n, J, D) float32 of the retriever
    codes: list[np.ndarray]  # (n, ...) float32, the leaves of a localizer's code; [] without one


class _Shown(NamedTuple):
    """What a system sees of a video, float16 as in training."""

    features: np.ndarray  # (n, F)
    sub: np.ndarray | None  # (n, S)


def encode_videos(
    source: VideoSource,
    positions: Sequence[int],
    retriever: Trained[Retriever],
    localizer: Trained[Localizer] | None = None,
) -> Iterator[EncodedVideo]:
    """Encode some videos of a source, in order.

    Raises ValueError, naming the video, where it has no clips, features of another width than a
    system was trained with or subtitles that cannot be fitted, or where its code is not finite.
    """
    native = ((source.video_id[position], *source.read(position)) for position in positions)
    # No stream that nobody reads: it would hold all videos.
    sizes, first, *second = itertools.tee(native, 2 if localizer is None else 3)
    vectors = encode_native(retriever, retriever.system.encode_videos, first)
    if localizer is None:
        codes = itertools.repeat([])
    else:
        codes = encode_native(localizer, localizer.system.encode_videos, *second)
    # `sizes` comes last: with `positions` at its end, nothing more is taken from the others.
    for position, vector, code, (video, features, sub) in zip(
        positions, vectors, codes, sizes, strict=False
    ):
        leaves = [*jax.tree.leaves(vector), *jax.tree.leaves(code)]
        if not all(np.isfinite(leaf).all() for leaf in leaves):
            raise ValueError(f"video {video} is encoded to numbers that are not finite")
        fitted = sub is not None and len(sub) != len(features)
        yield EncodedVideo(position, len(features), fitted, leaves[0], leaves[1:])


def code_of_one_clip(trained: Trained, encode: Callable) -> Any:
    """What `encode(params, Videos)` makes of one clip of one video: shapes (1, 1, ...)."""
    spec, reads_subtitles = trained.spec, "sub" in trained.config.modalities
    rows = lambda width: np.zeros((1, 1, width), np.float32)  # noqa: E731
    sub = rows(spec.sub_dim) if reads_subtitles else None
    videos = Videos(rows(spec.video_dim), np.ones((1, 1), bool), sub)
    return jax.eval_shape(encode, trained.params, videos)


def encode_native(
    trained: Trained,
    encode: Callable,
    native: Iterable[tuple[str, np.ndarray, np.ndarray | None]],
) -> Iterator[Any]:
    """What `encode(params, Videos)` makes of each video, a tree of arrays (n, ...), by batches.

    A video is its id, features (n, F) and subtitles (R, S), as they are stored; `fit_rows` brings
    these to n. Raises ValueError as `encode_videos`, but for codes that are not finite.
    """
    run = jax.jit(encode)
    shown = (_show(trained, *video) for video in native)
    while batch := list(itertools.islice(shown, _BATCH)):
        counts = [len(video.features) for video in batch]
        code = jax.device_get(run(trained.params, _pad(batch, trained.spec.max_clips)))
        for item, count in enumerate(counts):
            yield jax.tree.map(lambda leaf, i=item, n=count: leaf[i, :n], code)


def padded_length(longest: int) -> int:
    """The clips that videos of at most so many are padded to: one of a few, a program for each."""
    return -(-longest // _LENGTH_STEP) * _LENGTH_STEP


def _show(trained: Trained, video: str, features: np.ndarray, sub: np.ndarray | None) -> _Shown:
    """Native features and subtitles as the system's config wants them."""
    target, spec = trained.config.target, trained.spec
    _check(video, "features", features, spec.video_dim)
    if "sub" in trained.config.modalities:
        if sub is None:
            raise ValueError(
                f"{trained.config.system} was trained with subtitles, but {video} comes without: "
                "name theirs with --subtitles"
            )
        _check(video, "subtitles", sub, spec.sub_dim)
        sub = _sample(fit_rows(sub, len(features), video), target)
    else:
        sub = None
    if normalization_of(target) == "l2":
        features = normalize_frames(features)
    return _Shown(_sample(features, target), sub)


def _check(video: str, what: str, rows: np.ndarray, width: int) -> None:
    if not len(rows):
        raise ValueError(f"the {what} of {video} have no clips: leave it out of the corpus")
    if rows.shape[1] != width:
        raise ValueError(
            f"the {what} of {video} have width {rows.shape[1]}, but the checkpoint was trained "
            f"with {width}: index features of the same kind"
        )


def _sample(rows: np.ndarray, target: Config) -> np.ndarray:
    sampled = clips.sample_clips(rows, target.max_clips, target.clip_sampling)
    return sampled.astype(np.float16)


def _pad(batch: Sequence[_Shown], longest: int) -> Videos:
    """Videos (16, N, ...) float32."""
    counts = np.array([len(video.features) for video in batch] + [0] * (_BATCH - len(batch)))
    length = min(padded_length(int(counts.max())), longest)

    def padded(videos: Sequence[np.ndarray]) -> np.ndarray:
        rows = np.zeros((_BATCH, length, videos[0].shape[1]), np.float32)
        for item, video in enumerate(videos):
            rows[item, : len(video)] = video
        return rows

    subtitles = [video.sub for video in batch if video.sub is not None]
    return Videos(
        padded([video.features for video in batch]),
        np.arange(length) < counts[:, None],
        padded(subtitles) if subtitles else None,
    )
