"""An index that is open for search: queries in, ranked moments out."""

from collections.abc import Callable, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from vmr_jax.decoding.corpus_moments import most_moments, readout
from vmr_jax.search.code_store import make_store
from vmr_jax.search.encoding import code_of_one_clip
from vmr_jax.search.exact import top_videos
from vmr_jax.search.index import WORDS, check_identity
from vmr_jax.search.manifest import (
    DamagedIndexError,
    check_files,
    open_array,
    read_manifest,
    read_text,
)
from vmr_jax.search.sentences import Asked, WordVectors, ask_sentences, raise_refused
from vmr_jax.search.shards import Shard, check_shard, open_shard
from vmr_jax.search.table import make_table
from vmr_jax.search.trained import Trained, open_maker
from vmr_jax.search.two_stage import make_finder
from vmr_jax.types import Localizer, Moments, Queries, Retriever

_QUERIES = 64  # that are encoded at a time


def _finished_shards(index: Path, manifest: dict, say: Callable[[str], None]) -> list[dict]:
    """The entries of the shards of a finished index, or of those before an unfinished append."""
    shards, building = manifest["shards"], manifest["building"]
    if not building:
        return shards
    again = "run the same `vmr index` command again, which continues it"
    whole = shards[: building["shards"]]
    if not whole:
        there = sum(shard["videos"] for shard in shards)
        raise ValueError(f"{index} is not finished ({there} videos are there): {again}")
    kept = sum(shard["videos"] - len(shard["removed"]) for shard in whole)
    say(
        f"{index}: videos were to be added, which is not finished; the {kept:,} from before are "
        f"searched. To finish it {again}"
    )
    return whole


