"""The part of the API that gives pictures, clips and videos: by ids, never by a path."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from mimetypes import guess_type
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO
from urllib.parse import quote

from fastapi import APIRouter
from fastapi.responses import FileResponse, Response, StreamingResponse

from vmr_jax.export.cut import cut
from vmr_jax.serve.arguments import Seconds, VideoId
from vmr_jax.serve.opened import ServedIndex
from vmr_jax.serve.turns import Turns

LONGEST_CLIP = 300  # seconds
_CHUNK = 2**16  # bytes


def media_routes(index: ServedIndex, turns: Turns) -> APIRouter:
    """The routes that read the files of videos."""
    router = APIRouter()

    @router.head("/video/{video:path}", include_in_schema=False)
    @router.get("/video/{video:path}", response_class=FileResponse)
    def video(video: str) -> FileResponse:
        """Give a video's file, or the ranges of it that the request's header names."""
        path = index.now().file(video)
        kind = guess_type(path.name)[0] or ""
        return FileResponse(
            path, media_type=kind if kind.startswith("video/") else "application/octet-stream"
        )

    @router.get("/thumbnail", response_class=Response)
    async def thumbnail(video: VideoId, seconds: Seconds) -> Response:
        """Give a frame of a video as a small JPEG."""
        picture = await turns.run(lambda: _thumbnail(index, video, seconds))
        return Response(picture, media_type="image/jpeg", headers={"Cache-Control": "max-age=600"})

    @router.get("/clip", response_class=StreamingResponse)
    async def clip(video: VideoId, start: Seconds, end: Seconds) -> StreamingResponse:
        """Cut a part out of a video as an MP4, exact to the frame."""
        file = await turns.run(lambda: _clip(index, video, start, end))
        named = quote(f"{video}-{start:.2f}-{end:.2f}.mp4", safe="")
        headers = {
            "Content-Length": str(os.fstat(file.fileno()).st_size),
            "Content-Disposition": f"attachment; filename*=utf-8''{named}",
        }
        return StreamingResponse(_chunks(file), media_type="video/mp4", headers=headers)

    return router


def _thumbnail(index: ServedIndex, name: str, seconds: float) -> bytes:
    opened = index.now()
    with _named(opened.file(name), name):
        return opened.corpus.thumbnail(name, seconds)


def _clip(index: ServedIndex, name: str, start: float, end: float) -> BinaryIO:
    """A clip as an open file that has no name any more, so that closing it removes it."""
    if end - start > LONGEST_CLIP:
        raise ValueError(
            f"a clip of {end - start:.0f} s; the server cuts {LONGEST_CLIP} s at most, `vmr search "
            "--cut` more"
        )
    path = index.now().file(name)
    with TemporaryDirectory(prefix="vmr-clip-") as folder, _named(path, name):
        return cut(path, start, end, Path(folder) / "clip.mp4", reencode=True).path.open("rb")


@contextmanager
def _named(path: Path, name: str) -> Iterator[None]:
    """Let errors name a video by its id: where it lies is not told."""
    try:
        yield
    except ValueError as error:
        raise ValueError(str(error).replace(str(path), name)) from error


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while chunk := file.read(_CHUNK):
            yield chunk
