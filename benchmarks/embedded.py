"""The conditions that the embedded worlds were made for, by what needs no network.

    python -m benchmarks.embedded

R@1,IoU=0.5 of the test split in percent, by the kind of a query's rival. `oracle` knows the clips
before a camera shows them, noise included, the meanings of the video's events, and what a
sentence's relation says: at least 95. `one clause` reads a sentence to its relation only.
`linear_match` is the ridge of the reports, with this world's boundaries: at most half of what a
system with the same labels reaches. `from the source` is the same ridge, fitted on the other world.
location_prior: at most 20.

Of the corpus VR R@1 among the videos of the test split, and R@1,IoU=0.5 in the true video (SVMR),
by what a query is about: shown (v), said (t), both (vt). `oracle` compares the clips of all windows
with the meanings of a query's events. `linear_match` is the ridge with both modalities beside each
other.
"""

import argparse
from collections.abc import Callable, Sequence

import numpy as np

from benchmarks.report import show
from vmr_jax.metrics import linear_match as ridge
from vmr_jax.metrics.baselines import fit_location_prior, location_prior_predictions
from vmr_jax.metrics.moments import query_metrics
from vmr_jax.simulation import grammar
from vmr_jax.simulation import planting_corpus as spoken
from vmr_jax.simulation.embedded import SUBTITLE_WIDTH, WIDTH
from vmr_jax.simulation.grammar_events import KINDS, LEXICON, PAUSES, SOURCE, TARGET, Asked, Event
from vmr_jax.simulation.grammar_spoken import CORPUS
from vmr_jax.simulation.grammar_spoken import LEXICON as LEXICON_OF_CORPUS
from vmr_jax.simulation.planting_corpus import film_corpus
from vmr_jax.simulation.planting_events import Filmed, Meanings, film

METRIC = "R@1,IoU=0.5"
_HALF = 0.5  # of an event's mean strength


def main() -> None:
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    _show_pair()
    _show_corpus()


def _show_pair() -> None:
    """The domains of the pair, with what is learnt on each for the other."""
    films = {world.name: list(film(world, WIDTH)) for world in (SOURCE, TARGET)}
    for world, other in ((TARGET, SOURCE), (SOURCE, TARGET)):
        own, table = films[world.name], []
        asked = [
            (filmed, q) for filmed in own if filmed.split == "test" for q in filmed.scene.queries
        ]
        lengths, every = _lengths(own, ridge.QUANTILES), _lengths(own, np.linspace(0, 1, 21))
        finders = {
            "oracle": _oracle(world, every, relation=True),
            "one clause": _oracle(world, every, relation=False),
            "linear_match": _linear(own, world, world, lengths),
            "from the source": _linear(films[other.name], other, world, lengths),
            "location_prior": _prior(own),
        }
        for name, find in finders.items():
            found = [find(filmed, query) for filmed, query in asked]
            table.append({"by": name} | _by_kind(asked, found))
        show(f"{world.name} / test, {METRIC}, {len(asked)} queries", table)


def _show_corpus() -> None:
    """The corpus, whose oracle and ridge rank windows of all videos."""
    films = list(film_corpus(CORPUS, WIDTH, SUBTITLE_WIDTH))
    test = [filmed for filmed in films if filmed.split == "test"]
    asked = [(row, query) for row, filmed in enumerate(test) for query in filmed.film.queries]
    finders = {"oracle": _corpus_oracle(test), "linear_match": _corpus_linear(films)}
    table = []
    for name, find in finders.items():
        ranked, found = [], []
        for row, query in asked:
            scores, moment = find(test, row, query)
            ranked.append(scores.argmax() == row)
            found.append(np.append(moment, 1.0)[None])
        hit = query_metrics(found, [query.moment[None] for _, query in asked])[METRIC]
        for metric, values in (("VR R@1", np.array(ranked)), (f"SVMR {METRIC}", hit)):
            line = {"by": name, "metric": metric, "all": float(100 * values.mean())}
            for modality in ("v", "t", "vt"):
                own = np.array([query.modality == modality for _, query in asked])
                line[modality] = float(100 * values[own].mean())
            table.append(line)
    show(f"{CORPUS.name} / test, {len(asked)} queries, {len(test)} videos", table)


def _corpus_lengths(films: list[spoken.Filmed], quantiles: Sequence[float]) -> np.ndarray:
    """The lengths of windows in seconds: quantiles of the moments'."""
    moments = np.stack([query.moment for filmed in films for query in filmed.film.queries])
    return np.quantile(moments[:, 1] - moments[:, 0], quantiles)


