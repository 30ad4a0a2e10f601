"""PREM's retriever against its formulas in float64, and what must not influence it."""

import eva_cases
import jax
import jax.numpy as jnp
import numpy as np
import prem_cases as cases
import prem_reference as reference
import pytest

from tests.first_parameters import init
from tests.gradients import check_gradients
from tests.models.partial_relevance_cases import slow_losses
from vmr_jax import models
from vmr_jax.models.prem.retriever_losses import Pairs, best_clips, clip_similarities
from vmr_jax.models.prem.retriever_system import word_weights
from vmr_jax.training.state import num_parameters
from vmr_jax.training.steps import term_means
from vmr_jax.types import DataSpec, Queries, Videos

pytestmark = pytest.mark.usefixtures("quick_random_numbers")
jit = eva_cases.jit
CLOSE = {"rtol": 1e-4, "atol": 2e-5}


def _sides(b):
    return Videos(b.video, b.video_mask, b.sub), Queries(b.query, b.query_mask)


def _encoded(made):
    """jit: (params, batch) -> what the search reads."""
    retriever = made

    @jit
    def run(params, b):
        videos, queries = _sides(b)
        return retriever.encode_videos(params, videos), retriever.encode_queries(params, queries)

    return run


def _total(made):
    def loss(params, b, key=None):
        key = jax.random.key(0) if key is None else key
        found = made.loss(params, b, key, None)
        return sum(term_means(found.terms).values()), term_means(found.terms | found.watched)

    return loss


@pytest.fixture(scope="module")
def default():
    """The config, system, parameters, a batch, compiled encoders and loss."""
    c = cases.config()
    made, params = cases.system(c)
    return c, made, params, cases.batch(), _encoded(made), jit(_total(made))


SWITCHES = [
    {},
    {"pos": "sin", "act": "gelu", "sub__mask_empty": True, "pooling": "mean"},
    {"modalities": ("image",), "pooling": "max"},
    {"modalities": ("sub",)},
]


@pytest.mark.parametrize("switches", SWITCHES)
def test_queries_and_clips_are_encoded_as_the_formulas_say(switches, default):
    if switches:
        c = cases.config(**switches)
        made, params = cases.system(c)
        run = _encoded(made)
    else:
        c, _, params, _, run, _ = default
    b = cases.batch()
    p = eva_cases.float64(params)
    video, query = run(params, b)
    assert video.dtype == query.dtype == jnp.float32
    for i, (clips, words) in enumerate(eva_cases.valid_pairs(b)):
        expected = reference.unit(reference.encode_query(p, c, words)[1])
        np.testing.assert_allclose(query[i], expected, **CLOSE)
        sub = np.asarray(b.sub[i, : len(clips)], np.float64)
        expected = reference.unit(reference.encode_video(p, c, clips, sub))
        np.testing.assert_allclose(video[i, : len(clips)], expected.swapaxes(0, 1), **CLOSE)
        assert not np.asarray(video[i, len(clips) :]).any()


def test_one_modality_has_no_other_parameters_and_scores_by_it_alone():
    c = cases.config(modalities=("image",), target__subtitles="")
    specs = {"target": cases.SPEC._replace(sub_dim=0)}
    made, params = cases.system(c, specs=specs)
    names = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(params)]
    assert not [name for name in names if "sub" in name or "modality" in name]
    b = cases.batch()._replace(sub=None)
    video, query = _encoded(made)(params, b)
    assert video.shape[2] == query.shape[1] == 1
    similarity = clip_similarities(query, video)
    found = best_clips(similarity, b.video_mask)
    expected = np.where(b.video_mask, similarity[0], -2).max(-1)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_the_loss_is_the_loops_in_seconds(default):
    c, _, params, b, run, loss = default
    video, query = run(params, b)
    span = np.array([[1, 3], [0, 0], [4, 4], [0, 1], [5, 6], [0, 4]])  # of cases.batch()
    pairs = Pairs(query, video, b.video_mask, span, b.video_id, b.weight)
    terms, watched = slow_losses(pairs, c)
    total, means = loss(params, b)
    for name, value in (terms | watched).items():
        np.testing.assert_allclose(means[name], value, rtol=1e-3, atol=1e-4, err_msg=name)
    np.testing.assert_allclose(total, sum(terms.values()), rtol=1e-3)


