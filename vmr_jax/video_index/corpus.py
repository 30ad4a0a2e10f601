"""Searching an index of video files."""

import math
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vmr_jax.input_files import read_json
from vmr_jax.speech.fusion import Fused
from vmr_jax.speech.modality import check_modality, rank_both, rank_spoken
from vmr_jax.speech.store import open_speech
from vmr_jax.speech.words import Spoken
from vmr_jax.video_index.apart import apart
from vmr_jax.video_index.engine import open_engine
from vmr_jax.video_index.found import Found
from vmr_jax.video_index.layout import RUN, IndexedVideo, Opened, open_layout, unit_rows
from vmr_jax.video_index.scan import VideoRanking
from vmr_jax.video_index.thumbnails import Thumbnails
from vmr_jax.zero_shot.asked import check_sentence, check_words
from vmr_jax.zero_shot.joint_space import Sentences, open_sentences
from vmr_jax.zero_shot.moments import GENERIC, best_span, between_frames, find_in_frames, smooth

if TYPE_CHECKING:
    from vmr_jax.video_index.trained import TrainedMoments

CALIBRATION = "calibration.json"
_FIRST = "nothing happens"  # of the words of every encoder
_SAMPLE = 2**13  # frames
_ROUNDING = 1e-5  # of a similarity
_VIDEOS = 100  # that are localised for a sentence
_MOMENTS = 5  # of a video
_CANDIDATES = 40  # from which these are taken


class Curve(NamedTuple):
    """How well each frame of a video fits a sentence."""

    times: np.ndarray  # (N,) seconds
    fit: np.ndarray  # (N,) above the generic prompts, in units of the video's deviation


