import numpy as np
import pytest

from vmr_jax.data.datasets.records import Annotations, MomentRecord
from vmr_jax.simulation.planting import (
    PROCESS,
    coverage,
    draw_appearance,
    draw_distractor,
    draw_events,
    free_intervals,
    generator,
    plant,
    plant_events,
    read_sentences,
    unit,
)

WORDS = ["a", "man", "opens", "closes", "the", "door", "window", "box", "lifts"]
VECTORS = {word: generator("test", word).standard_normal(50) for word in WORDS}
QUIET = PROCESS._replace(scene=0.0, noise=0.0, jitter=0.0, strength=0.0, distractor=0.0)


def record(sentence, *moments, video="v", query="q"):
    return MomentRecord(query, video, sentence, np.array(moments, np.float64).reshape(-1, 2))


def annotations(*records, name="toy", duration=20.0):
    durations = {r.video_id: duration for r in records if r.video_id}
    return Annotations(name, {"train": list(records)}, durations, [], {})


def meanings(records, process=PROCESS):
    return read_sentences([r.sentence for r in records], VECTORS, process)


def test_sentence_meaning_is_its_equation():
    texts = ["A man opens the door.", "the man lifts the purple box"]  # purple has no vector
    got = read_sentences(texts, VECTORS, PROCESS)
    tokens = [["a", "man", "opens", "the", "door"], ["the", "man", "lifts", "the", "purple", "box"]]
    words = sorted({w for t in tokens for w in t} & set(VECTORS))
    centre = np.mean([VECTORS[w] for w in words], axis=0)
    projection = generator("projection", 64, 50).standard_normal((64, 50))
    for row, sentence in enumerate(tokens):
        total = np.zeros(64)
        for word in sentence:
            if word in VECTORS:
                share = sum(t.count(word) for t in tokens) / 11
                meaning = projection @ (VECTORS[word] - centre)
                total += 0.001 / (0.001 + share) * meaning / np.sqrt((meaning**2).sum())
        np.testing.assert_allclose(got.meaning[row], total / np.sqrt((total**2).sum()), atol=1e-12)
    assert got.words[1] == ["the", "man", "lifts", "the", "box"]
    assert got.containing["man"].tolist() == [0, 1] and got.containing["door"].tolist() == [0]


def test_words_without_a_vector_carry_nothing():
    got = read_sentences(["purple haze", "opens the door"], VECTORS, PROCESS)
    assert not got.meaning[0].any() and np.isclose(np.linalg.norm(got.meaning[1]), 1)
    assert not unit(np.zeros((2, 3))).any()


def test_coverage_of_clips():
    edges = np.array([0.0, 2, 4, 6, 8])
    np.testing.assert_allclose(coverage(np.array([[1.0, 6]]), edges), [0.5, 1, 1, 0])
    np.testing.assert_allclose(coverage(np.array([[0.5, 1]]), edges), [0.25, 0, 0, 0])
    np.testing.assert_allclose(coverage(np.array([[0.0, 2], [6, 8]]), edges), [1, 0, 0, 1])
    np.testing.assert_allclose(coverage(np.array([[0.0, 4], [2, 6]]), edges), [0.5, 1, 0.5, 0])


def test_free_intervals():
    assert free_intervals(np.zeros((0, 2)), 9.0) == [(0.0, 9.0)]
    moments = np.array([[4.0, 6], [1, 2], [5, 7]])
    assert free_intervals(moments, 9.0) == [(0.0, 1.0), (2.0, 4.0), (7.0, 9.0)]
    assert free_intervals(np.array([[0.0, 9]]), 9.0) == []


def test_two_domains_turn_the_meanings_by_the_angle():
    a, b = (draw_appearance(name, 256, PROCESS) for name in ("one", "two"))
    rotations = [
        np.linalg.lstsq(draw_appearance(n, 256, PROCESS._replace(angle=0.0)).matrix, x.matrix)[0]
        for n, x in (("one", a), ("two", b))
    ]
    for rotation in rotations:
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(64), atol=1e-9)
        assert np.isclose(np.trace(rotation) / 64, 0.5)  # cos(60 degrees)
    assert abs(np.trace(rotations[0].T @ rotations[1]) / 64 - 0.25) < 0.1
    assert not np.allclose(a.offset, b.offset)
    again = draw_appearance("one", 256, PROCESS)
    np.testing.assert_array_equal(again.matrix, a.matrix)


def plant_video(queries, duration, num_clips, sentences, lengths, draw, process):
    """The latent clips of one video."""
    events = draw_events(queries, duration, num_clips, sentences, lengths, draw, process)
    return plant_events(events, np.linspace(0, duration, num_clips + 1), draw, process)


