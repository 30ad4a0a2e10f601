"""A server of an index, until Ctrl-C."""

import signal
import socket
import sys
from contextlib import suppress
from errno import EADDRINUSE
from ipaddress import ip_address
from pathlib import Path

import uvicorn

from vmr_jax.progress import ended_by_interrupts
from vmr_jax.serve.app import make_app
from vmr_jax.serve.opened import ServedIndex

_LOCAL = ("localhost", "127.0.0.1", "::1")
_LAST_SECONDS = 1  # that open answers, such as a video that plays, have after Ctrl-C


def run_server(index: Path, host: str, port: int, checkpoint: str = "") -> None:
    """Serve an index at an address, and print where; 0 is any free port.

    Raises OSError where the address cannot be had, and as Corpus and its search.
    """
    with _listen(host, port) as listening:
        with ended_by_interrupts():
            served = ServedIndex(index, checkpoint)
        local = _is_local(host)
        if not local:
            print(
                f"warning: {host} is reached from other machines, and there is no login: whoever "
                "reaches it can search and watch all videos of the index",
                file=sys.stderr,
            )
        app = make_app(served, (*_LOCAL, host) if local else ())
        count, address = len(served.now().videos), _address(host, listening.getsockname()[1])
        print(f"{index}: {count:,} videos at {address} (API: {address}docs); Ctrl-C ends it")
        sys.stdout.flush()
        config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=_LAST_SECONDS)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # which uvicorn calls at its end
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listening])


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        taken = isinstance(error, OSError) and error.errno == EADDRINUSE
        why = "another program has it" if taken else getattr(error, "strerror", error)
        raise OSError(
            f"{host} port {port} cannot be had ({why}): choose another --port or --host"
        ) from error


def _is_local(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _address(host: str, port: int) -> str:
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
