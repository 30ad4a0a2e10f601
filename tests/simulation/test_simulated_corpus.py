"""The embedded corpus: what is said and what is shown."""

from collections import Counter

import numpy as np
import pytest

from vmr_jax import datasets
from vmr_jax.configs import common
from vmr_jax.data.batches.splits import evaluation_corpus
from vmr_jax.data.tables.dataset import load_dataset
from vmr_jax.simulation import embedded, grammar_spoken
from vmr_jax.simulation.grammar import word_vectors
from vmr_jax.simulation.planting_corpus import film_corpus
from vmr_jax.simulation.planting_events import Meanings

# Clip 5 of test_0000, first features: they move when the process changes; then raise
# embedded._CORPUS_VERSION.
GOLDEN = {
    "simulated": [0.0, 0.0, 0.0, 0.1602, 1.4121, 0.0],
    "simulated_subtitles": [1.1689, 2.3418, 0.0, 0.8877, 1.4482, 0.0],
}
SMALL = grammar_spoken.CORPUS._replace(videos={"train": 60, "val": 4, "test": 40})
FILMS = list(film_corpus(SMALL, 64, 48))
TEST = [filmed for filmed in FILMS if filmed.split == "test"]
VECTORS = word_vectors(0, grammar_spoken.LEXICON)


def events_of(film, query):
    """What a query is about: the shown event, the said one; None where it is not."""
    scenes = film.shown, film.said
    return [
        None if place is None else scene.events[place]
        for scene, place in zip(scenes, query.places, strict=True)
    ]


def test_queries_say_what_happens_and_are_of_all_kinds():
    annotations = grammar_spoken.annotate(SMALL)
    records = iter(r for split in annotations.splits.values() for r in split)
    kinds = Counter()
    for filmed in FILMS:
        for query in filmed.film.queries:
            record = next(records)
            kinds[query.modality] += 1
            assert (record.video_id, record.modality) == (filmed.video, query.modality)
            assert record.sentence == " ".join(query.words)
            assert all(word in VECTORS for word in query.words)
            np.testing.assert_array_equal(record.moments, query.moment[None])
            assert 0 <= query.moment[0] < query.moment[1] <= filmed.film.shown.duration
            said = [event.words for event in events_of(filmed.film, query) if event]
            assert " while ".join(map(" ".join, said)) == record.sentence
            assert len(said) == len(query.modality)
            verbs = {event[2] in grammar_spoken.SPEECH.split() for event in said}
            assert verbs == {"v": {False}, "t": {True}, "vt": {True, False}}[query.modality]
    assert next(records, None) is None
    assert 1.9 * len(FILMS) < min(kinds["v"], kinds["t"]) <= 2 * len(FILMS)
    assert 0.9 * len(FILMS) < kinds["vt"] <= len(FILMS)


def test_a_query_of_a_split_is_about_one_video():
    def happens(film, wanted):
        return all(
            event is None or event in scene.events
            for event, scene in zip(wanted, (film.shown, film.said), strict=True)
        )

    alone = 0
    for filmed in TEST:
        for query in filmed.film.queries:
            wanted = events_of(filmed.film, query)
            assert [f.video for f in TEST if happens(f.film, wanted)].count(filmed.video) == 1
            if query.modality == "vt":
                both = [f for f in TEST for q in f.film.queries if events_of(f.film, q) == wanted]
                assert both == [filmed]
                alone += sum(happens(f.film, [wanted[0], None]) for f in TEST) == 1
            else:
                assert sum(happens(f.film, wanted) for f in TEST) == 1
    assert alone < 0.8 * len(TEST)  # else what is shown would be enough


