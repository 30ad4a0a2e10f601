"""Clip features planted into annotations: simulated videos that show what their queries say.

The process. v_w is the vector of a word w (E numbers), K = `meaning_dim`, F the features' width;
unit(x) = x / |x|.

    word        u_w = unit(P (v_w - v)), 0 for a word without a vector;  P (K, E) ~ N(0, 1), one
                for all datasets;  v is the mean vector of the dataset's vocabulary
    sentence    m_q = unit(sum over its words of a / (a + p_w) u_w);  p_w is the word's share of
                the words of all different sentences (smooth inverse frequency: Arora et al.,
                ICLR 2017)
    event e     a meaning m_e, an interval, a strength b_e ~ U(1 - r, 1 + r);
                c_e(i) is the share of clip i that the interval covers
    noise       n_i = rho n_(i-1) + sqrt(1 - rho^2) N(0, I / K)
    scene       g ~ N(0, I / K), one a video
    clip i      z_i = sum_e b_e c_e(i) m_e + sigma_scene g + sigma_noise n_i   (K numbers)
    feature     x_i = tanh(A G z_i + h);  A (F, K) ~ N(0, gain^2), one for all datasets
    domain      G (K, K) and h ~ N(0, sigma_offset^2) (F) are drawn from the dataset's name:
                G = cos(theta) I + sin(theta) Q J Q', Q random orthogonal, J a quarter turn in
                K / 2 planes. So tr(G_1' G_2) / K is about cos(theta)^2: two datasets share the
                space of meanings, and each sees it turned in its own way.

A query's event spans its annotated moment with both ends moved by N(0, (jitter * length)^2), as
people do not agree on boundaries. With several moments c_e is the sum of their shares, divided by
the largest such sum where that is above 1. Where annotators rated the clips, c_e(i) is multiplied
by 0.5 + r_i, r_i being the mean rating of clip i as a share of the highest, 4. A query without
labels plants nothing. What no event covers is cut into pieces as long as the dataset's own moments,
and a piece is either empty or a
distractor: a sentence of the dataset that means something else than the video's queries (cosine
below `similar`). Half of the distractors share a word with one of them: the same verb, another
object.

Every draw comes from PCG64 seeded by the names of the dataset and the video, in float64, and the
result is rounded to float16: it depends neither on the machine nor on the order of the videos.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from vmr_jax.data.datasets.records import Annotations, MomentRecord
from vmr_jax.data.text.vocabulary import tokenize


class Process(NamedTuple):
    """The constants of the process; see the module's equations."""

    meaning_dim: int = 64  # K
    frequency: float = 0.001  # a
    strength: float = 0.3  # r
    scene: float = 1.0  # sigma_scene
    noise: float = 0.7  # sigma_noise
    correlation: float = 0.7  # rho
    gain: float = 0.3
    offset: float = 0.3  # sigma_offset
    angle: float = 60.0  # theta, degrees
    jitter: float = 0.1
    distractor: float = 0.6  # share of the pieces that are distractors
    overlap: float = 0.5  # share of the distractors that share a word with a query
    similar: float = 0.8


PROCESS = Process()


def generator(*keys: object) -> np.random.Generator:
    """A random stream that only these keys determine."""
    digest = hashlib.sha256("\n".join(map(str, keys)).encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "little")))


class Sentences(NamedTuple):
    """A dataset's Q sentences as meanings, with an index of the words that they share."""

    row: dict[str, int]  # sentence -> row
    words: list[list[str]]  # Q lists of words with a meaning
    weight: dict[str, float]  # word -> a / (a + p_w)
    of_word: dict[str, np.ndarray]  # word -> u_w (K,)
    meaning: np.ndarray  # (Q, K) float64, unit rows; zero where no word has a vector
    containing: dict[str, np.ndarray]  # word -> rows


def unit(x: np.ndarray) -> np.ndarray:
    """Rows of length 1; zero rows stay zero."""
    norm = np.linalg.norm(x, axis=-1, keepdims=True)
    return np.divide(x, norm, out=np.zeros_like(x), where=norm > 0)


