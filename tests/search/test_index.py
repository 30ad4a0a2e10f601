import json

import jax
import numpy as np
import pytest
from index_cases import SPEC, WIDTH, WORDS, make_source, trained

from tests.conftest import fill
from vmr_jax.output_files import FullDiskError
from vmr_jax.search import index as module
from vmr_jax.search.corpus_search import TrainedCorpus
from vmr_jax.search.index import build_index, remove_videos, video_ids
from vmr_jax.search.manifest import DamagedIndexError, read_manifest
from vmr_jax.search.shards import open_shard
from vmr_jax.search.trained import role_of
from vmr_jax.types import Queries, Videos


def quiet(_):
    """Say nothing."""


@pytest.fixture
def small_shards(monkeypatch):
    monkeypatch.setattr(module, "_SHARD_CLIPS", 30)


@pytest.fixture
def by_name(monkeypatch):
    """Checkpoints are found by their workdir: /runs/retriever0 is trained("retriever", 0)."""

    def open_trained(workdir, kind):
        return trained(role_of(kind), int(str(workdir)[-1]))

    monkeypatch.setattr("vmr_jax.search.trained.open_trained", open_trained)


def plain_codes(source, position, system):
    """A video's code by one call without padding."""
    features, sub = (x.astype(np.float32) for x in source.read(position))
    features = features / np.linalg.norm(features, axis=1, keepdims=True)
    # Features go through float16 once more after they are normalised, as in training.
    rows = features.astype(np.float16).astype(np.float32)[None, : SPEC.max_clips]
    videos = Videos(rows, np.ones(rows.shape[:2], bool), sub[None, : SPEC.max_clips])
    role = system.system
    return jax.tree.map(lambda leaf: leaf[0], role.encode_videos(system.params, videos))


def test_what_is_stored(tmp_path, small_shards):
    source = make_source([5, 12, 20, 1, 7, 12, 12], durations=[7, 18, np.nan, 1, 10, 18, 18])
    retriever, localizer = trained("retriever"), trained("localizer")
    said = []
    count = build_index(
        tmp_path, source, retriever, localizer, WORDS, dtype="float32", say=said.append
    )
    assert count == 7
    assert said == ["1 videos have more than 12 clips; the rest of them is not indexed"]
    manifest = read_manifest(tmp_path)
    assert manifest["width"] == WIDTH and manifest["modalities"] == ["image", "sub"]
    assert [shard["videos"] for shard in manifest["shards"]] == [4, 3]
    assert manifest["building"] is None
    shards = [
        open_shard(tmp_path, i, e, ["image", "sub"]) for i, e in enumerate(manifest["shards"])
    ]
    assert sum((shard.video_id for shard in shards), []) == list(source.video_id)
    durations = np.concatenate([shard.duration for shard in shards])
    np.testing.assert_array_equal(durations, [7, 18, 30, 1, 10, 18, 18])  # 20 clips of 1.5 s
    num_clips = np.concatenate([shard.clips.num_clips for shard in shards])
    np.testing.assert_array_equal(num_clips, [5, 12, 12, 1, 7, 12, 12])
    for shard, videos in zip(shards, ([0, 1, 2, 3], [4, 5, 6]), strict=True):
        begin = 0
        for video in videos:
            rows = slice(begin, begin + num_clips[video])
            vectors = plain_codes(source, video, retriever)
            for modality in (0, 1):
                np.testing.assert_allclose(
                    shard.clips.vectors[modality][rows], vectors[:, modality], atol=1e-6
                )
            code = plain_codes(source, video, localizer)["rows"]
            np.testing.assert_allclose(shard.codes[0][rows], code, atol=1e-5)
            begin = rows.stop
        assert begin == len(shard.codes[0])


def search_all(corpus: TrainedCorpus, top_k: int):
    words = np.random.default_rng(9).normal(size=(3, 4, SPEC.word_dim)).astype(np.float32)
    mask = np.arange(4) < np.array([[4], [2], [1]])
    found = corpus.search(Queries(words, mask), top_k)
    return [[corpus.video_id[row] for row in line if row >= 0] for line in found.video], found