class TrainedCorpus:
    """The videos of an index, and the systems that it was made by.

    `video_id` has the ids of the rows that Moments.video tells, those of removed videos included.
    """

    def __init__(
        self,
        shards: Sequence[Shard],
        retriever: Trained[Retriever],
        localizer: Trained[Localizer] | None = None,
        words: WordVectors | None = None,
        mesh: Mesh | None = None,
    ):
        """Search some shards; `open` does this with those of an index. Raises as `make_table`."""
        self.video_id = [video for shard in shards for video in shard.video_id]
        self.duration = np.concatenate([shard.duration for shard in shards])
        self.max_words, self.word_dim = retriever.spec.max_words, retriever.spec.word_dim
        self.unknown_words: list[list[str]] = []  # of the sentences of the last search
        self._words = words
        self._table = make_table((shard.clips for shard in shards), mesh)
        self._params = retriever.params
        self._encode = jax.jit(retriever.system.encode_queries)
        self.finds_moments = localizer is not None
        self._localizer = localizer
        if localizer is not None:
            self.max_words = min(self.max_words, localizer.spec.max_words)
            encode = localizer.system.encode_videos
            tree = jax.tree.structure(code_of_one_clip(localizer, encode))
            self._store = make_store(
                [tree.unflatten(shard.codes) for shard in shards],
                [shard.clips.num_clips for shard in shards],
                self.duration,
            )
            self._finders = {}

    @classmethod
    def open(
        cls,
        index: str | Path,
        *,
        checkpoint: str | Path = "",
        localizer: str | Path = "",
        mesh: Mesh | None = None,
        verify: bool = True,
        say: Callable[[str], None] = print,
    ) -> "TrainedCorpus":
        """Open an index; its arrays are mapped from their files, not read.

        `checkpoint` and `localizer` are workdirs of the systems that it was made by, if they are
        elsewhere now. Sizes of files are always checked, their content with `verify` (about a
        second a GB). Where an append was interrupted the videos that were there before are
        searched, and `say` is told so.

        Raises:
            FileNotFoundError: there is no index, or no checkpoint where it says.
            DamagedIndexError: a file is missing, truncated or changed.
            ValueError: the index is not finished, has no videos or was made by other checkpoints.
        """
        index = Path(index)
        manifest = read_manifest(index)
        entries = _finished_shards(index, manifest, say)
        retriever = open_maker(index, manifest, Retriever, checkpoint)
        if retriever is None:
            raise DamagedIndexError(f"{index}: its manifest names no retriever")
        second = open_maker(index, manifest, Localizer, localizer)
        check_identity(index, manifest, retriever, second)
        words = None
        if manifest["words"]:
            check_files(index, WORDS, manifest["words"], content=verify)
            vocabulary = read_text(index, WORDS, "vocabulary.txt").splitlines()
            vectors = open_array(index, WORDS, "vectors.npy", mapped=False)
            words = WordVectors(tuple(vocabulary), vectors)
        shards = []
        for number, entry in enumerate(entries):
            check_shard(index, number, entry, content=verify)
            shards.append(open_shard(index, number, entry, manifest["modalities"]))
        if not any(shard.clips.kept.any() for shard in shards):
            raise ValueError(f"{index} has no videos: add some with `vmr index --append`")
        return cls(shards, retriever, second, words, mesh)

    def search(
        self, queries: Sequence[str] | Queries, top_k: int = 10, videos: int = 10
    ) -> Moments:
        """The best `top_k` moments (B, K) of each query in its best `videos` videos, best first.

        Queries are sentences, where the index has word vectors, or features (B, M, E) and mask.
        `video` of the moments has rows of `video_id`, which tells their ids; `start` and `end` are
        seconds, a higher `score` is better. Without a localizer a video is its own only moment, and
        its score is the retriever's. K is `top_k`, or less where no query can have so many: where
        one has fewer, the rest has score -inf and video -1.

        Raises ValueError as `read`; for a sentence that cannot be asked; for features of another
        width, longer than the systems read or not finite; for a query without a word; and for top_k
        or videos below 1.
        """
        for name, number in (("top_k", top_k), ("videos", videos)):
            if number < 1:
                raise ValueError(f"{name} is {number}; it must be at least 1")
        self.unknown_words = []
        if not isinstance(queries, Queries):
            asked = self.read(queries)
            raise_refused(asked.refused)
            queries, self.unknown_words = asked.queries, asked.unknown
        self._check(queries)
        wanted = min(top_k if self._localizer is None else videos, self._table.videos)
        score, row = top_videos(self._encode_all(queries), self._table, wanted)
        if self._localizer is None:
            end = jnp.where(row < 0, 0, jnp.asarray(self.duration)[row])
            return Moments(jnp.zeros_like(end), end, score, row)
        longest = int(self._store.num_clips.max())
        most = wanted * most_moments(longest, readout(self._localizer.config))
        find = self._finder(self._localizer, min(top_k, most))
        return find(self._localizer.params, queries, score, row, self._store)

    def read(self, sentences: Sequence[str]) -> Asked:
        """Sentences in the form that `search` takes, without those that cannot be asked.

        Raises ValueError where the index has no word vectors, and for one sentence that is in no
        list.
        """
        if isinstance(sentences, str):
            raise ValueError(f"give a list of sentences, such as [{sentences!r}]")
        if self._words is None:
            raise ValueError(
                "these systems read token features, not words: give queries as features "
                "(--query-features FILE)"
            )
        return ask_sentences(sentences, self._words, self.max_words)

    def _check(self, queries: Queries) -> None:
        shape, mask = np.shape(queries.query), np.asarray(queries.query_mask)
        if len(shape) != 3 or shape[2] != self.word_dim or mask.shape != shape[:2]:
            raise ValueError(
                f"query features have shape {shape} and mask {mask.shape}; needed are (queries, "
                f"words, {self.word_dim}) and (queries, words)"
            )
        if not shape[0]:
            raise ValueError("there are no queries")
        if shape[1] > self.max_words:
            raise ValueError(f"queries have {shape[1]} words, these systems read {self.max_words}")
        if not mask.any(axis=1).all():
            raise ValueError(f"query {np.flatnonzero(~mask.any(axis=1))[0] + 1} has no words")
        broken = (~np.isfinite(queries.query).all(axis=2) & mask).any(axis=1)
        if broken.any():
            raise ValueError(f"the features of query {broken.argmax() + 1} are not finite")

    def _encode_all(self, queries: Queries) -> jax.Array:
        count, found = len(queries.query), []
        for first in range(0, count, _QUERIES):
            # The last ones are filled up with others, so that one program does for all.
            size = _QUERIES if count > _QUERIES else count
            some = np.minimum(np.arange(first, first + size), count - 1)
            asked = jax.tree.map(lambda leaf, some=some: leaf[some], queries)
            found.append(self._encode(self._params, asked))
        return jnp.concatenate(found)[:count]

    def _finder(self, localizer: Trained[Localizer], top_k: int) -> Callable[..., Moments]:
        if top_k not in self._finders:
            settings = readout(localizer.config)._replace(keep=top_k)
            self._finders[top_k] = make_finder(localizer.system, settings)
        return self._finders[top_k]
