"""The same random weights in `transformers` and here give the same outputs and gradients."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch_cases
from torch_cases import torch, transformers

from vmr_jax.encoders.clip import (
    ClipImage,
    ClipImageConfig,
    ClipText,
    ClipTextConfig,
    load_clip_image,
    load_clip_text,
)
from vmr_jax.encoders.distilbert import DistilBert, DistilBertConfig, load_distilbert

FULL = pytest.param("full", marks=pytest.mark.slow)
OUTPUT, GRADIENT = 1e-4, 1e-3


def _clip_case(size):
    if size == "full":
        return ClipTextConfig(), ClipImageConfig()
    return ClipTextConfig(300, 20, 64, 2, 4, 32), ClipImageConfig(96, 32, 64, 2, 4, 32)


def _clip(size):
    text, image = _clip_case(size)
    shared = {"hidden_act": "quick_gelu"}
    return torch_cases.clip_model(
        {
            "vocab_size": text.vocabulary,
            "max_position_embeddings": text.context,
            "hidden_size": text.width,
            "intermediate_size": 4 * text.width,
            "num_hidden_layers": text.layers,
            "num_attention_heads": text.heads,
            **shared,
        },
        {
            "image_size": image.size,
            "patch_size": image.patch,
            "hidden_size": image.width,
            "intermediate_size": 4 * image.width,
            "num_hidden_layers": image.layers,
            "num_attention_heads": image.heads,
            **shared,
        },
        text.projection,
    )


def _sentences(config, count):
    """Ids (count, context) with a first token, random words, the last token and padding."""
    rng = np.random.default_rng(0)
    ids = np.zeros((count, config.context), np.int64)
    for row, length in enumerate(rng.integers(1, config.context - 1, count)):
        words = rng.integers(0, config.vocabulary - 2, length)
        ids[row, : length + 2] = [config.vocabulary - 2, *words, config.vocabulary - 1]
    return ids


def _report(record_property, **figures):
    for name, value in figures.items():
        record_property(name, float(value))
        print(f"{name}: {value:.2e}")


@pytest.mark.parametrize("size", ["small", FULL])
def test_clip(size, tmp_path, record_property):
    text_config, image_config = _clip_case(size)
    model = _clip(size)
    model.save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"

    ids = _sentences(text_config, 4)
    params = load_clip_text(file, text_config)
    target = np.random.default_rng(1).normal(size=(4, text_config.projection)).astype(np.float32)

    def loss(params):
        features = ClipText(text_config).apply({"params": params}, jnp.asarray(ids))
        return jnp.mean((features - target) ** 2), features

    (_, ours), gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))(params)
    theirs = model.get_text_features(input_ids=torch.from_numpy(ids)).pooler_output
    ((theirs - torch.from_numpy(target)) ** 2).mean().backward()
    torch_cases.save_gradients(model, tmp_path / "gradients.safetensors")
    reference = load_clip_text(tmp_path / "gradients.safetensors", text_config)
    text_error = np.abs(np.asarray(ours) - theirs.detach().numpy()).max()
    gradient_error = torch_cases.worst_gradient(gradient, reference)

    visible = np.random.default_rng(3).random(ids.shape) < 0.7
    visible[:, 0] = True
    hidden = jax.jit(ClipText(text_config).apply)({"params": params}, jnp.asarray(ids), visible)
    with torch.no_grad():
        theirs = model.get_text_features(
            input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(visible).long()
        ).pooler_output
    hidden_error = np.abs(np.asarray(hidden) - theirs.numpy()).max()

    shape = (2, image_config.size, image_config.size, 3)
    images = np.random.default_rng(2).normal(size=shape).astype(np.float32)
    params = load_clip_image(file, image_config)
    ours = jax.jit(ClipImage(image_config).apply)({"params": params}, images)
    with torch.no_grad():
        rows = model.vision_model(torch.from_numpy(images.transpose(0, 3, 1, 2))).last_hidden_state
        joint = model.visual_projection(model.vision_model.post_layernorm(rows)).numpy()
    alone = jax.jit(partial(ClipImage(image_config).apply, method="class_token"))
    alone = alone({"params": params}, images)
    image_error = max(np.abs(one - joint[:, 0]).max() for one in (ours.image, alone))
    patch_error = np.abs(ours.patches - joint[:, 1:]).max()
    raw_error = np.abs(ours.raw_patches - rows[:, 1:].numpy()).max()
    _report(
        record_property,
        text=text_error,
        text_gradient=gradient_error,
        text_with_hidden_tokens=hidden_error,
        image=image_error,
        patches=patch_error,
        raw_patches=raw_error,
    )
    assert max(text_error, hidden_error) < OUTPUT
    assert gradient_error < GRADIENT
    assert max(image_error, patch_error, raw_error) < OUTPUT


@pytest.mark.parametrize("size", ["small", FULL])
def test_distilbert(size, tmp_path, record_property):
    config = DistilBertConfig() if size == "full" else DistilBertConfig(300, 20, 64, 2, 4)
    model = torch_cases.random_model(
        transformers.DistilBertModel(
            transformers.DistilBertConfig(
                vocab_size=config.vocabulary,
                max_position_embeddings=config.context,
                dim=config.width,
                hidden_dim=4 * config.width,
                n_layers=config.layers,
                n_heads=config.heads,
            )
        )
    )
    model.save_pretrained(tmp_path)
    params = load_distilbert(tmp_path / "model.safetensors", config)
    if size == "full":
        assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 66_362_880

    rng = np.random.default_rng(0)
    ids = rng.integers(1, config.vocabulary, (3, 20))  # torch trains no padding, id 0
    mask = np.arange(20) < np.array([[20], [7], [2]])
    weight = mask / mask.sum(axis=1, keepdims=True)
    target = rng.normal(size=(3, config.width)).astype(np.float32)

    def loss(params):
        rows = DistilBert(config).apply({"params": params}, jnp.asarray(ids), jnp.asarray(mask))
        mean = jnp.einsum("bm,bmd->bd", weight.astype(np.float32), rows)
        return jnp.mean((mean - target) ** 2), rows

    (_, ours), gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))(params)
    theirs = model(torch.from_numpy(ids), attention_mask=torch.from_numpy(mask).long())[0]
    mean = torch.einsum("bm,bmd->bd", torch.from_numpy(weight).float(), theirs)
    ((mean - torch.from_numpy(target)) ** 2).mean().backward()
    torch_cases.save_gradients(model, tmp_path / "gradients.safetensors")
    reference = load_distilbert(tmp_path / "gradients.safetensors", config)
    output_error = np.abs(np.asarray(ours) - theirs.detach().numpy())[mask].max()
    gradient_error = torch_cases.worst_gradient(gradient, reference)
    _report(record_property, rows=output_error, gradient=gradient_error)
    assert output_error < OUTPUT
    assert gradient_error < GRADIENT


def test_bert(tmp_path, record_property):
    """MiniLM's kind of model: BERT, whose token types are all 0."""
    config = DistilBertConfig(300, 20, 48, 3, 4)
    model = torch_cases.random_model(
        transformers.BertModel(
            transformers.BertConfig(
                vocab_size=config.vocabulary,
                max_position_embeddings=config.context,
                hidden_size=config.width,
                intermediate_size=4 * config.width,
                num_hidden_layers=config.layers,
                num_attention_heads=config.heads,
            )
        )
    )
    model.save_pretrained(tmp_path)
    params = load_distilbert(tmp_path / "model.safetensors", config)
    ids = np.random.default_rng(0).integers(1, config.vocabulary, (3, 20))
    mask = np.arange(20) < np.array([[20], [7], [2]])
    ours = jax.jit(DistilBert(config).apply)({"params": params}, ids, mask)
    with torch.no_grad():
        theirs = model(torch.from_numpy(ids), torch.from_numpy(mask).long()).last_hidden_state
    error = np.abs(np.asarray(ours) - theirs.numpy())[mask].max()
    _report(record_property, rows=error)
    assert error < OUTPUT


@pytest.mark.parametrize("form", ["state_dict", "torchscript"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_openai_names(form, tmp_path):
    text_config, image_config = _clip_case("small")
    model = _clip("small")
    model.save_pretrained(tmp_path)
    renamed = torch_cases.openai_names(model.state_dict())
    if form == "state_dict":
        torch.save(renamed, tmp_path / "openai.pt")
    else:
        unused = {"context_length": torch.ones(1), "visual.attn_mask": torch.ones(2, 2)}
        holder = torch_cases.Holder(renamed | unused)
        torch.jit.save(torch.jit.trace(holder.half(), torch.ones(1)), tmp_path / "openai.pt")
    for load, config in ((load_clip_text, text_config), (load_clip_image, image_config)):
        ours = load(tmp_path / "openai.pt", config)
        expected = load(tmp_path / "model.safetensors", config)
        tolerance = 1e-3 if form == "torchscript" else 0
        jax.tree.map(
            lambda a, b, t=tolerance: np.testing.assert_allclose(a, b, rtol=t, atol=t / 100),
            ours,
            expected,
        )