def read_sentences(
    sentences: Iterable[str], vectors: Mapping[str, np.ndarray], process: Process
) -> Sentences:
    """Give every sentence the meaning of those of its words that have a vector (E,)."""
    tokens = {sentence: tokenize(sentence) for sentence in sentences}
    counts = Counter(word for words in tokens.values() for word in words)
    total = sum(counts.values())
    vocabulary = [word for word in counts if word in vectors]
    raw = np.stack([vectors[word] for word in vocabulary]).astype(np.float64)
    shape = process.meaning_dim, raw.shape[1]
    projection = generator("projection", *shape).standard_normal(shape)
    meanings = dict(zip(vocabulary, unit((raw - raw.mean(axis=0)) @ projection.T), strict=True))
    a = process.frequency
    weight = {word: a / (a + counts[word] / total) for word in vocabulary}
    known = [[w for w in words if w in weight] for words in tokens.values()]
    zero = np.zeros(process.meaning_dim)
    sums = [sum((weight[w] * meanings[w] for w in words), zero) for words in known]
    containing = {}
    for row, words in enumerate(known):
        for word in set(words):
            containing.setdefault(word, []).append(row)
    return Sentences(
        {text: row for row, text in enumerate(tokens)},
        known,
        weight,
        meanings,
        unit(np.stack(sums)),
        {word: np.array(rows) for word, rows in containing.items()},
    )


