"""Train the demo's encoder on its training worlds, as `python -m vmr_jax.demo.train_encoder`.

Snippets and the sentences of the whole grammar learn to fit: each snippet finds its sentence among
all, each sentence its snippets among those of the batch. Steps and seed are below; on one machine
the same command makes the same file.
"""

import argparse
import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
import safetensors.numpy

from vmr_jax.demo.snippets import middles, snippets_of
from vmr_jax.demo.world import Scene, plan_scene
from vmr_jax.encoders import demo, demo_words
from vmr_jax.metrics.moments import temporal_iou
from vmr_jax.output_files import whole_path
from vmr_jax.zero_shot.moments import find_moments

SEED = 0
VIDEOS, HELD_OUT = 400, 40
BATCH, STEPS = 128, 500
SCALE = 8.0  # of cosines: the smaller, the further apart are sentences that are alike
LEARNING_RATE = 3e-3
NOTHING = 0.25  # share of a batch in which nothing happens


class Snippets(NamedTuple):
    """Snippets with the sentences that are true of them."""

    frames: np.ndarray  # (N, 2, 32, 32, 3) uint8
    sentence: np.ndarray  # (N,) rows of `grammar`


def grammar() -> list[tuple[str, str]]:
    """All sentences in the two orders in which they can be said; the first: nothing happens."""
    things = [" ".join(pair) for pair in itertools.product(demo_words.COLOURS, demo_words.SHAPES)]
    said = [demo_words.NOTHING]
    said += [f"a {thing} appears" for thing in things]
    said += [f"the {thing} vanishes" for thing in things]
    said += [f"the {thing} moves to the {to}" for thing in things for to in demo_words.DIRECTIONS]
    meetings = [
        (f"the {a} meets the {b}", f"the {b} meets the {a}")
        for a, b in itertools.combinations(things, 2)
    ]
    return [(sentence, sentence) for sentence in said] + meetings


def label(scene: Scene, count: int, rows: dict[str, int]) -> np.ndarray:
    """The sentences (N,) of a scene's first snippets."""
    labels, seconds = np.zeros(count, int), middles(count)
    for event in scene.events:
        labels[(event.start <= seconds) & (seconds < event.end)] = rows[event.sentence]
    return labels


def read_worlds(videos: int, sentences: list[tuple[str, str]]) -> Snippets:
    """The snippets of the first training worlds."""
    rows = {said: row for row, both in enumerate(sentences) for said in both}
    scenes = [plan_scene("train", number) for number in range(videos)]
    frames = [snippets_of(scene) for scene in scenes]
    labels = [label(scene, len(own), rows) for scene, own in zip(scenes, frames, strict=True)]
    return Snippets(np.concatenate(frames), np.concatenate(labels))


def batches(
    data: Snippets, sentences: list[tuple[str, str]], steps: int
) -> Iterator[tuple[Snippets, np.ndarray]]:
    """Random snippets, of which NOTHING show that nothing happens, and the sentences' words.

    Of each sentence's two orders now the one is said, now the other.
    """
    draw = np.random.default_rng(SEED)
    ids = np.array([[demo_words.word_ids(said) for said in both] for both in sentences])
    still, events = np.flatnonzero(data.sentence == 0), np.flatnonzero(data.sentence)
    quiet = int(NOTHING * BATCH)
    for _ in range(steps):
        rows = np.concatenate([draw.choice(still, quiet), draw.choice(events, BATCH - quiet)])
        order = draw.integers(2, size=len(ids))
        batch = Snippets(data.frames[rows], data.sentence[rows])
        yield batch, ids[np.arange(len(ids)), order]


