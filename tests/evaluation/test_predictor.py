"""Moments in one given video, of systems with random parameters."""

import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console

from tests.conftest import small_mmn, small_vlanet, write_toy
from tests.evaluation.random_runs import save_random_run
from tests.search.prem_runs import save_run
from vmr_jax.configs import prem_localizer, prem_retriever
from vmr_jax.data.tables.dataset import load_dataset
from vmr_jax.evaluation.evaluate import evaluate_checkpoint
from vmr_jax.evaluation.predictor import load
from vmr_jax.evaluation.submission import write_submission
from vmr_jax.types import Moment

RNG = np.random.default_rng(0)
CLIPS, SPOKEN = RNG.normal(size=(10, 8)), RNG.normal(size=(10, 5))
TOKENS = RNG.normal(size=(4, 7))


@pytest.fixture(scope="module")
def vlanet(tmp_path_factory, toy_data):
    return load(save_random_run(tmp_path_factory.mktemp("vlanet"), small_vlanet(toy_data)))


@pytest.fixture(scope="module")
def mmn_workdir(tmp_path_factory, toy_data):
    config = small_mmn(toy_data)
    config.target.normalize = "sqrt_standardize"
    return save_random_run(tmp_path_factory.mktemp("mmn"), config)


@pytest.fixture(scope="module")
def localizer_workdir(tmp_path_factory, toy_corpus):
    """Its first stage ranks the same two videos for every query."""
    workdir = tmp_path_factory.mktemp("localizer")
    dataset = load_dataset(toy_corpus, "toy", "features")
    asked = dataset.splits["test"]
    ranked = [[[0, 0, 0, 1.0], [1, 0, 0, 0.5]]] * len(asked.query_id)
    videos = sorted({dataset.videos.video_id[row] for row in asked.video})
    write_submission(workdir / "vr.json", videos, asked.query_id, asked.sentence, {"VR": ranked})
    keys = {"first__scores_file": str(workdir / "vr.json"), "first__retrieve": 1}
    keys["target__normalize"] = "standardize"
    return save_run(workdir, prem_localizer.get_config, toy_corpus, **keys)


@pytest.fixture(scope="module")
def toy_corpus(tmp_path_factory):
    """A data directory with the prepared dataset toy."""
    data_dir = tmp_path_factory.mktemp("corpus")
    write_toy(data_dir, "toy")
    return data_dir


def test_a_sentence_has_a_list_and_several_have_a_list_each(vlanet):
    one = vlanet.predict(CLIPS, "a person opens the door", duration=20)
    assert all(type(moment) is Moment and type(moment.score) is float for moment in one)
    assert 1 < len(one) <= vlanet.config.eval.top_k
    assert all(0 <= moment.start_s < moment.end_s <= 20 for moment in one)
    scores = [moment.score for moment in one]
    assert scores == sorted(scores, reverse=True)
    several = vlanet.predict(CLIPS, ("a box", "a person opens the door"), duration=20)
    assert len(several) == 2 and several[0] != several[1] == one
    assert vlanet.predict(CLIPS, ["a box"], duration=20, top_k=1) == [several[0][:1]]
    assert vlanet.predict(jnp.asarray(CLIPS), "a box", duration=20, top_k=99) == several[0]
    halved = vlanet.predict(CLIPS.tolist(), "a box", duration=10)
    assert [2 * moment.start_s for moment in halved] == pytest.approx(
        [moment.start_s for moment in several[0]]
    )


def test_words_without_a_vector_are_told_where_they_are_asked(vlanet):
    with pytest.warns(UserWarning, match="^words without a vector: zebra, zoo$") as told:
        found = vlanet.predict(CLIPS, ["zebra door zoo", "a zebra"], duration=20)
    assert [Path(warning.filename) for warning in told] == [Path(__file__)]
    assert found[0] and found[1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features": CLIPS[:, :5]}, "the features of the video are 5 wide, others 8"),
        ({"features": CLIPS[:0]}, "the features of the video have no clips"),
        ({"features": np.where(CLIPS > 1, np.nan, CLIPS)}, "a value that is NaN or infinite"),
        ({"features": 1e6 * CLIPS}, "beyond float16"),
        ({"duration": 0}, "duration is 0; it is the video's length in seconds"),
        ({"duration": np.nan}, "duration is nan"),
        ({"top_k": 0}, "top_k is 0; it must be at least 1"),
        ({"query": []}, "there are no queries"),
        ({"query": ""}, r"query 1: it has no words \(''\)"),
        ({"query": ["a box", "?!"]}, r"query 2: it has no words \('\?!'\)"),
        ({"query": ["a box", "zebra"]}, "query 2: the system knows none of its words"),
        ({"query": "a " * 7}, "query 1: it has 7 words, this system reads 6: shorten it"),
        ({"query": TOKENS}, "this run reads sentences, not features of their tokens"),
        ({"subtitles": SPOKEN}, "this run reads no subtitles"),
    ],
)
def test_mistakes_are_refused(vlanet, change, message):
    asked = {"features": CLIPS, "query": "a box", "duration": 20} | change
    with pytest.raises(ValueError, match=message):
        vlanet.predict(**asked)


