"""What benchmarks/search.py searches, and by what: vmr_jax, plain PyTorch, FAISS."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import ml_dtypes
import numpy as np

WIDTH, MODALITIES = 384, 2
_CHUNK = 50_000  # clips that are generated or converted at a time
_FAISS_CLIPS = 1000  # that are asked for in each modality: from these its videos are ranked
# FAISS multiplies by BLAS from so many queries on, and below one by one. Its own default is larger
# by far in some versions.
_FAISS_BLAS = 20
_FOUND = 100  # videos a query, as many as PREM's hard negatives are drawn from

# queries (B, J, D) -> rows (B, _FOUND)
Search = Callable[[np.ndarray], np.ndarray]


class Size(NamedTuple):
    """A corpus."""

    videos: int
    clips: int  # of each video

    @property
    def rows(self) -> int:
        """Clips in all."""
        return self.videos * self.clips

    def bytes(self, dtype: str) -> int:
        """Of the vectors, and of the scales of int8."""
        scale = 4 if dtype == "int8" else 0
        return MODALITIES * self.rows * (WIDTH * _dtype(dtype).itemsize + scale)


def make_queries(count: int) -> np.ndarray:
    """Random queries (B, J, D) of length 1; fewer are the first of more."""
    return _unit(np.random.default_rng(0), count, MODALITIES, WIDTH)


def write_corpus(folder: Path, size: Size, dtypes: list[str], count: int) -> np.ndarray:
    """Write random clips as .npy of each type; returns the exact ranking (B, _FOUND) in float32.

    `count` is B.
    """
    from vmr_jax.search.table import quantize

    queries, files = make_queries(count), {}
    for dtype in dtypes:
        for modality in range(MODALITIES):
            names = {f"{dtype}_{modality}.npy": (_dtype(dtype), (size.rows, WIDTH))}
            if dtype == "int8":
                names[f"scale_{modality}.npy"] = ("float32", (size.rows,))
            for name, (kind, shape) in names.items():
                files[name] = np.lib.format.open_memmap(folder / name, "w+", kind, shape)
    step = max(1, _CHUNK // size.clips)
    scores = np.zeros((len(queries), size.videos), np.float32)
    for first in range(0, size.videos, step):
        videos = slice(first, min(first + step, size.videos))
        rows = slice(videos.start * size.clips, videos.stop * size.clips)
        for modality in range(MODALITIES):
            rng = np.random.default_rng([1, modality, first])
            clips = _unit(rng, rows.stop - rows.start, WIDTH)
            product = clips @ queries[:, modality].T
            best = product.reshape(-1, size.clips, len(queries)).max(axis=1)
            scores[:, videos] += best.T / MODALITIES
            for dtype in dtypes:
                stored = clips
                if dtype == "int8":
                    stored, files[f"scale_{modality}.npy"][rows] = quantize(clips)
                files[f"{dtype}_{modality}.npy"][rows] = stored
    for file in files.values():
        file.flush()
    return np.argsort(-scores, axis=1, kind="stable")[:, :_FOUND]


def recall(found: np.ndarray, exact: np.ndarray, k: int) -> float:
    """Share of the exact best k that are among the found best k, in percent."""
    shared = [len(set(a[:k]) & set(b[:k])) for a, b in zip(found, exact, strict=False)]
    return 100 * float(np.mean(shared)) / min(k, exact.shape[1])


def ours(folder: Path, size: Size, dtype: str) -> Search:
    """vmr_jax.search.exact on arrays that are mapped from their files."""
    import jax

    from vmr_jax.search.exact import top_videos
    from vmr_jax.search.table import Clips, make_table

    clips = np.full(size.videos, size.clips)
    scale = ()
    if dtype == "int8":
        paths = (folder / f"scale_{modality}.npy" for modality in range(MODALITIES))
        scale = tuple(np.load(path, mmap_mode="r") for path in paths)
    vectors = tuple(_load(folder, dtype, modality) for modality in range(MODALITIES))
    table = make_table([Clips(vectors, clips, scale)])
    return lambda queries: jax.device_get(top_videos(queries, table, _FOUND))[1]


def plain_torch(folder: Path, size: Size, dtype: str) -> Search:
    """A matrix product and a maximum; float16 is converted chunk by chunk, all else is one call.

    bfloat16 is multiplied as such.
    """
    import torch

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    kind = getattr(torch, dtype)
    arrays = [
        torch.from_numpy(np.array(_load(folder, dtype, modality)).view(np.uint8)).view(kind)
        for modality in range(MODALITIES)
    ]
    step = size.rows if dtype != "float16" else max(1, _CHUNK // size.clips) * size.clips
    computed = torch.bfloat16 if dtype == "bfloat16" else torch.float32

    def search(queries: np.ndarray) -> np.ndarray:
        asked = torch.from_numpy(queries).to(computed)
        total = 0
        for modality, clips in enumerate(arrays):
            products = (part.to(computed) @ asked[:, modality].T for part in clips.split(step))
            best = [p.view(-1, size.clips, len(queries)).amax(dim=1).float() for p in products]
            total = total + torch.cat(best)
        return total.T.topk(_FOUND).indices.numpy()

    return search


def faiss_flat(folder: Path, size: Size, dtype: str) -> Search:
    """A flat index of the clips of each modality; the videos of the best clips are ranked.

    The score of a modality in which a video has no clip among the best is the last of these: what
    FAISS can tell, and not always exact.
    """
    import faiss

    faiss.omp_set_num_threads(len(os.sched_getaffinity(0)))
    faiss.cvar.distance_compute_blas_threshold = _FAISS_BLAS
    indices = []
    for modality in range(MODALITIES):
        clips = _load(folder, dtype, modality)
        if dtype == "float32":
            index = faiss.IndexFlatIP(WIDTH)
        else:
            quantizer = faiss.ScalarQuantizer
            kind = quantizer.QT_bf16 if dtype == "bfloat16" else quantizer.QT_fp16
            index = faiss.IndexScalarQuantizer(WIDTH, kind, faiss.METRIC_INNER_PRODUCT)
        for first in range(0, size.rows, _CHUNK):
            index.add(np.asarray(clips[first : first + _CHUNK], np.float32))
        indices.append(index)

    def search(queries: np.ndarray) -> np.ndarray:
        total = np.zeros((len(queries), size.videos), np.float32)
        for modality, index in enumerate(indices):
            asked = np.ascontiguousarray(queries[:, modality])
            score, clip = index.search(asked, _FAISS_CLIPS)
            best = np.repeat(score[:, -1:], size.videos, axis=1)
            np.maximum.at(best, (np.arange(len(queries))[:, None], clip // size.clips), score)
            total += best
        found = np.argpartition(-total, _FOUND, axis=1)[:, :_FOUND]
        order = np.argsort(-np.take_along_axis(total, found, axis=1), axis=1)
        return np.take_along_axis(found, order, axis=1)

    return search


IMPLEMENTATIONS = {"vmr_jax": ours, "PyTorch": plain_torch, "FAISS flat": faiss_flat}


def _dtype(name: str) -> np.dtype:
    return np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)


def _load(folder: Path, dtype: str, modality: int) -> np.ndarray:
    """The clips of a modality, mapped; NumPy's files do not tell bfloat16."""
    return np.load(folder / f"{dtype}_{modality}.npy", mmap_mode="r").view(_dtype(dtype))


def _unit(rng: np.random.Generator, *shape: int) -> np.ndarray:
    x = rng.standard_normal(shape, np.float32)
    return x / np.linalg.norm(x, axis=-1, keepdims=True)