def test_the_end_label_may_be_a_clip_later(default):
    _, _, params, b, _, loss = default
    later = models.make(cases.config(end_label="ceil"), cases.SPECS)
    one, two = loss(params, b)[1], jit(_total(later))(params, b)[1]
    assert one["similarity_positive"] < two["similarity_positive"]


def test_padding_changes_no_loss_or_gradient(default):
    """Items, clips and words; the tables of positions have rows for them."""
    c, _, params, b, _, loss = default
    made = models.make(c, {"target": cases.LARGER})
    step, long = jit(jax.value_and_grad(_total(made), has_aux=True)), cases.longer_tables(params)
    clean, dirty = (cases.pad(b, value=value) for value in (0, 7))
    (zero, gradient), (seven, other) = (step(long, padded) for padded in (clean, dirty))
    for padded in (zero, seven):
        for one, two in zip(*map(jax.tree.leaves, (padded, loss(params, b))), strict=True):
            np.testing.assert_allclose(one, two, rtol=1e-3)
    for one, two in zip(*map(jax.tree.leaves, (gradient, other)), strict=True):
        assert np.isfinite(one).all()
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-5)
    for row, name in ((5, "query"), (9, "video")):  # of positions that no real row has
        assert not np.asarray(gradient[name]["positions"][row:]).any()


def test_gradients_of_the_loss():
    c = cases.config(temperature=1.0, act="gelu")
    made, params = cases.system(c)
    b = cases.batch()
    check_gradients(
        lambda params: _total(made)(params, b)[0], (params,), atol=2e-2, rtol=2e-2, eps=1e-3
    )


@pytest.mark.slow  # no run encodes without jit
def test_with_and_without_jit(default):
    _, made, params, b, run, _ = default
    found = made.encode_queries(params, _sides(b)[1])
    np.testing.assert_allclose(found, run(params, b)[1], **CLOSE)


def test_training_has_dropout_and_encoding_has_none():
    made, params = cases.system(cases.config(dropout=0.3))
    b = cases.batch()
    loss = jit(lambda key: _total(made)(params, b, key)[0])
    one, again, two = (loss(jax.random.key(seed)) for seed in (0, 0, 1))
    assert one == again and one != two
    plain, _ = cases.system(cases.config())
    for left, right in zip(_encoded(made)(params, b), _encoded(plain)(params, b), strict=True):
        np.testing.assert_array_equal(left, right)


def test_bfloat16_is_near_float32(default):
    _, _, params, b, run, _ = default
    made = models.make(cases.config(precision="bfloat16"), cases.SPECS)
    for half, full in zip(_encoded(made)(params, b), run(params, b), strict=True):
        assert half.dtype == jnp.float32
        np.testing.assert_allclose(half, full, atol=0.15)
    found = jax.eval_shape(jax.value_and_grad(_total(made), has_aux=True), params, b)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(found))


def test_the_weights_of_the_words(default):
    c, _, params, b, _, _ = default
    queries = _sides(b)[1]
    weight = np.asarray(word_weights(c, cases.SPEC, params, queries))
    assert weight.shape == (6, 2, 5)
    np.testing.assert_allclose(weight.sum(-1), 1, rtol=1e-5)
    assert not weight[~np.broadcast_to(np.asarray(b.query_mask)[:, None], weight.shape)].any()
    assert not np.allclose(weight[:, 0], weight[:, 1])
    with pytest.raises(ValueError, match="config.pooling='max' weighs no words: use 'modality'"):
        word_weights(cases.config(pooling="max"), cases.SPEC, params, queries)


def test_an_empty_query_and_a_video_without_clips_are_like_nothing(default):
    _, made, params, b, run, _ = default
    nothing = b._replace(
        query_mask=jnp.zeros_like(b.query_mask), video_mask=jnp.zeros_like(b.video_mask)
    )
    assert not any(np.asarray(leaf).any() for leaf in run(params, nothing))