def test_what_a_query_is_about_both_happens_once_more_apart():
    with_rivals = 0
    for filmed in FILMS:
        for query in filmed.film.queries:
            if query.modality == "vt":
                film = filmed.film
                times = [
                    scene.moments[[event == wanted for event in scene.events]]
                    for scene, wanted in zip(
                        (film.shown, film.said), events_of(film, query), strict=True
                    )
                ]
                start = np.maximum(times[0][:, None, 0], times[1][None, :, 0])
                end = np.minimum(times[0][:, None, 1], times[1][None, :, 1])
                together = np.argwhere(end - start > 0)
                assert len(together) == 1
                np.testing.assert_array_equal(
                    [start[tuple(together[0])], end[tuple(together[0])]], query.moment
                )
                with_rivals += len(times[0]) > 1 and len(times[1]) > 1
    assert with_rivals > len(FILMS) / 2


def test_clips_in_which_nobody_speaks_are_zero():
    silent = []
    for filmed in FILMS:
        number = len(filmed.subtitles)
        assert filmed.subtitles.shape == (number, 48) and filmed.subtitles.dtype == np.float16
        assert len(filmed.features) == number
        spoken = np.zeros(number, bool)
        for first, last in filmed.film.said.moments / filmed.film.said.duration * number:
            spoken[int(first) : int(np.ceil(last))] = True
        assert not filmed.subtitles[~spoken].any() and filmed.subtitles[spoken].any(axis=1).all()
        silent.append(1 - spoken.mean())
    assert 0.02 < np.mean(silent) < 0.4


@pytest.mark.parametrize("modality", ["v", "t"])
def test_a_moments_clips_carry_its_event_and_the_other_modality_does_not(modality):
    meanings = Meanings(SMALL.side, lexicon=grammar_spoken.LEXICON)
    own, other = [], []
    for filmed in TEST:
        for query in filmed.film.queries:
            if query.modality == modality:
                meaning = meanings.of_event(next(e for e in events_of(filmed.film, query) if e))
                first, last = query.moment / filmed.film.shown.duration * len(filmed.shown)
                inside = slice(int(np.ceil(first)), int(last))
                latents = filmed.shown, filmed.said
                carries = [(latent[inside] @ meaning).mean() for latent in latents]
                own.append(carries["vt".index(modality)])
                other.append(carries["tv".index(modality)])
    assert np.mean(own) > 0.8 and np.mean(other) < 0.4


def test_a_run_builds_the_corpus_and_loads_both_modalities(tmp_path, monkeypatch):
    monkeypatch.setattr(grammar_spoken, "CORPUS", SMALL)
    config = common.run()
    config.target = common.domain_block(embedded.CORPUS, labels=True, subtitles=True)
    config.data_dir = str(tmp_path)
    domain = datasets.training_domains(config, ["target"])["target"]
    assert (domain.spec.video_dim, domain.spec.sub_dim) == (64, 48)
    assert len(domain.video_row) == 60 and domain.pairs.num_clips.max() <= 36
    assert domain.cut_queries == 0 and domain.dataset.fitted_subtitles == 0
    assert len(evaluation_corpus(config, domain.dataset, "test").video_row) == 40
    held_out = evaluation_corpus(config, domain.dataset, "holdout")
    assert len(held_out.video_row) == 6 and (held_out.pairs.video >= 0).all()
    row = domain.dataset.videos.video_id.index("test_0000")
    dataset = domain.dataset
    read = {"simulated": dataset.videos.features, "simulated_subtitles": dataset.subtitles}
    for name, values in GOLDEN.items():
        np.testing.assert_allclose(read[name](row)[5, :6], values, atol=1e-3, err_msg=name)
    with monkeypatch.context() as patch:
        patch.setattr(embedded, "write_dataset", lambda *a, **k: pytest.fail("built again"))
        embedded.build_simulated(tmp_path, embedded.CORPUS)
    assert load_dataset(tmp_path, embedded.CORPUS, "simulated").subtitles is None
    with pytest.raises(ValueError, match="simulated_corpus has no patches; those have simulated_s"):
        embedded.build_simulated(tmp_path, embedded.CORPUS, patches=True)
