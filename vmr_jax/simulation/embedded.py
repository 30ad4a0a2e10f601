"""The embedded datasets, made where missing: three domains, a corpus, a world of highlights.

The domains are rows of events, whose sentences ask for more than a bag of words and whose clips for
more than a mean: grammar_events.py has their sentences, noun chunks and moments, planting_events.py
the process that shows them, with patches. In the corpus events are shown and talked about:
grammar_spoken.py, planting_corpus.py. `python -m benchmarks.embedded` checks the conditions that
they were made for. The highlights, several rated moments a query, are in grammar_highlights.py and
planting.py.
"""

import fcntl
import hashlib
import json
from pathlib import Path

from vmr_jax.data.sources.features import from_arrays
from vmr_jax.data.tables.build import write_dataset
from vmr_jax.data.tables.chunk_table import write_chunks
from vmr_jax.data.tables.store import find_report
from vmr_jax.data.text.lexicon import LEXICON
from vmr_jax.output_files import write_whole
from vmr_jax.simulation import grammar, grammar_events, grammar_highlights, grammar_spoken
from vmr_jax.simulation.planting import PROCESS, plant
from vmr_jax.simulation.planting_corpus import SPEECH_PROCESS, film_corpus
from vmr_jax.simulation.planting_events import EVENT_PROCESS, film, film_patches

CORPUS = grammar_spoken.CORPUS.name
HIGHLIGHTS = grammar_highlights.HIGHLIGHTS.name
EMBEDDED = (*grammar_events.WORLDS, CORPUS, HIGHLIGHTS)
FEATURE_NAME = "simulated"
PATCH_NAME = "simulated_patches"
SUBTITLE_NAME = "simulated_subtitles"
WIDTH = 64  # F of the embedded domains
SUBTITLE_WIDTH = 48  # S
# Versions of the code: raise one when the same settings give other data.
_VERSION = 4
_CORPUS_VERSION = 2
_HIGHLIGHTS_VERSION = 1


def build_simulated(data_dir: str | Path, name: str, *, patches: bool = False) -> None:
    """Write one embedded dataset to data_dir/name, unless that of these settings is there.

    The patches, which are large, are written where they are asked for. Raises ValueError when the
    name is not in EMBEDDED, and for patches of the corpus, which has none.
    """
    if name not in EMBEDDED:
        raise ValueError(f"no simulated dataset {name!r}; known are {', '.join(EMBEDDED)}")
    if name not in grammar_events.WORLDS and patches:
        raise ValueError(f"{name} has no patches; those have {', '.join(grammar_events.WORLDS)}")
    root = Path(data_dir) / name
    root.mkdir(parents=True, exist_ok=True)
    with (root / ".generator.lock").open("w") as lock:  # runs that start together build once
        fcntl.flock(lock, fcntl.LOCK_EX)
        stamp = root / "generator.sha256"
        if name == CORPUS:
            processes = EVENT_PROCESS, SPEECH_PROCESS
            settings = WIDTH, SUBTITLE_WIDTH, grammar_spoken.CORPUS, *processes
            words = grammar_spoken.LEXICON, grammar_spoken.ROLES, grammar_spoken.COMMON
            digest = _digest(_CORPUS_VERSION, *settings, *words)
            if _outdated(stamp, digest, FEATURE_NAME, SUBTITLE_NAME):
                _build_corpus(data_dir, stamp, digest)
            return
        if name == HIGHLIGHTS:
            world = grammar_highlights.HIGHLIGHTS
            digest = _digest(_HIGHLIGHTS_VERSION, WIDTH, world, PROCESS, LEXICON)
            if _outdated(stamp, digest, FEATURE_NAME):
                _build_highlights(data_dir, world, stamp, digest)
            return
        world = grammar_events.WORLDS[name]
        said = grammar_events.KINDS, grammar_events.LEXICON
        digest = _digest(_VERSION, WIDTH, world, EVENT_PROCESS, said)
        if _outdated(stamp, digest, FEATURE_NAME):
            _build_events(data_dir, world, stamp, digest)
        stamp = root / "patches.sha256"
        if patches and _outdated(stamp, digest, PATCH_NAME):
            _build_patches(data_dir, world, stamp, digest)


