"""Moments of a video that are listed beside each other."""

from collections.abc import Sequence

from vmr_jax.types import Moment


def apart(moments: Sequence[Moment]) -> list[Moment]:
    """Moments, best first, without those that share half of the shorter one with a better one.

    So the parts of a moment, and what it is a part of, are not listed beside it.
    """
    kept: list[Moment] = []
    for one in moments:
        for other in kept:
            shared = min(one.end_s, other.end_s) - max(one.start_s, other.start_s)
            if shared >= min(one.end_s - one.start_s, other.end_s - other.start_s) / 2:
                break
        else:
            kept.append(one)
    return kept
