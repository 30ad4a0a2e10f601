"""Writing a dataset."""

import json

import numpy as np
import pytest
import tensorflow_datasets as tfds

from tests.conftest import fill
from vmr_jax.data.datasets.records import Annotations, Fault, MomentRecord
from vmr_jax.data.sources.features import from_arrays
from vmr_jax.data.tables.build import write_dataset
from vmr_jax.data.tables.dataset import load_dataset
from vmr_jax.data.tables.store import find_report
from vmr_jax.output_files import FullDiskError

VECTORS = {"dog": np.array([1.0, 2.0]), "a": np.array([3.0, 4.0])}


def annotations(faults=(), sentence="A dog runs."):
    records = [
        MomentRecord("q0", "v0", sentence, np.array([[1.0, 2.5]])),
        MomentRecord("q1", "v1", "...", np.array([[0.0, 4.0], [1.0, 2.0]])),
    ]
    hidden = [MomentRecord("q2", "", "dog", np.zeros((0, 2)))]
    return Annotations(
        "toys", {"train": records, "test": hidden}, {"v1": 8.0, "v0": 5.0}, list(faults), {}
    )


def arrays(width=3, seed=0):
    rng = np.random.default_rng(seed)
    return {f"v{n}": rng.normal(size=(n + 2, width)) for n in range(3)}


def write(data_dir, raw=None, features=None, name="f", vectors=VECTORS, **options):
    source = from_arrays(arrays() if features is None else features)
    return write_dataset(data_dir, raw or annotations(), source, name, vectors, **options)


def state(directory):
    """Every file with its content, to tell whether anything was written."""
    return {
        path: (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def test_tables(tmp_path):
    report = write(tmp_path)
    moments = tfds.builder_from_directory(tmp_path / "toys/moments").as_data_source("train")
    first = moments[0]
    assert (first["query_id"], first["video_id"]) == (b"q0", b"v0")
    np.testing.assert_array_equal(first["words"], [2, 3, 1])
    np.testing.assert_array_equal(moments[1]["words"], [1])
    np.testing.assert_array_equal(moments[1]["moments"], [[0, 4], [1, 2]])
    videos = tfds.builder_from_directory(tmp_path / "toys/videos-f").as_data_source("corpus")
    assert [video["video_id"] for video in videos] == [b"v0", b"v1"]
    np.testing.assert_array_equal(videos[1]["features"], arrays()["v1"].astype(np.float16))
    for table, name in (("moments", "moments"), ("videos", "videos-f")):
        assert find_report(tmp_path / "toys" / name, verify=True) == report[table]


def test_what_made_the_features_is_kept(tmp_path):
    told = {"encoder": "concepts", "weights": "ab", "clip_seconds": np.float64(2), "times": [1]}
    source = from_arrays(arrays())._replace(attributes=lambda video: told)
    write_dataset(tmp_path, annotations(), source, "f", VECTORS)
    made_by = {"encoder": "concepts", "weights": "ab", "clip_seconds": 2.0}
    assert load_dataset(tmp_path, "toys", "f").videos.made_by == made_by
    write(tmp_path, name="g")
    assert load_dataset(tmp_path, "toys", "g").videos.made_by == {}
    assert load_dataset(tmp_path, "toys", "f+g").videos.made_by == {}


def test_reports(tmp_path):
    fault = Fault("inverted moment", "train q7", "query dropped")
    report = write(tmp_path, annotations([fault, fault._replace(where="train q8")]))
    moments, videos = report["moments"], report["videos"]
    assert moments["splits"]["train"] == {"read": 4, "kept": 2, "dropped": 2}
    assert moments["faults"] == [
        {
            "kind": "inverted moment",
            "repair": "query dropped",
            "where": ["train q7", "train q8"],
        }
    ]
    assert moments["vocabulary"] == {
        "words": 2,
        "width": 2,
        "coverage": 0.75,
        "unknown": {"runs": 1},
    }
    assert (videos["videos"], videos["width"], videos["clips"]) == (2, 3, 5)
    assert (videos["bytes"], videos["unused"], videos["missing"]) == (30, 1, [])


def test_the_same_again_writes_nothing(tmp_path):
    first = write(tmp_path)
    before = state(tmp_path)
    assert write(tmp_path) == first
    assert write(tmp_path, vectors=None) == first
    assert state(tmp_path) == before


def test_another_kind_of_features_leaves_the_queries_alone(tmp_path):
    write(tmp_path)
    before = state(tmp_path / "toys/moments")
    write(tmp_path, features=arrays(width=5), name="g", vectors=None)
    assert state(tmp_path / "toys/moments") == before
    assert load_dataset(tmp_path, "toys", "f").videos.feature_dim == 3
    assert load_dataset(tmp_path, "toys", "g").videos.feature_dim == 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"raw": annotations(sentence="A cat.")}, "moments was built from other queries; --over"),
        ({"vectors": {"dog": np.ones(2)}}, "moments was built from other word vectors; --overw"),
        ({"features": arrays(seed=1)}, "videos-f was built from other features or durations"),
        ({"raw": annotations()._replace(durations={"v0": 6.0, "v1": 8.0})}, "other features or d"),
    ],
)
def test_another_content_is_refused_unless_overwritten(tmp_path, change, message):
    first = write(tmp_path)
    before = state(tmp_path)
    fingerprint = load_dataset(tmp_path, "toys", "f").fingerprint
    with pytest.raises(ValueError, match=message):
        write(tmp_path, **change)
    assert state(tmp_path) == before
    assert write(tmp_path, **change, overwrite=True) != first
    assert load_dataset(tmp_path, "toys", "f").fingerprint != fingerprint
    assert write(tmp_path, overwrite=True) == first
    assert load_dataset(tmp_path, "toys", "f").fingerprint == fingerprint


