"""Rankings of moments joined into one, by reciprocal rank.

Cormack, Clarke and Büttcher, "Reciprocal Rank Fusion outperforms Condorcet and individual Rank
Learning Methods" (SIGIR 2009): a result's score is the sum over the rankings of 1 / (60 + rank).
That moments which share time are one result is ours.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

K = 60  # of the paper


class Ranked(Protocol):
    """A moment of a ranking."""

    @property
    def video(self) -> str:
        """The video's id."""
        ...

    @property
    def start_s(self) -> float:
        """Seconds."""
        ...

    @property
    def end_s(self) -> float:
        """Seconds."""
        ...


class Fused(NamedTuple):
    """A moment that one ranking has, or several."""

    video: str
    start_s: float  # seconds
    end_s: float  # seconds
    score: float  # the sum of 1 / (60 + rank)
    found_by: tuple[str, ...]  # the names of the rankings


def fuse(rankings: Mapping[str, Sequence[Ranked]]) -> list[Fused]:
    """Join whole rankings, each with its best first; what is cut off the result changes no rank.

    From the first ranks on, a moment takes from each other ranking the best one of its video that
    shares time with it and belongs to none yet, and keeps its own borders. Among equal ranks and
    equal scores the earlier ranking goes first.
    """
    free = {name: _by_video(ranking) for name, ranking in rankings.items()}
    entries = sorted(
        (rank, order, name, moment)
        for order, (name, ranking) in enumerate(rankings.items())
        for rank, moment in enumerate(ranking, 1)
    )
    found = []
    for rank, _, name, moment in entries:
        if rank not in free[name].get(moment.video, {}):
            continue
        ranks = {name: rank}
        for other in rankings:
            if other != name:
                for at, one in free[other].get(moment.video, {}).items():
                    if one.start_s < moment.end_s and moment.start_s < one.end_s:
                        ranks[other] = at
                        break
        for one, at in ranks.items():
            del free[one][moment.video][at]
        score = sum(1 / (K + at) for at in ranks.values())
        names = tuple(one for one in rankings if one in ranks)
        found.append(Fused(moment.video, moment.start_s, moment.end_s, score, names))
    return sorted(found, key=lambda one: -one.score)


def _by_video(ranking: Sequence[Ranked]) -> dict[str, dict[int, Ranked]]:
    """The moments of each video by their ranks."""
    found = defaultdict(dict)
    for rank, moment in enumerate(ranking, 1):
        found[moment.video][rank] = moment
    return dict(found)