def loss(params: Any, batch: Snippets, ids: jax.Array) -> jax.Array:
    """Cross entropy of snippets among sentences, and of sentences among snippets."""
    images = _unit(
        demo.encode_snippets(params, jnp.asarray(batch.frames, jnp.float32), jnp.float32)
    )
    texts = _unit(demo.encode_ids(params, ids))
    logits = SCALE * images @ texts.T  # (N, S)
    true = jax.nn.one_hot(batch.sentence, len(ids))
    of_images = optax.softmax_cross_entropy(logits, true).mean()
    own = true.sum(axis=0)
    of_texts = optax.softmax_cross_entropy(logits.T, true.T / jnp.maximum(own, 1e-9)[:, None])
    return of_images + jnp.where(own > 0, of_texts, 0).sum() / (own > 0).sum() / 2


def _unit(rows: jax.Array) -> jax.Array:
    return rows / jnp.linalg.norm(rows, axis=-1, keepdims=True)


class State(NamedTuple):
    """What a step changes."""

    params: dict[str, Any]  # of both sides
    optimizer: Any


def make_trainer(steps: int) -> tuple[State, Callable[..., tuple[State, jax.Array]]]:
    """The first state, and the step (state, batch, ids of the sentences) -> (state, loss)."""
    rate = optax.cosine_onecycle_schedule(steps, LEARNING_RATE, 0.15)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(rate, weight_decay=1e-3))
    params = demo.init_demo()

    @jax.jit
    def step(state: State, batch: Snippets, ids: np.ndarray) -> tuple[State, jax.Array]:
        value, slope = jax.value_and_grad(loss)(state.params, batch, ids)
        updates, inner = optimizer.update(slope, state.optimizer, state.params)
        params = cast(dict[str, Any], optax.apply_updates(state.params, updates))
        return State(params, inner), value

    return State(params, optimizer.init(params)), step


def recall(params: Any, split: str, videos: int) -> dict[str, float]:
    """R@1 in percent of the drawn scenes of a split, each sentence in its own video."""
    encode = jax.jit(lambda frames: demo.encode_snippets(params, frames, jnp.float32))
    overlaps = []
    for number in range(videos):
        scene = plan_scene(split, number)
        frames = np.zeros((64, demo.FRAMES, demo.SIZE, demo.SIZE, 3), np.float32)
        drawn = snippets_of(scene)
        frames[: len(drawn)] = drawn
        images = np.asarray(_unit(encode(frames)))[: len(drawn)]
        said = [*(event.sentence for event in scene.events), *demo_words.GENERIC]
        texts = np.asarray(_unit(jnp.asarray(demo.encode_sentences(params, said))))
        fits, times = images @ texts.T, middles(len(drawn))
        generic = fits[:, len(scene.events) :]
        for place, event in enumerate(scene.events):
            found = find_moments(fits[:, place], generic, times, scene.duration, 1)[0]
            overlaps.append(temporal_iou(found[:2], (event.start, event.end)))
    return {f"R@1,IoU={m}": 100 * float(np.mean(np.array(overlaps) >= m)) for m in (0.5, 0.7)}


def save(params: dict[str, Any], path: Path) -> None:
    """Write the parameters as float16."""
    named = {
        jax.tree_util.keystr(place, simple=True, separator="."): np.asarray(leaf, np.float16)
        for place, leaf in jax.tree_util.tree_leaves_with_path(params)
    }
    with whole_path(path) as draft:
        safetensors.numpy.save_file(named, draft)


def main() -> None:
    """Train, write the weights, and say how well they find the moments of the val worlds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=demo.WEIGHTS)
    parser.add_argument("--videos", type=int, default=VIDEOS)
    parser.add_argument("--steps", type=int, default=STEPS)
    args = parser.parse_args()
    began, sentences = time.monotonic(), grammar()
    data = read_worlds(args.videos, sentences)
    print(
        f"{len(data.frames):,} snippets of {args.videos} worlds, {time.monotonic() - began:.0f} s"
    )
    state, step = make_trainer(args.steps)
    for number, batch in enumerate(batches(data, sentences, args.steps), 1):
        state, value = step(state, *batch)
        if number % 50 == 0:
            print(f"step {number} of {args.steps}: loss {float(value):.3f}", flush=True)
    save(state.params, args.out)
    found = recall(demo.load_demo(args.out), "val", HELD_OUT)
    print(f"{args.out}: val {found}, {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