def test_append_and_remove_give_what_a_fresh_index_gives(tmp_path, by_name):
    retriever = trained("retriever")
    parts = [make_source([3, 9, 4, 8], "a", 0), make_source([5, 2], "b", 1)]
    for part in parts:
        append = part is parts[1]
        build_index(tmp_path / "grown", part, retriever, append=append, say=quiet)
    remove_videos(tmp_path / "grown", ["a1", "b0"])
    both = parts[0]._replace(
        video_id=("a0", "a2", "a3", "b1"),
        duration=np.full(4, np.nan),
        read=lambda i: [*(parts[0].read(j) for j in (0, 2, 3)), parts[1].read(1)][i],
    )
    build_index(tmp_path / "fresh", both, retriever, say=quiet)
    grown, fresh = (
        search_all(TrainedCorpus.open(tmp_path / name), 6) for name in ("grown", "fresh")
    )
    assert grown[0] == fresh[0] and len(grown[0][0]) == 4
    np.testing.assert_array_equal(grown[1].score[:, :4], fresh[1].score)
    np.testing.assert_array_equal(grown[1].end[:, :4], fresh[1].end)
    # A removed video may come again, and is then found as it is now.
    again = make_source([6], "a", 5)._replace(video_id=("a1",))
    build_index(tmp_path / "grown", again, retriever, append=True, say=quiet)
    manifest = read_manifest(tmp_path / "grown")
    assert video_ids(tmp_path / "grown", manifest) == ["a0", "a2", "a3", "b1", "a1"]
    assert "a1" in search_all(TrainedCorpus.open(tmp_path / "grown"), 6)[0][0]


def test_append_leaves_what_is_there_as_it_is(tmp_path):
    retriever, source = trained("retriever"), make_source([3, 9, 4])
    build_index(tmp_path, source, retriever, say=quiet)
    remove_videos(tmp_path, ["video1"])
    said, read = [], []
    more = make_source([3, 9, 4, 8])
    counted = more._replace(read=lambda i: read.append(i) or more.read(i))
    assert build_index(tmp_path, counted, retriever, append=True, say=said.append) == 2
    assert read == [1, 3]
    assert said == [
        f"2 of the videos were in {tmp_path} before and stay as they were encoded then; to encode "
        "one again, --remove it first"
    ]
    assert build_index(tmp_path, more, retriever, append=True, say=said.append) == 0
    assert said[1].startswith("4 of the videos were in")
    manifest = read_manifest(tmp_path)
    assert video_ids(tmp_path, manifest) == ["video0", "video2", "video1", "video3"]
    assert manifest["building"] is None


def test_a_full_disk_keeps_whole_shards_and_the_same_command_goes_on(
    small_disk, small_shards, monkeypatch
):
    monkeypatch.setattr("vmr_jax.search.encoding._BATCH", 2)
    retriever, source = trained("retriever"), make_source([10] * 9)
    index = small_disk / "index"

    def filled(position):
        if position == 4:
            fill(small_disk, free=0)
        return source.read(position)

    said = rf"no space is left for {index}/shards/000001: [\d,]+ bytes are needed, 0 are free; make"
    with pytest.raises(FullDiskError, match=said):
        build_index(index, source._replace(read=filled), retriever, say=quiet)
    assert [path.name for path in (index / "shards").iterdir()] == ["000000"]
    (small_disk / "other").unlink()
    told = []
    assert build_index(index, source, retriever, say=told.append) == 6
    assert told == ["continuing: 3 videos are there already"]


def test_an_index_whose_append_was_interrupted_is_searched_as_it_was(tmp_path, by_name):
    retriever = trained("retriever")
    build_index(tmp_path, make_source([10, 7, 12]), retriever, say=quiet)
    remove_videos(tmp_path, ["video1"])
    before = search_all(TrainedCorpus.open(tmp_path, say=pytest.fail), 2)
    added, said = make_source([10, 10], "added"), []

    def interrupted(position):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_index(tmp_path, added._replace(read=interrupted), retriever, append=True, say=quiet)
    assert search_all(TrainedCorpus.open(tmp_path, say=said.append), 2)[0] == before[0]
    assert said == [
        f"{tmp_path}: videos were to be added, which is not finished; the 2 from before are "
        "searched. To finish it run the same `vmr index` command again, which continues it"
    ]
    assert build_index(tmp_path, added, retriever, append=True, say=quiet) == 2
    assert len(search_all(TrainedCorpus.open(tmp_path, say=pytest.fail), 4)[0][0]) == 4


