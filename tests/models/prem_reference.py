"""PREM's networks for one query and one video, without padding, in plain NumPy float64."""

import math

import numpy as np


def norm(p, x):
    """LayerNorm over the last axis."""
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    return x * p["scale"] + p["bias"]


def linear(p, x):
    return x @ p["kernel"] + p["bias"]


def relu(x):
    return np.maximum(x, 0)


def gelu(x):
    return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def unit(x):
    """Rows of length 1; zero rows stay zero."""
    length = np.linalg.norm(x, axis=-1, keepdims=True)
    return np.where(length > 1e-8, x / np.maximum(length, 1e-8), 0)


def attend(query, keys, values, heads, valid):
    """Multi-head attention (L, D), (M, D) twice to the valid rows (M,)."""
    width = query.shape[1] // heads
    out = np.zeros_like(query)
    for head in range(heads):
        part = slice(head * width, (head + 1) * width)
        score = query[:, part] @ keys[:, part].T / math.sqrt(width)
        weight = np.exp(score - score.max(1, keepdims=True)) * valid
        out[:, part] = weight / weight.sum(1, keepdims=True) @ values[:, part]
    return out


def self_attention(p, c, x, valid):
    query, keys, values = np.split(linear(p["qkv"], x), 3, axis=1)
    return norm(p["norm1"], x + linear(p["out"], attend(query, keys, values, c.heads, valid)))


def feed_forward(p, c, x):
    act = relu if c.act == "relu" else gelu
    return norm(p["norm2"], x + linear(p["fc2"], act(linear(p["fc1"], x))))


def positions(p, c, length):
    """Learned rows, or sine and cosine in turn at length 1."""
    if c.pos == "learned":
        return p["positions"][:length]
    rows = np.zeros((length, c.dim))
    for row in range(length):
        for channel in range(c.dim):
            angle = row / 10000 ** (2 * (channel // 2) / c.dim)
            rows[row, channel] = math.sin(angle) if channel % 2 == 0 else math.cos(angle)
    return unit(rows)


def sequence(p, c, features, valid):
    """Features (L, F) by modality, valid rows (J, L) -> (J, L, D)."""
    length, rows = valid.shape[1], []
    for number, (name, x) in enumerate(features.items()):
        x = relu(linear(p[f"inputs_{name}"], norm(p[f"input_norms_{name}"], x)))
        x = x + positions(p, c, length)
        rows.append(x + p["modality_rows"][number] if len(features) > 1 else x)
    x = norm(p["norm"], np.concatenate(rows))
    x = feed_forward(p["layer"], c, self_attention(p["layer"], c, x, valid.ravel()))
    return x.reshape(len(features), length, -1) * valid[..., None]


def encode_query(p, c, words):
    """w (M, D), and q (J, D) (PREM, Eq. 5)."""
    rows = sequence(p["query"], c, {"words": words}, np.ones((1, len(words)), bool))[0]
    if c.pooling == "modality":
        score = rows @ p["word_score"]["kernel"]
        weight = np.exp(score - score.max(0))
        return rows, (weight / weight.sum(0)).T @ rows
    one = rows.mean(0) if c.pooling == "mean" else rows.max(0)
    return rows, np.stack([one] * len(c.modalities))


def encode_video(p, c, image, sub):
    """(J, N, D)."""
    features = {"image": image, "sub": sub}
    features = {name: features[name] for name in c.modalities}
    valid = np.ones((len(features), len(image)), bool)
    if c.sub.mask_empty and "sub" in features:
        valid[list(features).index("sub")] = (sub != 0).any(1)
    return sequence(p["video"], c, features, valid)


def merge(p, c, query, video):
    """c (PREM, Eq. 9): q (J, D), clips (J, N, D) -> (N, D)."""
    gated = []
    for number, (q, rows) in enumerate(zip(query, video, strict=True)):
        if c.gate != "none":
            product = (rows @ p["gate"][number]) * q
            gate = unit(product) if c.gate == "l2" else 1 / (1 + np.exp(-product))
            rows = gate * rows
        gated.append(rows)
    return linear(p["merge_fc"], np.concatenate(gated, axis=1))


def fuse(p, c, x, words):
    """One fusion layer: clips (N, D), words (M, D) -> (N, D)."""
    x = self_attention(p["clips"], c, x, np.ones(len(x), bool))
    keys, values = np.split(linear(p["keys_values"], words), 2, axis=1)
    mixed = attend(linear(p["query"], x), keys, values, c.heads, np.ones(len(words), bool))
    x = norm(p["norm"], x + linear(p["out"], mixed))
    return feed_forward(p["clips"], c, x)


def convolve(kernel, x):
    """Zero-padded correlation: (K, D, features), (N, D) -> (N, features)."""
    width, half = len(kernel), len(kernel) // 2
    padded = np.pad(x, ((half, half), (0, 0)))
    return np.stack([np.einsum("kd,kdf->f", padded[i : i + width], kernel) for i in range(len(x))])


def boundary(p, x):
    """Logits of the clips: (N, D) -> (N,)."""
    names = sorted(p)
    for name in names:
        x = convolve(p[name]["kernel"], x)
        x = relu(x) if name != names[-1] else x
    return x[:, 0]


def edge_rows(p, widths, video):
    """What changes at the start and end of each clip, as rows: (N, F) -> (N, 32)."""
    rows, changes = unit(video), []
    for width in widths:
        for shift in (0, 1):
            column = []
            for edge in range(shift, len(rows) + shift):
                before, after = rows[max(edge - width, 0) : edge], rows[edge : edge + width]
                both = len(before) and len(after)
                column.append(1 - unit(before.sum(0)) @ unit(after.sum(0)) if both else 1)
            changes.append(column)
    return relu(linear(p["Dense_0"], np.stack(changes, axis=1)))


def locate(p, c, words, image, sub):
    """Logits of start and end, and g of the content's head: (N,), (N,), (N, D)."""
    rows, query = encode_query(p["encoder"], c, words)
    merged = merge(p, c, query, encode_video(p["encoder"], c, image, sub))
    middle = fuse(p["boundary_0"], c, merged, rows)
    last = fuse(p["boundary_1"], c, middle, rows)
    content = middle if c.lc.share_fusion else merged
    for name in sorted(name for name in p if name.startswith("content_")):
        content = fuse(p[name], c, content, rows)
    if c.edges:
        last = np.concatenate([last, edge_rows(p["edges"], c.edges, image)], axis=1)
    return boundary(p["start"], last), boundary(p["end"], last), content