def test_overwriting_mends_a_damaged_table(tmp_path):
    write(tmp_path)
    before = load_dataset(tmp_path, "toys", "f").videos.features(1)
    path = next((tmp_path / "toys/videos-f").glob("*array_record*"))
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match="build it again"):
        load_dataset(tmp_path, "toys", "f").videos.features(1)
    write(tmp_path, overwrite=True)
    np.testing.assert_array_equal(load_dataset(tmp_path, "toys", "f").videos.features(1), before)


def test_an_interrupted_build_leaves_no_table(tmp_path):
    features = arrays() | {"v1": np.full((2, 3), np.nan)}
    with pytest.raises(ValueError, match="features of v1 hold a value that is NaN"):
        write(tmp_path, features=features)
    assert not (tmp_path / "toys").exists()
    killed = tmp_path / "toys/.videos-f.building"  # what SIGKILL leaves behind
    killed.mkdir(parents=True)
    (killed / "half").write_text("")
    write(tmp_path)
    assert {p.name for p in (tmp_path / "toys").iterdir()} == {"moments", "videos-f"}
    assert not (tmp_path / "toys/videos-f/half").exists()


def test_a_full_disk_leaves_no_half_of_a_table(small_disk):
    large = {video: np.ones((1000, 300)) for video in ("v0", "v1")}
    source = from_arrays(large)
    fill(small_disk, free=1_000_000)
    said = rf"no space is left for {small_disk}/toys/videos-f: "
    for size, numbers in (
        (source.size, r"1,200,000 bytes are needed, \d{3},\d{3} are free; make space"),
        (lambda video: 0, r"more than the [\d,]+ free bytes are needed; make space"),
    ):
        with pytest.raises(FullDiskError, match=said + numbers):
            unsure = source._replace(size=size)
            write_dataset(small_disk, annotations(), unsure, "f", VECTORS)
        assert not (small_disk / "toys").exists()
    (small_disk / "other").unlink()
    assert write(small_disk, features=large)["videos"]["clips"] == 2000


def test_missing_videos(tmp_path):
    features = {"v0": arrays()["v0"]}
    with pytest.raises(
        ValueError, match=r"1 of 2 videos of toys have no features, such as v1; --d"
    ):
        write(tmp_path, features=features)
    report = write(tmp_path, features=features, drop_missing=True)["videos"]
    assert report["missing"] == ["v1"]
    assert report["queries_without_video"] == {"train": 1, "test": 0}
    with pytest.raises(ValueError, match="no video of toys has features"):
        write(tmp_path, features={"w": np.ones((1, 3))}, name="g", drop_missing=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"features": arrays() | {"v1": np.ones((2, 4))}}, "features of v1 are 4 wide, others 3"),
        ({"features": arrays() | {"v1": np.ones((0, 3))}}, "features of v1 have no clips"),
        ({"features": arrays() | {"v1": np.full((1, 3), 1e5)}}, "beyond float16"),
        ({"raw": annotations([Fault("duplicate query id", "train q0", "")])}, "id .1.: train q0"),
        ({"name": "a/b"}, "'a/b' cannot be a name"),
        ({"raw": annotations()._replace(name="..")}, "'..' cannot be a name"),
        (
            {"raw": annotations()._replace(splits={"all": []})},
            "a split cannot have this name .1.: 'all'",
        ),
        (
            {"raw": annotations()._replace(splits={"my-val": []})},
            "cannot have this name .1.: 'my-val'",
        ),
    ],
)
def test_errors(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        write(tmp_path, **options)


def test_subtitles_are_kept(tmp_path):
    write(tmp_path, annotations()._replace(subtitles={"v0": [(0.5, 1.0, "Hi.")]}))
    line = json.loads((tmp_path / "toys/moments/subtitles.jsonl").read_text())
    assert line == {"vid_name": "v0", "sub": [[0.5, 1.0, "Hi."]]}


def test_features_belong_to_the_queries_they_were_written_for(tmp_path):
    full = annotations()
    test = full._replace(splits={"test": full.splits["test"]}, durations={"v0": 5.0})
    write(tmp_path, test, name="c3d")
    write(tmp_path, full, name="i3d", overwrite=True)
    assert len(load_dataset(tmp_path, "toys", "i3d").splits["train"].query_id) == 2
    with pytest.raises(ValueError, match=r"'c3d' of toys .* not prepared for the queries that are"):
        load_dataset(tmp_path, "toys", "c3d")
    write(tmp_path, full, name="c3d", overwrite=True)
    assert len(load_dataset(tmp_path, "toys", "c3d").splits["train"].query_id) == 2


def test_a_table_of_an_older_version_is_refused_and_replaced(tmp_path):
    first = write(tmp_path)
    path = tmp_path / "toys/videos-f/report.json"
    for older in ({}, {"format": 2}):
        path.write_text(json.dumps(first["videos"] | older))
        message = r"videos-f was prepared by an older version.*--overwrite"
        with pytest.raises(ValueError, match=message):
            write(tmp_path)
    path.write_text(json.dumps(first["videos"] | {"format": 99}))
    with pytest.raises(ValueError, match=r"videos-f was prepared by a newer version"):
        write(tmp_path)
    assert write(tmp_path, overwrite=True) == first
    load_dataset(tmp_path, "toys", "f")
