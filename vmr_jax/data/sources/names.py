"""Ids of videos in annotations and in features, which may differ in form: what names what."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable

_VIDEO_FILE = re.compile(r"\.(3g2|3gp|avi|flv|m2ts|m4v|mkv|mov|mp4|mpe?g|mts|webm|wmv)?$", re.I)


def match_names(ids: Iterable[str], videos: Iterable[str]) -> dict[str, str]:
    """Find each video's features: video id -> feature id, for the videos that have them.

    The names are equal; or they are once both are in Unicode's NFC form and without the extension
    of a video file, or a folder's name before one of them, and no other id or video is so near.
    """
    ids, videos = set(ids), tuple(videos)
    found = {video: video for video in videos if video in ids}
    if len(found) == len(videos):
        return found
    near = _near(ids, videos)
    claimed = _near(videos, {name for names in near.values() for name in names})
    for video in videos:
        names = near.get(video, [])
        if video not in found and len(names) == 1 and len(claimed[names[0]]) == 1:
            found[video] = names[0]
    return found


def describe_missing(ids: Iterable[str], missing: Iterable[str]) -> dict[str, str]:
    """Say of videos that `match_names` finds no features of which ids look like theirs, escaped."""
    missing = tuple(missing)
    near = _near(ids, missing)
    said = {}
    for video in missing:
        alike = " and ".join(map(ascii, sorted(near.get(video, []))[:3]))
        plain = video.isascii() and video.isprintable()
        said[video] = f"{video!a} (alike: {alike})" if alike else video if plain else ascii(video)
    return said


def stem(name: str) -> str:
    """A name without the extension of a video file."""
    return _VIDEO_FILE.sub("", name)


def _near(ids: Iterable[str], videos: Iterable[str]) -> dict[str, list[str]]:
    """The ids that differ from each video only in form."""
    alike = defaultdict(list)
    for name in ids:
        alike[_parts(name)[-1]].append(name)
    near = {}
    for video in videos:
        parts = _parts(video)
        names = [name for name in alike.get(parts[-1], []) if _is_tail(parts, _parts(name))]
        if names:
            near[video] = names
    return near


def _parts(name: str) -> tuple[str, ...]:
    """The folders and the stem of a name, in NFC."""
    return tuple(stem(unicodedata.normalize("NFC", name)).split("/"))


def _is_tail(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Tell whether the shorter of two paths is the end of the longer one."""
    length = min(len(one), len(other))
    return one[-length:] == other[-length:]
