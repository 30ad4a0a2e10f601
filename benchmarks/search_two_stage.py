"""How many queries a second do both stages of PREM's search answer together?

    python -m benchmarks.search_two_stage       # TVR's validation split: 2,179 videos x 100 clips

The localizer has the paper's size and random parameters; retriever vectors and localizer codes are
random float16, as an index holds them. Encoding the queries is part of it; the ten best videos of
each query are looked at.
"""

import argparse
import time

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.report import show
from vmr_jax import models
from vmr_jax.configs import prem_localizer, prem_retriever
from vmr_jax.decoding.corpus_moments import readout
from vmr_jax.search.code_store import make_store
from vmr_jax.search.exact import top_videos
from vmr_jax.search.table import Clips, make_table
from vmr_jax.search.two_stage import make_finder
from vmr_jax.types import Batch, CandidateBatch, DataSpec, Queries, Retriever, Videos

_SPEC = DataSpec(video_dim=4352, word_dim=768, max_clips=100, max_words=30, sub_dim=768)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--videos", type=int, default=2179)
    parser.add_argument("--clips", type=int, default=100)
    parser.add_argument("--queries", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", default="")
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    counts = np.full(args.videos, args.clips)
    retriever, retriever_params = _system(prem_retriever)
    localizer, localizer_params = _system(prem_localizer)
    vectors = tuple(_rows(rng, counts.sum(), 384) for _ in range(2))
    table = make_table([Clips(vectors, counts)])
    one = Videos(
        jnp.zeros((1, 1, _SPEC.video_dim)), jnp.ones((1, 1), bool), jnp.zeros((1, 1, _SPEC.sub_dim))
    )
    code = jax.eval_shape(localizer.encode_videos, localizer_params, one)
    codes = jax.tree.map(lambda leaf: _rows(rng, counts.sum(), *leaf.shape[2:]), code)
    store = make_store([codes], [counts], 1.5 * counts)
    find = make_finder(localizer, readout(prem_localizer.get_config("tvr")))
    encode = jax.jit(retriever.encode_queries)
    words = rng.standard_normal((args.queries, _SPEC.max_words, _SPEC.word_dim), np.float32)
    queries = Queries(words, np.ones(words.shape[:2], bool))

    def first() -> tuple:
        return jax.block_until_ready(top_videos(encode(retriever_params, queries), table, 10))

    ranked = first()
    stages = {
        "retrieval": first,
        "localizer": lambda: find(localizer_params, queries, *ranked, store),
        "both": lambda: find(localizer_params, queries, *first(), store),
    }
    rows = []
    for name, run in stages.items():
        jax.block_until_ready(run())
        times = []
        for _ in range(args.repeats):
            started, worked = time.perf_counter(), time.process_time()
            jax.block_until_ready(run())
            times.append((time.perf_counter() - started, time.process_time() - worked))
        seconds, worked = np.median(times, axis=0)
        rows.append(
            {
                "stage": name,
                "queries": args.queries,
                "median s": float(seconds),
                "best s": float(min(times)[0]),
                "CPU s": float(worked),
                "queries/s": args.queries / float(seconds),
                "queries/s at best": args.queries / float(min(times)[0]),
                "queries a CPU second": args.queries / float(worked),
            }
        )
    show(f"Two-stage search, {args.videos} videos of {args.clips} clips", rows, args.json)


def _system(config_file):
    """The retriever or localizer of a config for TVR, with random parameters."""
    config = config_file.get_config("tvr")
    system = models.make(config, {"target": _SPEC})
    is_retriever = isinstance(system, Retriever)
    leading = (1,) if is_retriever else (1, 2)
    zeros = lambda *shape: jnp.zeros((*leading, *shape))  # noqa: E731
    form = Batch if is_retriever else CandidateBatch
    blank = dict.fromkeys(form._fields) | {
        "video": zeros(1, _SPEC.video_dim),
        "video_mask": zeros(1) == 0,
        "sub": zeros(1, _SPEC.sub_dim),
        "query": jnp.zeros((1, 1, _SPEC.word_dim)),
        "query_mask": jnp.ones((1, 1), bool),
    }
    params = jax.jit(lambda key: system.init(key, form(**blank)))(jax.random.key(0))
    return system, params


def _rows(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Random vectors of length 1, float16."""
    rows = rng.standard_normal(shape, np.float32)
    rows /= np.linalg.norm(rows, axis=-1, keepdims=True)
    return rows.astype(np.float16)


if __name__ == "__main__":
    main()