@pytest.mark.parametrize("append", [False, True])
def test_an_interrupted_build_goes_on_after_its_last_shard(tmp_path, small_shards, append):
    retriever, source = trained("retriever"), make_source([10] * 9)
    if append:
        build_index(tmp_path, make_source([4], "before"), retriever, say=quiet)

    def interrupted(position):
        if position == 7:
            raise KeyboardInterrupt
        return source.read(position)

    build = {"append": append, "say": quiet}
    source_of_seven = source._replace(read=interrupted)
    module_batch = pytest.MonkeyPatch()
    module_batch.setattr("vmr_jax.search.encoding._BATCH", 2)
    with pytest.raises(KeyboardInterrupt):
        build_index(tmp_path, source_of_seven, retriever, **build)
    manifest = read_manifest(tmp_path)
    assert sum(shard["videos"] for shard in manifest["shards"]) == 6 + append
    if not append:
        with pytest.raises(ValueError, match=r"is not finished \(6 videos are there\): run"):
            TrainedCorpus.open(tmp_path)
    for other, how in (
        (make_source([10] * 5), build),  # without one that is there
        (make_source([10] * 9, "other"), build),
        (source, build | {"append": not append}),
    ):
        with pytest.raises(ValueError, match="unfinished build of other videos"):
            build_index(tmp_path, other, retriever, **how)
    read = []
    counted = source._replace(read=lambda i: read.append(i) or source.read(i))
    said = []
    assert build_index(tmp_path, counted, retriever, append=append, say=said.append) == 3
    module_batch.undo()
    assert read == [6, 7, 8] and said == ["continuing: 6 videos are there already"]
    assert read_manifest(tmp_path)["building"] is None
    ids = video_ids(tmp_path, read_manifest(tmp_path))
    assert ids == ["before0"] * append + list(source.video_id)


def test_a_build_goes_on_without_a_video_that_cannot_be_read(tmp_path, small_shards):
    retriever, source = trained("retriever"), make_source([10] * 9)
    nothing = np.zeros((0, 6)), np.zeros((0, 3))
    bad = source._replace(read=lambda i: nothing if i == 7 else source.read(i))
    with pytest.MonkeyPatch.context() as small_batches:
        small_batches.setattr("vmr_jax.search.encoding._BATCH", 2)
        with pytest.raises(ValueError, match="features of video7 have no clips: leave it out"):
            build_index(tmp_path, bad, retriever, say=quiet)
    good = [0, 1, 2, 3, 4, 5, 6, 8]
    without = source._replace(
        video_id=tuple(source.video_id[i] for i in good),
        duration=source.duration[good],
        read=lambda i: source.read(good[i]),
    )
    assert build_index(tmp_path, without, retriever, say=quiet) == 2
    assert video_ids(tmp_path, read_manifest(tmp_path)) == list(without.video_id)


def test_a_half_written_shard_is_written_again(tmp_path, small_shards):
    retriever, source = trained("retriever"), make_source([10] * 4)
    left = tmp_path / "shards" / "000000"
    left.mkdir(parents=True)
    (left / "clips_image.npy").write_bytes(b"half")
    build_index(tmp_path, source, retriever, say=quiet)
    assert video_ids(tmp_path, read_manifest(tmp_path)) == list(source.video_id)


@pytest.mark.parametrize("dtype", ["float16", "int8"])
def test_smaller_types_rank_alike(tmp_path, by_name, dtype):
    retriever, source = trained("retriever"), make_source(np.arange(1, 13))
    build_index(tmp_path / "exact", source, retriever, dtype="float32", say=quiet)
    build_index(tmp_path / "small", source, retriever, dtype=dtype, say=quiet)
    exact, small = (
        search_all(TrainedCorpus.open(tmp_path / name), 3) for name in ("exact", "small")
    )
    tolerance = {"float16": 2e-3, "int8": 2e-2}[dtype]
    np.testing.assert_allclose(small[1].score, exact[1].score, atol=tolerance)
    arrays = list((tmp_path / "small").glob("shards/*/clips_image.npy"))
    assert str(np.load(arrays[0]).dtype) == dtype


def test_a_corpus_of_one_video(tmp_path, by_name):
    build_index(tmp_path, make_source([4]), trained("retriever"), say=quiet)
    ids, found = search_all(TrainedCorpus.open(tmp_path), 5)
    assert ids == [["video0"]] * 3 and found.score.shape == (3, 1)
    np.testing.assert_array_equal(found.end[:, 0], 6.0)
    remove_videos(tmp_path, ["video0"])
    with pytest.raises(ValueError, match="has no videos"):
        TrainedCorpus.open(tmp_path)


def damage(path, how):
    content = bytearray(path.read_bytes())
    if how == "changed":
        content[-1] ^= 1
    path.write_bytes(content[:-3] if how == "truncated" else content)
    if how == "missing":
        path.unlink()


@pytest.mark.parametrize(
    ("name", "how", "message"),
    [
        ("shards/000000/clips_sub.npy", "truncated", "bytes, not"),
        ("shards/000000/clips_sub.npy", "changed", "not have the content"),
        ("shards/000000/num_clips.npy", "missing", "is missing"),
        ("words/vectors.npy", "changed", "not have the content"),
        ("manifest.json", "truncated", "is damaged"),
    ],
)
def test_a_damaged_file_is_told(tmp_path, by_name, name, how, message):
    build_index(tmp_path, make_source([4, 5]), trained("retriever"), None, WORDS, say=quiet)
    damage(tmp_path / name, how)
    with pytest.raises(DamagedIndexError, match=f"{message}.*vmr index"):
        TrainedCorpus.open(tmp_path)
    if how == "changed":
        TrainedCorpus.open(tmp_path, verify=False)


