"""Clips of the worlds of events: what they are made of, and that they are the same everywhere."""

import numpy as np
import pytest

from vmr_jax.configs.common import DATASETS
from vmr_jax.data.tables.dataset import load_dataset
from vmr_jax.simulation import embedded, grammar_events
from vmr_jax.simulation import planting_events as planting
from vmr_jax.simulation.grammar_events import TARGET, Event

SMALL = TARGET._replace(videos={"train": 6, "val": 2, "test": 2})
FILMS = list(planting.film(SMALL, 64))


def test_who_does_it_is_not_to_whom_it_is_done():
    meaning = planting.event_meanings(TARGET.side)
    one = meaning(Event("man", "drops", None, "woman"))
    other = meaning(Event("woman", "drops", None, "man"))
    np.testing.assert_allclose([one @ one, other @ other], 1)
    assert one @ other < 0.8


def test_a_camera_shows_what_another_one_does_not():
    cameras = planting.draw_cameras(TARGET.name, 64, planting.EVENT_PROCESS)
    assert len(cameras) == planting.EVENT_PROCESS.cameras
    for one in cameras:
        for other in cameras:
            cosine = np.sum(one.matrix * other.matrix)
            cosine /= np.linalg.norm(one.matrix) * np.linalg.norm(other.matrix)
            assert cosine == pytest.approx(1) if one is other else abs(cosine) < 0.2


def test_features_are_the_cameras_view_of_the_latent_clips():
    cameras = planting.draw_cameras(SMALL.name, 64, planting.EVENT_PROCESS)
    assert len({filmed.camera for filmed in FILMS}) > 3
    for filmed in FILMS:
        seen = cameras[filmed.camera]
        expected = np.maximum(filmed.latent @ seen.matrix.T + seen.offset, 0)
        assert filmed.features.dtype == np.float16 and (filmed.features >= 0).all()
        np.testing.assert_allclose(filmed.features, expected, rtol=2e-3, atol=1e-3)
        assert 0.2 < (filmed.features > 0).mean() < 0.8


def test_clips_carry_the_meanings_of_their_events():
    meaning = planting.event_meanings(SMALL.side)
    inside, outside = [], []
    for filmed in FILMS:
        clip = filmed.scene.duration / len(filmed.latent)
        centre = (np.arange(len(filmed.latent)) + 0.5) * clip
        for event, (start, end) in zip(filmed.scene.events, filmed.scene.moments, strict=True):
            match = filmed.latent @ meaning(event)
            within = (centre > start + clip) & (centre < end - clip)
            inside.append(match[within].mean())
            outside.append(match[(centre < start) | (centre > end)].mean())
    assert np.mean(inside) > 0.8 and np.mean(outside) < 0.3


def test_the_same_clips_everywhere():
    again = list(planting.film(SMALL, 64))
    for one, other in zip(FILMS, again, strict=True):
        np.testing.assert_array_equal(one.features, other.features)


@pytest.mark.parametrize("name", grammar_events.WORLDS)
def test_a_world_loads_and_fits_its_config(name, tmp_path, monkeypatch):
    world = grammar_events.WORLDS[name]
    small = world._replace(videos={"train": 6, "val": 2, "test": 2})
    monkeypatch.setitem(grammar_events.WORLDS, name, small)
    embedded.build_simulated(tmp_path, name)
    dataset = load_dataset(tmp_path, name, embedded.FEATURE_NAME, with_chunks=True)
    assert dataset.videos.feature_dim == 64
    assert dataset.videos.num_clips.max() <= DATASETS[name]["max_clips"]
    for table in dataset.splits.values():
        assert not (table.words == 1).any()  # every word has a vector
        for sentence, chunks in zip(table.sentence, table.chunks, strict=True):
            np.testing.assert_array_equal(chunks, grammar_events.noun_chunks(sentence))
    monkeypatch.setattr(embedded, "write_dataset", lambda *a, **k: pytest.fail("built again"))
    embedded.build_simulated(tmp_path, name)
    with pytest.raises(ValueError, match=f"{name} has no patches"):
        embedded.build_simulated(tmp_path, name, patches=True)
    with pytest.raises(FileNotFoundError, match="no features 'i3d'. It is simulated"):
        embedded.check_features(name, "i3d")
