"""MMCDA in plain NumPy float64, one pair or one two of pairs at a time (docs/papers/mmcda.md)."""

from types import SimpleNamespace

import numpy as np
import prem_reference as prem
from eva_reference import mmd, softmax
from vlanet_reference import gru


def softplus(x):
    return np.logaddexp(0, x)


def bigru(p, x):
    """Both directions over real rows (L, E) -> (L, D)."""
    forth = gru(p["GRU_0"]["GRUCell_0"], x)
    return np.concatenate([forth, gru(p["GRU_1"]["GRUCell_0"], x[::-1])[::-1]], axis=1)


class Half:
    """One domain: each pair's parts, by name, in lists of B."""

    def __init__(self, c, p, role, pairs, spans=None):
        self.c, self.p, self.spans = c, p, spans
        self.layer = SimpleNamespace(heads=c.heads, act="relu", pos="learned", dim=c.dim)
        self.layer.pos = "learned" if c.position == "learned" else "sin"
        fc = p["video_fc_both" if c.share_encoders else f"video_fc_{role}"]
        projected = [prem.linear(fc, v) for v, _ in pairs]
        self.v = [v for v, _ in pairs]
        self.F = [self.video(x) for x in projected]
        self.W = [bigru(p["query_encoder"], q) for _, q in pairs]
        self.H = [self.meet(f, w) for f, w in zip(self.F, self.W, strict=True)]
        self.q = [w.mean(0) for w in self.W]
        if "joint_video" in p:
            meets = projected if c.joint_clips == "projected" else self.F
            self.e = [prem.unit(prem.linear(p["joint_video"], f)) for f in meets]
            asked = [q.mean(0) for _, q in pairs] if c.joint_words == "given" else self.q
            self.eq = [prem.unit(prem.linear(p["joint_query"], q)) for q in asked]

    def video(self, x):
        if self.c.video_encoder == "bigru":
            return bigru(self.p["video_encoder"], x)
        x = x + prem.positions(self.p, self.layer, len(x))
        p, everything = self.p["video_encoder"], np.ones(len(x), bool)
        return prem.feed_forward(p, self.layer, prem.self_attention(p, self.layer, x, everything))

    def meet(self, f, w):
        p = self.p["interaction"]
        keys, values = np.split(prem.linear(p["keys_values"], w), 2, axis=1)
        query = prem.linear(p["query"], f)
        mixed = prem.attend(query, keys, values, self.c.heads, np.ones(len(w), bool))
        x = prem.norm(p["norm"], f + prem.linear(p["out"], mixed))
        return prem.feed_forward(p["clips"], self.layer, x)

    def boundary(self, i):
        """Logits of start, end and inside of pair i."""
        rows = self.H[i]
        if self.c.edges:
            edges = prem.edge_rows(self.p["edges"], self.c.edges, self.v[i])
            rows = np.concatenate([rows, edges], axis=1)
        start, end = prem.convolve(self.p["boundary"]["kernel"], rows).T
        hidden = prem.relu(prem.linear(self.p["inside_0"], self.H[i]))
        return start, end, prem.linear(self.p["inside_1"], hidden)[:, 0]

    def s(self, v, q):
        """Similarity of each clip of video v with query q."""
        return self.e[v] @ self.eq[q]

    def inside(self, i):
        clip = np.arange(len(self.F[i]))
        return (clip >= self.spans[i][0]) & (clip <= self.spans[i][1])


def localization(half):
    """The two terms of MMCDA M1."""
    boundary, inside = [], []
    for i, (first, last) in enumerate(half.spans):
        start, end, r = half.boundary(i)
        boundary.append(-np.log(softmax(start)[first]) - np.log(softmax(end)[last]))
        inside.append(np.where(half.inside(i), softplus(-r), softplus(r)).mean())
    return {"boundary": np.mean(boundary), "inside": np.mean(inside)}


def means_of(rows):
    return np.stack([x.mean(0) for x in rows])


def coral(x, y):
    def covariance(z):
        return (z - z.mean(0)).T @ (z - z.mean(0)) / (len(z) - 1)

    return ((covariance(x) - covariance(y)) ** 2).sum() / (4 * x.shape[1] ** 2)


def domain(c, p, source, target):
    """MMCDA M3 at each point."""
    terms = {}
    for point, name in (("video", "F"), ("query", "W"), ("fused", "H")):
        if point not in c.da.points:
            continue
        x, y = means_of(getattr(source, name)), means_of(getattr(target, name))
        if c.da.kind == "adversarial":
            own = p[f"domain_{point}"]
            odds = [
                prem.linear(own["fc_1"], prem.relu(prem.linear(own["fc_2"], z))) for z in (x, y)
            ]
            terms[f"domain_{point}"] = softplus(odds[0]).mean() + softplus(-odds[1]).mean()
        else:
            terms[f"domain_{point}"] = {"mmd": mmd, "coral": coral}[c.da.kind](x, y)
    return terms


