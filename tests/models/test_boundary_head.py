import jax
import jax.numpy as jnp
import numpy as np

from vmr_jax.models.eva.boundary_head import BoundaryHead

DIM = 6


def _inputs():
    rng = np.random.default_rng(0)
    video = rng.standard_normal((2, 7, DIM)).astype(np.float32)
    query = rng.standard_normal((2, 4, DIM)).astype(np.float32)
    return video, np.arange(7) < [[7], [4]], query, np.arange(4) < [[2], [4]]


def test_the_head_equals_the_formulas_of_the_specification():
    video, video_mask, query, query_mask = inputs = _inputs()
    head = BoundaryHead(DIM)
    params = head.init(jax.random.key(0), *inputs)["params"]
    out = head.apply({"params": params}, *inputs)
    p = jax.tree.map(lambda leaf: np.asarray(leaf).astype(np.float64), params)
    for b in range(2):
        words, clips = query[b, query_mask[b]], video[b, video_mask[b]]
        score = np.exp(words @ p["word_score"]["kernel"][:, 0])
        sentence = score / score.sum() @ words @ p["fc"]["kernel"] + p["fc"]["bias"]
        similarity = np.zeros(7)
        similarity[: len(clips)] = clips @ sentence
        np.testing.assert_allclose(out.similarity[b], similarity, atol=1e-5)
        for name in ("start", "end"):
            expected = np.correlate(similarity, p[name][:, 0, 0], mode="same")
            logits = np.asarray(getattr(out, name)[b])
            np.testing.assert_allclose(logits[video_mask[b]], expected[video_mask[b]], atol=1e-5)
            assert (logits[~video_mask[b]] == -1e10).all()


def test_parameters_of_the_head():
    rows, mask = jnp.zeros((1, 1, 256)), jnp.ones((1, 1), bool)
    shapes = jax.eval_shape(BoundaryHead(256).init, jax.random.key(0), rows, mask, rows, mask)
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == 256 + 65_792 + 10
