"""Clip features of the worlds of events: who does what to whom, seen by one of several cameras.

The process, in the terms of planting.py; unit(x) = x / |x|.

    word        u_w = unit(P (v_w - v)), v the mean vector of the world's words
    event e     m_e = unit(u_agent + u_verb + R (u_thing + alpha u_adjective)), R (K, K) a rotation,
                one for all worlds: to do and to be done to are different things to see
    clip i      z_i = sum_e b_e c_e(i) m_e + sigma_scene g + sigma_noise n_i, the events' ends moved
                as in planting.py
    camera      one of V, drawn for each video: a rotation D_v of the meanings by a quarter turn in
                K / 2 planes, and an offset h_v ~ N(0, sigma_camera^2); all worlds have the same
    feature     x_i = max(0, W G D_v z_i + h + h_v), never negative, never centred;
                W (F, K) ~ N(0, 1), one for all worlds, G and h the world's own as in planting.py

What a camera shows of a meaning has nothing in common with what another one shows, on average: one
linear map for all cameras finds little. The offsets say which camera it is.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from vmr_jax.simulation import grammar
from vmr_jax.simulation.grammar_events import LEXICON, Event, Scene, draw_scenes
from vmr_jax.simulation.planting import (
    PROCESS,
    Process,
    coverage,
    draw_background,
    generator,
    turn,
    unit,
)


class EventProcess(NamedTuple):
    """The constants of the process; see the module's equations."""

    clips: Process = PROCESS._replace(scene=0.5, noise=0.4, jitter=0.05)  # those of planting.py
    adjective: float = 0.5  # alpha
    cameras: int = 8  # V
    camera_offset: float = 1.0  # sigma_camera


EVENT_PROCESS = EventProcess()


class Camera(NamedTuple):
    """What one camera of a world does to clips."""

    matrix: np.ndarray  # (F, K) W G D_v
    offset: np.ndarray  # (F,) h + h_v


class Filmed(NamedTuple):
    """A video of a world of events."""

    split: str
    video: str
    scene: Scene
    latent: np.ndarray  # (N, K) z
    features: np.ndarray  # (N, F) float16
    camera: int


def event_meanings(side: int, process: EventProcess = EVENT_PROCESS):
    """A function of an event to its meaning (K,), for the words of a side."""
    vectors = grammar.word_vectors(side, LEXICON)
    k, width = process.clips.meaning_dim, grammar.WORD_DIM
    projection = generator("projection", k, width).standard_normal((k, width))
    raw = np.stack(list(vectors.values())).astype(np.float64)
    rows = dict(zip(vectors, unit((raw - raw.mean(axis=0)) @ projection.T), strict=True))
    done_to = turn(generator("role", k), k, 90.0)

    def meaning(event: Event) -> np.ndarray:
        thing = rows[event.thing]
        if event.adjective:
            thing = thing + process.adjective * rows[event.adjective]
        return unit(rows[event.agent] + rows[event.verb] + done_to @ thing)

    return meaning


def draw_cameras(name: str, width: int, process: EventProcess) -> list[Camera]:
    """The cameras of the world `name`, for features of the given width F."""
    k = process.clips.meaning_dim
    shared = generator("event features", k, width).standard_normal((width, k))
    draw = generator("appearance", name, k, width)
    own = shared @ turn(draw, k, process.clips.angle)
    offset = process.clips.offset * draw.standard_normal(width)
    cameras = []
    for number in range(process.cameras):
        seen = generator("camera", number, k, width)
        matrix = own @ turn(seen, k, 90.0)
        cameras.append(Camera(matrix, offset + process.camera_offset * seen.standard_normal(width)))
    return cameras


def film(
    world: grammar.World, width: int, process: EventProcess = EVENT_PROCESS
) -> Iterator[Filmed]:
    """Yield the videos of a world of events."""
    meaning, cameras = event_meanings(world.side, process), draw_cameras(world.name, width, process)
    for split, video, scene in draw_scenes(world):
        draw = generator("film", world.name, video)
        number = max(1, round(scene.duration / world.clip_seconds))
        edges = np.linspace(0, scene.duration, number + 1)
        z = _latent(scene, [meaning(event) for event in scene.events], edges, draw, process.clips)
        camera = int(draw.integers(process.cameras))
        seen = cameras[camera]
        x = np.maximum(np.einsum("nk,fk->nf", z, seen.matrix) + seen.offset, 0)
        yield Filmed(split, video, scene, z, x.astype(np.float16), camera)


def _latent(
    scene: Scene,
    meanings: list[np.ndarray],
    edges: np.ndarray,
    draw: np.random.Generator,
    process: Process,
) -> np.ndarray:
    """z (N, K) of a video's events, clip edges (N + 1,) in seconds."""
    z = draw_background(len(edges) - 1, draw, process)
    for moment, meaning in zip(scene.moments, meanings, strict=True):
        spread = process.jitter * (moment[1] - moment[0])
        shown = np.clip(np.sort(moment + spread * draw.standard_normal(2)), 0, scene.duration)
        strength = draw.uniform(1 - process.strength, 1 + process.strength)
        z = z + strength * coverage(shown[None], edges)[:, None] * meaning
    return z
