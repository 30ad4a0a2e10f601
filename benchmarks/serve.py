"""How long does a search of video files take, alone and from `vmr serve` under many clients?

    python -m benchmarks.serve                       # 1 k, 10 k, 100 k videos of 10 frames
    python -m benchmarks.serve --videos 1000 --requests 64 --json serve.json

The rows are random, 384 wide, float16 as an index has them, and sentences are random vectors: what
encodes them is left out. Beside the corpus stand FAISS's flat index of the same rows in float32 and
a table of sqlite-vec, by which others search video files; they find frames where the corpus finds
moments, and are left out where they are not installed (faiss-cpu; sqlite-vec and apsw). The clients
are threads of one process that share the processors with the server; memory is the peak of the
server's process.
"""

import argparse
import hashlib
import http.client
import importlib.util
import multiprocessing
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from urllib.parse import quote

import numpy as np

from benchmarks.random_index import FRAMES, write_index
from benchmarks.report import show
from vmr_jax.video_index import corpus
from vmr_jax.zero_shot.joint_space import Sentences

_WIDTH = 384
_FORK = multiprocessing.get_context("fork")  # keeps the encoder that `main` puts in place


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--videos", default="1000,10000,100000")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--requests", type=int, default=256, help="of all clients together")
    parser.add_argument("--repeats", type=int, default=11, help="of a search alone")
    parser.add_argument("--json", default="")
    args = parser.parse_args()
    corpus.open_sentences = lambda *_: Sentences(_vectors, "")
    rows = []
    for videos in map(int, args.videos.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            index = Path(folder)
            write_index(index, videos, _WIDTH)
            # JAX runs in a process of its own: the server's is forked from this one
            with ProcessPoolExecutor(1, _FORK) as pool:
                alone = pool.submit(_alone, index, args.repeats).result()
            rows.append({"videos": videos} | alone | _served(index, args.clients, args.requests))
    show(f"Search of videos of {FRAMES} frames, {args.clients} clients", rows, args.json)


def _vectors(sentences) -> np.ndarray:
    """A random vector (S, width) a sentence, always the same for the same one."""
    seeds = [hashlib.sha256(sentence.encode()).digest()[:4] for sentence in sentences]
    draw = [np.random.default_rng(int.from_bytes(seed)).normal(size=_WIDTH) for seed in seeds]
    return np.stack(draw).astype(np.float32)


def _sentence(number: int) -> str:
    return f"a person opens door {number}"


def _alone(index: Path, repeats: int) -> dict[str, float]:
    """Median milliseconds of a search, the first one, and of FAISS's for the 100 best frames."""
    begun = time.perf_counter()
    searched = corpus.Corpus(index)
    searched.search(_sentence(0), 10)
    first = time.perf_counter() - begun
    found = {"open and first ms": 1000 * first}
    found["search ms"] = _median(lambda n: searched.search(_sentence(n), 10), repeats)
    if importlib.util.find_spec("faiss"):
        import faiss

        flat = faiss.IndexFlatIP(_WIDTH)
        flat.add(np.load(index / "rows-0.npy").astype(np.float32))
        found["FAISS flat ms"] = _median(
            lambda n: flat.search(_vectors([_sentence(n)]), 100), repeats
        )
    if importlib.util.find_spec("sqlite_vec") and importlib.util.find_spec("apsw"):
        ask = _sqlite_vec(np.load(index / "rows-0.npy", mmap_mode="r"))
        found["sqlite-vec ms"] = _median(lambda n: ask(_vectors([_sentence(n)])[0]), repeats)
    return found


def _sqlite_vec(rows: np.ndarray) -> Callable[[np.ndarray], list]:
    """Ask a table of sqlite-vec in memory for the 100 nearest rows."""
    import apsw  # Python's own sqlite3 may load no extensions
    import sqlite_vec

    table = apsw.Connection(":memory:")
    table.enable_load_extension(True)
    table.load_extension(sqlite_vec.loadable_path())
    table.execute(f"create virtual table v using vec0(e float[{_WIDTH}] distance_metric=cosine)")
    with table:
        numbered = ((n, row.astype(np.float32).tobytes()) for n, row in enumerate(rows))
        table.executemany("insert into v(rowid, e) values (?, ?)", numbered)
    query = "select rowid, distance from v where e match ? and k = 100"
    return lambda vector: table.execute(query, (vector.tobytes(),)).fetchall()


def _median(work, repeats: int) -> float:
    took = []
    for number in range(repeats):
        begun = time.perf_counter()
        work(number)
        took.append(time.perf_counter() - begun)
    return 1000 * float(np.median(took))


def _served(index: Path, clients: int, requests: int) -> dict[str, float]:
    """What clients measure that ask one after the other, all at once."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listening:
        server = _FORK.Process(target=_serve, args=(index, listening))
        server.start()
        address = listening.getsockname()
    try:
        _ask(address, [_sentence(-1)], [])  # until it answers
        took: list[float] = []
        asked = [[_sentence(n) for n in range(c, requests, clients)] for c in range(clients)]
        threads = [threading.Thread(target=_ask, args=(address, part, took)) for part in asked]
        begun = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds = time.perf_counter() - begun
        status = Path(f"/proc/{server.pid}/status").read_text()
    finally:
        server.kill()
        server.join()
    peak = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    return {
        "p50 ms": 1000 * float(np.percentile(took, 50)),
        "p99 ms": 1000 * float(np.percentile(took, 99)),
        "requests/s": len(took) / seconds,
        "memory MB": int(peak) / 1024,
    }


def _serve(index: Path, listening: socket.socket) -> None:
    import uvicorn

    from vmr_jax.serve.app import make_app
    from vmr_jax.serve.opened import ServedIndex

    app = make_app(ServedIndex(index))
    uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listening])


def _ask(address: tuple[str, int], sentences: list[str], took: list[float]) -> None:
    """Ask for each sentence over one connection, and add the seconds of each answer."""
    connection = http.client.HTTPConnection(*address)
    for sentence in sentences:
        begun = time.perf_counter()
        connection.request("GET", f"/search?q={quote(sentence)}&top=10")
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{answer.status}: {body[:200]!r}")
        took.append(time.perf_counter() - begun)
    connection.close()


if __name__ == "__main__":
    main()
