"""Features of the embedded corpus: what its videos show, and what is said in them.

What is shown is filmed as in planting_events.py. What is said, in the same terms:

    clip i     y_i as z_i there, of the events that are said, with noise of its own
    subtitle   s_i = max(0, W G D_v y_i + h + h_v) where somebody speaks, else 0; W (S, K), and one
               of V languages in the place of the cameras
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from vmr_jax.simulation import grammar
from vmr_jax.simulation.grammar_spoken import LEXICON, Film, draw_films
from vmr_jax.simulation.planting import coverage, generator
from vmr_jax.simulation.planting_events import (
    EVENT_PROCESS,
    EventProcess,
    Meanings,
    clip_edges,
    draw_cameras,
    draw_latent,
)

SPEECH_PROCESS = EVENT_PROCESS._replace(clips=EVENT_PROCESS.clips._replace(scene=0.3, noise=0.5))


class Filmed(NamedTuple):
    """A video of the corpus."""

    split: str
    video: str
    film: Film
    shown: np.ndarray  # (N, K) z
    said: np.ndarray  # (N, K) y
    features: np.ndarray  # (N, F) float16
    subtitles: np.ndarray  # (N, S) float16


def film_corpus(
    world: grammar.World,
    width: int,
    subtitle_width: int,
    process: EventProcess = EVENT_PROCESS,
    speech: EventProcess = SPEECH_PROCESS,
) -> Iterator[Filmed]:
    """Yield the videos of the corpus, for features of the widths F and S."""
    meanings = Meanings(world.side, process, LEXICON)
    cameras = draw_cameras(world.name, width, process)
    languages = draw_cameras(world.name, subtitle_width, speech)
    for split, video, film in draw_films(world):
        draw = generator("film", world.name, video)
        z = draw_latent(film.shown, meanings, world.clip_seconds, draw, process.clips)
        camera = cameras[draw.integers(process.cameras)]
        draw = generator("subtitles", world.name, video)
        y = draw_latent(film.said, meanings, world.clip_seconds, draw, speech.clips)
        spoken = coverage(film.said.moments, clip_edges(film.said, world.clip_seconds)) > 0
        language = languages[draw.integers(speech.cameras)]
        subtitles = language.show(y) * spoken[:, None]
        yield Filmed(split, video, film, z, y, camera.show(z), subtitles)
