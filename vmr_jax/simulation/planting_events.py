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

Patches, a grid of cells over a clip, in the terms of planting_patches.py: in an event the agent
u_agent goes the verb's path, (a, b) = c + c tanh(B u_verb), and what it is done to,
unit(u_thing + alpha u_adjective), waits at the path's end. Who moves does it, who waits it is done
to. The camera shows the cells y as it shows clips: x = max(0, W G D_v y + h + h_v).
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
from vmr_jax.simulation.planting_patches import Moving, PatchProcess, path_of, plant_grids


class EventProcess(NamedTuple):
    """The constants of the process; see the module's equations."""

    clips: Process = PROCESS._replace(scene=0.5, noise=0.4, jitter=0.05)  # those of planting.py
    adjective: float = 0.5  # alpha
    cameras: int = 2  # V
    camera_offset: float = 1.0  # sigma_camera
    patches: PatchProcess = PatchProcess(grid=4, scene=0.3, noise=0.3)


EVENT_PROCESS = EventProcess()


class Camera(NamedTuple):
    """What one camera of a world does to clips."""

    matrix: np.ndarray  # (F, K) W G D_v
    offset: np.ndarray  # (F,) h + h_v

    def show(self, latent: np.ndarray) -> np.ndarray:
        """Features (..., F) float16 of what it sees, (..., K)."""
        seen = np.einsum("...k,fk->...f", latent, self.matrix)
        return np.maximum(seen + self.offset, 0).astype(np.float16)


class Filmed(NamedTuple):
    """A video of a world of events."""

    split: str
    video: str
    scene: Scene
    latent: np.ndarray  # (N, K) z
    features: np.ndarray  # (N, F) float16
    camera: int


class Meanings:
    """What the words and events of a side mean."""

    def __init__(self, side: int, process: EventProcess = EVENT_PROCESS, lexicon: str = LEXICON):
        vectors = grammar.word_vectors(side, lexicon)
        k, width = process.clips.meaning_dim, grammar.WORD_DIM
        projection = generator("projection", k, width).standard_normal((k, width))
        raw = np.stack(list(vectors.values())).astype(np.float64)
        meanings = unit((raw - raw.mean(axis=0)) @ projection.T)
        self.of_word = dict(zip(vectors, meanings, strict=True))
        self.done_to = turn(generator("role", k), k, 90.0)
        self.process = process

    def of_event(self, event: Event) -> np.ndarray:
        """m_e (K,)."""
        doing = self.of_word[event.agent] + self.of_word[event.verb]
        return unit(doing + self.done_to @ self._thing(event))

    def moving(self, event: Event, moment: np.ndarray) -> list[Moving]:
        """Who goes where in an event, and what waits there; moment (2,) in seconds."""
        start, end = path_of(self.of_word[event.verb], self.process.patches)
        agent, thing = self.of_word[event.agent], unit(self._thing(event))
        return [Moving(agent, start, end, moment[None]), Moving(thing, end, end, moment[None])]

    def _thing(self, event: Event) -> np.ndarray:
        """u_thing + alpha u_adjective."""
        thing = self.of_word[event.thing]
        if event.adjective:
            thing = thing + self.process.adjective * self.of_word[event.adjective]
        return thing


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
    meanings, cameras = Meanings(world.side, process), draw_cameras(world.name, width, process)
    for split, video, scene in draw_scenes(world):
        draw = generator("film", world.name, video)
        z = draw_latent(scene, meanings, world.clip_seconds, draw, process.clips)
        camera = int(draw.integers(process.cameras))
        yield Filmed(split, video, scene, z, cameras[camera].show(z), camera)


def film_patches(
    world: grammar.World, width: int, process: EventProcess = EVENT_PROCESS
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield each video's id and patches (N, grid * grid, F) float16, the clips of `film`."""
    meanings, cameras = Meanings(world.side, process), draw_cameras(world.name, width, process)
    for filmed in film(world, width, process):
        scene, number = filmed.scene, len(filmed.features)
        moving = [
            who
            for event, moment in zip(scene.events, scene.moments, strict=True)
            for who in meanings.moving(event, moment)
        ]
        draw = generator("patches", world.name, filmed.video)
        k = process.clips.meaning_dim
        y = plant_grids(moving, scene.duration, number, k, draw, process.patches)
        yield filmed.video, cameras[filmed.camera].show(y)


def draw_latent(
    scene: Scene,
    meanings: Meanings,
    clip_seconds: float,
    draw: np.random.Generator,
    process: Process,
) -> np.ndarray:
    """z (N, K) of a video's events, in clips of about so many seconds."""
    edges = clip_edges(scene, clip_seconds)
    z = draw_background(len(edges) - 1, draw, process)
    for event, moment in zip(scene.events, scene.moments, strict=True):
        spread = process.jitter * (moment[1] - moment[0])
        shown = np.clip(np.sort(moment + spread * draw.standard_normal(2)), 0, scene.duration)
        strength = draw.uniform(1 - process.strength, 1 + process.strength)
        z = z + strength * coverage(shown[None], edges)[:, None] * meanings.of_event(event)
    return z


def clip_edges(scene: Scene, clip_seconds: float) -> np.ndarray:
    """The edges (N + 1,) in seconds of a video's clips."""
    return np.linspace(0, scene.duration, max(1, round(scene.duration / clip_seconds)) + 1)
