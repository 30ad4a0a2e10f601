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
    meaning = planting.Meanings(TARGET.side).of_event
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
    assert {filmed.camera for filmed in FILMS} == set(range(len(cameras)))
    for filmed in FILMS:
        seen = cameras[filmed.camera]
        expected = np.maximum(filmed.latent @ seen.matrix.T + seen.offset, 0)
        assert filmed.features.dtype == np.float16 and (filmed.features >= 0).all()
        np.testing.assert_allclose(filmed.features, expected, rtol=2e-3, atol=1e-3)
        assert 0.2 < (filmed.features > 0).mean() < 0.8


def test_clips_carry_the_meanings_of_their_events():
    meaning = planting.Meanings(SMALL.side).of_event
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


def test_who_moves_in_the_patches_does_it_and_who_waits_it_is_done_to():
    process = planting.EVENT_PROCESS._replace(
        patches=planting.EVENT_PROCESS.patches._replace(grid=4, noise=0.0, scene=0.0)
    )
    meanings = planting.Meanings(SMALL.side, process)
    moment, one = np.array([10.0, 20.0]), Event("man", "drops", None, "woman")
    moving = meanings.moving(one, moment)
    exchanged = meanings.moving(one.exchanged, moment)
    draw = np.random.default_rng(0)
    y, other = (
        planting.plant_grids(who, 30.0, 30, process.clips.meaning_dim, draw, process.patches)
        for who in (moving, exchanged)
    )
    man, woman = (meanings.of_word[word] for word in ("man", "woman"))

    def place(y, meaning):
        return (y @ meaning)[11:19].argmax(axis=1)

    assert not y[:10].any() and not y[20:].any()
    assert len(set(place(y, man))) > 1 and len(set(place(y, woman))) == 1
    assert len(set(place(other, man))) == 1 and len(set(place(other, woman))) > 1


def test_patches_are_the_cameras_view_of_cells():
    patches = dict(planting.film_patches(SMALL, 64))
    cells = planting.EVENT_PROCESS.patches.grid**2
    for filmed in FILMS:
        shown = patches[filmed.video]
        assert shown.dtype == np.float16 and shown.shape == (len(filmed.features), cells, 64)
        assert (shown >= 0).all() and np.isfinite(shown).all()


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
    embedded.build_simulated(tmp_path, name, patches=True)
    patches = load_dataset(tmp_path, name, embedded.PATCH_NAME).videos
    np.testing.assert_array_equal(patches.num_clips, dataset.videos.num_clips)
    monkeypatch.setattr(embedded, "write_dataset", lambda *a, **k: pytest.fail("built again"))
    embedded.build_simulated(tmp_path, name, patches=True)
    with pytest.raises(FileNotFoundError, match="no features 'i3d'. It is simulated"):
        embedded.check_features(name, "i3d")
