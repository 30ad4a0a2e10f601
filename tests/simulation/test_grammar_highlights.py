"""The embedded world of highlights: several moments a query, rated clips, and what is shown."""

import numpy as np
import pytest

from vmr_jax.simulation import embedded, grammar, planting
from vmr_jax.simulation import grammar_highlights as highlights

SMALL = highlights.HIGHLIGHTS._replace(videos={"train": 60, "test": 3})


@pytest.fixture(scope="module")
def annotations():
    return highlights.annotate(SMALL)


def test_moments_are_whole_clips_and_do_not_overlap(annotations):
    records = annotations.splits["train"]
    counts = [len(record.moments) for record in records]
    assert set(counts) == {1, 2, 3}
    for record in records:
        assert (record.moments % SMALL.clip_seconds == 0).all()
        assert (record.moments[1:, 0] >= record.moments[:-1, 1]).all()
        assert record.moments.max() <= annotations.durations[record.video_id]
    lengths = np.concatenate([np.diff(record.moments, axis=1).ravel() for record in records])
    assert lengths.min() == 2 and lengths.max() > 16 and np.median(lengths) < lengths.mean()


def test_clips_of_the_moments_are_rated_and_no_others(annotations):
    means = []
    for record in annotations.splits["train"]:
        clips = len(record.saliency)
        assert clips == annotations.durations[record.video_id] / SMALL.clip_seconds
        centre = (np.arange(clips) + 0.5) * SMALL.clip_seconds
        starts, ends = record.moments[:, :1], record.moments[:, 1:]
        inside = ((centre >= starts) & (centre < ends)).any(axis=0)
        assert (record.saliency[inside] >= 1).all() and (record.saliency <= 4).all()
        assert (record.saliency[~inside] == 0).all()
        means += list(record.saliency[inside].mean(axis=1))
    assert np.std(means) > 0.5


def test_what_is_rated_better_is_shown_more_strongly(annotations):
    process = planting.PROCESS._replace(scene=0.0, noise=0.0, distractor=0.0, jitter=0.0)
    vectors = grammar.word_vectors(SMALL.side)
    found = planting.plant_meanings("video", annotations, vectors, SMALL.clip_seconds, process)
    queries = {record.video_id: record for record in annotations.splits["train"]}
    for video, events, _, latent in list(found)[:10]:
        if video in queries and len(events) == 1:
            rated = queries[video].saliency.mean(axis=1)
            length = np.linalg.norm(latent, axis=1)
            shown = rated > 0
            assert (length[~shown] == 0).all()
            np.testing.assert_allclose(
                length[shown] / length[shown][0],
                (0.5 + rated[shown] / 4) / (0.5 + rated[shown][0] / 4),
            )


def test_patches_are_refused(tmp_path):
    with pytest.raises(ValueError, match="simulated_highlights has no patches"):
        embedded.build_simulated(tmp_path, embedded.HIGHLIGHTS, patches=True)
    with pytest.raises(FileNotFoundError, match="with 'simulated' and nothing else"):
        embedded.check_features(embedded.HIGHLIGHTS, "i3d")
