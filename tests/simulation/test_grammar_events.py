import itertools

import numpy as np
import pytest
from ml_collections import ConfigDict

from vmr_jax.data.text.tokens import encode_sentences
from vmr_jax.data.text.vocabulary import tokenize
from vmr_jax.simulation import grammar
from vmr_jax.simulation import grammar_events as events

SMALL = {
    name: world._replace(videos={"train": 150, "test": 50}) for name, world in events.WORLDS.items()
}
SCENES = {name: list(events.draw_scenes(world)) for name, world in SMALL.items()}
ASKED = [
    (scene, query) for drawn in SCENES.values() for *_, scene in drawn for query in scene.queries
]


def of_kind(kind):
    found = [(scene, query) for scene, query in ASKED if query.kind == kind]
    assert len(found) > 5
    return found


def places_of(scene, place):
    """Where what happens at a place happens, in order of time."""
    return [p for p, event in enumerate(scene.events) if event == scene.events[place]]


@pytest.mark.parametrize("name", events.WORLDS)
def test_events_follow_one_another_within_the_video(name):
    world = SMALL[name]
    for _, _, scene in SCENES[name]:
        times = scene.moments.ravel()
        assert len(scene.moments) == len(scene.events) >= 3
        assert times[0] >= 0 and times[-1] <= scene.duration and (np.diff(times) >= -1e-9).all()
        lengths = np.diff(scene.moments, axis=1)
        assert (lengths >= world.moment[0] - 0.11).all()
        assert (lengths <= world.moment[1] + 0.11).all()
        assert 1 <= len(scene.queries) <= 3
        assert len({query.place for query in scene.queries}) == len(scene.queries)


@pytest.mark.parametrize("name", events.WORLDS)
def test_moments_lie_anywhere(name):
    records = itertools.chain(*events.annotate(events.WORLDS[name]).splits.values())
    durations = events.annotate(events.WORLDS[name]).durations
    share = [record.moments[0].mean() / durations[record.video_id] for record in records]
    counts = np.histogram(share, bins=5, range=(0, 1))[0] / len(share)
    assert counts.max() < 0.3 and counts.min() > 0.08


def test_domains_differ_in_durations_and_moment_lengths():
    duration, length = {}, {}
    for name in ("simulated_source", "simulated_target"):
        scenes = [scene for *_, scene in SCENES[name]]
        duration[name] = np.mean([scene.duration for scene in scenes])
        length[name] = np.mean([np.diff(scene.moments).mean() for scene in scenes])
    assert duration["simulated_source"] > 1.3 * duration["simulated_target"]
    assert length["simulated_source"] > 1.2 * length["simulated_target"]


def test_plain_sentences_are_of_events_that_happen_once():
    for scene, query in of_kind("plain"):
        assert query.words == scene.events[query.place].words
        assert places_of(scene, query.place) == [query.place]


def test_roles_are_exchanged_elsewhere_in_the_video():
    for scene, query in of_kind("roles"):
        event = scene.events[query.place]
        assert query.words == event.words and event.adjective is None
        rival = events.Event(event.thing, event.verb, None, event.agent)
        assert rival in scene.events and places_of(scene, query.place) == [query.place]


def test_orders_name_the_event_beside_the_right_one_of_two():
    for scene, query in of_kind("order"):
        event = scene.events[query.place]
        clause = len(event.words)
        assert query.words[:clause] == event.words
        step = {"after": -1, "before": 1}[query.words[clause]]
        beside = lambda place, step=step, scene=scene: scene.events[place + step].words  # noqa: E731
        assert query.words[clause + 1 :] == beside(query.place)
        (rival,) = [place for place in places_of(scene, query.place) if place != query.place]
        assert beside(rival) != beside(query.place)


def test_counts_ask_for_one_of_two():
    for scene, query in of_kind("count"):
        event = scene.events[query.place]
        assert query.words == [*event.words, query.words[-1]]
        place = {"first": 0, "again": 1}[query.words[-1]]
        assert places_of(scene, query.place)[place] == query.place


@pytest.mark.parametrize("name", events.WORLDS)
def test_annotations_are_the_scenes(name):
    found = events.annotate(SMALL[name])
    records = iter(itertools.chain(*found.splits.values()))
    for split, video, scene in SCENES[name]:
        assert split in found.splits and found.durations[video] == scene.duration
        for query in scene.queries:
            record = next(records)
            assert record.video_id == video and record.sentence == " ".join(query.words)
            np.testing.assert_array_equal(record.moments, scene.moments[query.place][None])
    assert next(records, None) is None


def test_noun_chunks_are_who_and_what_of_each_clause():
    sentence = "the man opens the large door after the woman pushes the boy"
    found = [sentence[a:b] for a, b in events.noun_chunks(sentence)]
    assert found == ["the man", "the large door", "the woman", "the boy"]
    again = "the man opens the door again"
    assert [again[a:b] for a, b in events.noun_chunks(again)] == ["the man", "the door"]


def test_every_word_has_a_vector_and_is_known_to_the_small_encoders():
    text = ConfigDict({"encoder": "distilbert", "size": "small", "tokenizer": ""})
    for name, world in SMALL.items():
        vectors = grammar.word_vectors(world.side, events.LEXICON)
        sentences = [" ".join(q.words) for *_, scene in SCENES[name] for q in scene.queries]
        assert {word for sentence in sentences for word in tokenize(sentence)} <= set(vectors)
        tokens = encode_sentences(text, sentences, 16)
        assert tokens.unknown == tokens.cut == 0


def test_sizes_and_first_sentences():
    found = {name: events.annotate(world) for name, world in events.WORLDS.items()}
    sizes = {n: [len(s) for s in a.splits.values()] for n, a in found.items()}
    assert sizes == {
        "simulated_source": [3600, 200, 300],
        "simulated_target": [3600, 200, 300],
        "simulated_unseen": [200, 40, 300],
    }
    first = found["simulated_target"].splits["train"][0]
    assert first.query_id == "train_0000_0" and first.video_id == "train_0000"
    assert first.sentence == "the kid drops the woman"
    assert first.moments.tolist() == [[20.4, 29.4]]