def test_a_video_without_noise_is_its_queries():
    queries = [record("man opens door", [2, 6]), record("man lifts box", [6, 10], query="r")]
    sentences = meanings(queries)
    z = plant_video(queries, 12.0, 12, sentences, np.array([4.0]), generator("x"), QUIET)
    expected = np.zeros((12, 64))
    expected[2:6], expected[6:10] = sentences.meaning
    np.testing.assert_allclose(z, expected, atol=1e-12)


def test_hidden_labels_and_inverted_moments_plant_nothing():
    queries = [record("man opens door"), record("man lifts box", [6, 3], query="r")]
    z = plant_video(queries, 12.0, 12, meanings(queries), np.array([4.0]), generator("x"), QUIET)
    assert not z.any()


def test_noise_is_correlated_in_time_with_the_stated_size():
    process = QUIET._replace(noise=2.0)
    query = record("man opens door", [0, 1])
    z = plant_video(
        [query], 4000.0, 4000, meanings([query]), np.array([1e9]), generator("x"), process
    )[1:]
    assert abs(np.sqrt((z**2).sum(axis=1).mean()) - 2.0) < 0.05
    assert abs((z[1:] * z[:-1]).sum() / (z[1:] ** 2).sum() - process.correlation) < 0.02


def test_boundaries_are_moved_by_the_jitter():
    process = QUIET._replace(jitter=0.1)
    query = record("man opens door", [30, 70])
    starts = []
    for seed in range(100):
        z = plant_video(
            [query], 100.0, 250, meanings([query]), np.array([9.0]), generator(seed), process
        )
        starts.append(np.flatnonzero(z.any(axis=1))[0] * 0.4)
    assert abs(np.mean(starts) - 30) < 1.2 and abs(np.std(starts) - 4) < 0.8


def test_distractors_mean_something_else_and_share_words():
    texts = ["man opens door", "man opens window", "man opens box", "closes box", "lifts window"]
    sentences = read_sentences(texts, VECTORS, PROCESS)
    draws = [draw_distractor(sentences, [0], generator(i), PROCESS) for i in range(400)]
    rows = [int(np.argmax(sentences.meaning @ m)) for m in draws if m is not None]
    assert len(rows) > 380 and set(rows) == {1, 2, 3, 4}
    assert np.mean([row in (1, 2) for row in rows]) > 0.6  # two of four, and half chosen to share
    assert draw_distractor(sentences, [0, 1, 2, 3, 4], generator(0), PROCESS) is None


def test_free_pieces_hold_distractors():
    queries = [record("man opens door", [0, 10])]
    others = [record(t, [0, 9], video="w") for t in ("closes box", "lifts window")]
    sentences = meanings(queries + others)
    process = QUIET._replace(distractor=1.0)
    z = plant_video(queries, 60.0, 60, sentences, np.array([8.0]), generator("x"), process)
    likeness = z @ sentences.meaning.T
    assert (likeness[:10, 0] > 0.99).all()
    assert (z[18:].any(axis=1)).all()  # at most one piece stays empty, before the first distractor
    assert (likeness[18:, 1:].max(axis=1) > 0.99).mean() > 0.8


def test_features_depend_on_names_only():
    one = record("man opens door", [2, 6], video="x")
    two = record("man lifts box", [3, 9], video="y", query="r")
    forward = dict(plant(annotations(one, two), VECTORS, 16, 2.0))
    backward = annotations(one, two)
    backward = backward._replace(durations=dict(reversed(backward.durations.items())))
    for video, clips in plant(backward, VECTORS, 16, 2.0):
        np.testing.assert_array_equal(clips, forward[video])
    assert forward["x"].shape == (10, 16) and forward["x"].dtype == np.float16
    assert not np.array_equal(forward["x"], forward["y"])
    renamed = dict(plant(annotations(one, two, name="other"), VECTORS, 16, 2.0))
    assert not np.allclose(renamed["x"], forward["x"], atol=0.1)
    assert (np.abs(forward["x"]) <= 1).all()


def test_a_short_video_has_one_clip_and_a_hidden_video_none():
    known, hidden = record("man opens door", [0, 1]), record("man lifts box", video="", query="r")
    features = dict(plant(annotations(known, hidden, duration=1.0), VECTORS, 16, 4.0))
    assert {video: clips.shape for video, clips in features.items()} == {"v": (1, 16)}


def test_nothing_to_plant():
    with pytest.raises(ValueError, match="no query of toy has a moment: there is nothing to plant"):
        next(plant(annotations(record("man opens door")), VECTORS, 16, 1.0))
