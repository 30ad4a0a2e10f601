"""Subtitle features planted into annotations: clips that say what their queries say.

The process, in the terms of planting.py. Events and distractors are drawn as for what is shown, by
constants and streams of their own. A clip that an event or a distractor touches is spoken, with

    clip i    y_i = sum_e b_e c_e(i) m_e + sigma_scene g + sigma_noise n_i
    feature   s_i = tanh(B y_i);  B (S, K) ~ N(0, gain^2), one for all datasets

and a clip in which nobody speaks is zero.
"""

from collections.abc import Iterator, Mapping

import numpy as np

from vmr_jax.data.datasets.records import Annotations
from vmr_jax.simulation.planting import (
    PROCESS,
    Process,
    coverage,
    generator,
    plant_meanings,
)

SPEECH_PROCESS = PROCESS._replace(scene=0.5, noise=0.9, distractor=0.4)


def plant_subtitles(
    annotations: Annotations,
    vectors: Mapping[str, np.ndarray],
    width: int,
    clip_seconds: float,
    process: Process = SPEECH_PROCESS,
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield each video's id and subtitles (N, width) float16, the clips of `planting.plant`.

    The annotations hold the queries about what is said. Raises ValueError when none has a moment.
    """
    k = process.meaning_dim
    matrix = process.gain * generator("subtitles", k, width).standard_normal((width, k))
    planted = plant_meanings("subtitles", annotations, vectors, clip_seconds, process)
    for video, events, edges, y in planted:
        spoken = np.zeros(len(y), bool)
        for event in events:
            spoken |= coverage(event.moments, edges) > 0
        said = np.tanh(np.einsum("nk,sk->ns", y, matrix))
        yield video, (said * spoken[:, None]).astype(np.float16)


def about(annotations: Annotations, modality: str) -> Annotations:
    """The annotations with those queries alone that are about a modality, v or t.

    Where the annotations do not tell, a query is about both.
    """
    splits = {
        split: [record for record in records if modality in (record.modality or "vt")]
        for split, records in annotations.splits.items()
    }
    return annotations._replace(splits=splits)
