"""What a figure must be like, and one with too much in it."""

import numpy as np

from vmr_jax.plots import drawing
from vmr_jax.plots import figure_data as content

SENTENCE = "A person opens the unheard-of door, for $5 and $6 more"
DRAW = {
    "attention": drawing.draw_attention,
    "timeline": drawing.draw_timeline,
    "words": drawing.draw_words,
    "boundaries": drawing.draw_boundaries,
}


def assert_readable(figure):
    """All text lies in the figure, and no two labels of an axis or titles cover each other."""
    from matplotlib.text import Text

    figure.savefig("/dev/null", format="png")
    ticks = [
        (axis, tick)
        for axes in figure.axes
        for axis in (axes.xaxis, axes.yaxis)
        for tick in axis.get_major_ticks()
    ]
    hidden = {
        label
        for axis, tick in ticks
        for label in (tick.label1, tick.label2)
        if not min(axis.get_view_interval()) <= tick.get_loc() <= max(axis.get_view_interval())
    }
    texts = [t for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip()]
    texts = [text for text in texts if text not in hidden]
    boxes = [text.get_window_extent() for text in texts]
    for text, box in zip(texts, boxes, strict=True):
        inside = box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1
        assert inside and box.y1 <= figure.bbox.y1, text
    level = [box for text, box in zip(texts, boxes, strict=True) if text.get_rotation() in (0, 90)]
    for index, box in enumerate(level):
        assert not any(box.overlaps(other) for other in level[:index]), texts
    return [text.get_text() for text in texts]


def made_up(words, rows, truth):
    """What a figure would show of so many words, in a video of so many proposals or clips."""
    rng = np.random.default_rng(2)
    start = np.sort(rng.uniform(0, 180, rows))
    strength = np.sort(rng.dirichlet(np.ones(rows)))[::-1].tolist()
    values = 1e-6 * rng.normal(size=(rows, words))
    edges, cells = content.time_cells(start, start + 30, values)
    tokens = [["a", "internationalisation", "person's", "walks"][n % 4] for n in range(words)]
    spans = {"start": start.tolist(), "end": (start + 30).tolist()}
    return {
        "system": "vlanet",
        "checkpoint": {"step": 123456},
        "dataset": "activitynet_captions",
        "split": "val_2",
        "qid": "v_QOlSCBRmfWY#12",
        "vid": "v_QOlSCBRmfWY",
        "query": " ".join(tokens),
        "duration": 212.3,
        "truth": truth,
        "words": [{"word": token, "known": token != "walks"} for token in tokens],
        "words_left_out": 3,
        "words_are": "words",
        "quantity": "alignment",
        "weights": {name: rng.dirichlet(np.ones(words)).tolist() for name in ("image", "sub")},
        "clips": {"edges": (1.5 * np.arange(rows + 1)).tolist()}
        | {name: rng.dirichlet(np.full(rows, 0.1)).tolist() for name in ("start", "end")},
        "span_clips": [1, 24],
        "cells": {
            "edges": edges.tolist(),
            "words": [[None if np.isnan(x) else x for x in line] for line in cells],
        },
        "shown": min(16, rows),
        "rows_are": "proposals",
        "proposals": spans | {"strength": strength},
        "predictions": spans | {"score": strength},
    }
