"""EVA's default training step in plain PyTorch, written the straightforward way.

The same mathematics as vmr_jax.models.eva with its default switches, module by module as the
paper has them: every re-paired negative runs the whole network again, each joint vector j_k is
built, each attention unit has its four products (`literal`); `shared` computes Self1, proposals
and Self2 once an item and repeats only Cross and the matching head, as the specification notes.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from ml_collections import ConfigDict

FORMS = ("literal", "shared")
NEGATIVES = 4
_SCALES = (0.25, 0.5, 1.0, 2.0, 4.0)


class _Reverse(torch.autograd.Function):
    """Gradient reversal."""

    @staticmethod
    def forward(ctx, x):
        return x.view_as(x)

    @staticmethod
    def backward(ctx, gradient):
        return -gradient


class Model:
    """The hybrid loss as a callable on (source, target) dicts of tensors."""

    def __init__(self, params, config: ConfigDict, device: str, form: str):
        self.params = _to_torch(params, device)
        self.config, self.shared, self.training = config, form == "shared", True

    def parameters(self) -> list[torch.Tensor]:
        """All of them."""
        return list(_leaves(self.params))

    def gradients(self) -> dict:
        """The gradients in the layout of the JAX parameters."""
        return _gradients(self.params)

    def __call__(self, source: dict, target: dict, negatives) -> dict[str, torch.Tensor]:
        """Each term's mean; `negatives` (4, B): other queries and videos of source, of target."""
        weight = self.config.lambdas
        target_views, weak = self._matching("weak", target, negatives[2:])
        source_views, bce = self._matching("full", source, negatives[:2])
        boundary = self._boundary(source_views, source)
        align = 0.0
        for stage in (0, 1):
            for part, factor in ((0, weight.vid), (2, 1.0)):
                one, other = (
                    _mean(views[stage][part], views[stage][part + 1])
                    for views in (source_views, target_views)
                )
                align = align + factor * _mmd(one, other)
        pooled = [
            (_max(v, v_mask), _max(q, q_mask))
            for v, v_mask, q, q_mask in (source_views[1], target_views[1])
        ]
        domain = self._domain(pooled)
        extra = _mmd(pooled[0][0], pooled[1][0]) + _mmd(pooled[0][1], pooled[1][1])
        return {
            "weak": weak,
            "full_match": weight.f * bce,
            "boundary": weight.f * weight.r * boundary,
            "align": weight.align * align,
            "domain": weight.domain * domain,
            "domain_mmd": weight.domain * extra,
        }

    def _module(self, branch: str, name: str):
        return self.params["shared"].get(name) or self.params[branch][name]

    def _dropout(self, x):
        return F.dropout(x, self.config.dropout, self.training)

    def _attend(self, p, y, x, y_mask, x_mask):
        """Eq. 1."""
        query, key, value = F.linear(y, p["query"]), F.linear(x, p["key"]), F.linear(x, p["value"])
        scores = query @ key.transpose(1, 2) / math.sqrt(y.shape[-1])
        scores = scores.masked_fill(~x_mask[:, None], -1e9)
        mixed = torch.softmax(scores, -1) @ value
        out = F.linear(y + mixed, p["fc_kernel"], p["fc_bias"])
        return self._dropout(out) * y_mask[..., None]

    def _encode(self, branch, video, video_mask, query, query_mask, num_clips):
        """Projections, Self1, proposals, Self2."""
        p = self._module(branch, "proj")
        v = F.linear(self._dropout(video), p["video"]["kernel"], p["video"]["bias"])
        q = F.linear(self._dropout(query), p["query"]["kernel"], p["query"]["bias"])
        v, q = v * video_mask[..., None], q * query_mask[..., None]
        p = self._module(branch, "self1")
        v = self._attend(p["video"], v, v, video_mask, video_mask)
        q = self._attend(p["query"], q, q, query_mask, query_mask)
        if branch == "weak":
            v, video_mask = self._proposals(v, num_clips)
        p = self._module(branch, "self2")
        v = self._attend(p["video"], v, v, video_mask, video_mask)
        q = self._attend(p["query"], q, q, query_mask, query_mask)
        return v, video_mask, q, query_mask

    def _proposals(self, video, num_clips):
        """Mean-pooled sliding windows, for videos at least as long as the smallest window."""
        pooled, ends = [], []
        for size in sorted(self.config.target.windows):
            if size <= video.shape[1]:
                stride = self.config.target.stride
                windows = F.avg_pool1d(video.transpose(1, 2), size, stride).transpose(1, 2)
                pooled.append(windows)
                ends.append(size + stride * torch.arange(windows.shape[1], device=video.device))
        mask = torch.cat(ends) <= num_clips[:, None]
        return torch.cat(pooled, 1) * mask[..., None], mask

    def _cross(self, branch, v, v_mask, q, q_mask):
        """Eq. 5, both units from the old rows."""
        p = self._module(branch, "cross")
        new = self._attend(p["video"], v, q, v_mask, q_mask)
        return new, v_mask, self._attend(p["query"], q, v, q_mask, v_mask), q_mask

    def _score(self, branch, v, v_mask, q, q_mask):
        """Logit of P_m(V | Q), Eq. 3."""
        p = self._module(branch, "head")
        q = _max(q, q_mask)[:, None].expand_as(v)
        joint = F.linear(torch.cat([v, q], -1), p["fc_kernel"], p["fc_bias"])
        joint = torch.cat([v + q, v * q, joint], -1)
        logits = F.linear(joint, p["scorer"], p["bias"])[..., 0]
        return logits.masked_fill(~v_mask, -1e9).max(-1).values

    def _matching(self, branch, batch, negatives):
        """(rows before and after Cross), Eq. 4."""
        video = batch["video"], batch["video_mask"]
        query = batch["query"], batch["query_mask"]
        clips = batch["num_clips"]
        before = self._encode(branch, *video, *query, clips)
        after = self._cross(branch, *before)
        loss = 2 * F.softplus(-self._score(branch, *after))
        for index, of_query in ((negatives[0], True), (negatives[1], False)):
            if self.shared:
                v, v_mask, q, q_mask = before
                if of_query:
                    pair = v, v_mask, q[index], q_mask[index]
                else:
                    pair = v[index], v_mask[index], q, q_mask
            elif of_query:
                pair = self._encode(branch, *video, *(x[index] for x in query), clips)
            else:
                pair = self._encode(branch, *(x[index] for x in video), *query, clips[index])
            loss = loss + F.softplus(self._score(branch, *self._cross(branch, *pair)))
        return (before, after), loss.mean()

    def _boundary(self, views, batch):
        """Eq. 6's L_r."""
        p = self._module("full", "boundary")
        v, v_mask, q, q_mask = views[1]
        score = F.linear(q, p["word_score"]["kernel"])[..., 0].masked_fill(~q_mask, -1e9)
        sentence = (torch.softmax(score, -1)[:, None] @ q)[:, 0]
        sentence = F.linear(sentence, p["fc"]["kernel"], p["fc"]["bias"])
        similarity = (v @ sentence[..., None])[..., 0] * v_mask
        loss = 0.0
        for at, name in enumerate(("start", "end")):
            logits = F.conv1d(similarity[:, None], p[name], padding=2)[:, 0]
            logits = logits.float().masked_fill(~v_mask, -1e10)
            loss = loss + F.cross_entropy(logits, batch["span"][:, at].long())
        return loss

    def _domain(self, pooled):
        """Eq. 10 behind a gradient reversal."""
        p, loss = self.params["domain"]["domain"], 0.0
        for label, part in enumerate(pooled):
            x = _Reverse.apply(torch.cat(part, -1))
            x = F.relu(F.linear(x, p["fc_2"]["kernel"], p["fc_2"]["bias"]))
            logits = F.linear(x, p["fc_1"]["kernel"], p["fc_1"]["bias"])
            truth = torch.full((len(x),), label, device=x.device)
            loss = loss + F.cross_entropy(logits.float(), truth)
        return loss


