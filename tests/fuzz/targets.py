"""What the campaign damages: files of each kind that the library reads, and how they are read."""

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple
from unittest.mock import patch

import h5py
import jax
import numpy as np
import optax
import safetensors.numpy
from rich.console import Console
from tokenizers import Tokenizer, pre_tokenizers

from tests.conftest import small_vlanet, write_toy
from tests.search.index_cases import WORDS, make_source, trained
from vmr_jax.data.datasets import read_annotations
from vmr_jax.data.datasets.records import Annotations, MomentRecord
from vmr_jax.data.prepare.doctor import check
from vmr_jax.data.sources.features import as_float16, open_features
from vmr_jax.data.sources.subtitles import pool_subtitles
from vmr_jax.data.tables.dataset import load_dataset
from vmr_jax.data.text.vocabulary import load_glove
from vmr_jax.encoders.tokenizer import clip_tokenizer, wordpiece_tokenizer
from vmr_jax.evaluation.score import score_files
from vmr_jax.plots.similarities import similarity_content
from vmr_jax.reproduce import tables as reproduction
from vmr_jax.search.corpus_search import TrainedCorpus
from vmr_jax.search.index import build_index
from vmr_jax.search.queries import read_queries
from vmr_jax.search.trained import role_of
from vmr_jax.training import loop
from vmr_jax.training.checkpoint import Checkpoints
from vmr_jax.training.logs import RunLog
from vmr_jax.training.mesh import make_mesh, replicated
from vmr_jax.training.state import TrainState
from vmr_jax.training.workdir import claim_workdir
from vmr_jax.weights.tensors import read_tensors

RNG = np.random.default_rng(0)
QUIET = Console(quiet=True)
_OPTIMIZER = optax.adam(1e-3)


class Target(NamedTuple):
    """One kind of files: `make` writes them into a folder, `read` gives their content.

    What is `sealed` has a checksum of all its content: it never reads as something else. Of the
    files those that match a pattern of `damaged` are damaged.
    """

    family: str  # what is damaged in one process
    make: Callable[[Path], None]
    read: Callable[[Path], Any]
    inputs: int
    sealed: bool = False
    damaged: tuple[str, ...] = ("**/*",)


# --- annotations and predictions


def _lines(path: Path, objects: list) -> None:
    path.write_text("".join(json.dumps(value) + "\n" for value in objects))


def _jsonl(folder: Path) -> None:
    for split in ("train", "test"):
        labels = [
            {
                "qid": n,
                "query": f"a person opens door {n}",
                "vid": f"v{n % 3}",
                "duration": 30.5 + n % 3,
                "relevant_windows": [[n, n + 5.5], [12, 20]],
            }
            for n in range(4)
        ]
        _lines(folder / f"{split}.jsonl", labels)


def _charades(folder: Path) -> None:
    for split in ("train", "test"):
        lines = [f"V{n % 2} {n}.5 {n + 4}.0##a person opens a door.\n" for n in range(4)]
        (folder / f"charades_sta_{split}.txt").write_text("".join(lines))
        table = 'id,script,length\nV0,"x, y",30.96\nV1,z,20.5\n'
        (folder / f"Charades_v1_{split}.csv").write_text(table)


def _by_video(names: tuple[str, ...], duration: str, folder: Path) -> None:
    entries = {
        f"v{n}": {
            duration: 30.5,
            "timestamps": [[0.5, 4], [3, 30.5]],
            "sentences": [" A dog runs.", "It jumps."],
        }
        for n in range(3)
    }
    for name in names:
        (folder / name).write_text(json.dumps(entries, indent=1) + "\n")


def _didemo(folder: Path) -> None:
    for split in ("train", "test"):
        entries = [
            {
                "annotation_id": n,
                "video": f"v{n % 2}.mov",
                "description": "a dog runs",
                "num_segments": 6,
                "times": [[n % 3, n % 3], [1, 2], [1, 1], [0, 3]],
            }
            for n in range(4)
        ]
        (folder / f"{split}_data.json").write_text(json.dumps(entries) + "\n")


