"""MMN's training step in plain PyTorch, written the straightforward way.

The same mathematics as vmr_jax.models.mmn with its default switches: nn.Conv2d and BatchNorm2d
on whole padded maps with the cells that count masked, and DistilBERT from `transformers`.
"""

from operator import itemgetter

import jax
import numpy as np
import torch
import torch.nn.functional as F
from ml_collections import ConfigDict
from torch import nn
from transformers import DistilBertConfig, DistilBertModel

FORMS = ("whole maps",)
NEGATIVES = 0  # those of the batch serve
_MASKED = -1e9


class Model(nn.Module):
    """The loss as a callable on a dict of tensors."""

    def __init__(self, params, config: ConfigDict, device: str, form: str):
        super().__init__()
        self.config, self.params = config, params
        sizes, dim, joint = config.map, config.dim, config.joint_dim
        vocabulary, width = params["text_encoder"]["tokens"].shape
        rate = config.get("dropout", 0.1)
        self.text_encoder = DistilBertModel(
            DistilBertConfig(vocab_size=vocabulary, dropout=rate, attention_dropout=rate)
        )
        self.text_norm = nn.LayerNorm(width)
        self.query_iou, self.query_contrastive = nn.Linear(width, joint), nn.Linear(width, joint)
        self.video_fc = nn.Conv1d(len(params["video_fc"]["kernel"]), dim, 1)
        padding = (sizes.kernel - 1) * sizes.layers // 2
        self.convolutions = nn.ModuleList(
            nn.Conv2d(dim, dim, sizes.kernel, padding=0 if layer else padding)
            for layer in range(sizes.layers)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(dim) for _ in range(sizes.layers))
        self.cell_iou, self.cell_contrastive = nn.Conv2d(dim, joint, 1), nn.Conv2d(dim, joint, 1)
        with torch.no_grad():
            for view, tensor in self._places(params):
                tensor.copy_(torch.tensor(np.array(view)))
        self.to(device)
        self.diagonals = _diagonals(sizes.pooling_counts)
        valid = torch.zeros(sizes.clips, sizes.clips, device=device)
        for step, offset in self.diagonals:
            first = torch.arange(0, sizes.clips - offset, step)
            valid[first, first + offset] = 1
        self.row, self.column = valid.nonzero(as_tuple=True)
        self.weights, kernel = [], torch.ones(1, 1, sizes.kernel, sizes.kernel, device=device)
        for convolution in self.convolutions:
            count = F.conv2d(valid[None, None], kernel, padding=convolution.padding)[0, 0]
            valid = (count > 0.5).float()
            self.weights.append(valid / count.clamp(min=1))

    def gradients(self) -> dict:
        """The gradients in the layout of the JAX parameters."""
        tree = jax.tree.map(np.zeros_like, self.params)
        for view, tensor in self._places(tree):
            view[...] = tensor.grad.cpu().numpy()
        return tree

    def _places(self, tree):
        """Each parameter, after a view in its layout of what stands for it in a JAX tree."""
        for name in ("query_iou", "query_contrastive", "video_fc", "cell_iou", "cell_contrastive"):
            yield from _linear(tree[name], getattr(self, name))
        yield from _norm(tree["text_norm"], self.text_norm)
        for number, (convolution, norm) in enumerate(
            zip(self.convolutions, self.norms, strict=True), 1
        ):
            yield tree["map"][f"kernel{number}"].transpose(3, 2, 0, 1), convolution.weight
            yield tree["map"][f"bias{number}"], convolution.bias
            yield tree["map"][f"scale{number}"], norm.weight
            yield tree["map"][f"offset{number}"], norm.bias
        embeddings, tree = self.text_encoder.embeddings, tree["text_encoder"]
        yield tree["tokens"], embeddings.word_embeddings.weight
        yield tree["positions"], embeddings.position_embeddings.weight
        yield from _norm(tree["norm"], embeddings.LayerNorm)
        for at, layer in enumerate(self.text_encoder.transformer.layer):
            rows, attention = jax.tree.map(itemgetter(at), tree["layers"]), layer.attention
            width = len(rows["out"]["bias"])
            for part, module in enumerate((attention.q_lin, attention.k_lin, attention.v_lin)):
                columns = slice(part * width, (part + 1) * width)
                third = {name: leaf[..., columns] for name, leaf in rows["qkv"].items()}
                yield from _linear(third, module)
            yield from _linear(rows["out"], attention.out_lin)
            yield from _norm(rows["norm1"], layer.sa_layer_norm)
            yield from _linear(rows["fc1"], layer.ffn.lin1)
            yield from _linear(rows["fc2"], layer.ffn.lin2)
            yield from _norm(rows["norm2"], layer.output_layer_norm)

    def forward(self, batch: dict, _) -> dict[str, torch.Tensor]:
        """L_iou + lambda (L_v + L_s) in the first epoch."""
        cells, queries = self._cells(batch["video"]), self._queries(batch)
        settings, owner = self.config.contrastive, batch["owner"]
        iou = self._iou(batch["moment"], batch["duration"][owner])
        low, high = self.config.iou.min, self.config.iou.max
        label = ((iou - low) / (high - low)).clamp(0, 1)
        logit = 10 * torch.einsum("td,tdp->tp", queries[0], cells[0][owner])
        score = torch.einsum("td,bdp->tbp", queries[1], cells[1])
        best = iou.topk(settings.positives).indices
        of_sentences = self._moment_to_sentence(score, best, owner, batch["moment"])
        of_moments = self._sentence_to_moment(score, best, owner, iou)
        return {
            "iou": F.binary_cross_entropy_with_logits(logit, label),
            "moment_to_sentence": settings.weight * of_sentences,
            "sentence_to_moment": settings.weight * of_moments,
        }

    def _queries(self, batch):
        """Unit vectors (T, D) in both spaces."""
        mask = batch["token_mask"]
        rows = self.text_encoder(batch["tokens"], mask).last_hidden_state
        mean = (rows * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        sentence = self.text_norm(mean)
        heads = self.query_iou, self.query_contrastive
        return [F.normalize(head(sentence).float(), dim=-1) for head in heads]

    def _cells(self, video):
        """Unit vectors of the valid cells (B, D, P) in both spaces."""
        video = F.relu(self.video_fc(video.transpose(1, 2)))
        clips = F.avg_pool1d(video, video.shape[2] // self.config.map.clips)
        x = self._map(clips)
        for convolution, norm, weight in zip(
            self.convolutions, self.norms, self.weights, strict=True
        ):
            x = F.relu(norm(convolution(x))) * weight
        heads = self.cell_iou, self.cell_contrastive
        return [F.normalize(head(x).float(), dim=1)[:, :, self.row, self.column] for head in heads]

    def _map(self, clips):
        """Largest value over a cell's clips: (B, D, N) -> (B, D, N, N), zero where not valid."""
        steps, number, spans = dict(map(reversed, self.diagonals)), clips.shape[2], clips
        x = clips.new_zeros(*clips.shape, number)
        for offset in range(number):
            if offset:
                spans = torch.maximum(spans[:, :, :-1], clips[:, :, offset:])
            if offset in steps:
                first = torch.arange(0, number - offset, steps[offset], device=clips.device)
                x[:, :, first, first + offset] = spans[:, :, first]
        return x

    def _iou(self, moment, duration):
        """(T, 2), (T,) seconds -> (T, P)."""
        clip = duration[:, None] / self.config.map.clips
        return _overlap(self.row * clip, (self.column + 1) * clip, moment[:, :1], moment[:, 1:])

    def _moment_to_sentence(self, score, best, owner, moment):
        """p^q of Eq. 8."""
        start, end = moment[:, :1], moment[:, 1:]
        rival = (owner[:, None] != owner) | (_overlap(start, end, start.T, end.T) < 0.5)
        logit = score[:, owner[:, None], best] / self.config.contrastive.tau_v
        negative = logit.masked_fill(~rival[..., None], _MASKED).logsumexp(0)
        return self._told_apart(score, best, owner, negative, self.config.contrastive.tau_v)

    def _sentence_to_moment(self, score, best, owner, iou):
        """p^m of Eq. 8."""
        settings, queries = self.config.contrastive, torch.arange(len(owner), device=score.device)
        rival = torch.ones_like(score, dtype=torch.bool)
        rival[queries, owner] = (iou < 0.5).scatter(1, best, False)
        logit = (score / settings.tau_s).masked_fill(~rival, _MASKED)
        negative = (logit.flatten(1).logsumexp(1).exp() + settings.epsilon).log()
        return self._told_apart(score, best, owner, negative[:, None], settings.tau_s)

    def _told_apart(self, score, best, owner, negative, tau):
        queries = torch.arange(len(owner), device=score.device)[:, None]
        positive = (score[queries, owner[:, None], best] - self.config.contrastive.margin) / tau
        return F.softplus(negative - positive).mean()


def _diagonals(pooling_counts) -> list[tuple[int, int]]:
    """Step and offset of each diagonal of valid cells."""
    steps = [1] + [2**group for group, count in enumerate(pooling_counts) for _ in range(count)]
    return list(zip(steps, np.cumsum([0, *steps[1:]]).tolist(), strict=True))


def _overlap(start, end, other_start, other_end):
    """IoU of moments."""
    inter = torch.minimum(end, other_end) - torch.maximum(start, other_start)
    union = torch.maximum(end, other_end) - torch.minimum(start, other_start)
    return inter.clamp(min=0) / union


def _linear(tree, module):
    yield tree["kernel"].T.reshape(module.weight.shape), module.weight
    yield tree["bias"], module.bias


def _norm(tree, module):
    yield tree["scale"], module.weight
    yield tree["bias"], module.bias
