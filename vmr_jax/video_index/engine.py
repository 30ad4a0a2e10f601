"""Which engine an index of video files is asked by: the exact scan, or Milvus."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vmr_jax.input_files import read_json
from vmr_jax.locks import locked
from vmr_jax.output_files import write_whole
from vmr_jax.video_index.layout import MANIFEST, open_layout, read_manifest
from vmr_jax.video_index.milvus import MilvusFrames, absolute_url, collection_of
from vmr_jax.video_index.scan import ExactScan, VideoRanking

ENGINE = "engine.json"
EXACT = "exact"
_USUAL = "FLAT"  # compares all frames
_BEST = 10  # videos, of which the recall is told
_ASKED = 32  # frames whose videos are asked for


class Filled(NamedTuple):
    """What was done to an engine's rows."""

    url: str
    kind: str
    added: int  # videos
    removed: int  # videos
    recall: float  # of the exact scan's 10 best videos, over up to 32 frames of the index


def fill_engine(index: Path, url: str = "", kind: str = "") -> Filled | None:
    """Let an engine have the frames of an index, which is then asked by it.

    Without a `url` it is the engine that the index has, if any; "exact" takes that away. `kind` is
    a type of index of Milvus, such as FLAT or HNSW. The same call goes on after any end. Returns
    None for the exact scan. Raises ValueError for another engine and as `MilvusFrames`.
    """
    path = index / ENGINE
    known = read_json(path, "index again", "url", "collection", "kind") if path.exists() else {}
    if not (url or known):
        if kind:
            raise ValueError("--engine-index is a type of index of Milvus: give --engine too")
        return None
    with locked(index):
        if url == EXACT:
            _leave(index, known)
            return None
        url = absolute_url(url) if url else known["url"]
        same = known if known.get("url") == url else {}
        kind = (kind or same.get("kind") or _USUAL).upper()
        opened = open_layout(index)
        collection = same.get("collection") or collection_of(index)
        frames = MilvusFrames(url, collection, kind, opened)
        if not same:
            _leave(index, known)
        told = {"url": url, "collection": collection, "kind": kind}
        write_whole(path, json.dumps(told | {"rows": ""}) + "\n")
        done = frames.fill()
        share = recall(frames, ExactScan(opened.rows, opened.begin), opened.rows)
        frames.close()
        rows = read_manifest(index / MANIFEST)["rows"]
        write_whole(path, json.dumps(told | {"rows": rows}) + "\n")
    return Filled(url, kind, *done, share)


def _leave(index: Path, known: dict) -> None:
    """Take away the engine that an index has, if any, and then its rows there."""
    (index / ENGINE).unlink(missing_ok=True)
    if known:
        frames = MilvusFrames(known["url"], known["collection"], known["kind"], open_layout(index))
        frames.drop()
        frames.close()


def open_engine(index: Path) -> VideoRanking:
    """What an index is asked by. Raises ValueError for an engine that has not all of its frames."""
    opened, path = open_layout(index), index / ENGINE
    if not path.exists():
        return ExactScan(opened.rows, opened.begin)
    known = read_json(path, "index again", "url", "collection", "kind", "rows")
    if known["rows"] != read_manifest(index / MANIFEST)["rows"]:
        raise ValueError(
            f"{known['url']} has not yet all frames of {index}: run the same `vmr index` "
            "again, or with --engine exact"
        )
    frames = MilvusFrames(known["url"], known["collection"], known["kind"], opened)
    frames.load()
    return frames


def recall(engine: VideoRanking, exact: VideoRanking, rows: np.ndarray) -> float:
    """The share of the exact scan's best videos that an engine finds, over frames of `rows`."""
    asked = rows[:: max(1, len(rows) // _ASKED)][:_ASKED].astype(np.float32)
    pairs = zip(*(one.best_videos(asked, _BEST) for one in (engine, exact)), strict=True)
    shares = [len(set(found) & set(best)) / len(best) for found, best in pairs]
    return float(np.mean(shares)) if shares else 1.0
