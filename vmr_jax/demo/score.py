"""How well the sentences of the demo's videos are found, beside what a yardstick finds."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vmr_jax.demo.linear import LinearSearch
from vmr_jax.demo.world import Event, Scene, plan_scene
from vmr_jax.metrics.baselines import fit_location_prior
from vmr_jax.metrics.retrieval import MOST, corpus_metrics
from vmr_jax.metrics.retrieval_baselines import (
    location_prior_corpus_metrics,
    random_corpus_metrics,
)
from vmr_jax.video_index.corpus import Corpus
from vmr_jax.video_index.found import Found
from vmr_jax.video_index.layout import Opened, open_layout
from vmr_jax.zero_shot.joint_space import JointSpace

TRAINING = 40  # worlds that the yardsticks learn from
METRICS = (
    "SVMR/R@1,IoU=0.5",
    "SVMR/R@1,IoU=0.7",
    "VCMR/R@1,IoU=0.5",
    "VCMR/R@10,IoU=0.5",
    "VR/R@1",
)


class Asked(NamedTuple):
    """A sentence of a test world, and what was found."""

    video: int
    event: Event
    duration: float  # of its video, seconds
    everywhere: list[Found]
    in_video: list[Found]  # where its own video is given


def ask(corpus: Corpus, scenes: Sequence[Scene]) -> list[Asked]:
    """Search each sentence of the scenes, in all videos and in its own."""
    asked = []
    for number, scene in enumerate(scenes):
        sentences = [event.sentence for event in scene.events]
        everywhere = corpus.search_all(sentences, MOST)
        in_video = corpus.search_all(sentences, MOST, videos=[scene.name])
        for event, *found in zip(scene.events, everywhere, in_video, strict=True):
            asked.append(Asked(number, event, scene.duration, *found))
    return asked


def score(asked: Sequence[Asked], index: Path, space: JointSpace) -> dict[str, dict[str, float]]:
    """METRICS in percent: of what was found ("vmr"), of `linear_match` and of blind baselines.

    SVMR is of all sentences, VCMR and VR of those that are true of one video only.
    """
    opened = open_layout(index)
    training = [plan_scene("train", place) for place in range(TRAINING)]
    ranked = {"vmr": _found(asked, opened), "linear_match": _match(asked, opened, space, training)}
    learnt = [(event[1:], scene.duration) for scene in training for event in scene.events]
    moments, durations = zip(*learnt, strict=True)
    prior = fit_location_prior([np.array([moment]) for moment in moments], durations, 1)
    all_of_them = _figures(asked, range(len(asked)), ranked, prior, len(opened.videos))
    single = _figures(asked, single_video(asked), ranked, prior, len(opened.videos))
    return {
        name: {
            metric: (all_of_them if metric.startswith("SVMR") else single)[name][metric]
            for metric in METRICS
        }
        for name in (*ranked, "location_prior", "random")
    }


def single_video(asked: Sequence[Asked]) -> list[int]:
    """The places of the sentences that are true of one video only, in either order of a meeting."""
    said = [frozenset(one.event.sentence.split(" meets ")) for one in asked]
    videos = {words: set() for words in said}
    for one, words in zip(asked, said, strict=True):
        videos[words].add(one.video)
    return [place for place, words in enumerate(said) if len(videos[words]) == 1]


class _Ranked(NamedTuple):
    """Rows (K, 4) of video, start s, end s, score for each sentence, best first."""

    everywhere: list[np.ndarray]
    in_video: list[np.ndarray]


def _found(asked: Sequence[Asked], opened: Opened) -> _Ranked:
    """What the search found."""
    number = {video.id: place for place, video in enumerate(opened.videos)}

    def rows(found: Sequence[Found]) -> np.ndarray:
        cells = [(number[one.video], one.start_s, one.end_s, one.score) for one in found]
        return np.array(cells).reshape(-1, 4)

    return _Ranked([rows(one.everywhere) for one in asked], [rows(one.in_video) for one in asked])


def _match(
    asked: Sequence[Asked], opened: Opened, space: JointSpace, training: Sequence[Scene]
) -> _Ranked:
    """What the linear match finds."""
    linear = LinearSearch(training, space)
    clips = dict(enumerate(np.split(opened.rows, opened.begin[1:-1])))
    sentences = space.sentences([one.event.sentence for one in asked])
    in_video = [
        linear.search({one.video: clips[one.video]}, sentence[None])[0]
        for one, sentence in zip(asked, sentences, strict=True)
    ]
    return _Ranked(linear.search(clips, sentences), in_video)


def _figures(
    asked: Sequence[Asked],
    kept: Sequence[int],
    ranked: Mapping[str, _Ranked],
    prior: np.ndarray,
    videos: int,
) -> dict[str, dict[str, float]]:
    """The metrics of the sentences at these places, of what is ranked and of blind baselines."""
    truths = [np.array([asked[place].event[1:]]) for place in kept]
    durations = np.array([asked[place].duration for place in kept])
    found = {
        "location_prior": location_prior_corpus_metrics(prior, truths, durations, videos),
        "random": random_corpus_metrics(truths, durations, videos),
    }
    for name, lists in ranked.items():
        everywhere, in_video = ([rows[place] for place in kept] for rows in lists)
        tasks = {"VR": everywhere, "SVMR": in_video, "VCMR": everywhere}
        found[name] = corpus_metrics(tasks, [asked[place].video for place in kept], truths)
    return found