def turn(draw: np.random.Generator, k: int, degrees: float) -> np.ndarray:
    """A rotation (K, K) by an angle in K / 2 random planes."""
    basis, triangle = np.linalg.qr(draw.standard_normal((k, k)))
    basis *= np.sign(np.diag(triangle))  # LAPACK leaves the signs open
    quarter = np.kron(np.eye(k // 2), np.array([[0.0, -1.0], [1.0, 0.0]]))
    theta = np.deg2rad(degrees)
    return np.cos(theta) * np.eye(k) + np.sin(theta) * basis @ quarter @ basis.T


class Appearance(NamedTuple):
    """How a dataset's videos show a meaning."""

    matrix: np.ndarray  # (F, K) A G
    offset: np.ndarray  # (F,) h


def draw_appearance(name: str, width: int, process: Process) -> Appearance:
    """The transform of the dataset `name` to features of the given width F."""
    k = process.meaning_dim
    shared = process.gain * generator("features", k, width).standard_normal((width, k))
    draw = generator("appearance", name, k, width)
    rotation = turn(draw, k, process.angle)
    return Appearance(shared @ rotation, process.offset * draw.standard_normal(width))


def coverage(moments: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """How far the moments (A, 2) cover each clip, (N,) in [0, 1]; `edges` (N + 1,) in seconds."""
    start = np.maximum(moments[:, :1], edges[:-1])
    end = np.minimum(moments[:, 1:], edges[1:])
    covered = (np.maximum(end - start, 0) / np.diff(edges)).sum(axis=0)
    return covered / max(1.0, covered.max())


def free_intervals(moments: np.ndarray, duration: float) -> list[tuple[float, float]]:
    """The parts of [0, duration] that none of the moments (n, 2) covers."""
    free, now = [], 0.0
    for start, end in moments[np.argsort(moments[:, 0], kind="stable")]:
        if start > now:
            free.append((now, float(start)))
        now = max(now, float(end))
    return [*free, (now, duration)] if now < duration else free


def draw_distractor(
    sentences: Sentences, own: list[int], draw: np.random.Generator, process: Process
) -> np.ndarray | None:
    """The meaning (K,) of a sentence that is not one of a video's `own`; None if none was found."""
    spoken = [row for row in own if sentences.words[row]]
    for _ in range(8):
        row = int(draw.integers(len(sentences.words)))
        if spoken and draw.random() < process.overlap:
            words = sentences.words[spoken[draw.integers(len(spoken))]]
            weights = np.array([sentences.weight[word] for word in words])
            word = words[draw.choice(len(words), p=weights / weights.sum())]
            row = int(draw.choice(sentences.containing[word]))
        meaning = sentences.meaning[row]
        if meaning.any() and (sentences.meaning[own] @ meaning).max(initial=-1) < process.similar:
            return meaning
    return None


class Event(NamedTuple):
    """A meaning that a video carries for a while."""

    meaning: np.ndarray  # (K,)
    moments: np.ndarray  # (A, 2) seconds
    ratings: np.ndarray | None = None  # (C, A) from 0 to 4, of C equal clips of the video


def draw_events(
    queries: list[MomentRecord],
    duration: float,
    num_clips: int,
    sentences: Sentences,
    lengths: np.ndarray,
    draw: np.random.Generator,
    process: Process,
) -> list[Event]:
    """The events of a video: its queries', then the distractors between them.

    `lengths` are seconds of the dataset's moments; a rest shorter than a clip is empty.
    """
    own = [sentences.row[query.sentence] for query in queries]
    events = []
    for row, query in zip(own, queries, strict=True):
        moments = query.moments[query.moments[:, 1] > query.moments[:, 0]].astype(np.float64)
        if len(moments):
            spread = process.jitter * np.diff(moments, axis=1)
            moments = np.sort(moments + spread * draw.standard_normal(moments.shape), axis=1)
            events.append(
                Event(sentences.meaning[row], np.clip(moments, 0, duration), query.saliency)
            )
    taken = np.concatenate([e.moments for e in events]) if events else np.zeros((0, 2))
    for start, end in free_intervals(taken, duration):
        now = start + draw.random() * min(float(draw.choice(lengths)), end - start)
        while end - now > duration / num_clips:
            stop = min(now + float(draw.choice(lengths)), end)
            if draw.random() < process.distractor:
                meaning = draw_distractor(sentences, own, draw, process)
                if meaning is not None:
                    events.append(Event(meaning, np.array([[now, stop]])))
            now = stop
    return events


def draw_background(num_clips: int, draw: np.random.Generator, process: Process) -> np.ndarray:
    """A video's scene and the noise of its clips, sigma_scene g + sigma_noise n_i: (N, K)."""
    k = process.meaning_dim
    noise = draw.standard_normal((num_clips, k)) / np.sqrt(k)
    fresh = np.sqrt(1 - process.correlation**2)
    for i in range(1, num_clips):
        noise[i] = process.correlation * noise[i - 1] + fresh * noise[i]
    return process.noise * noise + process.scene * draw.standard_normal(k) / np.sqrt(k)


def plant_events(
    events: list[Event], edges: np.ndarray, draw: np.random.Generator, process: Process
) -> np.ndarray:
    """The latent clips z (N, K) of a video with these events; clip edges (N + 1,) in seconds."""
    num_clips = len(edges) - 1
    z = draw_background(num_clips, draw, process)
    for event in events:
        strength = draw.uniform(1 - process.strength, 1 + process.strength)
        covered = coverage(event.moments, edges)
        if event.ratings is not None:
            place = ((np.arange(num_clips) + 0.5) / num_clips * len(event.ratings)).astype(int)
            covered = covered * (0.5 + event.ratings.mean(axis=1)[place] / 4)
        z = z + strength * covered[:, None] * event.meaning
    return z


class Script(NamedTuple):
    """What is planted into a dataset's videos."""

    sentences: Sentences
    queries: dict[str, list[MomentRecord]]  # video -> those that are about it
    lengths: np.ndarray  # seconds of all moments


def read_script(
    annotations: Annotations, vectors: Mapping[str, np.ndarray], process: Process
) -> Script:
    """Gather a dataset's queries by video. Raises ValueError when no query has a moment."""
    records = [record for split in annotations.splits.values() for record in split]
    sentences = read_sentences((record.sentence for record in records), vectors, process)
    queries = {video: [] for video in annotations.durations}
    for record in records:
        if record.video_id:  # else the split hides which video it is
            queries[record.video_id].append(record)
    lengths = np.concatenate([np.diff(record.moments, axis=1).ravel() for record in records])
    lengths = lengths[lengths > 0]
    if not len(lengths):
        raise ValueError(f"no query of {annotations.name} has a moment: there is nothing to plant")
    return Script(sentences, queries, lengths)


def plant_meanings(
    stream: str,
    annotations: Annotations,
    vectors: Mapping[str, np.ndarray],
    clip_seconds: float,
    process: Process,
) -> Iterator[tuple[str, list[Event], np.ndarray, np.ndarray]]:
    """Yield each video's id, events, edges (N + 1,) of clips in seconds, and latent clips (N, K).

    `stream` names what is drawn. Raises ValueError when no query has a moment.
    """
    sentences, queries, lengths = read_script(annotations, vectors, process)
    for video, duration in annotations.durations.items():
        num_clips = max(1, round(duration / clip_seconds))
        draw = generator(stream, annotations.name, video)
        size = duration, num_clips
        events = draw_events(queries[video], *size, sentences, lengths, draw, process)
        edges = np.linspace(0, duration, num_clips + 1)
        yield video, events, edges, plant_events(events, edges, draw, process)


def plant(
    annotations: Annotations,
    vectors: Mapping[str, np.ndarray],
    width: int,
    clip_seconds: float,
    process: Process = PROCESS,
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield each video's id and features (N, width) float16, N = duration / clip_seconds rounded.

    `vectors` maps a word to its vector (E,); at least one of the sentences' words has one. Raises
    ValueError when no query has a moment.
    """
    appearance = draw_appearance(annotations.name, width, process)
    for video, _, _, z in plant_meanings("video", annotations, vectors, clip_seconds, process):
        # einsum: products this small lose more to BLAS's threads than they gain
        shown = np.tanh(np.einsum("nk,fk->nf", z, appearance.matrix) + appearance.offset)
        yield video, shown.astype(np.float16)