def _tvr(folder: Path) -> None:
    index = {}
    for split in ("train", "val"):
        queries = [
            {
                "desc_id": n,
                "vid_name": f"{split}{n % 2}",
                "ts": [n, n + 5.5],
                "desc": "Sheldon sits down.",
                "type": "vt",
            }
            for n in range(4)
        ]
        _lines(folder / f"tvr_{split}_release.jsonl", queries)
        index[split] = {f"{split}{n}": [60.5 + n, n] for n in range(2)}
    (folder / "tvr_video2dur_idx.json").write_text(json.dumps(index) + "\n")
    spoken = [{"text": "Hello.", "start": 1.5, "end": 3.0}, {"text": "Oh", "start": 4, "end": 9}]
    subtitles = [{"vid_name": video, "sub": spoken} for video in index["train"]]
    _lines(folder / "tvqa_preprocessed_subtitles.jsonl", subtitles)


_ANNOTATED = {
    "jsonl": _jsonl,
    "charades_sta": _charades,
    "charades_cd": partial(
        _by_video, ("charades_train.json", "charades_test_ood.json"), "video_duration"
    ),
    "activitynet_captions": partial(_by_video, ("train.json", "val_1.json"), "duration"),
    "didemo": _didemo,
    "tvr": _tvr,
}
_SCORED = {"jsonl": "test", "charades_sta": "test", "didemo": "test", "charades_cd": "test_ood"}


def _annotations(name: str, folder: Path) -> Any:
    annotations = read_annotations(name, folder)
    return tuple(annotations), check(annotations)


def _with_predictions(name: str, folder: Path) -> None:
    (folder / "labels").mkdir()
    _ANNOTATED[name](folder / "labels")
    records = read_annotations(name, folder / "labels").splits[_SCORED[name]]
    predicted = [
        {
            "qid": record.query_id,
            "vid": record.video_id,
            "pred_relevant_windows": [[0, 5, 0.9], [3, 9.5, 0.5], [12, 20, -1e-3]],
        }
        for record in records
    ]
    _lines(folder / "predictions.jsonl", predicted)


def _score(name: str, split: str, folder: Path) -> dict:
    predictions = folder / ("submission.json" if name == "tvr" else "predictions.jsonl")
    values = score_files(predictions, folder / "labels", name, split).values
    for figure in jax.tree.leaves(values["model"]):
        assert 0 <= figure <= 400, f"a figure is {figure}"  # SumR is of four recalls
    return values


def _submission(folder: Path) -> None:
    (folder / "labels").mkdir()
    _tvr(folder / "labels")
    rows = [[0, 1, 6.5, 0.9], [1, 0, 60.5, 0.5]]
    task = [{"desc_id": n, "desc": "", "predictions": rows} for n in range(4)]
    found = {"video2idx": {"val0": 0, "val1": 1}} | dict.fromkeys(("VCMR", "SVMR", "VR"), task)
    (folder / "submission.json").write_text(json.dumps(found) + "\n")


def _queries(folder: Path) -> None:
    _lines(folder / "queries.jsonl", [{"qid": n, "query": "a dog runs"} for n in range(5)])


# --- features


def _clips(number: int) -> np.ndarray:
    return np.random.default_rng(number).normal(size=(5 + number, 8)).astype(np.float32)


def _hdf5(grouped: bool, folder: Path) -> None:
    with h5py.File(folder / "features.h5", "w") as file:
        for n in range(3):
            name = f"v{n}/c3d" if grouped else f"v{n}"
            packed = {"compression": "gzip", "shuffle": True} if n else {}
            file.create_dataset(name, data=_clips(n), **packed)
        file.attrs["simulated"] = False


def _arrays(suffix: str, folder: Path) -> None:
    (folder / "features").mkdir()
    for n in range(3):
        path = folder / "features" / f"v{n}{suffix}"
        if suffix == ".npy":
            np.save(path, _clips(n))
        else:
            (np.savez_compressed if n else np.savez)(path, features=_clips(n), frames=np.arange(4))


def _features(name: str, folder: Path) -> dict:
    source = open_features(folder / name)
    found = {}
    for video in source.ids:
        clips = source.read(video)
        found[video] = as_float16(clips, clips.shape[1:], video)
    return found


