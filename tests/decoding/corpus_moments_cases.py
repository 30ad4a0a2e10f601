"""Moments of a corpus by loops over float64."""

from vmr_jax.decoding.corpus_moments import Readout

PLAIN = Readout(0, 23, 100, 1.0, 1.0, 1.0)  # one clip is a second, S^R as it is


def rank_slowly(start, end, mask, score, row, duration, settings):
    """The moments of one query as (video, start, end, score), by loops over float64."""
    found = []
    for rank in range(len(start)):
        count = int(mask[rank].sum())
        prior = settings.video_weight * float(score[rank]) / settings.temperature
        spans = [
            (i, j)
            for i in range(count)
            for j in range(i, count)
            if settings.min_l <= j - i <= settings.max_l
        ]
        for i, j in spans or [(0, count - 1)] * (count > 0):
            total = prior + float(start[rank, i]) + float(end[rank, j])
            seconds = settings.clip_seconds * i, settings.clip_seconds * (j + 1)
            times = (seconds[0], min(seconds[1], float(duration[rank])))
            found.append((-total, rank, i, j, int(row[rank]), *times))
    ranked = sorted(found)[: settings.keep]
    return [(video, start, end, -total) for total, _, _, _, video, start, end in ranked]
