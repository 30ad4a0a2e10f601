"""Loading a prepared dataset."""

import re
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from vmr_jax.data.datasets.records import Annotations, MomentRecord
from vmr_jax.data.sources.features import from_arrays
from vmr_jax.data.tables.build import write_dataset
from vmr_jax.data.tables.dataset import load_dataset
from vmr_jax.data.tables.store import read_report, write_report

FEATURES = {f"v{n}": np.full((n + 1, 3), n, np.float32) for n in range(9)}


@pytest.fixture
def data_dir(tmp_path):
    records = [
        MomentRecord("q0", "v8", "A dog runs away.", np.array([[1.0, 2.1]])),
        MomentRecord("q1", "gone", "A cat.", np.array([[0.0, 1.0]])),
        MomentRecord("q2", "v3", "Dog.", np.array([[0.0, 4.0], [1.0, 2.0]])),
    ]
    hidden = [MomentRecord("q3", "", "A dog.", np.zeros((0, 2)))]
    durations = {video: 10.1 + n for n, video in enumerate(FEATURES)} | {"gone": 3.0}
    raw = Annotations("toys", {"train": records, "test": hidden}, durations, [], {})
    vectors = {"dog": np.array([1.0, 2.0]), "a": np.array([3.0, 4.0])}
    write_dataset(tmp_path, raw, from_arrays(FEATURES), "f", vectors, drop_missing=True)
    return tmp_path


def test_queries(data_dir):
    dataset = load_dataset(data_dir, "toys", "f")
    train = dataset.splits["train"]
    assert train.query_id == ("q0", "q2")
    assert train.sentence == ("A dog runs away.", "Dog.")
    assert [dataset.videos.video_id[row] for row in train.video] == ["v8", "v3"]
    np.testing.assert_array_equal(train.words, [[2, 3, 1, 1], [3, 0, 0, 0]])
    np.testing.assert_array_equal(train.num_words, [4, 1])
    np.testing.assert_array_equal(train.moments[0], [[1, 2.1]])
    np.testing.assert_array_equal(train.moments[1], [[0, 4], [1, 2]])
    assert {a.dtype for a in (train.video, train.words, train.num_words)} == {np.dtype(np.int32)}
    assert {m.dtype for m in train.moments} == {np.dtype(np.float64)}


def test_hidden_labels(data_dir):
    test = load_dataset(data_dir, "toys", "f").splits["test"]
    assert test.video.tolist() == [-1]
    assert test.moments[0].shape == (0, 2)


def test_vocabulary(data_dir):
    dataset = load_dataset(data_dir, "toys", "f")
    assert dataset.vocabulary == ("<pad>", "<unk>", "a", "dog")
    np.testing.assert_array_equal(dataset.vectors, [[0, 0], [0, 0], [3, 4], [1, 2]])


def test_videos(data_dir):
    videos = load_dataset(data_dir, "toys", "f").videos
    assert videos.video_id == tuple(FEATURES)
    assert videos.feature_dim == 3
    np.testing.assert_array_equal(videos.num_clips, np.arange(1, 10))
    np.testing.assert_array_equal(videos.duration, [10.1 + n for n in range(9)])
    for row, features in enumerate(FEATURES.values()):
        assert videos.features(row).dtype == np.float16
        np.testing.assert_array_equal(videos.features(row), features)


def test_threads_may_read_features(data_dir):
    videos = load_dataset(data_dir, "toys", "f").videos
    with ThreadPoolExecutor(8) as pool:
        for row, features in enumerate(pool.map(lambda n: videos.features(n % 9), range(450))):
            assert features.shape == (row % 9 + 1, 3)
            assert (features == row % 9).all()


def test_what_is_not_prepared_says_the_command(data_dir):
    message = (
        "toys with features 'g' is not prepared in {} (features there: f). Name those that are "
        "there, or prepare these with\n"
        "  vmr prepare jsonl --name toys --annotations DIR --features PATH --feature-name g "
        "--glove FILE --data-dir {}"
    )
    with pytest.raises(FileNotFoundError, match=re.escape(message.format(data_dir, data_dir))):
        load_dataset(data_dir, "toys", "g")
    with pytest.raises(FileNotFoundError, match=r"there: none.*\n  vmr prepare didemo --annotat"):
        load_dataset(data_dir, "didemo", "f")
    for name, reader in (
        ("didemo_mine", "didemo"),
        ("mad-v2", "mad"),
        ("madagascar", "jsonl"),
        ("qvhighlights_timelens2", "qvhighlights"),
        ("qvhighlights_timelens_x", "qvhighlights_timelens"),
    ):
        with pytest.raises(FileNotFoundError, match=f"prepare {reader} --name {name} --annotation"):
            load_dataset(data_dir, name, "f")