def _corpus_windows(filmed: spoken.Filmed, lengths: np.ndarray) -> tuple[np.ndarray, float]:
    """All windows (W, 2) in clips, and the seconds of a clip."""
    number = len(filmed.features)
    clip = filmed.film.shown.duration / number
    return ridge.windows(number, np.round(lengths / clip)), clip


def _corpus_oracle(test: list[spoken.Filmed]):
    """Videos by the window whose mean clip is nearest to the events; moments as of the pair."""
    meanings = Meanings(CORPUS.side, lexicon=LEXICON_OF_CORPUS)
    lengths = _corpus_lengths(test, np.linspace(0, 1, 21))
    seen = []
    for filmed in test:
        spans, clip = _corpus_windows(filmed, lengths)
        means = [ridge.window_means(latent, spans) for latent in (filmed.shown, filmed.said)]
        seen.append((spans, clip, means))

    def find(test, row, query):
        film = test[row].film
        wanted = [
            (side, meanings.of_event(scene.events[place]))
            for side, (scene, place) in enumerate(
                zip((film.shown, film.said), query.places, strict=True)
            )
            if place is not None
        ]
        scores = [
            -sum(np.square(means[side] - meaning).sum(axis=1) for side, meaning in wanted).min()
            for _, _, means in seen
        ]
        spans, clip, _ = seen[row]
        latents = test[row].shown, test[row].said
        carried = np.min([latents[side] @ meaning - _HALF for side, meaning in wanted], axis=0)
        best = spans[
            (
                ridge.window_means(carried[:, None], spans)[:, 0] * (spans[:, 1] - spans[:, 0])
            ).argmax()
        ]
        return np.array(scores), best * clip

    return find


def _corpus_linear(films: list[spoken.Filmed]):
    """The ridge of linear_match, features and subtitles beside each other."""
    vectors = grammar.word_vectors(CORPUS.side, LEXICON_OF_CORPUS)
    train = [filmed for filmed in films if filmed.split == "train"]
    lengths = _corpus_lengths(train, ridge.QUANTILES)

    def rows(filmed):
        return np.concatenate([filmed.features, filmed.subtitles], axis=1).astype(np.float64)

    def vector(query):
        return np.mean([vectors[word] for word in query.words], axis=0)

    every = np.sqrt(np.concatenate([rows(filmed) for filmed in train]))
    scale = ridge.make_scale(every.mean(axis=0), every.std(axis=0), root=True)
    clips, queries = [], []
    for filmed in train:
        seconds = filmed.film.shown.duration / len(filmed.features)
        scaled = scale(rows(filmed))
        for query in filmed.film.queries:
            first, last = np.round(query.moment / seconds).astype(int)
            clips.append(scaled[first : max(last, first + 1)].mean(axis=0))
            queries.append(vector(query))
    fitted = ridge.fit(scale, np.stack(clips), np.stack(queries))
    mapped = {}
    for row, filmed in enumerate(filmed for filmed in films if filmed.split == "test"):
        spans, clip = _corpus_windows(filmed, lengths)
        means = ridge.unit(ridge.window_means(fitted.map_clips(rows(filmed)), spans))
        mapped[row] = spans, clip, means

    def find(test, row, query):
        asked = fitted.queries(vector(query))
        scores = np.array([(mapped[other][2] @ asked).max() for other in range(len(test))])
        spans, clip, means = mapped[row]
        return scores, spans[(means @ asked).argmax()] * clip

    return find


def _by_kind(asked: list[tuple[Filmed, Asked]], found: list[np.ndarray]) -> dict[str, float]:
    """The metric over all queries and over those of each kind."""
    truth = [filmed.scene.moments[query.place][None] for filmed, query in asked]
    hit = 100 * query_metrics([np.append(m, 1.0)[None] for m in found], truth)[METRIC]
    kinds = np.array([query.kind for _, query in asked])
    return {"all": float(hit.mean())} | {k: float(hit[kinds == k].mean()) for k in KINDS}


def _lengths(films: list[Filmed], quantiles: Sequence[float]) -> np.ndarray:
    """The lengths of windows in seconds: quantiles of the training moments'."""
    moments = np.concatenate([f.scene.moments for f in films if f.split == "train"])
    return np.quantile(moments[:, 1] - moments[:, 0], quantiles)