class Corpus:
    """An index of video files that `vmr index VIDEOS --out INDEX` made.

    Attributes:
        videos: its videos, in the order of their ids.
    """

    def __init__(self, index: str | Path, sentences: Sentences | None = None, checkpoint: str = ""):
        """Open an index; the encoder of sentences and the run are opened with the first search.

        The run in `checkpoint` places the moments, else that of `vmr index --checkpoint`; "none":
        no run. Raises FileNotFoundError where there is no index, and ValueError for a damaged one.
        """
        self.index = Path(index)
        self._opened: Opened = open_layout(index)
        self.videos: tuple[IndexedVideo, ...] = self._opened.videos
        self._number = {video.id: number for number, video in enumerate(self.videos)}
        self._sentences, self._checkpoint = sentences, checkpoint
        self._thumbnails = Thumbnails(self.index)
        self._curve = _read_curve(self.index / CALIBRATION)

    @property
    def knows_speech(self) -> bool:
        """Whether anything that is said in the videos can be searched."""
        return self._spoken is not None

    def check(self, sentence: str, modality: str = "both") -> None:
        """Raise ValueError for a sentence that cannot be asked, before an encoder is loaded."""
        check_sentence(sentence)
        if modality != "speech":
            check_words(self._opened.encoder, sentence)
            if self._run:
                self._run.check(sentence)

    def load(self) -> None:
        """Load and compile what a search needs. Raises as `search`."""
        vectors = self._vectors([_FIRST])
        self._seen(vectors[0], self._best_videos(vectors, None)[0], 1)
        self._run  # noqa: B018  # is opened where it is first read

    def search(
        self,
        sentence: str,
        top_k: int = 5,
        videos: Sequence[str] | None = None,
        modality: str = "both",
    ) -> list[Found]:
        """Find the best moments of a sentence, best first, in all videos or in some.

        All frames are compared with the sentence. The 100 videos whose best frames fit best are
        searched for moments, at most 5 in each that share little. A video counts as the mean of its
        best moment, and its further moments come below it by how much weaker they are; `top_k` only
        cuts the list. A trained run replaces the borders, as `TrainedMoments.place` does, and
        changes no rank and no score.

        Where the index knows what is said, that is searched as well, and both are joined by
        `vmr_jax.speech.fusion`, whose scores they have; `modality` "video" or "speech" searches one
        alone.

        Raises:
            ValueError: the sentence has no words or too many; `top_k` is below 1; a video is not
                in the index; the weights are others than those of the index; for another
                modality, or "speech" where nothing is said; and as `open_run`.
            FileNotFoundError: weights or the run are not here; the message names what to do.
        """
        return self.search_all([sentence], top_k, videos, modality)[0]

    def search_all(
        self,
        sentences: Sequence[str],
        top_k: int = 5,
        videos: Sequence[str] | None = None,
        modality: str = "both",
    ) -> list[list[Found]]:
        """As `search`, of many sentences at once."""
        if top_k < 1:
            raise ValueError(f"top_k is {top_k}; expected 1 or more")
        check_modality(modality)
        wanted = None if videos is None else np.array([self._of(video) for video in videos], int)
        if modality == "speech":
            return [self._only_said(sentence, videos)[:top_k] for sentence in sentences]
        spoken, run = self._spoken if modality == "both" else None, self._run
        vectors, found = self._vectors(sentences), []
        for sentence, vector, numbers in zip(
            sentences, vectors, self._best_videos(vectors, wanted), strict=True
        ):
            moments = seen = self._seen(vector, numbers, None if spoken or run else top_k)
            if spoken:
                asked = sentence, vector, self._generic
                moments = self._named(rank_both(spoken, *asked, seen, videos), seen)
            if run:
                by_id = {self.videos[number].id: self.videos[number] for number in numbers}
                moments = run.place(moments, seen, by_id, sentence, top_k)
            found.append(moments[:top_k])
        return found

    def _best_videos(self, vectors: np.ndarray, wanted: np.ndarray | None) -> list[np.ndarray]:
        """The videos in which moments of each sentence are looked for."""
        if wanted is None:
            return self._ranking.best_videos(vectors, _VIDEOS)
        if len(wanted) <= _VIDEOS:
            return [wanted for _ in vectors]
        best = [[one.max() for one in self._similarities(wanted, vector)] for vector in vectors]
        return [wanted[np.argsort(-np.array(row), kind="stable")][:_VIDEOS] for row in best]

    def _seen(self, vector: np.ndarray, numbers: np.ndarray, top_k: int | None) -> list[Found]:
        """The moments of a sentence in some videos, best first; with `top_k` at least so many.

        The videos that may have the best ones come first, until no other one can have better ones.
        """
        own = self._similarities(numbers, vector)
        bounds = most_similar(own)
        spread = float((vector @ self._sample).std()) if own else 0.0
        found: list[Found] = []
        for place in np.argsort(-bounds, kind="stable"):
            worst = found[top_k - 1].score if top_k and len(found) >= top_k else -math.inf
            if worst >= bounds[place]:
                break
            found += self._moments(int(numbers[place]), own[place], spread, worst)
            if top_k:
                found.sort(key=lambda moment: -moment.score)
        return sorted(found, key=lambda moment: -moment.score)

    def _only_said(self, sentence: str, videos: Sequence[str] | None) -> list[Found]:
        """The moments in which a sentence is said, best first."""
        check_sentence(sentence)
        if self._spoken is None:
            raise ValueError(
                f"{self.index} knows nothing that is said: index again with subtitle files beside "
                "the videos, with --subtitles DIR or with --speech MODEL"
            )
        vector = self._vectors([sentence])[0] if self._spoken.has_meaning else None
        found = rank_spoken(self._spoken, sentence, vector, self._generic, videos=videos)
        return self._named(found)

    def _named(self, found: Sequence[Fused], seen: Sequence[Found] = ()) -> list[Found]:
        """Moments of videos that are in the index, with their files; those `seen` as likely."""
        likely = {(one.video, one.start_s, one.end_s): one.probability for one in seen}
        return [
            Found(
                one.video,
                self.videos[self._number[one.video]].path,
                *one[1:4],
                likely.get(one[:3]),
                "+".join(one.found_by),
            )
            for one in found
            if one.video in self._number
        ]

    @cached_property
    def _run(self) -> "TrainedMoments | None":
        """What places the moments that are seen, if not the frames' similarities."""
        if not (self._checkpoint or (self.index / RUN).exists()):
            return None
        from vmr_jax.video_index.trained import open_run  # training's imports take seconds

        return open_run(self.index, self._opened, self._checkpoint)

    @property
    def found_by_run(self) -> str:
        """The fingerprint of the run that places moments, "" without one."""
        return self._run.fingerprint if self._run else ""

    @cached_property
    def _spoken(self) -> Spoken | None:
        """What is said in the videos, open for search."""
        return open_speech(self.index)

    @cached_property
    def _generic(self) -> np.ndarray | None:
        """Neutral sentences (P, width) to compare what is said with; None if only words count."""
        if not (self._spoken and self._spoken.has_meaning):
            return None
        return self._vectors(GENERIC)

    def curve(self, video: str, sentence: str) -> Curve:
        """How well each frame of a video fits a sentence. Raises as `search`."""
        number = self._of(video)
        similarity = self._similarity(number, self._vectors([sentence])[0])
        return Curve(self._times(number), self._excess(number, similarity))

    def thumbnail(self, video: str, seconds: float) -> bytes:
        """A JPEG of a video's frame at these seconds, at most 160 pixels wide.

        It is read from the video's file, and kept in the index, 64 MB of such at most. Raises
        FileNotFoundError where it is not kept and the file is gone, and ValueError where the file
        cannot be read.
        """
        found = self.videos[self._of(video)]
        return self._thumbnails.at(found.path, found.sha256, seconds)

    def _vectors(self, sentences: Sequence[str]) -> np.ndarray:
        """Sentences (S, width) in the joint space, of length 1."""
        for sentence in sentences:
            check_sentence(sentence)
        if self._sentences is None:
            self._sentences = open_sentences(self._opened.encoder, self._opened.weights)
        if self._sentences.weights != self._opened.weights_sha256:
            raise ValueError(
                f"{self.index} was made with other weights of {self._opened.encoder} than those "
                "that are here: index again, into another --out"
            )
        return unit_rows(np.asarray(self._sentences.encode(sentences), np.float32))

    @cached_property
    def _ranking(self) -> VideoRanking:
        """What tells the videos to look into; an engine that is not the index's is an error."""
        return open_engine(self.index)

    @cached_property
    def _sample(self) -> np.ndarray:
        """Frames of all videos as columns, which tell how far similarities spread."""
        step = max(1, len(self._opened.rows) // _SAMPLE)
        return np.ascontiguousarray(self._opened.rows[::step].T, np.float32)

    def _moments(
        self, number: int, similarity: np.ndarray, spread: float, worst: float
    ) -> list[Found]:
        """The moments of a video with their scores among all, whose similarities have a spread.

        None where the best one is not better than `worst`.
        """
        video, excess = self.videos[number], self._excess(number, similarity)
        begin, end, highest = best_span(smooth(excess))
        fit = float(similarity[begin:end].mean())
        if fit <= worst:
            return []
        borders = between_frames(self._times(number), video.duration)
        moments = apart(find_in_frames(excess, borders, _CANDIDATES))[:_MOMENTS]
        weaker = [1 - one.score / highest if highest else 0.0 for one in moments]
        scores = [fit - spread * by for by in weaker]
        return [
            Found(video.id, video.path, *moment[:2], score, self._probability(score))
            for moment, score in zip(moments, scores, strict=True)
        ]

    def _probability(self, score: float) -> float | None:
        if self._curve is None or self._curve.run != self.found_by_run:
            return None
        slope, offset, _ = self._curve
        return (1 + math.tanh((slope * score + offset) / 2)) / 2

    def _excess(self, number: int, similarity: np.ndarray) -> np.ndarray:
        """As `vmr_jax.zero_shot.moments.normalise`, from what the index knows of the video."""
        video = self.videos[number]
        varies = video.generic_spread > 1e-9 * abs(video.generic_mean)
        return (similarity.astype(np.float64) - video.generic_mean) / (
            video.generic_spread if varies else 1.0
        )

    def _similarity(self, number: int, vector: np.ndarray) -> np.ndarray:
        """The cosines (N,) of a video's frames with a sentence (width,)."""
        return self._similarities(np.array([number]), vector)[0]

    def _similarities(self, numbers: np.ndarray, vector: np.ndarray) -> list[np.ndarray]:
        """`_similarity` of several videos."""
        if not len(numbers):
            return []
        begin, rows = self._opened.begin, self._opened.rows
        frames = np.concatenate([rows[begin[one] : begin[one + 1]] for one in numbers])
        lengths = begin[numbers + 1] - begin[numbers]
        of_videos = np.split(frames.astype(np.float32), np.cumsum(lengths)[:-1])
        return [own @ vector for own in of_videos]  # the same bits whatever other videos there are

    def _times(self, number: int) -> np.ndarray:
        begin = self._opened.begin
        return np.asarray(self._opened.times[begin[number] : begin[number + 1]], np.float64)

    def _of(self, video: str) -> int:
        if video not in self._number:
            raise ValueError(f"no video {video!r} in {self.index}")
        return self._number[video]


def most_similar(similarities: Sequence[np.ndarray]) -> np.ndarray:
    """What the mean similarity of a moment in each of V videos, of their frames', cannot exceed.

    A span of two or more frames is made of pairs and triples, of which one is as high as its mean.
    """
    bounds = []
    for own in similarities:
        pairs = own[1:] + own[:-1]
        triples = (pairs[1:] + own[:-2]) / 3
        highest = max(pairs.max() / 2, triples.max(initial=-np.inf)) if len(pairs) else own[0]
        bounds.append(float(highest) + _ROUNDING)
    return np.array(bounds)


class _Learnt(NamedTuple):
    """The curve of a probability, and the fingerprint of the run whose moments it is of."""

    slope: float
    offset: float
    run: str


def _read_curve(path: Path) -> _Learnt | None:
    """What `vmr calibrate` learnt, or None."""
    if not path.exists():
        return None
    found = read_json(path, "delete it, or run `vmr calibrate` again", "slope", "offset")
    return _Learnt(float(found["slope"]), float(found["offset"]), found.get("run", ""))
