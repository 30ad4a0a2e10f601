"""The figures of systems that search a corpus: words of a query, boundaries in its video."""

import json

import jax
import numpy as np
import pytest

from tests.conftest import write_toy
from tests.plots.figure_cases import DRAW, SENTENCE, assert_readable
from tests.plots.test_figure_files import run_cli
from tests.search.prem_runs import save_run
from vmr_jax.configs import prem_localizer, prem_retriever
from vmr_jax.data.batches.data_paths import query_batch, video_batch
from vmr_jax.data.datasets.records import Annotations, MomentRecord
from vmr_jax.data.sources.features import from_arrays
from vmr_jax.data.tables.build import write_dataset
from vmr_jax.data.tables.query_features import write_query_features
from vmr_jax.models.prem.retriever_system import word_weights
from vmr_jax.plots import corpus_figure_data as corpus_content
from vmr_jax.plots.queries import open_split
from vmr_jax.training.steps import as_float32


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A prepared corpus under `data`, and runs that were trained for no step."""
    root = tmp_path_factory.mktemp("prem")
    data = root / "data"
    write_toy(data, "toy")
    retriever = prem_retriever.get_config
    save_run(root / "retriever", retriever, data)
    save_run(root / "tokens", retriever, data, target__query_features="tokens")
    save_run(root / "images", retriever, data, modalities=("image",))
    save_run(root / "localizer", prem_localizer.get_config, data, infer__min_l=1, infer__max_l=3)
    return root


@pytest.fixture(scope="module")
def other_corpus(tmp_path_factory):
    """Another toy: a long query of a long video with three annotators, and one without a video."""
    data_dir = tmp_path_factory.mktemp("other_corpus")
    rng = np.random.default_rng(0)
    moments = np.array([[1, 4], [1, 4], [2, 8.5]], np.float32)
    splits = {"test": [MomentRecord("a/b #1", "v", SENTENCE, moments)]}
    splits["hidden"] = [MomentRecord("h", "", "a door", moments[:0])]
    annotations = Annotations("toy", splits, {"v": 22.0, "w": 4.0}, [], {})
    vectors = {word: rng.normal(size=6) for word in ("a", "person", "opens", "the", "door")}
    for name, width in (("features", 8), ("subtitles", 5)):
        rows = {"v": rng.normal(size=(15, width)), "w": rng.normal(size=(3, width))}
        write_dataset(data_dir, annotations, from_arrays(rows), name, vectors)
    tokens = {"a/b #1": rng.normal(size=(9, 7)), "h": rng.normal(size=(2, 7))}
    write_query_features(data_dir, annotations, from_arrays(tokens), "tokens")
    return data_dir


def opened(figure, workdir, *place):
    """A run whose parameters are large, so that what it says differs from place to place."""
    run = open_split(figure, workdir, *place)
    return run._replace(params=jax.tree.map(lambda leaf: 8 * leaf, run.params))


def test_weights_are_the_retrievers(root):
    run = opened("words", root / "retriever")
    qids = run.domain.table.query_id
    queries = as_float32(query_batch(run.domain, np.arange(len(qids))))
    expected = np.asarray(word_weights(run.config, run.domain.spec, run.params, queries))
    for row, shown in enumerate(corpus_content.words_content(run, qids)):
        words = shown["query"].split()
        assert [word["word"] for word in shown["words"]] == words  # no padded word
        weights = [shown["weights"][name] for name in ("image", "sub")]
        np.testing.assert_allclose(weights, expected[row][:, : len(words)], atol=1e-4)
        np.testing.assert_allclose(np.sum(weights, axis=1), 1, rtol=1e-5)
        assert np.ptp(weights) > 0.01
        about = [shown[name] for name in ("figure", "qid", "dataset", "split", "system", "vid")]
        video = qids[row].split("#")[0]
        assert about == ["words", qids[row], "toy", "test", "prem_retriever", video]


def test_words_of_token_features_and_of_one_modality(root, other_corpus):
    run = open_split("words", root / "tokens", data_dir=other_corpus)
    (shown,) = corpus_content.words_content(run, ["a/b #1"])
    assert [word["word"] for word in shown["words"]] == list("123456")
    assert (shown["words_left_out"], shown["words_are"]) == (3, "token features")
    texts = " ".join(assert_readable(DRAW["words"](shown))).replace("\n", " ")
    assert "token features of the query" in texts and "last 3 token features" in texts

    run = open_split("words", root / "images", "hidden", other_corpus)
    (shown,) = corpus_content.words_content(run, ["h"])
    assert set(shown["weights"]) == {"image"} and shown["vid"] is None and shown["truth"] == []
    texts = " ".join(assert_readable(DRAW["words"](shown))).replace("\n", " ")
    assert "video hidden" in texts and "subtitle query" not in texts


def test_boundaries_are_the_localizers(root):
    run = opened("boundaries", root / "localizer")
    domain, localizer = run.domain, run.system
    qids = domain.table.query_id
    rows = np.arange(len(qids))
    videos = as_float32(video_batch(domain, domain.pairs.video))
    code = jax.jit(localizer.encode_videos)(run.params, videos)
    query = jax.jit(localizer.encode_queries)(run.params, as_float32(query_batch(domain, rows)))
    code = jax.tree.map(lambda leaf: leaf[:, None], code)
    logits = jax.jit(localizer.locate)(run.params, query, code, videos.video_mask[:, None])
    for row, shown in enumerate(corpus_content.boundaries_content(run, qids)):
        clips, seconds = shown["clips"], shown["duration"]
        count = int(domain.pairs.num_clips[domain.pairs.video[row]])
        np.testing.assert_allclose(clips["edges"][:-1], 1.5 * np.arange(count))
        assert len(clips["edges"]) == count + 1
        expected = [np.asarray(side[row, 0, :count], np.float64) for side in logits]
        for name, side in zip(("start", "end"), expected, strict=True):
            powers = np.exp(side - side.max())
            np.testing.assert_allclose(clips[name], powers / powers.sum(), rtol=1e-3, atol=1e-6)
        assert shown["span_clips"] == [2, 4]
        spans = [(i, j) for i in range(count) for j in range(i + 1, min(i + 4, count))]
        scores = {span: expected[0][span[0]] + expected[1][span[1]] for span in spans}
        best = max(spans, key=scores.get)
        found = [shown["predictions"][name][0] for name in ("start", "end", "score")]
        end = min(1.5 * (best[1] + 1), seconds)
        np.testing.assert_allclose(found, [1.5 * best[0], end, scores[best]], rtol=1e-3, atol=1e-4)
        assert len(shown["predictions"]["start"]) == min(len(spans), 100)


def test_a_longer_video_ends_where_it_is_cut(root, other_corpus):
    run = open_split("boundaries", root / "localizer", data_dir=other_corpus)
    (shown,) = corpus_content.boundaries_content(run, ["a/b #1"])
    assert len(shown["clips"]["start"]) == 12 and shown["clips"]["edges"][-1] == 18
    figure = DRAW["boundaries"](shown)
    texts = " ".join(assert_readable(figure)).replace("\n", " ")
    assert texts.count("truth: 1.0 – 4.0 s") == 2 and "truth: 2.0 – 8.5 s" in texts
    best = [shown["predictions"][name][0] for name in ("start", "end")]
    assert f"top 1: {best[0]:.1f} – {best[1]:.1f} s" in texts and "top 2" not in texts
    assert "over the video's clips, 0.0 – 18.0 s" in texts and "span of 2 to 4 clips" in texts
    assert figure.axes[1].get_xlim() == (0, 22)
    curves = dict(zip(("start", "end"), figure.axes[1].patches, strict=False))
    for name, curve in curves.items():
        np.testing.assert_array_equal(curve.get_data().values, shown["clips"][name])


def test_commands_of_a_corpus(root, other_corpus, monkeypatch, capsys, tmp_path):
    for figure, workdir in (("words", "retriever"), ("boundaries", "localizer")):
        asked = ["plot", figure, "--checkpoint", root / workdir, "--data-dir", other_corpus]
        assert run_cli(monkeypatch, *asked, "--qid", "a/b #1", "--out", tmp_path) == 0
        picture = tmp_path / f"{figure}_a%2Fb%20#1.png"
        assert capsys.readouterr().out == f"{picture}\n" and picture.is_file()
        shown = json.loads(picture.with_suffix(".json").read_text())
        texts = " ".join(assert_readable(DRAW[figure](shown))).replace("\n", " ")
        assert f"“{SENTENCE}”" in texts and "toy / test, query a/b #1, video v" in texts
        if figure == "words":
            assert {"image query", "subtitle query"} <= set(assert_readable(DRAW[figure](shown)))
            assert "[unheard-of]" in texts and "last 5 words" in texts


def test_refused_figures_of_a_corpus(root, other_corpus):
    for figure, workdir, message in (
        ("words", "localizer", "prem_localizer has no figure words, .* it has boundaries"),
        ("boundaries", "retriever", "prem_retriever has no figure boundaries, .* it has words"),
        ("attention", "retriever", "no figure attention, which shows an attention map"),
    ):
        with pytest.raises(ValueError, match=message):
            open_split(figure, root / workdir)
    run = open_split("words", root / "retriever")
    run.config.pooling = "max"
    with pytest.raises(ValueError, match="pooling='max' weighs no words"):
        corpus_content.words_content(run, ["test0#0"])
    run = open_split("boundaries", root / "localizer", "hidden", other_corpus)
    with pytest.raises(
        ValueError, match="video of query 'h' is hidden in toy / hidden: .* --split"
    ):
        corpus_content.boundaries_content(run, ["h"])
    for collect in (corpus_content.words_content, corpus_content.boundaries_content):
        with pytest.raises(ValueError, match="no query 'x' in toy / hidden, which has 1"):
            collect(run, ["x"])
