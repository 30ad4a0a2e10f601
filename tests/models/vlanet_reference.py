"""VLANet in plain NumPy float64, one pair at a time, equation by equation."""

import numpy as np


def unit(x):
    return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-8)


def terms(p, x, y):
    """What each row of y adds to E(x_n, Y)."""
    return np.tanh((x @ p["first"]) @ (y @ p["second"]).T)


def alignment(p, x, y, reduce):
    """E(x_n, Y) of Eq. 7 for each row of x."""
    return getattr(terms(p, x, y), reduce)(axis=1)


def attend(p, x, y, config):
    """A(X, Y) of Eq. 8 and its weights."""
    energy = alignment(p, x, y, config.vla.reduce)
    weight = np.exp(energy - energy.max())
    weight /= weight.sum()
    if config.attn.rescale_n:
        weight *= len(x)
    return weight[:, None] * x, weight


def gru(p, words):
    sigmoid = lambda v: 1 / (1 + np.exp(-v))  # noqa: E731
    h, states = np.zeros(p["hn"]["kernel"].shape[0]), []
    for word in words:
        x = {g: word @ p[f"i{g}"]["kernel"] + p[f"i{g}"]["bias"] for g in "rzn"}
        of_h = {g: h @ p[f"h{g}"]["kernel"] for g in "rzn"}
        reset, keep = sigmoid(x["r"] + of_h["r"]), sigmoid(x["z"] + of_h["z"])
        h = (1 - keep) * np.tanh(x["n"] + reset * (of_h["n"] + p["hn"]["bias"])) + keep * h
        states.append(h)
    return np.stack(states)


def words_of(p, config, words):
    """Q of Eq. 1 and w_M."""
    q = gru(p["gru"]["GRUCell_0"], words)
    if config.query.norm_stage in ("before_fc", "both"):
        q = unit(q)
    q = q @ p["query_fc"]["kernel"] + p["query_fc"]["bias"]
    if config.query.norm_stage in ("after_fc", "both"):
        q = unit(q)
    return q, unit(q[-1])


def windows_of(p, config, clips):
    """{(k, l): unit feature} and {(k, l): (start, end)} of the valid windows of a video."""
    widths, stride = sorted(config.proposals.widths), config.proposals.stride
    rows, spans = {}, {}
    for k in range(len(clips)):
        for scale, width in enumerate(widths):
            start, end = k * stride, min(k * stride + width, len(clips))
            enough = 2 * (end - start) >= widths[0]
            if not config.proposals.cut:
                enough = start + width <= len(clips)
            if enough or (k, scale) == (0, 0):
                mean = clips[start:end].mean(axis=0)
                rows[k, scale] = unit(mean @ p["video_fc"]["kernel"] + p["video_fc"]["bias"])
                spans[k, scale] = (start, end)
    return rows, spans


def align(p, config, clips, words):
    """A pair through the network: names -> values."""
    q, last = words_of(p, config, words)
    rows, spans = windows_of(p, config, clips)
    cosine = {cell: row @ last for cell, row in rows.items()}
    chosen = sorted(rows)
    if config.surrogate:
        groups = {}
        for k, scale in sorted(rows):
            groups.setdefault(k, []).append((k, scale))
        chosen = [max(cells, key=cosine.__getitem__) for cells in groups.values()]
    v = np.stack([rows[cell] for cell in chosen])
    steps = ["v2v", "q2q"] * config.self_attn
    steps += list(config.cascade) * config.cascade_repeat * config.cross_attn
    weights, last_q2v = [], None
    for step, name in enumerate(steps):
        kernels = p["final"] if config.attn.share_weights else p[f"attentions_{step}"]
        if name == "v2v":
            v, weight = attend(kernels, v, v, config)
        elif name == "q2q":
            q, _ = attend(kernels, q, q, config)
            continue
        elif name == "q2v":
            v, weight = attend(kernels, v, q, config)
            last_q2v = weight
        else:
            q, _ = attend(kernels, q, v, config)
            continue
        weights.append(weight)
    strength = alignment(p["final"], v, q, config.vla.reduce)
    if config.infer.score == "last_q2v" and last_q2v is not None:
        strength = last_q2v
    if config.infer.score == "product" and weights:
        strength = np.prod(weights, axis=0)
    return {
        "cosine": cosine,
        "spans": spans,
        "chosen": chosen,
        "strength": strength,
        "video": v,
        "query": q,
        "similarity": alignment(p["final"], v.sum(axis=0)[None], q, config.vla.reduce)[0],
    }


def ranking(found):
    """Spans, best first: the chosen ones by strength, the others by cosine."""
    order = np.argsort(-np.asarray(found["strength"]), kind="stable")
    listed = [found["chosen"][i] for i in order]
    others = [cell for cell in sorted(found["cosine"]) if cell not in listed]
    others.sort(key=lambda cell: -found["cosine"][cell])
    return listed, others
