"""The embedded corpus: what is said and what is shown."""

import numpy as np
import pytest

from vmr_jax import datasets
from vmr_jax.configs import common
from vmr_jax.data.batches.splits import evaluation_corpus
from vmr_jax.data.tables.dataset import load_dataset
from vmr_jax.simulation import embedded, grammar, grammar_spoken
from vmr_jax.simulation.planting import PROCESS, generator, plant, read_script
from vmr_jax.simulation.planting_subtitles import SPEECH_PROCESS, plant_subtitles

# Clip 5 of test_0000, first features: they move when the process changes; then raise
# embedded._CORPUS_VERSION.
GOLDEN = {"simulated": [0.4058, -0.0482, 0.1742], "simulated_subtitles": [0.6782, 0.1658, -0.28]}
SMALL = grammar_spoken.CORPUS._replace(videos={"train": 60, "val": 4, "test": 40})
VECTORS = grammar.word_vectors(0, grammar_spoken.LEXICON)


def of_modality(annotations, modality):
    splits = {
        split: [r for r in records if r.modality == modality]
        for split, records in annotations.splits.items()
    }
    return annotations._replace(splits=splits)


def test_half_of_the_queries_are_about_what_is_said():
    annotations = grammar_spoken.annotate(SMALL)
    records = [r for split in annotations.splits.values() for r in split]
    spoken = [r for r in records if r.modality == "t"]
    assert 0.4 < len(spoken) / len(records) < 0.6
    assert 3.5 < len(records) / len(annotations.durations) < 4.5
    for record in records:
        verb = record.sentence.split()[2]
        assert (verb in grammar_spoken.SPEECH.split()) == (record.modality == "t")
        assert all(word in VECTORS for word in record.sentence.split())
        assert 0 <= record.moments[0, 0] < record.moments[0, 1] <= 54
    assert len({r.query_id for r in records}) == len(records)
    for video in annotations.durations:
        assert {r.modality for r in records if r.video_id == video} == {"v", "t"}
        things = {
            word
            for r in records
            if r.video_id == video
            for word in r.sentence.split()
            if word in grammar.words_of(grammar.OBJECTS, 0)
        }
        assert 1 <= len(things) <= grammar_spoken.THINGS


def test_clips_in_which_nobody_speaks_are_zero():
    said = of_modality(grammar_spoken.annotate(SMALL), "t")
    quiet = SPEECH_PROCESS._replace(distractor=0.0, jitter=0.0)
    planted = dict(plant_subtitles(said, VECTORS, 48, 1.5, quiet))
    loud = dict(plant_subtitles(said, VECTORS, 48, 1.5))
    for record in said.splits["test"]:
        clips, duration = planted[record.video_id], said.durations[record.video_id]
        assert clips.shape == (round(duration / 1.5), 48) and clips.dtype == np.float16
        first, last = record.moments[0] / duration * len(clips)
        assert clips[int(np.ceil(first)) : int(last)].any(axis=1).all()
    silent = np.mean([1 - c.any(axis=1).mean() for c in planted.values()])
    assert silent > 0.5 > np.mean([1 - c.any(axis=1).mean() for c in loud.values()]) > 0.2


@pytest.mark.parametrize("modality", ["v", "t"])
def test_a_moments_clips_say_its_words_and_the_other_modality_does_not(modality):
    annotations = grammar_spoken.annotate(SMALL)
    about = of_modality(annotations, modality)
    planted = dict(plant_subtitles(about, VECTORS, 64, 1.5))
    matrix = SPEECH_PROCESS.gain * generator("subtitles", 64, 64).standard_normal((64, 64))
    sentences = read_script(annotations, VECTORS, PROCESS).sentences
    inside = {"v": [], "t": []}
    for record in annotations.splits["test"]:
        clips = planted[record.video_id].astype(np.float64).clip(-0.999, 0.999)
        latent = np.linalg.solve(matrix, np.arctanh(clips).T).T
        likeness = latent @ sentences.meaning[sentences.row[record.sentence]]
        first, last = record.moments[0] / annotations.durations[record.video_id] * len(clips)
        inside[record.modality].append(likeness[int(np.ceil(first)) : int(last)].mean())
    other = "t" if modality == "v" else "v"
    assert np.mean(inside[modality]) > 0.7 and np.mean(inside[other]) < 0.3


def test_what_is_shown_does_not_depend_on_the_subtitles():
    shown = of_modality(grammar_spoken.annotate(SMALL), "v")
    before = dict(plant(shown, VECTORS, 8, 1.5))
    dict(plant_subtitles(shown, VECTORS, 8, 1.5))
    after = dict(plant(shown, VECTORS, 8, 1.5))
    np.testing.assert_array_equal(before["test_0000"], after["test_0000"])


def test_a_run_builds_the_corpus_and_loads_both_modalities(tmp_path, monkeypatch):
    config = common.run()
    config.target = common.domain_block(embedded.CORPUS, labels=True, subtitles=True)
    config.data_dir = str(tmp_path)
    domain = datasets.training_domains(config, ["target"])["target"]
    assert (domain.spec.video_dim, domain.spec.sub_dim) == (64, 48)
    assert len(domain.video_row) == 500 and domain.pairs.num_clips.max() <= 36
    assert domain.cut_queries == 0 and domain.dataset.fitted_subtitles == 0
    assert len(evaluation_corpus(config, domain.dataset, "test").video_row) == 300
    held_out = evaluation_corpus(config, domain.dataset, "holdout")
    assert len(held_out.video_row) == 50 and (held_out.pairs.video >= 0).all()
    row = domain.dataset.videos.video_id.index("test_0000")
    dataset = domain.dataset
    read = {"simulated": dataset.videos.features, "simulated_subtitles": dataset.subtitles}
    for name, values in GOLDEN.items():
        np.testing.assert_allclose(read[name](row)[5, :3], values, atol=1e-3, err_msg=name)
    with monkeypatch.context() as patch:
        patch.setattr(embedded, "write_dataset", lambda *a, **k: pytest.fail("built again"))
        embedded.build_simulated(tmp_path, embedded.CORPUS)
    assert load_dataset(tmp_path, embedded.CORPUS, "simulated").subtitles is None
    with pytest.raises(ValueError, match="simulated_corpus has no patches; those have simulated_s"):
        embedded.build_simulated(tmp_path, embedded.CORPUS, patches=True)