@pytest.mark.parametrize(("unit", "rows"), [("words", 6), ("clips", 10)])
def test_what_is_longer_than_the_table_of_positions_is_refused(unit, rows, default):
    _, made, params, b, _, _ = default
    videos, queries = _sides(cases.pad(b, clips=1, words=1))
    encode = made
    call = (encode.encode_queries, queries) if unit == "words" else (encode.encode_videos, videos)
    with pytest.raises(
        ValueError, match=f"{rows} {unit} do not fit PREM's table of {rows - 1} positions"
    ):
        call[0](params, call[1])


def _layer(width):
    """Parameters of one Transformer layer: attention, feed-forward of 4 D, two LayerNorms."""
    return 4 * (width**2 + width) + 8 * width**2 + 5 * width + 4 * width


@pytest.mark.parametrize(
    ("dataset", "clips", "words", "sub", "parameters"),
    [("tvr", 100, 30, 768, 5_875_840), ("didemo", 20, 30, 0, 5_547_136)],
)
def test_parameters_of_the_papers_sizes(dataset, clips, words, sub, parameters):
    c = cases.prem_retriever.get_config(dataset)
    assert (c.target.max_clips, c.target.max_words) == (clips, words)
    spec = DataSpec(4352, 768, clips, words, sub)
    made = models.make(c, {"target": spec})
    shaped = jax.eval_shape(lambda: cases.blank(spec))
    params = jax.eval_shape(made.init, jax.random.key(0), shaped)
    inputs = lambda width: 2 * width + width * 384 + 384  # noqa: E731
    query = inputs(768) + words * 384 + 2 * 384 + _layer(384)
    video = inputs(4352) + clips * 384 + 2 * 384 + _layer(384)
    modalities = 1
    if sub:
        video, modalities = video + inputs(sub) + 2 * 384, 2
    assert num_parameters(params) == query + video + 384 * modalities == parameters


def test_fresh_parameters():
    made = models.make(cases.config(dim=64, heads=4), cases.SPECS)
    params = init(made, cases.batch())
    layer = params["video"]["layer"]
    for leaf in (layer["fc1"]["kernel"], params["query"]["positions"]):
        np.testing.assert_allclose(np.std(leaf), 0.02, rtol=0.15)
    assert not np.asarray(layer["fc1"]["bias"]).any()
    assert (np.asarray(layer["norm1"]["scale"]) == 1).all()


@pytest.mark.parametrize(
    ("switches", "message"),
    [
        ({"pooling": "sum"}, "config.pooling='sum': use one of mean, max, modality"),
        ({"positive": "weak"}, "config.positive='weak': use one of strong, strong_weak, whole"),
        ({"vq__neg_scope": "clip"}, "config.vq.neg_scope='clip': use one of video, span"),
        ({"act": "tanh"}, "config.act='tanh': use one of relu, gelu"),
        ({"pos": "none"}, "config.pos='none': use one of learned, sin"),
        ({"end_label": "floor"}, "config.end_label='floor': use one of ceil_minus_1, ceil"),
        ({"modalities": ("text",)}, r"config.modalities=\('text',\): use one of"),
        ({"precision": "float16"}, "config.precision='float16': use one of float32, bfloat16"),
        ({"target__subtitles": ""}, "config.target.subtitles='' names no subtitles: name them"),
        ({"target__labels": False}, "PREM learns from boundaries, set it to True"),
        ({"heads": 3}, "config.heads=3 does not divide config.dim=8"),
        ({"dropout": 1.0}, "config.dropout=1.0: use a rate of at least 0, below 1"),
        ({"temperature": 0.0}, "config.temperature=0.0: use more than 0"),
        ({"clip_seconds": -1.5}, "config.clip_seconds=-1.5: use more than 0"),
    ],
)
def test_wrong_switches_are_refused(switches, message):
    with pytest.raises(ValueError, match=message):
        models.make(cases.config(**switches), cases.SPECS)


def test_data_without_subtitles_are_refused_before_training():
    with pytest.raises(ValueError, match="the data have no subtitle features: prepare simulated_"):
        models.make(cases.config(), {"target": cases.SPEC._replace(sub_dim=0)})