def info_nce(score, video_id, temperature):
    """Symmetric InfoNCE of scores (videos, queries)."""
    total = 0.0
    for matrix in (score, score.T):
        for i, row in enumerate(matrix / temperature):
            others = [row[j] for j in range(len(row)) if video_id[j] != video_id[i]]
            total -= row[i] - np.log(np.exp(row[i]) + np.exp(others).sum())
    return total / (2 * len(score))


def source_pairs(half, video_id, temperature):
    """MMCDA M4."""
    moments = [prem.unit(e[half.inside(i)].mean(0)) for i, e in enumerate(half.e)]
    return info_nce(np.array(moments) @ np.array(half.eq).T, video_id, temperature)


def target_pairs(half, video_id, temperature, attention):
    """MMCDA M5."""
    count = len(half.e)
    score = np.zeros((count, count))
    for v, q in np.ndindex(count, count):
        seen = prem.unit(softmax(half.s(v, q) / attention) @ half.e[v])
        score[v, q] = seen @ half.eq[q]
    return info_nce(score, video_id, temperature)


def frames(half):
    """MMCDA M7."""
    losses = []
    for i in range(len(half.e)):
        logit, inside = 10 * half.s(i, i), half.inside(i)
        parts = [softplus(-logit[inside]), softplus(logit[~inside])]
        losses.append(np.mean([part.mean() for part in parts if len(part)]))
    return np.mean(losses)


def frame_ranking(half, margin):
    """MMCDA M8."""
    losses = []
    for i in range(len(half.e)):
        s, inside = half.s(i, i), half.inside(i)
        if not inside.all():
            hard = np.sort(s[~inside])[::-1][:5].mean()
            losses.append(max(0, margin - s[inside].mean() + hard))
    return np.mean(losses)


def instances(half, video_id, margin, hardest):
    """MMCDA M9."""

    def v(video, query):
        s = np.sort(half.s(video, query))[::-1]
        return s[: int(np.ceil(len(s) / 8))].mean()

    losses, pick = [], max if hardest else np.mean
    for i in range(len(half.e)):
        others = [j for j in range(len(half.e)) if video_id[j] != video_id[i]]
        if others:
            queries = pick([max(0, margin - v(i, i) + v(i, j)) for j in others])
            videos = pick([max(0, margin - v(i, i) + v(j, i)) for j in others])
            losses.append(queries + videos)
    return np.mean(losses)


def total(c, p, source, target, source_ids, target_ids):
    """Every term of MMCDA M10 after the ramp, with its weight."""
    weight, ca, sa = c.lambdas, c.ca, c.sa
    videos = [prem.unit(e.mean(0)) for e in target.e]
    terms = localization(source)
    terms |= {name: weight.da * x for name, x in domain(c, p, source, target).items()}
    terms |= {
        "source_pairs": weight.ca * source_pairs(source, source_ids, ca.temperature),
        "target_pairs": weight.ca * target_pairs(target, target_ids, ca.temperature, ca.attention),
        "target_modalities": weight.ca * mmd(np.array(videos), np.array(target.eq)),
        "frames": weight.sa * frames(source),
        "frame_ranking": weight.sa * frame_ranking(source, sa.margin),
        "instances": weight.sa * instances(target, target_ids, sa.margin, sa.neg == "hardest"),
    }
    if c.pseudo_labels:
        best = [max(spans(c, target, i), key=lambda found: found[2]) for i in range(len(target.F))]
        target.spans = [(i, j) for i, j, *_ in best]
        probability = [found[3] for found in best]
        for i in range(len(best)):
            one = Single(target, i)
            for name, value in localization(one).items():
                terms.setdefault(f"pseudo_{name}", 0.0)
                terms[f"pseudo_{name}"] += probability[i] * value / len(best)
    return terms


class Single(Half):
    """One pair of a half alone."""

    def __init__(self, half, i):
        self.c, self.p, self.layer = half.c, half.p, half.layer
        self.F, self.H, self.spans = [half.F[i]], [half.H[i]], [half.spans[i]]


def spans(c, half, i):
    """All spans (first, last, score, P_s P_e) of pair i by MMCDA M11."""
    start, end, r = half.boundary(i)
    start, end = softmax(start), softmax(end)
    s = half.s(i, i) if hasattr(half, "e") else np.zeros(len(r))
    z = (s - s.mean()) / s.std() - c.infer.threshold if s.std() > 1e-6 else 0 * s
    found = []
    for a in range(len(r)):
        for b in range(a, len(r)):
            outside = np.r_[s[:a], s[b + 1 :]]
            similar = s[a : b + 1].mean() - (outside.mean() if len(outside) else 0)
            if c.infer.similar == "sum":
                similar = z[a : b + 1].sum()
            score = np.log(start[a]) + np.log(end[b])
            score += c.infer.beta * r[a : b + 1].mean() + c.infer.eta * similar
            found.append((a, b, score, start[a] * end[b]))
    return found