_SPOKEN = Annotations(
    "toys",
    {"train": [MomentRecord("q0", "v0", "a dog runs", np.array([[1.0, 2.0]]))]},
    {"v0": 6.0, "v1": 13.4},
    [],
    {"v0": [(0.2, 1.0, "a"), (1.0, 3.0, "b b")], "v1": [(1.5, 3.0, "a")]},
)


def _token_file(folder: Path) -> None:
    with h5py.File(folder / "sub.h5", "w") as file:
        for video, lengths in (("v0", [1, 2]), ("v1", [2])):
            file[video] = _clips(0)[: sum(lengths)]
            file[f"{video}-lengths"] = np.array(lengths)


def _subtitles(folder: Path) -> dict:
    source = pool_subtitles(folder / "sub.h5", _SPOKEN, 1.5)
    return {video: source.read(video) for video in source.ids}


# --- weights, word vectors, tokenisers


def _safetensors(folder: Path) -> None:
    tensors = {"a.weight": _clips(1), "a.bias": np.arange(4, dtype=np.float16)}
    safetensors.numpy.save_file(tensors, folder / "weights")


def _torch_tensors(view: str = "") -> str:
    """The pickle of a state dict; before PyTorch 1.6 each storage names a view, N for none."""
    tensor = (
        "ctorch._utils\n_rebuild_tensor_v2\n((Vstorage\nctorch\nFloatStorage\nV0\nVcpu\nI6\n"
        f"{view}tQI{{}}\n(I{{}}\nI{{}}\nt(I{{}}\nI1\ntI00\nccollections\nOrderedDict\n(tRtR"
    )
    return f"(dVa.weight\n{tensor.format(0, 2, 3, 3)}sVb\n{tensor.format(2, 2, 2, 2)}s."


def _old_torch(folder: Path) -> None:
    system = {"protocol_version": 1001, "little_endian": True}
    head = [pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, system)]
    storage = (6).to_bytes(8, "little") + np.arange(6, dtype=np.float32).tobytes()
    parts = [*head, _torch_tensors("N").encode(), pickle.dumps(["0"], 2), storage]
    (folder / "weights").write_bytes(b"".join(parts))


def _pickled_arrays(folder: Path) -> None:
    (folder / "weights").write_bytes(pickle.dumps({"params": {"a": _clips(1)}}))


def _torch(folder: Path) -> None:
    with zipfile.ZipFile(folder / "weights", "w") as archive:
        archive.writestr("archive/data.pkl", _torch_tensors())
        archive.writestr("archive/byteorder", "little")
        archive.writestr("archive/data/0", np.arange(6, dtype=np.float32).tobytes())


_WORDS = ("a", "person", "opens", "door")


def _glove(folder: Path) -> None:
    vectors = _clips(1).astype(str)
    lines = [" ".join((word, *vectors[row])) for row, word in enumerate(_WORDS)]
    (folder / "glove").write_text("\n".join(lines) + "\n")


def _glove_pickle(protocol: int, folder: Path) -> None:
    rows = {word: row for row, word in enumerate(_WORDS)}
    content = {"w2id": rows, "id2vec": list(_clips(1)[:4])}
    (folder / "glove").write_bytes(pickle.dumps(content, protocol))


def _clip_files(folder: Path) -> None:
    merges = ["t h", "th e</w>", "m a", "ma n</w>"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [*alphabet, *(f"{letter}</w>" for letter in alphabet)]
    words += [merge.replace(" ", "") for merge in merges]
    words += ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {word: row for row, word in enumerate(words)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary) + "\n")
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")


def _tokenizer_json(folder: Path) -> None:
    _clip_files(folder)
    model: Tokenizer = clip_tokenizer(folder).model
    for path in list(folder.iterdir()):
        path.unlink()
    model.save(str(folder / "tokenizer.json"), pretty=True)


def _pieces(folder: Path) -> None:
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "man", "open", "##s", "a", "'", "##a"]
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n")


def _tokens(make: Callable, folder: Path) -> tuple:
    return tuple(make(folder).encode(["the man opens", "THE man's a's", "", "日本 <b>"], "cut"))


# --- what the library itself writes


def _toy(folder: Path) -> None:
    write_toy(folder, "toy", videos=3)


