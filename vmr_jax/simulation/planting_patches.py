"""Patches planted into annotations: in each frame a grid of cells, over which things move.

The process, in the terms of planting.py. A sentence says what moves by its noun chunks, and how by
the words outside of them:

    thing     o_q = unit(sum of the words' a / (a + p_w) u_w) over the second noun chunk, which is
              the object of "the man opens the door"; over the first one where it is alone
    motion    d_q, the same sum over the words outside of the noun chunks
    path      (a_q, b_q) = c + c tanh(B d_q): from cell a_q to cell b_q, rows and columns from 0 to
              grid - 1, c = (grid - 1) / 2;  B (4, K) ~ N(0, turn^2), one for all datasets.
              Words of like meaning move things alike.
    place     p_q(t) = a_q + (b_q - a_q) (t - start) / (end - start) in each annotated moment
    cell g    y_i,g = sum_q e_q [t_i in a moment of q] exp(-|g - p_q(t_i)|^2 / (2 reach^2)) o_q
                      + sigma_scene s_g + sigma_noise N(0, I / K);  t_i is the centre of clip i,
              e_q ~ U(1 - r, 1 + r), s_g ~ N(0, I / K) one a video and cell
    feature   x_i,g = tanh(A G y_i,g + h), the same A, G and h as those of the frames

Every draw comes from streams of its own: the frame features do not depend on them.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from vmr_jax.data.datasets.records import Annotations, MomentRecord
from vmr_jax.data.text.masking import dynamic_text
from vmr_jax.data.text.vocabulary import tokenize
from vmr_jax.simulation.planting import (
    PROCESS,
    Process,
    Sentences,
    draw_appearance,
    generator,
    read_sentences,
    unit,
)


class PatchProcess(NamedTuple):
    """The constants of the process; see the module's equations."""

    grid: int = 7
    reach: float = 0.8  # cells
    turn: float = 1.5
    strength: float = 0.3  # r
    scene: float = 0.5  # sigma_scene
    noise: float = 0.5  # sigma_noise


PATCH_PROCESS = PatchProcess()


class Moving(NamedTuple):
    """What a query shows in the grid."""

    thing: np.ndarray  # (K,) o_q
    start: np.ndarray  # (2,) a_q
    end: np.ndarray  # (2,) b_q
    moments: np.ndarray  # (A, 2) seconds


def read_motion(
    record: MomentRecord, chunks: np.ndarray, sentences: Sentences, process: PatchProcess
) -> Moving:
    """What moves in a query's moments, and where; `chunks` (C, 2) are its noun chunks."""
    first, last = chunks[min(1, len(chunks) - 1)] if len(chunks) else (0, 0)
    thing = _meaning(record.sentence[first:last], sentences)
    path = path_of(_meaning(dynamic_text(record.sentence, chunks), sentences), process)
    valid = record.moments[record.moments[:, 1] > record.moments[:, 0]]
    return Moving(thing, *path, valid)


def path_of(motion: np.ndarray, process: PatchProcess) -> tuple[np.ndarray, np.ndarray]:
    """The cells (2,) and (2,) that a motion of a meaning (K,) starts and ends at."""
    turn = process.turn * generator("motion", len(motion)).standard_normal((4, len(motion)))
    centre = (process.grid - 1) / 2
    path = centre + centre * np.tanh(turn @ motion)
    return path[:2], path[2:]


def plant_grids(
    moving: Sequence[Moving],
    duration: float,
    num_clips: int,
    meaning_dim: int,
    draw: np.random.Generator,
    process: PatchProcess,
) -> np.ndarray:
    """The latent cells y (num_clips, grid * grid, K) of a video."""
    cells = np.moveaxis(np.mgrid[: process.grid, : process.grid], 0, -1).reshape(-1, 2)
    times = (np.arange(num_clips) + 0.5) * duration / num_clips
    shape = num_clips, len(cells), meaning_dim
    scene = draw.standard_normal(shape[1:]) * process.scene / np.sqrt(meaning_dim)
    y = scene + draw.standard_normal(shape) * process.noise / np.sqrt(meaning_dim)
    for query in moving:
        strength = draw.uniform(1 - process.strength, 1 + process.strength)
        for start, end in query.moments:
            inside = np.flatnonzero((times >= start) & (times < end))
            share = (times[inside, None] - start) / (end - start)
            place = query.start + (query.end - query.start) * share
            gap = np.square(cells - place[:, None]).sum(axis=-1)
            near = np.exp(-gap / (2 * process.reach**2))
            y[inside] += strength * near[..., None] * query.thing
    return y


def plant_patches(
    annotations: Annotations,
    vectors: Mapping[str, np.ndarray],
    chunks: Mapping[str, Sequence[np.ndarray]],
    width: int,
    clip_seconds: float,
    process: Process = PROCESS,
    patch_process: PatchProcess = PATCH_PROCESS,
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield each video's id and patches (N, grid * grid, width) float16, the clips of `plant`.

    `chunks` has the noun chunks (C, 2) of each split's records. At least one word of the
    sentences has a vector (E,).
    """
    records = [record for split in annotations.splits.values() for record in split]
    sentences = read_sentences((record.sentence for record in records), vectors, process)
    appearance = draw_appearance(annotations.name, width, process)
    moving = {video: [] for video in annotations.durations}
    for split, of_split in annotations.splits.items():
        for record, found in zip(of_split, chunks[split], strict=True):
            if record.video_id:  # else the split hides which video it is
                shown = read_motion(record, found, sentences, patch_process)
                moving[record.video_id].append(shown)
    for video, duration in annotations.durations.items():
        num_clips = max(1, round(duration / clip_seconds))
        draw = generator("patches", annotations.name, video)
        y = plant_grids(
            moving[video], duration, num_clips, process.meaning_dim, draw, patch_process
        )
        shown = np.tanh(y @ appearance.matrix.T + appearance.offset)
        yield video, shown.astype(np.float16)


def _meaning(text: str, sentences: Sentences) -> np.ndarray:
    """The meaning (K,) of a part of a sentence; zero where no word has a vector."""
    words = [word for word in tokenize(text) if word in sentences.weight]
    zero = np.zeros(sentences.meaning.shape[1])
    return unit(sum((sentences.weight[w] * sentences.of_word[w] for w in words), zero))
