"""What is checked of every request before it is read, and said in every response."""

from collections.abc import Collection

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_BODY = 64 * 1024  # bytes of a request at most

_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


class Guard:
    """Sends away what has another host's name, or a long body; no other site can use the server.

    A page of another site could otherwise, by a name of its own that leads to 127.0.0.1, read what
    is served to this machine alone. Without `hosts` every name is let in.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str]):
        self._app, self._hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        status, reason = self._refused(Request(scope))
        app = JSONResponse({"error": reason}, status) if reason else self._app
        await app(scope, receive, send_with_headers)

    def _refused(self, request: Request) -> tuple[int, str]:
        """The status and the reason with which a request is sent away; "" lets it in."""
        if self._hosts and request.url.hostname not in self._hosts:
            return 403, "another host's name; open the address that `vmr serve` printed"
        if request.method in ("GET", "HEAD"):
            return 0, ""
        length = request.headers.get("content-length", "")
        if not length.isdecimal():
            return 411, "a body needs its Content-Length"
        if int(length) > _BODY:
            return 413, f"the body has {length} bytes; at most {_BODY} are read"
        return 0, ""