def _windows(filmed: Filmed, lengths: np.ndarray) -> tuple[np.ndarray, float]:
    """All windows (W, 2) in clips, and the seconds of a clip."""
    number = len(filmed.latent)
    clip = filmed.scene.duration / number
    return ridge.windows(number, np.round(lengths / clip)), clip


def _oracle(
    world: grammar.World, lengths: np.ndarray, *, relation: bool
) -> Callable[[Filmed, Asked], np.ndarray]:
    """The span whose clips carry the event by more than half of its strength, summed."""
    meaning = Meanings(world.side).of_event

    def find(filmed: Filmed, query: Asked) -> np.ndarray:
        spans, clip = _windows(filmed, lengths)
        number = spans[:, 1] - spans[:, 0]
        events = filmed.scene.events
        event = events[query.place]

        distinct = list(dict.fromkeys(events))
        parts = filmed.latent @ np.linalg.pinv(np.stack([meaning(e) for e in distinct]))

        def carried(event: Event) -> np.ndarray:
            above = parts[:, [distinct.index(event)]] - _HALF
            return ridge.window_means(above, spans)[:, 0] * number

        score = carried(event)
        says = query.words[len(event.words) :]
        if relation and says[:1] in (["after"], ["before"]):
            step = -1 if says[0] == "after" else 1
            beside = carried(events[query.place + step])
            score = score + _beside(spans, beside, step * int(np.ceil(PAUSES[1] / clip)))
        best = spans[score.argmax()]
        if relation and says in (["first"], ["again"]):
            apart = (spans[:, 1] <= best[0]) | (spans[:, 0] >= best[1])
            second = spans[np.where(apart, score, -np.inf).argmax()]
            best = sorted([best, second], key=lambda span: span[0])[says == ["again"]]
        return best * clip

    return find


def _beside(spans: np.ndarray, score: np.ndarray, reach: int) -> np.ndarray:
    """The best score of a window that ends up to -reach clips before each, or starts after it."""
    edge, meets = (spans[:, 0], spans[:, 1]) if reach < 0 else (spans[:, 1], spans[:, 0])
    best = np.full(spans.max() + 1, -np.inf)
    np.maximum.at(best, meets, score)
    places = edge[:, None] + np.arange(abs(reach) + 1) * np.sign(reach)
    return best[np.clip(places, 0, len(best) - 1)].max(axis=1)


def _linear(
    trained: list[Filmed], of: grammar.World, on: grammar.World, lengths: np.ndarray
) -> Callable[[Filmed, Asked], np.ndarray]:
    """The ridge of linear_match, fitted on the training split of one world."""
    vectors = {world.name: grammar.word_vectors(world.side, LEXICON) for world in (of, on)}

    def vector(query: Asked, name: str) -> np.ndarray:
        return np.mean([vectors[name][word] for word in query.words], axis=0)

    train = [filmed for filmed in trained if filmed.split == "train"]
    rows = np.sqrt(np.concatenate([filmed.features for filmed in train]).astype(np.float64))
    scale = ridge.make_scale(rows.mean(axis=0), rows.std(axis=0), root=True)
    clips, queries = [], []
    for filmed in train:
        seconds = filmed.scene.duration / len(filmed.features)
        for query in filmed.scene.queries:
            first, last = np.round(filmed.scene.moments[query.place] / seconds).astype(int)
            clips.append(scale(filmed.features[first : max(last, first + 1)]).mean(axis=0))
            queries.append(vector(query, of.name))
    fitted = ridge.fit(scale, np.stack(clips), np.stack(queries))

    def find(filmed: Filmed, query: Asked) -> np.ndarray:
        spans, clip = _windows(filmed, lengths)
        rows = ridge.unit(ridge.window_means(fitted.map_clips(filmed.features), spans))
        return spans[(rows @ fitted.queries(vector(query, on.name))).argmax()] * clip

    return find


def _prior(films: list[Filmed]) -> Callable[[Filmed, Asked], np.ndarray]:
    pairs = [
        (f.scene.moments[q.place][None], f.scene.duration)
        for f in films
        if f.split == "train"
        for q in f.scene.queries
    ]
    prior = fit_location_prior([m for m, _ in pairs], np.array([d for _, d in pairs]), 1)

    def find(filmed: Filmed, query: Asked) -> np.ndarray:
        return location_prior_predictions(prior, np.array([filmed.scene.duration]))[0, 0, :2]

    return find


if __name__ == "__main__":
    main()
