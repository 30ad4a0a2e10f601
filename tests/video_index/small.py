"""A joint space of two colours for tests: a small encoder of images, and sentences near them."""

import h5py
import numpy as np
import pytest

from tests.extract.tiny import TINY
from tests.video.films import write_film
from vmr_jax.encoders.images import RANDOM, ImageEncoder
from vmr_jax.video_index.layout import FRAMES, unit_rows, write_layout
from vmr_jax.zero_shot.joint_space import JointSpace, Sentences

DOOR = "a person opens a door"


def sentences(texts):
    """A vector (S, 8) a sentence, by its letters."""
    seeds = [sum(map(ord, text)) for text in texts]
    return np.stack([np.random.default_rng(seed).normal(size=8) for seed in seeds]).astype("f4")


def space() -> JointSpace:
    """The joint space; its weights are always the same."""
    return JointSpace(ImageEncoder("tiny", RANDOM, TINY, TINY.init()), sentences)


def known(patch: pytest.MonkeyPatch) -> None:
    """Let the commands find that space under every name."""
    opened = space()
    module = "vmr_jax.video_index.terminal"
    patch.setattr(f"{module}.open_joint_space", lambda *_: opened)
    patch.setattr(f"{module}.default_encoder", lambda: "tiny")
    found = Sentences(sentences, RANDOM)
    patch.setattr("vmr_jax.video_index.corpus.open_sentences", lambda *_: found)


def film(path, seconds: int, first: int = 0):
    """A video of so many seconds, 5 frames a second, whose grey begins elsewhere by `first`."""
    times = [index / 5 for index in range(5 * seconds)]
    return write_film(path, times, rate=5, noise=True, group=5 + first % 7)


def random_index(index, counts, seed=0, first=0):
    """An index of random rows, 8 wide, of videos v00, v01, ... with so many frames each.

    Another seed makes other files of them; names begin at `first`.
    """
    rng = np.random.default_rng(seed)
    names = [f"v{first + number:02}" for number in range(len(counts))]
    with h5py.File(index / FRAMES, "w") as file:
        for name, count in zip(names, counts, strict=True):
            dataset = file.create_dataset(name, data=rng.normal(size=(count, 8)).astype("f2"))
            times = 2.0 * np.arange(count) + 1
            facts = {
                "times": times,
                "duration": 2.0 * count,
                "source_sha256": (name + "b") * 16 if seed else name * 20,
            }
            dataset.attrs.update(facts)
    paths = {name: index / f"{name}.mp4" for name in names}
    return write_layout(
        index, ("tiny", "", RANDOM, 2.0), paths, unit_rows(sentences(["a", "thing"]))
    )