def _loaded(verify: bool, folder: Path) -> tuple:
    data = load_dataset(
        folder,
        "toy",
        "features",
        with_chunks=True,
        patch_name="patches",
        subtitle_name="subtitles",
        query_feature_name="tokens",
        verify=verify,
    )
    assert data.patches and data.subtitles
    rows = range(len(data.videos.video_id))
    read = [(data.videos.features(r), data.patches(r), data.subtitles(r)) for r in rows]
    kept = data._replace(patches=None, subtitles=None, videos=data.videos._replace(features=None))
    return tuple(kept), read


def _index(folder: Path) -> None:
    build_index(
        folder,
        make_source([3, 9, 4]),
        trained("retriever"),
        trained("localizer"),
        WORDS,
        say=lambda _: None,
    )


def _searched(folder: Path) -> tuple:
    by_name = lambda workdir, kind: trained(role_of(kind))  # noqa: E731
    with patch("vmr_jax.search.trained.open_trained", by_name):
        corpus = TrainedCorpus.open(folder)
    found = corpus.search(["red door opens", "box"], 5)
    return corpus.video_id, corpus.duration, tuple(map(np.asarray, found))


def _state(step: int) -> TrainState:
    params = {"layer": {"kernel": jax.numpy.arange(12.0).reshape(3, 4) + step}}
    return TrainState(jax.numpy.int32(step), params, _OPTIMIZER.init(params))


def _saved(folder: Path) -> None:
    config = small_vlanet("data").to_dict()
    checkpoints = Checkpoints(folder / "checkpoints", best="val/R")
    for step in (1, 2):
        meta = {"config": config, "specs": {"target": {"video_dim": 8}}, "chosen_by": "val/R"}
        checkpoints.save(_state(step), meta | {"selected_by": "R"}, {"val/R": float(step)})
    checkpoints.close()


def _best(folder: Path) -> tuple:
    checkpoints = Checkpoints(folder / "checkpoints", read_only=True)
    try:
        step = checkpoints.best_step()
        meta = checkpoints.meta(step)
        params = jax.device_get(checkpoints.restore_params(step))
        return step, meta["config"], meta["specs"], params
    finally:
        checkpoints.close()


def _resumed(folder: Path) -> Any:
    """The newest state; ValueError where it is said that the one before is taken."""
    sharding = replicated(make_mesh())
    abstract = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), _state(0)
    )
    checkpoints, said = Checkpoints(folder / "checkpoints", best="val/R"), []
    try:
        state = checkpoints.restore_newest(abstract, said.append)
    finally:
        checkpoints.close()
    if said:
        jax.tree.map(np.testing.assert_array_equal, state, _state(1))
        raise ValueError(f"{folder}: {said[0]}")
    return jax.device_get(state)


_DATA: Any = {"target": SimpleNamespace(name="toy", feature_name="features", fingerprint="0123")}


def _claim(folder: Path) -> dict:
    return claim_workdir(folder, small_vlanet("data"), _DATA)


def _claimed(folder: Path) -> None:
    _claim(folder)
    (folder / "checkpoints" / "6").mkdir(parents=True)


def _logged(folder: Path) -> None:
    _saved(folder)
    with RunLog(folder, QUIET, 0, 6) as log:
        for step in range(2, 8, 2):
            log.write(step, {"train/similarity_positive": 0.5, "train/similarity_negative": 0.1})


def _resumed_log(folder: Path) -> str:
    """The lines that are kept; ValueError where it is said that one is left out."""
    said = io.StringIO()
    RunLog(folder, Console(file=said), 4, 6).__exit__()
    if said.getvalue():
        raise ValueError(said.getvalue())
    return (folder / "metrics.jsonl").read_text()


def _pretend_training(config, workdir, restore, console) -> dict:
    """Leave what a run leaves, of invented figures; again it would be another run."""
    if (workdir.parents[1] / "eva_table5.json").exists():
        raise ValueError(f"{workdir}: the run is made again")
    figures = {"mIoU": 30.0 + config.seed, "R@1,IoU=0.5": 20.0}
    report = {"dataset": config.target.dataset, "split": "test", "model": figures}
    report |= {"random": {"mIoU": 1.0}, "location_prior": {"mIoU": 9.0}}
    path = workdir / "eval" / f"{config.target.dataset}_{config.target.eval_split}"
    path.mkdir(parents=True)
    (path / "metrics.json").write_text(json.dumps(report, indent=2) + "\n")
    data = {role: {"fingerprint": "old"} for role in ("source", "target") if role in config}
    (workdir / "config.json").write_text(json.dumps({"data": data}, indent=2) + "\n")
    return report


