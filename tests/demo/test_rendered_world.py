"""The rendered world: the same each time, and its sentences are true of its pixels."""

import json

import numpy as np
import pytest

from vmr_jax.demo.render import LABELS, render
from vmr_jax.demo.world import RATE, SIZE, draw_frame, frame_times, plan_scene
from vmr_jax.encoders.demo_words import COLOURS, DIRECTIONS, word_ids
from vmr_jax.video.decode import read_info, sample_frames
from vmr_jax.video.sampling import Sampling

SCENES = [plan_scene("test", number) for number in range(12)]
EVENTS = [(scene, event) for scene in SCENES for event in scene.events]


def track(scene, name):
    (found,) = (track for track in scene.tracks if track.name == name)
    return found


def shows(scene, name, seconds):
    """Whether the frame has the thing's colour where it is then."""
    thing = track(scene, name)
    x, y, _ = thing.at(seconds)
    pixel = draw_frame(scene, seconds)[int(y), int(x)].astype(int)
    return np.abs(pixel - COLOURS[thing.colour]).max() < 10


def of(verb):
    found = [(scene, event) for scene, event in EVENTS if f" {verb}" in event.sentence]
    assert len(found) > 3
    return found


def test_the_same_world_each_time():
    for number, scene in enumerate(SCENES[:3]):
        again = plan_scene("test", number)
        assert again.events == scene.events
        np.testing.assert_array_equal(draw_frame(again, 3.0), draw_frame(scene, 3.0))
    splits = [plan_scene(split, 0) for split in ("train", "val", "test")]
    assert len({scene.events for scene in splits}) == 3


def test_sentences_and_moments_are_well_formed():
    for scene in SCENES:
        assert 10 <= scene.duration <= 30 and scene.duration * RATE % 1 == 0
        assert 1 <= len(scene.tracks) <= 4
        sentences = [event.sentence for event in scene.events]
        assert len(set(sentences)) == len(sentences) > 1
        times = [second for event in scene.events for second in event[1:]]
        assert times == sorted(times) and times[0] > 0 and times[-1] < scene.duration
        for sentence in sentences:
            assert word_ids(sentence).any()


def test_a_thing_appears_in_its_moment():
    for scene, event in of("appears"):
        name = event.sentence[2 : -len(" appears")]
        assert not shows(scene, name, event.start)
        assert shows(scene, name, (event.start + event.end) / 2)
        assert shows(scene, name, event.end)


def test_a_thing_vanishes_in_its_moment():
    for scene, event in of("vanishes"):
        name = event.sentence[4 : -len(" vanishes")]
        assert shows(scene, name, event.start)
        assert shows(scene, name, (event.start + event.end) / 2)
        assert not shows(scene, name, event.end)


def test_a_thing_moves_where_it_is_said():
    for scene, event in of("moves"):
        name, _, direction = event.sentence[4:].partition(" moves to the ")
        begin, end = (np.array(track(scene, name).at(t)[:2]) for t in (event.start, event.end))
        way = (end - begin) @ DIRECTIONS[direction]
        assert way >= 64 and np.abs(end - begin).sum() == way
        assert shows(scene, name, event.start) and shows(scene, name, event.end)
        resting = [track(scene, name).at(t)[:2] for t in (event.start - 0.5, event.end + 0.5)]
        assert resting == [tuple(begin), tuple(end)]


def test_things_touch_while_they_meet_and_only_then():
    for scene, event in of("meets"):
        names = event.sentence[4:].split(" meets the ")

        def gap(seconds, scene=scene, names=names):
            (ax, ay, a), (bx, by, b) = (track(scene, name).at(seconds) for name in names)
            return np.hypot(ax - bx, ay - by) - a - b

        for share in (0, 0.5, 1):
            assert gap(event.start + share * (event.end - event.start)) == pytest.approx(0)
        assert gap(event.start - 0.25) > 1 and gap(event.end + 0.25) > 1


def test_videos_are_written_once_and_read_again(tmp_path):
    scene = SCENES[0]
    (path,) = render([scene], tmp_path)
    info = read_info(path)
    assert (info.duration, info.rate, info.width, info.height) == (scene.duration, RATE, SIZE, SIZE)
    frame = next(sample_frames(path, Sampling(times=(2.0,))))
    drawn = draw_frame(scene, 2.0)
    assert frame.time == 2.0 and np.abs(frame.image.astype(int) - drawn).mean() < 8
    lines = [json.loads(line) for line in (tmp_path / LABELS).read_text().splitlines()]
    assert [line["relevant_windows"][0] for line in lines] == [list(e[1:]) for e in scene.events]
    written = path.read_bytes(), path.stat().st_mtime_ns
    render([scene], tmp_path)
    assert path.stat().st_mtime_ns == written[1]
    (tmp_path / LABELS).write_text("of another world\n")
    render([scene], tmp_path)
    assert path.read_bytes() == written[0] and path.stat().st_mtime_ns > written[1]


def test_a_video_has_all_its_frames():
    assert frame_times(SCENES[0])[-1] == SCENES[0].duration - 1 / RATE
