"""An exact search of a corpus that lies on the device: how long, and how many bytes a second?

    python -m benchmarks.search_device                                   # 1 M videos of 10 clips
    python -m benchmarks.search_device --videos 1000000 --clips 50 --dtypes int8

Two modalities, 384 wide. One random part is laid on the device as often as the corpus needs it,
each time as memory of its own; a CPU reads the same part again and again, so that its times say
nothing. First the best ten of a small corpus are compared with those by float64. PyTorch, where
it is installed and there is a GPU, holds the same float16 or bfloat16 rows: products, a maximum,
topk.
"""

import argparse
import importlib.util
import time
from collections.abc import Callable

import jax
import ml_dtypes
import numpy as np

from benchmarks.report import show
from vmr_jax.search.exact import top_videos
from vmr_jax.search.table import Clips, make_table, quantize

_WIDTH, _MODALITIES, _FOUND = 384, 2, 100
_PART = 100_000  # clips, at most: no cache holds them

Search = Callable[[np.ndarray], np.ndarray]  # queries (B, J, D) -> rows (B, _FOUND)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=int, default=1_000_000)
    parser.add_argument("--clips", type=int, default=10, help="of a video")
    parser.add_argument("--dtypes", default="float16,bfloat16,int8")
    parser.add_argument("--queries", default="1,8,64,512")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", default="")
    args = parser.parse_args()
    counts = list(map(int, args.queries.split(",")))
    rows = []
    for dtype in args.dtypes.split(","):
        part, recall = _random_part(min(_PART // args.clips, args.videos), args.clips, dtype)
        times = -(-args.videos // len(part.num_clips))
        makers = {"vmr_jax": _ours, "PyTorch": _torch}
        for name in makers if _torch_runs(dtype) else ["vmr_jax"]:
            search = makers[name](part, times)
            for count in counts:
                seconds = _median(search, _unit(count, 0), args.repeats)
                rows.append(
                    {
                        "implementation": f"{name} {dtype}",
                        "videos": times * len(part.num_clips),
                        "queries": count,
                        "median ms": 1e3 * seconds,
                        "queries/s": count / seconds,
                        "GB/s": times * _bytes(part) / 1e9 / seconds,
                        "table GB": times * _bytes(part) / 1e9,
                        "recall@10 %": recall if name == "vmr_jax" else "-",
                    }
                )
            del search
    show(f"Exact search on the device, videos of {args.clips} clips", rows, args.json)


def _random_part(videos: int, clips: int, dtype: str) -> tuple[Clips, float]:
    """A part of the corpus, and the share of the best ten of 64 queries that it keeps, percent."""
    rng = np.random.default_rng(1)
    exact = [rng.standard_normal((videos * clips, _WIDTH), np.float32) for _ in range(_MODALITIES)]
    for rows in exact:
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    counts = np.full(videos, clips)
    if dtype == "int8":
        vectors, scale = zip(*map(quantize, exact), strict=True)
        part = Clips(vectors, counts, scale)
    else:
        kind = ml_dtypes.bfloat16 if dtype == "bfloat16" else np.dtype(dtype)
        part = Clips(tuple(rows.astype(kind) for rows in exact), counts)
    queries, total = _unit(64, 0), 0
    for modality, rows in enumerate(exact):
        products = rows.astype(np.float64) @ queries[:, modality].T.astype(np.float64)
        total = total + products.reshape(videos, clips, -1).max(axis=1)
    best = np.argsort(-total.T, axis=1, kind="stable")[:, :10]
    found = jax.device_get(top_videos(queries, make_table([part]), 10))[1]
    shared = [len(set(one) & set(other)) for one, other in zip(best, found, strict=True)]
    return part, 100 * float(np.mean(shared)) / min(10, videos)


def _ours(part: Clips, times: int) -> Search:
    table = make_table([part] * times)
    return lambda queries: jax.device_get(top_videos(queries, table, _FOUND))[1]


def _torch(part: Clips, times: int) -> Search:
    import torch

    clips, videos = int(part.num_clips[0]), len(part.num_clips)
    rows = [
        [torch.tensor(r.view(np.int16), device="cuda") for r in part.vectors] for _ in range(times)
    ]
    kind = torch.bfloat16 if part.vectors[0].dtype.name == "bfloat16" else torch.float16

    def search(queries: np.ndarray) -> np.ndarray:
        asked = torch.tensor(queries, device="cuda").to(kind)
        best = []
        for piece in rows:
            total = torch.zeros((videos, len(queries)), device="cuda")
            for modality, bits in enumerate(piece):
                product = bits.view(kind) @ asked[:, modality].T
                total += product.view(videos, clips, -1).amax(dim=1)
            best.append(total)
        return torch.cat(best).T.topk(min(_FOUND, times * videos)).indices.cpu().numpy()

    return search


def _torch_runs(dtype: str) -> bool:
    if dtype == "int8" or jax.default_backend() != "gpu":
        return False
    return importlib.util.find_spec("torch") is not None


def _median(search: Search, queries: np.ndarray, repeats: int) -> float:
    """Seconds of a search, the result on the host."""
    search(queries)
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        search(queries)
        seconds.append(time.perf_counter() - started)
    return float(np.median(seconds))


def _unit(count: int, seed: int) -> np.ndarray:
    queries = np.random.default_rng(seed).standard_normal((count, _MODALITIES, _WIDTH), np.float32)
    return queries / np.linalg.norm(queries, axis=-1, keepdims=True)


def _bytes(part: Clips) -> int:
    return sum(array.nbytes for array in (*part.vectors, *part.scale))


if __name__ == "__main__":
    main()