def _table(folder: Path) -> Any:
    prepared = SimpleNamespace(name="toy", fingerprint="old", splits={})
    with (
        patch.object(reproduction, "training_dataset", lambda config, role: prepared),
        patch.object(reproduction, "evaluation_dataset", lambda config: prepared),
        patch.object(loop, "train", _pretend_training),
    ):
        return reproduction.reproduce("eva", "5", "simulated", 1, folder, {}, QUIET)


def silently(read: Callable[[Path], Any], folder: Path) -> Any:
    """What `read` gives, without what it prints."""
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        return read(folder)


TARGETS = {
    **{
        f"score {name}": Target(
            "score", partial(_with_predictions, name), partial(_score, name, split), 60
        )
        for name, split in _SCORED.items()
    },
    "score submission": Target("score", _submission, partial(_score, "tvr", "val"), 60),
    "queries": Target("score", _queries, lambda folder: read_queries(folder / "queries.jsonl"), 40),
    **{
        f"annotations {name}": Target("annotations", make, partial(_annotations, name), 70)
        for name, make in _ANNOTATED.items()
    },
    "hdf5": Target("features", partial(_hdf5, False), partial(_features, "features.h5"), 120),
    "hdf5 groups": Target("features", partial(_hdf5, True), partial(_features, "features.h5"), 90),
    "hdf5 subtitles": Target("features", _token_file, _subtitles, 60),
    "npy": Target("features", partial(_arrays, ".npy"), partial(_features, "features"), 80),
    "npz": Target("features", partial(_arrays, ".npz"), partial(_features, "features"), 80),
    "safetensors": Target("weights", _safetensors, lambda f: read_tensors(f / "weights"), 60),
    "torch archive": Target("weights", _torch, lambda f: read_tensors(f / "weights"), 80),
    "torch before 1.6": Target("weights", _old_torch, lambda f: read_tensors(f / "weights"), 80),
    "arrays pickled": Target("weights", _pickled_arrays, lambda f: read_tensors(f / "weights"), 60),
    "glove text": Target("weights", _glove, lambda f: load_glove(f / "glove", _WORDS), 50),
    **{
        f"glove pickle {protocol}": Target(
            "weights",
            partial(_glove_pickle, protocol),
            lambda folder: load_glove(folder / "glove", _WORDS),
            70,
        )
        for protocol in (2, 5)
    },
    "clip tokenizer": Target("weights", _clip_files, partial(_tokens, clip_tokenizer), 50),
    "tokenizer.json": Target("weights", _tokenizer_json, partial(_tokens, clip_tokenizer), 60),
    "wordpiece": Target("weights", _pieces, partial(_tokens, wordpiece_tokenizer), 40),
    "prepared data": Target("prepared data", _toy, partial(_loaded, True), 140, sealed=True),
    "prepared, unverified": Target("prepared data", _toy, partial(_loaded, False), 60),
    "index": Target("index", _index, _searched, 100, sealed=True),
    "index manifest": Target("index", _index, _searched, 60, True, ("manifest.json",)),
    "best checkpoint": Target("checkpoints", _saved, _best, 70, True, ("checkpoints/2/**/*",)),
    "newest checkpoint": Target("checkpoints", _saved, _resumed, 70, True, ("checkpoints/2/**/*",)),
    "checkpoint's meta": Target("checkpoints", _saved, _best, 60, True, ("**/meta/metadata",)),
    "config.json": Target("workdir", _claimed, _claim, 60, damaged=("config.json",)),
    "metrics.jsonl": Target("workdir", _logged, _resumed_log, 40, damaged=("metrics.jsonl",)),
    "figure of metrics.jsonl": Target(
        "workdir", _logged, similarity_content, 40, damaged=("metrics.jsonl",)
    ),
    "metrics.json": Target("workdir", _table, _table, 60, damaged=("runs/**/*.json",)),
}
