"""The application: the page, the API and its errors."""

import os
from collections.abc import Collection
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from vmr_jax.serve.answers import VERSION, Failure
from vmr_jax.serve.guard import Guard
from vmr_jax.serve.media import media_routes
from vmr_jax.serve.opened import NotInIndexError, ServedIndex
from vmr_jax.serve.searches import search_routes
from vmr_jax.serve.turns import BusyError, Turns

_PAGE = Path(__file__).parent / "page"
_SEARCHES_WAITING = 64
_FILES_WAITING = 128  # pictures and clips


def make_app(
    index: ServedIndex, hosts: Collection[str] = (), waiting: int = _SEARCHES_WAITING
) -> FastAPI:
    """The application that serves an index.

    It answers requests to `hosts` alone, or to any where none is given. One search runs at a time;
    those that come meanwhile, `waiting` at most, are the next one together.
    """
    processors = os.cpu_count() or 1
    app = FastAPI(
        title="vmr_jax",
        version=VERSION,
        description="Find the moments of a sentence in the videos of an index.",
        docs_url=None,  # those of FastAPI fetch their scripts from elsewhere
        redoc_url=None,
        responses={status: {"model": Failure} for status in (400, 404, 422, 503)},
    )
    app.add_middleware(Guard, hosts=hosts)
    app.include_router(search_routes(index, Turns(processors, waiting), waiting))
    app.include_router(media_routes(index, Turns(processors, _FILES_WAITING)))
    _add_errors(app)
    app.mount("/page", StaticFiles(directory=_PAGE))
    for path, name in (("/", "index.html"), ("/docs", "docs.html")):
        app.add_route(path, _file(name), include_in_schema=False)
    return app


def _file(name: str):
    async def give(_: Request) -> FileResponse:
        return FileResponse(_PAGE / name)

    return give


def _add_errors(app: FastAPI) -> None:
    """Answer every error with {"error": a line}."""

    def answer(status: int, text: str, headers: dict[str, str] | None = None) -> JSONResponse:
        return JSONResponse({"error": text}, status, headers)

    @app.exception_handler(HTTPException)
    async def of_http(_: Request, error: HTTPException) -> JSONResponse:
        return answer(error.status_code, str(error.detail), dict(error.headers or {}))

    @app.exception_handler(RequestValidationError)
    async def of_arguments(_: Request, error: RequestValidationError) -> JSONResponse:
        told = [f"{'.'.join(map(str, one['loc'][1:]))}: {one['msg']}" for one in error.errors()]
        return answer(422, "; ".join(told))

    @app.exception_handler(NotInIndexError)
    async def of_what_is_not_there(_: Request, error: NotInIndexError) -> JSONResponse:
        return answer(404, str(error))

    @app.exception_handler(BusyError)
    async def of_many(_: Request, error: BusyError) -> JSONResponse:
        del error
        return answer(503, "too many requests wait; try again in a second", {"Retry-After": "1"})

    @app.exception_handler(ValueError)
    async def of_what_was_asked(_: Request, error: ValueError) -> JSONResponse:
        return answer(400, str(error))

    @app.exception_handler(OSError)
    async def of_the_disk(_: Request, error: OSError) -> JSONResponse:
        return answer(503, str(error))

    @app.exception_handler(Exception)
    async def of_mistakes(_: Request, error: Exception) -> JSONResponse:
        del error
        return answer(500, "a mistake in the server; its terminal tells more")