@pytest.mark.parametrize(
    ("needed", "options"),
    [
        ({}, ["-name f --glove FILE --data-dir d"]),
        ({"reads_words": False}, ["-name f --data-dir d"]),
        (
            {"reads_words": False, "with_chunks": True, "patch_name": "p"},
            ["-name f --data-dir d --noun-chunks spacy", "-name p --data-dir d --patches"],
        ),
        (
            {"subtitle_name": "s", "query_feature_name": "q"},
            [
                "-name f --data-dir d --query-features FILE --query-feature-name q",
                "-name s --data-dir d",
            ],
        ),
    ],
)
def test_the_commands_prepare_what_this_run_reads(needed, options):
    with pytest.raises(FileNotFoundError) as error:
        load_dataset("d", "own", "f", **needed)
    asked = "  vmr prepare jsonl --name own --annotations DIR --features PATH --feature"
    assert str(error.value).splitlines()[1:] == [asked + option for option in options]


def test_a_missing_part_says_its_own_command(data_dir):
    with pytest.raises(FileNotFoundError) as error:
        load_dataset(data_dir, "toys", "f", patch_name="p")
    first, *commands = str(error.value).splitlines()
    assert first.startswith("toys with features 'p' is not prepared in")
    (command,) = commands
    assert command.endswith(" --patches") and "--feature-name p " in command


def test_features_of_other_queries_say_the_command(data_dir):
    directory = data_dir / "toys/videos-f"
    message = (
        f"features 'f' of toys in {data_dir} were not prepared for the queries that are there, so "
        "that queries could be missing. Prepare them again with\n  vmr prepare jsonl --name toys "
        f"--annotations DIR --features PATH --feature-name f --glove FILE --data-dir {data_dir} "
        "--overwrite"
    )
    write_report(directory, read_report(directory) | {"queries_fingerprint": "other"})
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        load_dataset(data_dir, "toys", "f")


def damage(path, how):
    """Flip a bit in the middle of a file, cut or remove it."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content if how == "flip" else content[:-1])
    if how == "remove":
        path.unlink()


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("flip", "{} is damaged: its SHA-256 is not that of what was written"),
        ("cut", "{} is damaged: it has "),
        ("remove", "{} is missing"),
    ],
)
def test_every_damaged_file_is_named(data_dir, tmp_path_factory, how, message):
    files = [path for path in (data_dir / "toys").rglob("*/*") if path.name != "report.json"]
    assert {"vectors.npy", "vocabulary.txt", "videos.json"} < {path.name for path in files}
    for number, path in enumerate(files):
        copy = tmp_path_factory.mktemp(f"{how}{number}")
        shutil.copytree(data_dir / "toys", copy / "toys")
        damaged = copy / path.relative_to(data_dir)
        damage(damaged, how)
        with pytest.raises(ValueError, match=f"^{re.escape(message.format(damaged))}.*--overwrite"):
            load_dataset(copy, "toys", "f")


def test_a_damaged_report_is_named(data_dir):
    for directory in (data_dir / "toys/moments", data_dir / "toys/videos-f"):
        path = directory / "report.json"
        whole = path.read_bytes()
        for content in (
            whole[:-9],
            b"[7]",
            whole.replace(b'"dataset": "toys"', b'"dataset": "toyt"'),
        ):
            path.write_bytes(content)
            with pytest.raises(ValueError, match=f"^{re.escape(str(path))} is damaged"):
                load_dataset(data_dir, "toys", "f")
        path.write_bytes(whole)


def test_what_cannot_be_read_is_named_without_a_comparison_too(data_dir):
    path = data_dir / "toys/moments/vectors.npy"
    whole = path.read_bytes()
    for content in (b"", whole[:50], whole[:-1]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"^{re.escape(str(path))} is damaged .*--overwrite"):
            load_dataset(data_dir, "toys", "f", verify=False)
    path.write_bytes(whole)
    path = data_dir / "toys/videos-f/statistics.npy"
    np.save(path, np.zeros((2, 3)))
    with pytest.raises(ValueError, match=rf"^{path} is damaged \(it has the shape \(2, 3\)\)"):
        load_dataset(data_dir, "toys", "f", verify=False)


def test_files_are_not_compared_where_that_is_not_wanted(data_dir):
    path = data_dir / "toys/moments/vectors.npy"
    path.write_bytes(path.read_bytes()[:-4] + np.float32(7).tobytes())
    assert load_dataset(data_dir, "toys", "f", verify=False).vectors[-1].tolist() == [1, 7]
