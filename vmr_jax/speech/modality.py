"""Which of a video is searched: what is seen, what is said, or both."""

from collections.abc import Collection, Sequence

import numpy as np

from vmr_jax.speech.fusion import Fused, Ranked, fuse
from vmr_jax.speech.words import Said, Spoken

MODALITIES = ("both", "video", "speech")
_SAID = 0.5  # of the sentence's words, that a moment must say to stand beside what is seen


def check_modality(modality: str) -> None:
    """Raise ValueError for another modality."""
    if modality not in MODALITIES:
        raise ValueError(f"modality {modality!r}; use one of {', '.join(MODALITIES)}")


def rank_spoken(
    spoken: Spoken,
    sentence: str,
    vector: np.ndarray | None = None,
    generic: np.ndarray | None = None,
    share: float = 0.0,
    videos: Collection[str] | None = None,
) -> list[Fused]:
    """The moments in which a sentence is said, best first: by words and, with vectors, by meaning.

    `vector` (width,) is of the sentence, `generic` (P, width) of neutral ones, all of length 1.
    Words count where at least a `share` of the sentence's are said, and only some `videos` if they
    are given.
    """
    words = [moment for moment in spoken.by_words(sentence) if moment.share >= share]
    rankings = {"words": words}
    if vector is not None and generic is not None:
        rankings["meaning"] = spoken.by_meaning(vector, generic)
    found = fuse({name: _of(videos, ranking) for name, ranking in rankings.items()})
    return [moment._replace(found_by=("speech",)) for moment in found]


def rank_both(
    spoken: Spoken,
    sentence: str,
    vector: np.ndarray | None,
    generic: np.ndarray | None,
    seen: Sequence[Ranked],
    videos: Collection[str] | None = None,
) -> list[Fused]:
    """What is said, as of `rank_spoken`, and what is seen (best first), joined by their ranks.

    What says less than half of the sentence's words, and does not mean the same, is left out.
    """
    said = rank_spoken(spoken, sentence, vector, generic, _SAID, videos)
    return fuse({"speech": said, "video": seen})


def _of(videos: Collection[str] | None, ranking: list[Said]) -> list[Said]:
    """What of a ranking is of some videos."""
    return [moment for moment in ranking if videos is None or moment.video in videos]