def check_features(name: str, feature_name: str) -> None:
    """Raise FileNotFoundError for features that an embedded dataset is not made with."""
    further = {name: [PATCH_NAME] for name in grammar_events.WORLDS} | {CORPUS: [SUBTITLE_NAME]}
    there = [FEATURE_NAME, *further.get(name, [])]
    if feature_name not in there:
        raise FileNotFoundError(
            f"{name} has no features {feature_name!r}. It is simulated: a run whose config names "
            f"it makes it, with {' and '.join(map(repr, there))} and nothing else"
        )


def _digest(*settings: object) -> str:
    return hashlib.sha256(json.dumps(settings).encode()).hexdigest()


def _outdated(stamp: Path, digest: str, *features: str) -> bool:
    """Tell whether what a stamp stands for is of other settings, damaged or gone."""
    if not (stamp.is_file() and stamp.read_text() == digest):
        return True
    tables = "moments", *(f"videos-{name}" for name in features)
    return any(
        find_report(stamp.parent / table, verify=True, replacing=True) is None for table in tables
    )


def _build_corpus(data_dir: str | Path, stamp: Path, digest: str) -> None:
    """Write the corpus: its queries, what its videos show and what is said in them."""
    stamp.unlink(missing_ok=True)
    world = grammar_spoken.CORPUS
    annotations = grammar_spoken.annotate(world)
    vectors = grammar.word_vectors(world.side, grammar_spoken.LEXICON)
    films = list(film_corpus(world, WIDTH, SUBTITLE_WIDTH))
    shown = {filmed.video: filmed.features for filmed in films}
    said = {filmed.video: filmed.subtitles for filmed in films}
    write_dataset(data_dir, annotations, from_arrays(shown), FEATURE_NAME, vectors, overwrite=True)
    write_dataset(data_dir, annotations, from_arrays(said), SUBTITLE_NAME, None, overwrite=True)
    write_whole(stamp, digest)


def _build_highlights(data_dir: str | Path, world: grammar.World, stamp: Path, digest: str) -> None:
    """Write the world of highlights: its queries and clip features."""
    stamp.unlink(missing_ok=True)
    annotations = grammar_highlights.annotate(world)
    vectors = grammar.word_vectors(world.side)
    source = from_arrays(dict(plant(annotations, vectors, WIDTH, world.clip_seconds)))
    write_dataset(data_dir, annotations, source, FEATURE_NAME, vectors, overwrite=True)
    write_whole(stamp, digest)


def _build_events(data_dir: str | Path, world: grammar.World, stamp: Path, digest: str) -> None:
    """Write a world of events: its queries, noun chunks and clip features."""
    stamp.unlink(missing_ok=True)
    annotations = grammar_events.annotate(world)
    vectors = grammar.word_vectors(world.side, grammar_events.LEXICON)
    source = from_arrays({filmed.video: filmed.features for filmed in film(world, WIDTH)})
    write_dataset(data_dir, annotations, source, FEATURE_NAME, vectors, overwrite=True)
    chunks = {
        split: [grammar_events.noun_chunks(record.sentence) for record in records]
        for split, records in annotations.splits.items()
    }
    write_chunks(data_dir, annotations, chunks, "grammar", overwrite=True)
    write_whole(stamp, digest)


def _build_patches(data_dir: str | Path, world: grammar.World, stamp: Path, digest: str) -> None:
    """Write the patches of a world of events beside its queries."""
    stamp.unlink(missing_ok=True)
    source = from_arrays(dict(film_patches(world, WIDTH)), patches=True)
    annotations = grammar_events.annotate(world)
    write_dataset(data_dir, annotations, source, PATCH_NAME, None, overwrite=True)
    write_whole(stamp, digest)
