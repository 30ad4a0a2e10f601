"""What ranks the videos for a localizer: a file of scores, or a retriever on the same data."""

import json
import tracemalloc
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest
from index_cases import trained
from ml_collections import ConfigDict
from rich.console import Console

from vmr_jax.search import first_stage as module
from vmr_jax.search.first_stage import first_stage


def test_a_corpus_is_encoded_into_one_array():
    """Its codes are never there twice."""
    counts = np.random.default_rng(0).integers(1, 13, 400).astype(np.int32)
    videos = SimpleNamespace(
        video_id=[f"v{row}" for row in range(400)],
        features=lambda row: np.full((counts[row], 6), row, np.float16),
    )
    dataset = SimpleNamespace(
        name="toy", videos=videos, subtitles=lambda row: np.zeros((counts[row], 3), np.float16)
    )
    rows = np.arange(400)[::-1]  # the corpus has an order of its own
    many = SimpleNamespace(
        dataset=dataset, video_row=rows, pairs=SimpleNamespace(num_clips=counts[rows])
    )
    encode = lambda params, videos: {"wide": jnp.tile(videos.video[..., :1], 500)}  # noqa: E731
    system = trained("retriever", target__normalize="none")
    tracemalloc.start()
    found = module.encode_corpus(system, encode, many, Console(quiet=True))["wide"]
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    np.testing.assert_array_equal(found[:, 499], np.repeat(rows, counts[rows]))
    assert found.shape == (counts.sum(), 500) and most < 1.5 * found.nbytes


def corpus(videos, queries=("q0", "q1")):
    """What a first stage reads of a corpus: some videos of a dataset, and the queries."""
    ids = ("a", "b", "c", "d")
    return SimpleNamespace(
        dataset=SimpleNamespace(
            videos=SimpleNamespace(video_id=ids), name="toy", feature_name="features"
        ),
        video_row=np.array([ids.index(video) for video in videos]),
        table=SimpleNamespace(query_id=queries),
    )


def from_file(path, listed, index=None):
    """The first stage of a submission that lists (video index, score) of each query."""
    entries = [
        {"desc_id": query, "desc": "", "predictions": [[v, 0, 0, s] for v, s in rows]}
        for query, rows in listed.items()
    ]
    index = index or {"a": 7, "b": 3, "c": 5, "elsewhere": 1}
    path.write_text(json.dumps({"video2idx": index, "VR": entries}))
    return first_stage(ConfigDict({"first": {"scores_file": str(path), "checkpoint": ""}}))


def test_a_file_ranks_the_videos_that_are_in_the_corpus(tmp_path):
    listed = {"q0": [(1, 9.0), (5, 4.0), (7, 3.0), (5, 2.0), (3, 1.0)], "q1": [(7, 0.5)]}
    stage = from_file(tmp_path / "scores.json", listed)
    found = stage.rank("test", corpus("ac"), 3, None, None)
    assert found.row.tolist() == [[1, 0, -1], [0, -1, -1]] and found.row.dtype == np.int32
    assert found.score.tolist() == [[4, 3, -np.inf], [0.5, -np.inf, -np.inf]]
    assert stage.rank("test", corpus("abc"), 1, None, None).row.tolist() == [[2], [0]]
    changed = from_file(tmp_path / "scores.json", listed | {"q1": [(7, 0.6)]})
    assert changed.identity != stage.identity


def test_a_file_that_does_not_fit(tmp_path):
    path = tmp_path / "scores.json"
    stage = from_file(path, {"q0": [(7, 1.0)]})
    with pytest.raises(ValueError, match="ranks no videos for 1 of 2 queries of test, e.g. q1"):
        stage.rank("test", corpus("ac"), 3, None, None)
    stage = from_file(path, {"q0": [(7, 1.0)], "q1": [(7, 1.0), (5, float("nan"))]})
    with pytest.raises(ValueError, match="scores that are not finite for query q1"):
        stage.rank("test", corpus("ac"), 3, None, None)


@pytest.mark.parametrize(
    ("own", "message"),
    [
        (corpus("ab"), "there for other videos than 'features': prepare both for the same ones"),
        (corpus("ac", ("q0", "q2")), "there for other queries than 'features'"),
    ],
)
def test_a_retriever_of_other_videos_or_queries_is_refused(monkeypatch, own, message):
    domain = {"dataset": "toy", "train_split": "", "select_split": "", "eval_split": "test"}
    settings = {"data_dir": "", "seed": 0, "select": "last", "target": domain}
    trained = SimpleNamespace(
        config=ConfigDict(settings), identity={"fingerprint": "of the retriever"}
    )
    monkeypatch.setattr(module, "open_trained", lambda workdir, kind: trained)
    monkeypatch.setattr(module, "evaluation_dataset", lambda config: None)
    monkeypatch.setattr(module, "evaluation_corpus", lambda config, dataset, split: own)
    first = {"scores_file": "", "checkpoint": "runs/other"}
    stage = first_stage(ConfigDict(settings | {"first": first}))
    assert stage.identity == "of the retriever"
    with pytest.raises(ValueError, match=f"the retriever in runs/other reads .*{message}"):
        stage.rank("test", corpus("ac"), 3, None, None)
