"""The formulas of EVA written out literally in float64 NumPy, without any sharing of work."""

import numpy as np


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def attend(p, y, x, heads, norm):
    """Eq. 1 on valid rows: (l_y, d), (l_x, d) -> (l_y, d)."""
    width = y.shape[-1] // heads
    mixed = []
    for h in range(heads):
        part = slice(h * width, (h + 1) * width)
        query, key, value = (a @ p[n][:, part] for a, n in ((y, "query"), (x, "key"), (x, "value")))
        mixed.append(softmax(query @ key.T / np.sqrt(width)) @ value)
    out = (y + np.concatenate(mixed, -1)) @ p["fc_kernel"] + p["fc_bias"]
    if norm == "post":
        out = out - out.mean(-1, keepdims=True)
        out = out / np.sqrt((out**2).mean(-1, keepdims=True) + 1e-6)
        out = out * p["norm"]["scale"] + p["norm"]["bias"]
    return out


def windows(n, sizes, stride):
    """Half-open proposals of a video of n clips."""
    spans = [(a, a + w) for w in sorted(sizes) for a in range(0, n, stride) if a + w <= n]
    return spans if n >= min(sizes) else [(0, n)]


class Reference:
    """One branch on one pair at a time. `weak` uses proposals, else clips."""

    def __init__(self, config, params, weak):
        self.c, self.weak = config, weak
        self.p = {**params["shared"], **params["weak" if weak else "full"]}

    def self_attention(self, name, v, q):
        p, c = self.p[name], self.c.attn
        return (
            attend(p["video"], v, v, c.heads, c.layer_norm),
            attend(p["query"], q, q, c.heads, c.layer_norm),
        )

    def cross(self, v, q):
        p, c = self.p["cross"], self.c.attn
        new = attend(p["video"], v, q, c.heads, c.layer_norm)
        seen = new if self.c.cross_update == "sequential" else v
        return new, attend(p["query"], q, seen, c.heads, c.layer_norm)

    def pool(self, v):
        if not self.weak:
            return v
        spans = windows(len(v), self.c.target.windows, self.c.target.stride)
        return np.stack([v[a:b].mean(0) for a, b in spans])

    def views(self, video, query):
        """((V_b, Q_b), (V_a, Q_a), (V, Q) of the last module) of one pair of valid rows."""
        p = self.p["proj"]
        v = video @ p["video"]["kernel"] + p["video"]["bias"]
        q = query @ p["query"]["kernel"] + p["query"]["bias"]
        v, q = self.self_attention("self1", v, q)
        if self.c.cross_position == "after_self1":
            before, after = (v, q), self.cross(v, q)
            return before, after, self.self_attention("self2", self.pool(after[0]), after[1])
        v = self.pool(v)
        if self.c.cross_position == "before_self2":
            before, after = (v, q), self.cross(v, q)
            return before, after, self.self_attention("self2", *after)
        before = self.self_attention("self2", v, q)
        after = self.cross(*before)
        return before, after, after

    def head(self, rows, q):
        """Logits of Eq. 3 with every j_k built."""
        p = self.p["head"]
        q = np.broadcast_to(q, rows.shape)
        both = np.concatenate([rows, q], -1)
        joint = both @ p["fc_kernel"] + p["fc_bias"] if "fc_kernel" in p else both
        joint = np.concatenate([rows + q, rows * q, joint], -1)
        return (joint @ p["scorer"])[:, 0] + p["bias"]

    def boundary(self, v, q):
        """S and the start and end logits of one pair."""
        p = self.p["boundary"]
        weight = softmax((q @ p["word_score"]["kernel"])[:, 0])
        s = v @ (weight @ q @ p["fc"]["kernel"] + p["fc"]["bias"])
        padded = np.pad(s, 2)
        start, end = (
            np.array([padded[i : i + 5] @ p[name][:, 0, 0] for i in range(len(s))])
            for name in ("start", "end")
        )
        return s, start, end

    def rows_and_logits(self, video, query):
        before, _, last = self.views(video, query)
        rows = last[0]
        if not self.weak and self.c.full.match == "sim_max":
            return rows, self.boundary(*last)[0]
        if not self.weak and self.c.full.match == "proposals":
            spans = windows(len(rows), self.c.source.windows, self.c.source.stride)
            rows = np.stack([rows[a:b].mean(0) for a, b in spans])
        words = before[1] if self.c.query_pool_stage == "before" else last[1]
        return rows, self.head(rows, words.max(0))

    def probability(self, video, query):
        """P_m(V | Q)."""
        return sigmoid(self.rows_and_logits(video, query)[1]).max()

    def matching(self, pairs, negatives):
        """Mean of Eq. 4; `negatives` holds the indices of (Q-, V-), or None."""
        total = 0.0
        for i, (v, q) in enumerate(pairs):
            total -= 2 * np.log(self.probability(v, q))
            if negatives[0][i] is not None:
                total -= np.log(1 - self.probability(v, pairs[negatives[0][i]][1]))
            if negatives[1][i] is not None:
                total -= np.log(1 - self.probability(pairs[negatives[1][i]][0], q))
        return total / len(pairs)

    def boundaries(self, pairs, spans):
        """Mean of Eq. 6's L_r with softmax."""
        total = 0.0
        for (v, q), (first, last) in zip(pairs, spans, strict=True):
            _, start, end = self.boundary(*self.views(v, q)[2])
            total -= np.log(softmax(start)[first]) + np.log(softmax(end)[last])
        return total / len(pairs)


def mmd(x, y):
    """Eq. 7 with the kernel median_multi."""
    both = np.concatenate([x, y])
    d = ((both[:, None] - both) ** 2).sum(-1)
    m = np.median(d[~np.eye(len(both), dtype=bool)])
    k = np.mean([np.exp(-d / (c * m)) for c in (0.25, 0.5, 1, 2, 4)], axis=0)
    n = len(x)
    return k[:n, :n].mean() + k[n:, n:].mean() - 2 * k[:n, n:].mean()


def alignment(vid, source, target):
    """Eq. 8 from the views of each pair of both domains."""
    total = 0.0
    for stage in (0, 1):
        for part, factor in ((0, vid), (1, 1.0)):
            x, y = (np.stack([v[stage][part].mean(0) for v in d]) for d in (source, target))
            total += factor * mmd(x, y)
    return total


def joint(views):
    """max(V_a), max(Q_a) of each pair."""
    return (np.stack([v[1][part].max(0) for v in views]) for part in (0, 1))


def domain(p, source, target):
    """Eq. 10 with two logits and a ReLU."""
    total = 0.0
    for views, label in ((source, 0), (target, 1)):
        hidden = np.concatenate(list(joint(views)), -1) @ p["fc_2"]["kernel"] + p["fc_2"]["bias"]
        classes = softmax(np.maximum(hidden, 0) @ p["fc_1"]["kernel"] + p["fc_1"]["bias"])
        total -= np.log(classes[:, label]).mean()
    return total
