"""The embedded corpus: videos in which things are done, and talked about.

Its sentences are those of grammar.py, about a few objects in each video. Half of the queries are
about what is said; they have a verb of speech,

    the SUBJECT SPEECH the [ADJECTIVE] OBJECT [in the PLACE]

and moments that may lie over those of what is shown. A video follows one subject.
"""

from vmr_jax.data.datasets.records import Annotations, MomentRecord
from vmr_jax.data.text import lexicon
from vmr_jax.simulation import grammar

VERBS = " ".join(lexicon.VERBS.split()[:10])  # as many as there are of speech
SPEECH = (
    "mentions describes praises criticizes recommends advertises recalls questions insures borrows"
)
THINGS = 3  # different objects of a video
LEXICON = " ".join(
    (
        lexicon.SUBJECTS,
        VERBS,
        SPEECH,
        lexicon.ADJECTIVES,
        lexicon.OBJECTS,
        lexicon.PLACES,
        lexicon.FUNCTION_WORDS,
    )
)
CORPUS = grammar.World(
    name="simulated_corpus",
    side=0,
    clip_seconds=1.5,
    duration=(36, 54),
    moment=(4.5, 12),
    queries=(1, 3),  # of each modality
    videos={"train": 500, "val": 80, "test": 300},
)


def annotate(world: grammar.World) -> Annotations:
    """The annotations of the corpus; the queries' `modality` is v or t."""
    subjects, verbs, speech, adjectives, objects, places = (
        grammar.words_of(concepts, world.side)
        for concepts in (
            lexicon.SUBJECTS,
            VERBS,
            SPEECH,
            lexicon.ADJECTIVES,
            lexicon.OBJECTS,
            lexicon.PLACES,
        )
    )
    splits, durations = {split: [] for split in world.videos}, {}
    for split, video, duration, draw in grammar.draw_videos(world):
        durations[video] = duration
        subject, place = draw.choice(subjects), draw.choice(places)
        things = list(map(str, draw.choice(objects, THINGS, replace=False)))
        for modality, of_modality in (("v", verbs), ("t", speech)):
            number = int(draw.integers(*world.queries, endpoint=True))
            moments = grammar.draw_moments(world, duration, number, draw)
            pairs = draw.permutation(len(of_modality) * THINGS)[:number]
            for q, (moment, pair) in enumerate(zip(moments, pairs, strict=True)):
                words = subject, of_modality[pair // THINGS], things[pair % THINGS]
                sentence = grammar.draw_sentence(*words, adjectives, place, draw)
                query = f"{video}_{modality}{q}"
                splits[split].append(MomentRecord(query, video, sentence, moment[None], modality))
    return Annotations(world.name, splits, durations, [], {})
