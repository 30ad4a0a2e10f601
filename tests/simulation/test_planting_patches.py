"""What moves in the patches, and how."""

import numpy as np

from vmr_jax.data.datasets.records import Annotations, MomentRecord
from vmr_jax.simulation import grammar
from vmr_jax.simulation.grammar_events import noun_chunks
from vmr_jax.simulation.planting import PROCESS, draw_appearance, generator, read_sentences, unit
from vmr_jax.simulation.planting_patches import (
    PATCH_PROCESS,
    plant_grids,
    plant_patches,
    read_motion,
)

VECTORS = grammar.word_vectors(0)
QUIET = PATCH_PROCESS._replace(scene=0.0, noise=0.0, strength=0.0)
SENTENCES = [
    "the man opens the door",
    "the woman opens the red window",
    "the man closes the door",
]


def record(sentence, start=2.0, end=8.0, video="v"):
    return MomentRecord(sentence, video, sentence, np.array([[start, end]]))


def motion(sentence, process=QUIET, **times):
    meanings = read_sentences(SENTENCES, VECTORS, PROCESS)
    chunks = noun_chunks(sentence)
    return read_motion(record(sentence, **times), chunks, meanings, process), meanings


def test_the_object_moves_as_the_verb_says():
    opens, meanings = motion(SENTENCES[0])
    door = meanings.weight["the"] * meanings.of_word["the"]
    door = door + meanings.weight["door"] * meanings.of_word["door"]
    np.testing.assert_allclose(opens.thing, unit(door))
    turn = 1.5 * generator("motion", 64).standard_normal((4, 64))
    path = 3 + 3 * np.tanh(turn @ meanings.of_word["opens"])
    np.testing.assert_allclose(np.concatenate([opens.start, opens.end]), path)
    closes, _ = motion(SENTENCES[2])
    np.testing.assert_allclose(closes.thing, opens.thing)
    assert np.abs(closes.end - opens.end).max() > 0.5
    window, _ = motion(SENTENCES[1])
    assert not np.allclose(window.thing, opens.thing)


def test_a_sentence_of_one_chunk_moves_it_and_an_unknown_one_nothing():
    meanings = read_sentences([*SENTENCES, "zebra"], VECTORS, PROCESS)
    alone = read_motion(record("the man opens"), np.array([[0, 7]]), meanings, QUIET)
    man = sum(meanings.weight[w] * meanings.of_word[w] for w in ("the", "man"))
    np.testing.assert_allclose(alone.thing, unit(man))
    none = read_motion(record("zebra"), np.zeros((0, 2), int), meanings, QUIET)
    assert not none.thing.any()
    np.testing.assert_array_equal([none.start, none.end], 3)  # it stands in the middle


def test_a_thing_is_where_its_path_says_and_only_in_its_moment():
    moving, _ = motion(SENTENCES[0], start=2.0, end=8.0)
    y = plant_grids([moving], 10.0, 10, 64, generator("x"), QUIET)
    assert y.shape == (10, 49, 64) and not y[[0, 1, 8, 9]].any()
    for clip in range(2, 8):
        place = moving.start + (moving.end - moving.start) * (clip + 0.5 - 2) / 6
        for cell in range(49):
            gap = np.square(np.array(divmod(cell, 7)) - place).sum()
            expected = np.exp(-gap / (2 * 0.8**2)) * moving.thing
            np.testing.assert_allclose(y[clip, cell], expected, atol=1e-12)


def test_noise_has_the_stated_size():
    y = plant_grids([], 200.0, 200, 64, generator("x"), PATCH_PROCESS)
    scene = y.mean(axis=0)
    assert abs(np.sqrt(np.square(scene).sum(-1).mean()) - 0.5) < 0.03
    assert abs(np.sqrt(np.square(y - scene).sum(-1).mean()) - 0.5) < 0.02


def test_patches_are_shown_as_frames_are_and_depend_on_names_only():
    records = [record(s, video=v) for s, v in zip(SENTENCES, "abc", strict=True)]
    raw = Annotations("toy", {"train": records}, {"a": 10.0, "b": 12.0, "c": 1.0}, [], {})
    chunks = {"train": [noun_chunks(r.sentence) for r in records]}
    shown = dict(plant_patches(raw, VECTORS, chunks, 16, 2.0, patch_process=QUIET))
    assert {video: x.shape for video, x in shown.items()} == {
        "a": (5, 49, 16),
        "b": (6, 49, 16),
        "c": (1, 49, 16),
    }
    appearance = draw_appearance("toy", 16, PROCESS)
    moving, _ = motion(SENTENCES[0])
    y = plant_grids([moving], 10.0, 5, 64, generator("patches", "toy", "a"), QUIET)
    expected = np.tanh(y @ appearance.matrix.T + appearance.offset)
    np.testing.assert_allclose(shown["a"], expected, atol=2e-3)
    backward = raw._replace(durations=dict(reversed(raw.durations.items())))
    for video, x in plant_patches(backward, VECTORS, chunks, 16, 2.0, patch_process=QUIET):
        np.testing.assert_array_equal(x, shown[video])
