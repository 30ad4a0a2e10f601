"""Real weights on real frames: `vmr weights get` brought them, VMR_DATA_DIR has the clips."""

import json
import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from vmr_jax.encoders.concepts import sentence_vectors
from vmr_jax.encoders.images import open_image_encoder
from vmr_jax.encoders.sentence import open_sentence_encoder
from vmr_jax.weights.registry import weights_path

pytestmark = pytest.mark.weights


def weights(name):
    """The path of registered weights; without them the test is skipped."""
    try:
        return weights_path(name)
    except FileNotFoundError as error:
        pytest.skip(str(error))


def data(part):
    """A path below VMR_DATA_DIR; without it the test is skipped."""
    path = Path(os.environ.get("VMR_DATA_DIR", "none")) / part
    if not path.exists():
        pytest.skip(f"no {part} in VMR_DATA_DIR")
    return path


def cosine(one, other):
    """The cosine of rows (N, D)."""
    one, other = np.asarray(one, np.float64), np.asarray(other, np.float64)
    norms = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return (one * other).sum(1) / norms


def stored_frames(path, numbers):
    """Frames of a video by their numbers, with the pixels as they are stored."""
    av = pytest.importorskip("av")
    with av.open(path) as container:
        frames = enumerate(container.decode(video=0))
        return [f.to_ndarray(format="rgb24") for i, f in frames if i in numbers]


def test_efficientnet_lite0_gives_the_rows_that_others_made(record_property):
    """Of the clips' frames 1, 7, 13 ..., without the pixels' aspect ratio, as those rows are."""
    encoder = open_image_encoder("efficientnet-lite0", weights("efficientnet-lite0"))
    run, found = encoder.compiled(), []
    raw = data("real/msrvtt_raw")
    with h5py.File(data("real/msrvtt_1ka/clips.h5")) as clips:
        for line in (raw / "clips.jsonl").read_text().splitlines()[:12]:
            video = json.loads(line)["vid"]
            rows = clips[video][1:5]
            frames = stored_frames(raw / f"{video}.mp4", {7, 13, 19, 25})
            found += [*cosine(run(np.stack([*map(encoder.crop, frames)])), rows)]
    record_property("least cosine", float(min(found)))
    print(f"{len(found)} rows, cosine {min(found):.6f} to {max(found):.6f}")
    assert len(found) == 48 and min(found) > 0.9999


def test_i3d_sees_cricket(record_property):
    """The clip's 8-bit rendering: this training of I3D gave it 0.9886, logits of norm 83.24."""
    image = pytest.importorskip("PIL.Image")
    encoder = open_image_encoder("i3d-logits", weights("i3d"))
    names = data("i3d/label_map.txt").read_text().splitlines()
    with image.open(data("i3d/v_CricketShot_g04_c01_rgb.gif")) as film:
        frames = [np.asarray(film.convert("RGB")) for n in range(film.n_frames) if not film.seek(n)]
    assert len(frames) == 79 and frames[0].shape == (224, 224, 3)
    logits = np.asarray(encoder.compiled()(np.stack(frames)[None])[0], np.float64)
    shares = np.exp(logits - logits.max())
    shares /= shares.sum()
    record_property("playing cricket", float(shares.max()))
    print(f"{names[shares.argmax()]} {shares.max():.4f}, logit {logits.max():.3f}")
    assert names[shares.argmax()] == "playing cricket" and shares.max() >= 0.98
    assert np.linalg.norm(logits) == pytest.approx(83.24, abs=0.05)


def test_a_frame_of_cricket_lies_near_its_sentence():
    """The same clip in the sentence encoder's space, by ImageNet's class names alone."""
    image = pytest.importorskip("PIL.Image")
    names = "efficientnet-lite0", "imagenet-names", "all-minilm-l6-v2"
    path, _, folder = map(weights, names)
    encoder = open_image_encoder("concepts", path)
    with image.open(data("i3d/v_CricketShot_g04_c01_rgb.gif")) as film:
        frame = np.asarray(film.convert("RGB"))
    rows = np.asarray(encoder.compiled()(frame[None]))
    sentences = ["a man hits a ball on a field", "a cat sleeps on a sofa", "someone fries an egg"]
    spoken = sentence_vectors(open_sentence_encoder(folder), sentences)
    assert rows.shape == (1, 384)
    assert cosine(np.repeat(rows, 3, axis=0), spoken).argmax() == 0


def test_sentences_are_as_alike_as_is_published(record_property):
    """The quick start of sentence-transformers prints these similarities of all-MiniLM-L6-v2."""
    encoder = open_sentence_encoder(weights("all-minilm-l6-v2"))
    sentences = [
        "The weather is lovely today.",
        "It's so sunny outside!",
        "He drove to the stadium.",
    ]
    vectors = sentence_vectors(encoder, sentences)
    published = [[1, 0.6660, 0.1046], [0.6660, 1, 0.1411], [0.1046, 0.1411, 1]]
    worst = np.abs(vectors @ vectors.T - published).max()
    record_property("difference", float(worst))
    assert worst < 1e-4
