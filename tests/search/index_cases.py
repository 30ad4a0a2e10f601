"""Stand-ins for trained systems, and small sources of videos."""

import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from vmr_jax.search.sentences import WordVectors
from vmr_jax.search.trained import Trained
from vmr_jax.search.video_source import VideoSource
from vmr_jax.types import DataSpec, Localizer, Retriever

SPEC = DataSpec(video_dim=6, word_dim=4, max_clips=12, max_words=5, sub_dim=3)
WIDTH = 4
WORDS = WordVectors(
    ("<pad>", "<unk>", "box", "door", "opens", "red"),
    np.concatenate([np.zeros((2, 4)), np.eye(4)]).astype(np.float32),
)


def unit(x):
    return x / jnp.maximum(jnp.linalg.norm(x, axis=-1, keepdims=True), 1e-8)


def _clips(params, videos):
    rows = jnp.stack([videos.video @ params["image"], videos.sub @ params["sub"]], axis=2)
    return jnp.where(videos.video_mask[..., None, None], rows, 0)


def _query(params, queries):
    words = (queries.query * queries.query_mask[..., None]).sum(axis=1) @ params["query"]
    return jnp.stack([words, -words], axis=1)


def _untrained(*_):
    raise AssertionError("nothing is trained here")


RETRIEVER = Retriever(
    init=_untrained,
    loss=_untrained,
    encode_videos=lambda params, videos: unit(_clips(params, videos)),
    encode_queries=lambda params, queries: unit(_query(params, queries)),
)


def _locate(params, query, code, mask):
    near = jnp.einsum("bd,bcnd->bcn", query, code["rows"])
    return tuple(jnp.where(mask, sign * near, -1e10) for sign in (1.0, -1.0))


LOCALIZER = Localizer(
    init=_untrained,
    loss=_untrained,
    encode_videos=lambda params, videos: {"rows": _clips(params, videos)[:, :, 0]},
    encode_queries=lambda params, queries: _query(params, queries)[:, 0],
    locate=_locate,
)


def trained(role: str, seed: int = 0, **switches) -> Trained:
    """A "retriever" or "localizer" with random parameters; a switch is named with __ for a dot."""
    rng = np.random.default_rng([seed, len(role)])
    sizes = {"image": (6, WIDTH), "sub": (3, WIDTH), "query": (4, WIDTH)}
    params = {name: jnp.asarray(rng.normal(size=s), jnp.float32) for name, s in sizes.items()}
    config = ConfigDict(
        {
            "system": f"toy_{role}",
            "modalities": ("image", "sub"),
            "clip_seconds": 1.5,
            "temperature": 0.1,
            "target": {
                "normalize": "l2",
                "clip_sampling": "cut",
                "max_clips": SPEC.max_clips,
                "query_features": "",
            },
            "infer": {"min_l": 0, "max_l": 3, "keep": 20},
            "score": {"video_weight": 1.0},
        }
    )
    config.update_from_flattened_dict({k.replace("__", "."): v for k, v in switches.items()})
    system = RETRIEVER if role == "retriever" else LOCALIZER
    identity = {
        "system": config.system,
        "step": seed,
        "fingerprint": f"{role}{seed}",
        "workdir": f"/runs/{role}{seed}",
    }
    return Trained(config, system, params, SPEC, identity)


def make_source(counts, prefix: str = "video", seed: int = 0, durations=None) -> VideoSource:
    """Videos of so many clips; the subtitles of every other video are silent."""
    rng = np.random.default_rng(seed)
    features = [rng.normal(size=(n, SPEC.video_dim)).astype(np.float16) for n in counts]
    subs = [
        (rng.normal(size=(n, SPEC.sub_dim)) * (i % 2)).astype(np.float16)
        for i, n in enumerate(counts)
    ]
    ids = tuple(f"{prefix}{i}" for i in range(len(counts)))
    durations = np.full(len(ids), np.nan) if durations is None else np.asarray(durations)
    return VideoSource(ids, durations.astype(np.float32), lambda i: (features[i], subs[i]))
