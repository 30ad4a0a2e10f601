"""The frames of an index in a collection of Milvus: a file of Milvus Lite, or a cluster.

Milvus (Wang et al., SIGMOD 2021) keeps a row a frame and tells which videos have the nearest ones.
"""

import json
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from vmr_jax.video_index.layout import IndexedVideo, Opened

_FILE = "milvus://"
_BATCH = 2000  # rows that are sent at once
_LONGEST = 65_535  # bytes of a video's id
_NEIGHBOURS = 4  # times as many as are asked for that HNSW looks at


class MilvusFrames:
    """A collection with a row a frame: id, video, clip, seconds, modality, source, vector.

    `source` is the SHA-256 of the video's file. The row of a video's first frame has it once all
    others are there, so that a fill that was killed goes on; rows have their ids as primary key,
    so that none comes twice. The collection's name has a hash of what made the vectors.
    """

    def __init__(self, url: str, collection: str, kind: str, opened: Opened):
        """Connect to milvus://FILE.db or http://HOST:PORT, with the token in MILVUS_TOKEN if any.

        `kind` is a type of index of Milvus. Raises ValueError without pymilvus, or where what the
        URL names cannot be opened.
        """
        self._url, self._prefix, self._kind, self._opened = url, collection, kind, opened
        self._number = {video.id: number for number, video in enumerate(opened.videos)}
        made_by = {"encoder": opened.encoder, "weights": opened.weights_sha256}
        told = made_by | {"clip_seconds": opened.clip_seconds, "index": kind}
        self._description = json.dumps(told, sort_keys=True)
        self._name = f"{collection}_{sha256(self._description.encode()).hexdigest()[:16]}"
        with self._told():
            self._client = _connect(url)

    def fill(self) -> tuple[int, int]:
        """Make the rows those of the index; returns how many videos were added and removed.

        A collection of the index that was made by another encoder, other weights or seconds, or
        with another type of index, is removed.
        """
        with self._told():
            self._drop(all_but=self._name)
            if not self._client.has_collection(self._name):
                self._create()
            self._client.load_collection(self._name)
            there = self._there()
            videos = self._opened.videos
            wanted = {video.id: video.sha256 for video in videos}
            gone = [name for name, source in there.items() if wanted.get(name) != source]
            for first in range(0, len(gone), 100):
                names = json.dumps(gone[first : first + 100], ensure_ascii=False)
                for which in ("clip > 0", "clip == 0"):  # until all others are gone
                    self._client.delete(self._name, filter=f"video in {names} and {which}")
            missing = [number for number, video in enumerate(videos) if video.id not in there]
            missing += [self._number[name] for name in gone if name in self._number]
            for numbers in self._parts(missing):
                self._add(numbers)
            self._client.flush(self._name)
            return len(missing), len([name for name in gone if name not in wanted])

    def load(self) -> None:
        """Prepare for being asked. Raises ValueError where the collection is not there."""
        with self._told():
            if not self._client.has_collection(self._name):
                raise ValueError("it has no frames of this index: run the same `vmr index` again")
            self._client.load_collection(self._name)

    def best_videos(self, vectors: np.ndarray, count: int) -> list[np.ndarray]:
        """As of `vmr_jax.video_index.scan.VideoRanking`, as exactly as the type of index is."""
        settings = {"ef": _NEIGHBOURS * count} if self._kind == "HNSW" else {}
        with self._told():
            found = self._client.search(
                self._name,
                data=list(vectors),
                anns_field="vector",
                limit=count,
                group_by_field="video",
                output_fields=["video"],
                search_params={"metric_type": "IP", "params": settings},
            )
        names = [[hit["entity"]["video"] for hit in hits] for hits in found]
        known = self._number
        return [np.array([known[one] for one in row if one in known], int) for row in names]

    def drop(self) -> None:
        """Remove the rows."""
        with self._told():
            self._drop(all_but="")

    def close(self) -> None:
        """Let go of the file, which one process has at a time."""
        self._client.close()

    def _drop(self, all_but: str) -> None:
        for name in self._client.list_collections():
            if name.startswith(self._prefix) and name != all_but:
                self._client.drop_collection(name)

    def _create(self) -> None:
        from pymilvus import DataType  # pyright: ignore[reportMissingImports]

        schema = self._client.create_schema(description=self._description)
        schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=64)
        schema.add_field("video", DataType.VARCHAR, max_length=_LONGEST)
        schema.add_field("clip", DataType.INT64)
        schema.add_field("seconds", DataType.FLOAT)
        schema.add_field("modality", DataType.VARCHAR, max_length=16)
        schema.add_field("source", DataType.VARCHAR, max_length=64)
        width = self._opened.rows.shape[1]
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=width)
        index = self._client.prepare_index_params()
        index.add_index("vector", index_type=self._kind, metric_type="IP", params={})
        self._client.create_collection(
            self._name, schema=schema, index_params=index, consistency_level="Strong"
        )

    def _there(self) -> dict[str, str]:
        """The videos that have rows, and the file that these are of; "" where some are missing."""
        rows = self._client.query_iterator(
            self._name, filter="clip == 0", output_fields=["video", "source"], batch_size=1000
        )
        found = {}
        while part := rows.next():
            found |= {row["video"]: row["source"] for row in part}
        rows.close()
        return found

    def _parts(self, numbers: Sequence[int]) -> Iterator[list[int]]:
        """Videos in parts of about _BATCH frames."""
        part, frames = [], 0
        for number in numbers:
            part.append(number)
            frames += self._opened.videos[number].frames
            if frames >= _BATCH:
                yield part
                part, frames = [], 0
        if part:
            yield part

    def _add(self, numbers: Sequence[int]) -> None:
        videos = [self._opened.videos[number] for number in numbers]
        rows = [self._rows(video) for video in videos]
        self._send([row[0] | {"source": ""} for row in rows])
        self._send([frame for row in rows for frame in row[1:]])
        self._send([row[0] for row in rows])

    def _rows(self, video: IndexedVideo) -> list[dict[str, Any]]:
        first = int(self._opened.begin[self._number[video.id]])
        key = sha256(video.id.encode()).hexdigest()[:32]
        vectors = self._opened.rows[first : first + video.frames].astype(np.float32)
        seconds = self._opened.times[first : first + video.frames].tolist()
        same = {"video": video.id, "modality": "video", "source": video.sha256}
        return [
            {"id": f"{key}-{clip}", "clip": clip, "seconds": at, "vector": vector} | same
            for clip, (at, vector) in enumerate(zip(seconds, vectors, strict=True))
        ]

    def _send(self, rows: Sequence[dict[str, Any]]) -> None:
        for first in range(0, len(rows), _BATCH):
            self._client.upsert(self._name, list(rows[first : first + _BATCH]))

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Let errors name the engine, in a line."""
        try:
            yield
        except ImportError as error:
            raise ValueError(
                f"{self._url} needs pymilvus ({error}): pip install 'vmr_jax[milvus]'"
            ) from error
        except Exception as error:
            reason = str(getattr(error, "message", error)).splitlines()[0]
            raise ValueError(f"{self._url}: {reason}") from error


def collection_of(index: Path) -> str:
    """What the name of an index's collection begins with; the same while it is not moved."""
    where = f"{os.uname().nodename}:{index.resolve()}"
    return f"vmr_{sha256(where.encode()).hexdigest()[:16]}"


def absolute_url(url: str) -> str:
    """An engine's URL, with the whole path of a file. Raises ValueError for another kind."""
    if url.startswith(_FILE) and url.endswith(".db"):
        return _FILE + str(Path(url.removeprefix(_FILE)).absolute())
    if url.startswith(("http://", "https://")):
        return url
    raise ValueError(f"engine {url!r}; use exact, milvus://FILE.db or http://HOST:19530")


def _connect(url: str) -> Any:
    from pymilvus import MilvusClient  # pyright: ignore[reportMissingImports]

    for name in ("pymilvus", "milvus_lite", "grpc"):  # which log what they raise
        of_library = [one for one in logging.root.manager.loggerDict if one.split(".")[0] == name]
        for one in (name, *of_library):
            logging.getLogger(one).setLevel(logging.CRITICAL + 1)
    token = os.environ.get("MILVUS_TOKEN", "")
    return MilvusClient(url.removeprefix(_FILE), token=token)
