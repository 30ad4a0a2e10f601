"""The embedded corpus: videos in which things are done, and talked about.

Its sentences are those of grammar.py, about a few objects in each video. Half of the queries are
about what is said; they have a verb of speech,

    the SUBJECT SPEECH the [ADJECTIVE] OBJECT [in the PLACE]

and moments that may lie over those of what is shown. A video follows one subject.
"""

from vmr_jax.data import grammar
from vmr_jax.data.planting import generator
from vmr_jax.data.records import Annotations, MomentRecord

VERBS = " ".join(grammar.VERBS.split()[:10])  # as many as there are of speech
SPEECH = (
    "mentions describes praises criticizes recommends advertises recalls questions insures borrows"
)
THINGS = 3  # different objects of a video
LEXICON = " ".join(
    (
        grammar.SUBJECTS,
        VERBS,
        SPEECH,
        grammar.ADJECTIVES,
        grammar.OBJECTS,
        grammar.PLACES,
        grammar.FUNCTION_WORDS,
    )
)
CORPUS = grammar.Domain(
    name="simulated_corpus",
    side=0,
    clip_seconds=1.5,
    duration=(36, 54),
    moment=(4.5, 12),
    queries=(1, 3),  # of each modality
    videos={"train": 500, "val": 80, "test": 300},
)


def annotate(domain: grammar.Domain) -> Annotations:
    """The annotations of the corpus; the queries' `modality` is v or t."""
    subjects, verbs, speech, adjectives, objects, places = (
        grammar.words_of(concepts, domain.side)
        for concepts in (
            grammar.SUBJECTS,
            VERBS,
            SPEECH,
            grammar.ADJECTIVES,
            grammar.OBJECTS,
            grammar.PLACES,
        )
    )
    splits, durations = {}, {}
    for split, count in domain.videos.items():
        splits[split] = []
        for v in range(count):
            video = f"{split}_{v:04d}"
            draw = generator("annotations", domain.name, video)
            duration = durations[video] = round(draw.uniform(*domain.duration), 2)
            subject, place = draw.choice(subjects), draw.choice(places)
            things = draw.choice(objects, THINGS, replace=False)
            for modality, of_modality in (("v", verbs), ("t", speech)):
                number = draw.integers(*domain.queries, endpoint=True)
                moments = grammar.draw_moments(domain, duration, number, draw)
                pairs = draw.permutation(len(of_modality) * THINGS)[:number]
                for q, (moment, pair) in enumerate(zip(moments, pairs, strict=True)):
                    verb, item = of_modality[pair // THINGS], things[pair % THINGS]
                    adjective = f"{draw.choice(adjectives)} " if draw.random() < 0.5 else ""
                    where = f" in the {place}" if draw.random() < 0.3 else ""
                    sentence = f"the {subject} {verb} the {adjective}{item}{where}"
                    splits[split].append(
                        MomentRecord(
                            f"{video}_{modality}{q}", video, sentence, moment[None], modality
                        )
                    )
    return Annotations(domain.name, splits, durations, [], {})