def evaluated(workdir, name, data_dir, video):
    """What an evaluation predicted for the queries of a video, and the video of the dataset."""
    evaluate_checkpoint(None, workdir, "", Console(quiet=True))
    path = Path(workdir) / f"eval/{name}_test/predictions.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    dataset = load_dataset(data_dir, name, "features", subtitle_name="subtitles")
    return [line for line in lines if line["vid"] == video], dataset


def assert_same(found, lines):
    for moments, line in zip(found, lines, strict=True):
        np.testing.assert_allclose(moments, line["pred_relevant_windows"], rtol=1e-5, atol=1e-5)


def test_a_text_encoder_answers_as_in_an_evaluation(mmn_workdir, toy_data):
    lines, dataset = evaluated(mmn_workdir, "toy_target", toy_data, "test1")
    row = dataset.videos.video_id.index("test1")
    mmn = load(mmn_workdir)
    asked = {"features": dataset.videos.features(row), "duration": dataset.videos.duration[row]}
    with pytest.warns(UserWarning, match="4 words are not in the text encoder's vocabulary"):
        found = mmn.predict(query=[line["query"] for line in lines], **asked)
    assert_same(found, lines)
    with pytest.warns(UserWarning, match="3 words are not in the text encoder's vocabulary"):
        mmn.predict(query=["a door", "a zyzzyva"], **asked)
    with pytest.raises(ValueError, match="query 2: it has no words"):
        mmn.predict(query=["a door", " "], **asked)
    with pytest.raises(ValueError, match="query 2: it is longer than the 8 tokens"):
        mmn.predict(query=["a door", "a door " * 5], **asked)
    refused = mmn.refused(["?!", "a door", "a door " * 5])
    assert list(refused) == [0, 2] and refused[0] == "it has no words ('?!')"


def test_a_localizer_answers_as_in_an_evaluation(localizer_workdir, toy_corpus):
    lines, dataset = evaluated(localizer_workdir, "toy", toy_corpus, "test2")
    row = dataset.videos.video_id.index("test2")
    localizer, duration = load(localizer_workdir), float(dataset.videos.duration[row])
    asked = {"subtitles": dataset.subtitles(row), "duration": duration}
    clips, queries = dataset.videos.features(row), [line["query"] for line in lines]
    found = localizer.predict(clips, queries, **asked)
    assert_same(found, lines)
    assert max(moment.end_s for moment in found[0]) <= duration
    for subtitles in (None, asked["subtitles"][1:]):
        with pytest.raises(ValueError, match=rf"subtitles: give features \({len(clips)}, 5\)"):
            localizer.predict(clips, queries, duration=duration, subtitles=subtitles)
    long = {"subtitles": np.tile(SPOKEN, (2, 1)), "duration": 40}
    with pytest.warns(UserWarning, match="20 clips, of which this run reads the first 12") as told:
        found = localizer.predict(np.tile(CLIPS, (2, 1)), "a door", **long)
    assert told[0].filename == __file__ and max(moment.end_s for moment in found) <= 12 * 1.5


def test_features_of_tokens(tmp_path, toy_corpus):
    keys = {"target__query_features": "tokens", "target__subtitles": "", "modalities": ("image",)}
    tokens = load(save_run(tmp_path, prem_localizer.get_config, toy_corpus, **keys))
    one = tokens.predict(CLIPS, TOKENS, duration=15)
    assert tokens.predict(CLIPS, jnp.asarray(TOKENS, jnp.float16), duration=15) == one
    both = tokens.predict(CLIPS, [TOKENS, TOKENS[:2]], duration=15, top_k=3)
    np.testing.assert_allclose(both[0], one[:3], rtol=1e-5)
    assert len(both) == 2 and both[1] != both[0]
    for query, message in (
        ("a door", r"features of a query's tokens, not words: give an array \(L, 7\)"),
        (TOKENS[:, 1:], "a query's tokens are 6 wide, others 7"),
        (np.tile(TOKENS, (2, 1)), "1 of the queries are longer than the 6 tokens"),
        ([TOKENS, TOKENS[:0]], "a query's tokens have no clips"),
    ):
        with pytest.raises(ValueError, match=message):
            tokens.predict(CLIPS, query, duration=15)


def test_what_finds_no_moments_is_not_loaded(tmp_path, toy_corpus):
    retriever = save_run(tmp_path / "r", prem_retriever.get_config, toy_corpus)
    with pytest.raises(ValueError, match="prem_retriever ranks videos and finds no moments in"):
        load(retriever)
    with pytest.raises(FileNotFoundError, match="no checkpoint found there"):
        load(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="toy with features 'features' is not prepared in"):
        load(retriever, tmp_path / "nowhere")
