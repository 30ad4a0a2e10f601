"""VLANet's training step in plain PyTorch, written the straightforward way.

The same mathematics as vmr_jax.models.vlanet with the switches that benchmarks/step_cases.py
sets: `literal` runs the whole network again on the pair with another query; `shared` encodes
proposals and queries once, the FC before the pooling where clips are fewer than windows, and
repeats only the surrogates and the cascade.
"""

import numpy as np
import torch
import torch.nn.functional as F
from ml_collections import ConfigDict
from torch import nn

FORMS = ("literal", "shared")
NEGATIVES = 1


class Alignment(nn.Module):
    """Eq. 7."""

    def __init__(self, dim: int, reduce: str):
        super().__init__()
        self.first = nn.Linear(dim, dim, bias=False)
        self.second = nn.Linear(dim, dim, bias=False)
        self.reduce = reduce

    def forward(self, x, y, y_mask):
        score = torch.tanh(self.first(x) @ self.second(y).transpose(1, 2))
        total = (score * y_mask[:, None]).sum(-1)
        return total / y_mask.sum(-1, keepdim=True) if self.reduce == "mean" else total


class Model(nn.Module):
    """The loss as a callable on a dict of tensors."""

    def __init__(self, params, config: ConfigDict, device: str, form: str):
        super().__init__()
        self.config, self.form = config, form
        cell = params["gru"]["GRUCell_0"]
        self.gru = nn.GRU(len(cell["ir"]["kernel"]), config.dim, batch_first=True)
        self.query_fc = nn.Linear(config.dim, config.dim)
        self.video_fc = nn.Linear(len(params["video_fc"]["kernel"]), config.dim)
        self.steps = ("v2v", "q2q", *config.cascade)
        self.final = Alignment(config.dim, config.vla.reduce)
        self.attentions = nn.ModuleList(
            self.final if config.attn.share_weights else Alignment(config.dim, config.vla.reduce)
            for _ in self.steps
        )
        with torch.no_grad():
            self.gru.bias_hh_l0.zero_()  # those of r and z are one too many: Flax has none
            for path, tensor in self._places():
                tensor.copy_(torch.tensor(np.array(_at(params, path)).T))
        self.to(device)

    def gradients(self) -> dict:
        """The gradients in the layout of the JAX parameters."""
        tree = {}
        for path, gradient in self._places(gradient=True):
            leaf = tree
            for name in path[:-1]:
                leaf = leaf.setdefault(name, {})
            leaf[path[-1]] = gradient.cpu().numpy().T
        return tree

    def _places(self, gradient: bool = False):
        """Each path of the JAX parameters with the tensor, or its gradient, that stands for it."""
        modules = {"query_fc": self.query_fc, "video_fc": self.video_fc, "final": self.final}
        if not self.config.attn.share_weights:
            modules |= {f"attentions_{at}": module for at, module in enumerate(self.attentions)}
        take = (lambda tensor: tensor.grad) if gradient else (lambda tensor: tensor)
        for part, module in modules.items():
            for name, tensor in module.named_parameters():
                name = {"weight": "kernel"}.get(name, name.removesuffix(".weight"))
                yield (part, name), take(tensor)
        sides = {"i": (self.gru.weight_ih_l0, self.gru.bias_ih_l0)}
        sides["h"] = (self.gru.weight_hh_l0, self.gru.bias_hh_l0)
        for side, (kernel, bias) in sides.items():
            rows = zip("rzn", take(kernel).chunk(3), take(bias).chunk(3), strict=True)
            for gate, kernel_rows, bias_rows in rows:
                yield ("gru", "GRUCell_0", side + gate, "kernel"), kernel_rows
                if side + gate not in ("hr", "hz"):
                    yield ("gru", "GRUCell_0", side + gate, "bias"), bias_rows

    def forward(self, batch: dict, negatives) -> dict[str, torch.Tensor]:
        """Eq. 14; `negatives` (1, B) are the other queries."""
        other = negatives[0]
        video = batch["video"], batch["num_clips"]
        query = batch["query"], batch["query_mask"]
        if self.form == "shared":
            videos, queries = self._videos(*video), self._queries(*query)
            positive = self._similarity(*videos, *queries)
            negative = self._similarity(*videos, *(x[other] for x in queries))
        else:
            positive = self._similarity(*self._videos(*video), *self._queries(*query))
            query = (x[other] for x in query)
            negative = self._similarity(*self._videos(*video), *self._queries(*query))
        return {"contrastive": F.relu(self.config.margin - positive + negative).mean()}

    def _queries(self, query, mask):
        """Eq. 1 and 10, and w_M."""
        states, _ = self.gru(query)
        words = F.normalize(self.query_fc(states), dim=-1) * mask[..., None]
        last = words[torch.arange(len(words)), mask.sum(-1) - 1]
        return self._attend(1, words, mask, words, mask), mask, last

    def _videos(self, video, num_clips):
        """Eq. 2: windows by 0/1 masks over the clips, (B, K, L, D)."""
        settings, clips = self.config.proposals, num_clips[:, None, None]
        widths = torch.tensor(sorted(settings.widths), device=video.device)
        at = torch.arange(video.shape[1], device=video.device)
        start = at[:: settings.stride][None, :, None]
        end = torch.minimum(start + widths, clips)
        if settings.cut:
            valid = 2 * (end - start) >= widths[0]
        else:
            valid = start + widths <= clips
        valid[:, 0, 0] = True
        member = (at >= start[..., None]) & (at < end[..., None]) & valid[..., None]
        member = member.flatten(1, 2).to(video.dtype)
        mean = member / member.sum(-1, keepdim=True).clamp(min=1)
        if self.form == "shared" and video.shape[1] < member.shape[1]:
            rows = mean @ self.video_fc(video)
        else:
            rows = self.video_fc(mean @ video)
        rows = F.normalize(rows, dim=-1).unflatten(1, valid.shape[1:])
        return rows * valid[..., None], valid

    def _similarity(self, rows, valid, words, word_mask, last):
        """Eq. 3 to 13."""
        if self.config.surrogate:
            cosine = torch.einsum("bkld,bd->bkl", rows, last)
            best = cosine.masked_fill(~valid, -torch.inf).argmax(-1)
            best = best[..., None, None].expand(-1, -1, 1, rows.shape[-1])
            rows, valid = rows.gather(2, best).squeeze(2), valid.any(-1)
        else:
            rows, valid = rows.flatten(1, 2), valid.flatten(1, 2)
        for step, direction in enumerate(self.steps):
            if direction == "v2v":
                rows = self._attend(step, rows, valid, rows, valid)
            elif direction == "q2v":
                rows = self._attend(step, rows, valid, words, word_mask)
            elif direction == "v2q":
                words = self._attend(step, words, word_mask, rows, valid)
        return self.final(rows.sum(1, keepdim=True), words, word_mask)[:, 0].float()

    def _attend(self, step, x, x_mask, y, y_mask):
        """Eq. 8."""
        energy = self.attentions[step](x, y, y_mask).masked_fill(~x_mask, -torch.inf)
        weight = torch.softmax(energy, -1)
        if self.config.attn.rescale_n:
            weight = weight * x_mask.sum(-1, keepdim=True)
        return x * weight[..., None]


def _at(tree, path):
    for name in path:
        tree = tree[name]
    return tree