def _max(x, mask):
    return x.masked_fill(~mask[..., None], -1e9).max(1).values


def _mean(x, mask):
    return (x.float() * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)


def _mmd(x, y):
    """Eq. 7 with five kernels around the median distance."""
    x, y = x.float(), y.float()
    both, n = torch.cat([x, y]), len(x)
    distance = ((both[:, None] - both) ** 2).sum(-1)
    with torch.no_grad():
        other = ~torch.eye(len(both), dtype=torch.bool, device=x.device)
        median = distance[other].quantile(0.5).clamp(min=1e-6)
    kernel = sum(torch.exp(-distance / (scale * median)) for scale in _SCALES) / len(_SCALES)
    return kernel[:n, :n].mean() + kernel[n:, n:].mean() - 2 * kernel[:n, n:].mean()


def _to_torch(params, device: str):
    """A tree of JAX parameters as leaf tensors in PyTorch's (out, in) layout."""
    if hasattr(params, "items"):
        return {name: _to_torch(value, device) for name, value in params.items()}
    array = np.array(params).T  # kernels (in, out) and convolutions (5, 1, 1) are reversed
    return torch.tensor(np.ascontiguousarray(array), device=device, requires_grad=True)


def _leaves(tree):
    for value in tree.values():
        yield from _leaves(value) if isinstance(value, dict) else (value,)


def _gradients(tree):
    if isinstance(tree, dict):
        return {name: _gradients(value) for name, value in tree.items()}
    return tree.grad.cpu().numpy().T
