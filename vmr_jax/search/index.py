"""Building an index of a corpus: videos are encoded once, added and removed without a rebuild."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from vmr_jax.locks import locked
from vmr_jax.progress import Progress, quiet
from vmr_jax.search.encoding import code_of_one_clip, encode_videos
from vmr_jax.search.manifest import (
    FORMAT,
    find_manifest,
    read_manifest,
    write_arrays,
    write_manifest,
)
from vmr_jax.search.sentences import WordVectors
from vmr_jax.search.shards import DTYPES, ShardDraft, read_ids
from vmr_jax.search.trained import Trained
from vmr_jax.search.video_source import VideoSource
from vmr_jax.types import Localizer, Retriever

WORDS = "words"  # the folder of the word vectors
_SHARD_CLIPS = 65536  # of a shard, about: what an interrupted build loses at most


def build_index(
    index: str | Path,
    source: VideoSource,
    retriever: Trained[Retriever],
    localizer: Trained[Localizer] | None = None,
    words: WordVectors | None = None,
    *,
    dtype: str = "float16",
    append: bool = False,
    progress: Progress = quiet,
    say: Callable[[str], None] = print,
) -> int:
    """Encode the videos of a source into an index; returns how many were encoded now.

    The same call again continues a build that was interrupted, after its last whole shard; videos
    that are not in a shard yet may be others then, such as without one that cannot be read. With
    `append` the videos are added to those of a complete index, whose dtype and words stay; those
    that are in it already stay as they were encoded, and it is said how many. Vectors of the
    retriever are stored as `dtype`, int8 ones with a scale each; codes of the localizer as
    float16, or float32 with that dtype.

    Raises:
        ValueError: there are no videos; an id comes twice; the index was made by other
            checkpoints, is complete (without `append`), or holds an unfinished build of other
            videos; retriever and localizer do not read the same clips or queries; another process
            writes it; or as `encode_videos`.
        FileNotFoundError: `append` to an index that is not there.
    """
    index = Path(index)
    if dtype not in DTYPES:
        raise ValueError(f"dtype is {dtype!r}; an index is one of {', '.join(DTYPES)}")
    _check_ids(source.video_id)
    _check_systems(retriever, localizer)
    if append and find_manifest(index) is None:
        raise FileNotFoundError(f"{index}: no index to append to")
    with locked(index):
        manifest = find_manifest(index)
        if manifest is None:
            manifest = _new_manifest(index, retriever, localizer, words, dtype)
        else:
            check_identity(index, manifest, retriever, localizer)
            if manifest["localizer"] and localizer is None:
                raise ValueError(f"{index} was made with a localizer: name it with --localizer")
        _check_build(index, manifest, source.video_id, append)
        if manifest["building"] is None:
            manifest["building"] = {"append": append, "shards": len(manifest["shards"])}
            write_manifest(index, manifest)
        todo = _find_todo(index, manifest, source.video_id, say)
        cut, fitted = _add_shards(index, manifest, source, todo, retriever, localizer, progress)
        manifest["building"] = None
        write_manifest(index, manifest)
    if cut:
        most = retriever.config.target.max_clips
        say(f"{cut} videos have more than {most} clips; the rest of them is not indexed")
    if fitted:
        say(
            f"{fitted} videos have a row of subtitles too many or too few: it is cut, or filled "
            "with zeros"
        )
    return len(todo)


def remove_videos(index: str | Path, ids: Sequence[str]) -> None:
    """Mark videos as removed: no search finds them any more.

    Raises ValueError where one is not in the index (then none is removed), FileNotFoundError where
    there is no index.
    """
    index = Path(index)
    read_manifest(index)
    with locked(index):
        manifest = read_manifest(index)
        absent = sorted(set(ids) - set(video_ids(index, manifest)))
        if absent:
            raise ValueError(f"{index} has no video {', '.join(absent[:3])}: nothing was removed")
        for number, shard in enumerate(manifest["shards"]):
            own = set(read_ids(index, number)) & set(ids)
            shard["removed"] = sorted({*shard["removed"], *own})
        write_manifest(index, manifest)


def video_ids(index: Path, manifest: dict, shards: slice = slice(None)) -> list[str]:
    """The ids of the videos that are in the index, or some of its shards, and not removed."""
    return [
        video
        for number in range(len(manifest["shards"]))[shards]
        for video in read_ids(index, number)
        if video not in manifest["shards"][number]["removed"]
    ]


def check_identity(
    index: Path, manifest: dict, retriever: Trained, localizer: Trained | None
) -> None:
    """Raise ValueError unless the index was made by these checkpoints."""
    for role, trained in (("retriever", retriever), ("localizer", localizer)):
        made_by = manifest[role]
        if trained is None:
            continue
        if made_by is None:
            raise ValueError(
                f"{index} was made without a localizer: make it again with `vmr index --localizer`"
            )
        here = trained.identity
        if made_by["fingerprint"] != here["fingerprint"]:
            raise ValueError(
                f"{index} was made by another {role}: {made_by['workdir']}, step "
                f"{made_by['step']}; this is {here['workdir']}, step {here['step']}. Take that "
                "checkpoint, or make the index again with this one"
            )


def _check_ids(ids: Sequence[str]) -> None:
    if not ids:
        raise ValueError("there are no videos to index")
    twice = [video for video, count in Counter(ids).items() if count > 1]
    if twice:
        raise ValueError(f"{len(twice)} video ids come twice, such as {', '.join(twice[:3])}")


def _check_systems(retriever: Trained, localizer: Trained | None) -> None:
    if localizer is None:
        return
    first, second = (
        (trained.config.clip_seconds, trained.spec.max_clips, trained.config.target.clip_sampling)
        for trained in (retriever, localizer)
    )
    if first != second:
        raise ValueError(
            "retriever and localizer must read the same clips; their (clip_seconds, "
            f"target.max_clips, target.clip_sampling) are {first} and {second}"
        )
    first, second = (
        (trained.config.target.query_features, trained.spec.word_dim)
        for trained in (retriever, localizer)
    )
    if first != second:
        raise ValueError(
            "retriever and localizer must read the same queries; their (target.query_features, "
            f"width of a word) are {first} and {second}"
        )


def _new_manifest(
    index, retriever: Trained[Retriever], localizer: Trained | None, words, dtype: str
) -> dict:
    encode = retriever.system.encode_videos
    entries = None
    if words is not None:
        vocabulary = "\n".join(words.vocabulary) + "\n"
        files = {"vocabulary.txt": vocabulary, "vectors.npy": words.vectors}
        entries = write_arrays(index, WORDS, files)
    return {
        "format": FORMAT,
        "retriever": retriever.identity,
        "localizer": localizer and localizer.identity,
        "modalities": list(retriever.config.modalities),
        "width": code_of_one_clip(retriever, encode).shape[-1],
        "dtype": dtype,
        "clip_seconds": retriever.config.clip_seconds,
        "words": entries,
        "building": None,
        "shards": [],
    }


def _check_build(index: Path, manifest: dict, ids: Sequence[str], append: bool) -> None:
    """Refuse what is no new build and does not continue the one that is unfinished."""
    building, shards = manifest["building"], len(manifest["shards"])
    if building is None and shards and not append:
        raise ValueError(
            f"{index} is complete: --append adds videos to it; to make it anew, delete it or "
            "choose another --out"
        )
    begun = building["shards"] if building else shards
    others = set(video_ids(index, manifest, slice(begun, None))) - set(ids)
    if others or (building and building["append"] != append):
        raise ValueError(
            f"{index} holds an unfinished build of other videos: finish it with the same command, "
            "or choose another --out"
        )


def _find_todo(
    index: Path, manifest: dict, ids: Sequence[str], say: Callable[[str], None]
) -> list[int]:
    """The positions in `ids` of the videos that are still to be encoded; says which are there."""
    begun = manifest["building"]["shards"]
    before, since = (
        set(ids) & set(video_ids(index, manifest, shards))
        for shards in (slice(begun), slice(begun, None))
    )
    if before:
        say(
            f"{len(before)} of the videos were in {index} before and stay as they were encoded "
            "then; to encode one again, --remove it first"
        )
    if since:
        say(f"continuing: {len(since)} videos are there already")
    return [position for position, video in enumerate(ids) if video not in before | since]


def _add_shards(index, manifest, source, todo, retriever, localizer, progress: Progress):
    """Write shards of the videos in `todo`; returns (videos cut, videos with fitted subtitles)."""
    draft, cut, fitted = ShardDraft(manifest["modalities"], manifest["dtype"]), 0, 0

    def write() -> None:
        manifest["shards"].append(draft.write(index, len(manifest["shards"])))
        write_manifest(index, manifest)

    encoded = encode_videos(source, todo, retriever, localizer)
    for video in progress(encoded, f"encoding into {index}", len(todo)):
        known = source.duration[video.position]
        seconds = manifest["clip_seconds"] * video.native_clips if np.isnan(known) else float(known)
        draft.add(source.video_id[video.position], seconds, video)
        cut += video.native_clips > len(video.vectors)
        fitted += video.fitted
        if draft.clips >= _SHARD_CLIPS:
            write()
            draft = ShardDraft(manifest["modalities"], manifest["dtype"])
    if draft.clips:
        write()
    return cut, fitted
