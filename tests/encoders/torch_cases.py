"""Random CLIP and DistilBERT of the `transformers` package, for the tests of parity."""

import jax
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="parity needs torch: pip install -e '.[dev]'")
transformers = pytest.importorskip(
    "transformers", reason="parity needs transformers: pip install -e '.[dev]'"
)


def random_model(model):
    """The model in evaluation mode, with every parameter moved away from its plain start."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.03 * torch.randn(parameter.shape))
    return model.eval()


def clip_model(text: dict, vision: dict, projection: int):
    """transformers' CLIPModel of these sizes."""
    end = text["vocab_size"] - 1
    ids = {"eos_token_id": end, "bos_token_id": end - 1, "pad_token_id": 0}
    config = transformers.CLIPConfig(
        text_config={**text, **ids, "projection_dim": projection},
        vision_config={**vision, "projection_dim": projection},
        projection_dim=projection,
    )
    return random_model(transformers.CLIPModel(config))


def openai_names(state: dict) -> dict:
    """CLIP's tensors of `transformers` under the names of OpenAI's state dict."""
    renamed = {"logit_scale": state["logit_scale"]}
    for side, prefix in (("text", ""), ("vision", "visual.")):
        old, new = f"{side}_model.encoder.layers.", f"{prefix}transformer.resblocks."
        count = 1 + max(int(n[len(old) :].split(".")[0]) for n in state if n.startswith(old))
        for i in range(count):
            for kind in ("weight", "bias"):
                parts = [state[f"{old}{i}.self_attn.{p}_proj.{kind}"] for p in "qkv"]
                renamed[f"{new}{i}.attn.in_proj_{kind}"] = torch.cat(parts)
                for hf, openai in (
                    ("self_attn.out_proj", "attn.out_proj"),
                    ("layer_norm1", "ln_1"),
                    ("mlp.fc1", "mlp.c_fc"),
                    ("mlp.fc2", "mlp.c_proj"),
                    ("layer_norm2", "ln_2"),
                ):
                    renamed[f"{new}{i}.{openai}.{kind}"] = state[f"{old}{i}.{hf}.{kind}"]
    for kind in ("weight", "bias"):
        renamed[f"ln_final.{kind}"] = state[f"text_model.final_layer_norm.{kind}"]
        renamed[f"visual.ln_pre.{kind}"] = state[f"vision_model.pre_layrnorm.{kind}"]
        renamed[f"visual.ln_post.{kind}"] = state[f"vision_model.post_layernorm.{kind}"]
    text, vision = "text_model.embeddings.", "vision_model.embeddings."
    return renamed | {
        "token_embedding.weight": state[f"{text}token_embedding.weight"],
        "positional_embedding": state[f"{text}position_embedding.weight"],
        "text_projection": state["text_projection.weight"].T,
        "visual.conv1.weight": state[f"{vision}patch_embedding.weight"],
        "visual.class_embedding": state[f"{vision}class_embedding"],
        "visual.positional_embedding": state[f"{vision}position_embedding.weight"],
        "visual.proj": state["visual_projection.weight"].T,
    }


class Holder(torch.nn.Module):
    """Parameters under dotted names, without any computation."""

    def __init__(self, tensors: dict):
        super().__init__()
        below = {}
        for name, tensor in tensors.items():
            head, _, rest = name.partition(".")
            if rest:
                below.setdefault(head, {})[rest] = tensor
            else:
                self.register_parameter(head, torch.nn.Parameter(tensor.clone()))
        for head, inner in below.items():
            self.add_module(head, Holder(inner))

    def forward(self, x):
        return x


def save_gradients(model, path) -> None:
    """Write the model's gradients to a safetensors file, under the names of its weights."""
    from safetensors.torch import save_file

    gradients = {
        name: torch.zeros_like(p) if p.grad is None else p.grad
        for name, p in model.named_parameters()
    }
    save_file(gradients, path)


def worst_gradient(ours, reference) -> float:
    """The largest difference of two gradients, relative to each tensor's largest entry.

    A layer of a stack is a tensor of its own.
    """

    def worst(path, one, other):
        one, other = np.asarray(one), np.asarray(other)
        if jax.tree_util.keystr(path).startswith("['layers']"):
            return max(worst((), a, b) for a, b in zip(one, other, strict=True))
        return np.abs(one - other).max() / np.abs(other).max()

    return max(jax.tree.leaves(jax.tree_util.tree_map_with_path(worst, ours, reference)))