def test_a_changed_manifest_is_told(tmp_path, by_name):
    build_index(tmp_path, make_source([4, 5]), trained("retriever"), None, WORDS, say=quiet)
    path = tmp_path / "manifest.json"
    whole = path.read_text()
    path.write_text(whole.replace('"removed": []', '"removed": ["video0"]'))
    with pytest.raises(DamagedIndexError, match="manifest.json does not have the content it was"):
        TrainedCorpus.open(tmp_path)
    before = json.loads(whole)  # by a version that wrote no checksum of it
    del before["crc32"]
    path.write_text(json.dumps(before))
    assert TrainedCorpus.open(tmp_path).video_id == ["video0", "video1"]


def test_another_version_of_the_format(tmp_path):
    build_index(tmp_path, make_source([4]), trained("retriever"), say=quiet)
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 9}))
    with pytest.raises(ValueError, match="format 9, this program reads 1"):
        TrainedCorpus.open(tmp_path)


def test_another_checkpoint_is_refused(tmp_path, by_name):
    source = make_source([4, 5])
    build_index(tmp_path, source, trained("retriever"), trained("localizer"), say=quiet)
    with pytest.raises(ValueError, match=r"another retriever: /runs/retriever0.*/runs/retriever7"):
        TrainedCorpus.open(tmp_path, checkpoint="/runs/retriever7")
    with pytest.raises(ValueError, match="another localizer"):
        TrainedCorpus.open(tmp_path, localizer="/runs/localizer7")
    more = make_source([3], "more")
    with pytest.raises(ValueError, match="another retriever"):
        build_index(tmp_path, more, trained("retriever", 7), trained("localizer"), append=True)
    with pytest.raises(ValueError, match="made with a localizer"):
        build_index(tmp_path, more, trained("retriever"), append=True)
    alone = tmp_path / "alone"
    build_index(alone, source, trained("retriever"), say=quiet)
    with pytest.raises(ValueError, match="without a localizer"):
        TrainedCorpus.open(alone, localizer="/runs/localizer0")


def test_mistakes(tmp_path):
    retriever, source = trained("retriever"), make_source([4, 5])
    with pytest.raises(FileNotFoundError, match="no index"):
        build_index(tmp_path / "none", source, retriever, append=True)
    with pytest.raises(FileNotFoundError, match="no index there"):
        TrainedCorpus.open(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match="no index there"):
        remove_videos(tmp_path / "none", ["video0"])
    with pytest.raises(ValueError, match="dtype is 'int4'"):
        build_index(tmp_path, source, retriever, dtype="int4")
    with pytest.raises(ValueError, match="no videos to index"):
        build_index(tmp_path, source._replace(video_id=()), retriever)
    with pytest.raises(ValueError, match="1 video ids come twice, such as video0"):
        build_index(tmp_path, source._replace(video_id=("video0", "video0")), retriever)
    with pytest.raises(ValueError, match="same clips"):
        build_index(tmp_path, source, retriever, trained("localizer", clip_seconds=2.0))
    with pytest.raises(ValueError, match=r"same queries; .* are \('', 4\) and \('roberta', 4\)"):
        of_tokens = trained("localizer", target__query_features="roberta")
        build_index(tmp_path, source, retriever, of_tokens)
    build_index(tmp_path, source, retriever, say=quiet)
    with pytest.raises(ValueError, match="--append adds videos"):
        build_index(tmp_path, make_source([1], "other"), retriever)
    with pytest.raises(ValueError, match="has no video video9: nothing was removed"):
        remove_videos(tmp_path, ["video0", "video9"])
    assert len(video_ids(tmp_path, read_manifest(tmp_path))) == 2


@pytest.mark.parametrize(
    ("features", "sub", "message"),
    [
        (np.zeros((0, 6)), np.zeros((0, 3)), "features of video1 have no clips"),
        (np.ones((2, 5)), np.ones((2, 3)), "features of video1 have width 5.*trained with 6"),
        (np.ones((2, 6)), np.ones((2, 4)), "subtitles of video1 have width 4.*trained with 3"),
        (np.ones((2, 6)), None, "video1 comes without: name theirs with --subtitles"),
        (np.full((2, 6), np.nan), np.ones((2, 3)), "video1 is encoded to numbers"),
    ],
)
def test_a_video_that_cannot_be_encoded_is_named(tmp_path, features, sub, message):
    source = make_source([4, 5])
    bad = source._replace(read=lambda i: (features, sub) if i else source.read(i))
    with pytest.raises(ValueError, match=message):
        build_index(tmp_path, bad, trained("retriever"))
