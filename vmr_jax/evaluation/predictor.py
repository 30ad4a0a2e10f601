"""Moments in one given video: features and sentences in, seconds out."""

import itertools
import warnings
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import overload

import jax
import numpy as np
from rich.console import Console

from vmr_jax import models
from vmr_jax.data.batches.data_paths import query_batch
from vmr_jax.data.batches.domain import Domain, make_domain
from vmr_jax.data.batches.splits import make_corpus
from vmr_jax.data.sources.features import as_float16
from vmr_jax.data.tables.dataset import Dataset, MomentTable
from vmr_jax.data.tables.video_table import VideoTable
from vmr_jax.data.text.tokens import STORED, make_tokenizer
from vmr_jax.datasets import open_dataset
from vmr_jax.decoding.corpus_moments import readout
from vmr_jax.evaluation.corpus import encode_localizer
from vmr_jax.evaluation.moments import predict_split
from vmr_jax.evaluation.pretrained import (
    Pretrained,
    pretrained_folder,
    read_pretrained,
    write_pretrained,
)
from vmr_jax.evaluation.restore import restore_run
from vmr_jax.input_files import read_json
from vmr_jax.search.sentences import raise_refused, word_rows, words_of
from vmr_jax.search.trained import Trained, fingerprint
from vmr_jax.search.two_stage import make_finder
from vmr_jax.training.checkpoint import checkpoint_directory
from vmr_jax.training.mesh import keep_compilations, make_mesh
from vmr_jax.training.steps import as_float32, make_predict
from vmr_jax.types import Config, DataSpec, Localizer, Moment, Moments, MomentSystem

_SPLIT, _VIDEO = "asked", "video"
_QUIET = Console(quiet=True)


class Predictor:
    """A trained run that finds moments in a video's features.

    Its answers are the evaluation's, up to the rounding of batches of another size.
    """

    def __init__(self, model: Pretrained):
        """Raises ValueError for a system that finds no moments."""
        restored, self._model = model.restored, model
        self.made_by = restored.made_by  # the features that it reads, as of Restored
        self.config = Config(restored.config.to_dict())
        self.config.eval.batch_size = jax.device_count()
        self.spec = DataSpec(**restored.trained)
        self._vocabulary, self._vectors = tuple(model.vocabulary), model.vectors
        specs = dict.fromkeys(models.of(self.config).domains(self.config), self.spec)
        system, self._params = models.make(self.config, specs), restored.params
        self._mesh = make_mesh()
        if isinstance(system, MomentSystem):
            self._find = partial(self._in_video, make_predict(system, self._mesh))
        elif isinstance(system, Localizer):
            trained = Trained(self.config, system, self._params, self.spec, {})
            find = make_finder(system, readout(self.config))
            self._find = partial(self._by_localizer, trained, find)
        else:
            raise ValueError(
                f"{self.config.system} ranks videos and finds no moments in them: index a corpus "
                "with `vmr index` and search it, or load a localizer"
            )

    @overload
    def predict(
        self,
        features: np.ndarray,
        query: str | np.ndarray,
        *,
        duration: float,
        subtitles: np.ndarray | None = None,
        top_k: int | None = None,
    ) -> list[Moment]: ...

    @overload
    def predict(
        self,
        features: np.ndarray,
        query: Sequence[str],
        *,
        duration: float,
        subtitles: np.ndarray | None = None,
        top_k: int | None = None,
    ) -> list[list[Moment]]: ...

    def predict(self, features, query, *, duration, subtitles=None, top_k=None):
        """The moments of a sentence in a video, best first; of several sentences a list each.

        Args:
            features: (n, F) of the video's n clips, of the kind that the run was trained on.
            query: a sentence, a list of sentences, or (L, E) features of one query's tokens where
                the run was trained on such (config.target.query_features).
            duration: of the video, in seconds.
            subtitles: (n, S) features of what is said, where the run reads them.
            top_k: at most so many moments; None: as many as the run's config ranks.

        Raises:
            ValueError: features of another width, without clips or not finite; a duration that is
                not above 0; no query, an empty or too long one, or one without a word that the run
                knows; subtitles missing, or given to a run that reads none.

        Warns of words that the run does not know, and of clips that it does not read.
        """
        if not (np.isfinite(duration) and duration > 0):
            raise ValueError(f"duration is {duration}; it is the video's length in seconds")
        if top_k is not None and top_k < 1:
            raise ValueError(f"top_k is {top_k}; it must be at least 1")
        several = not isinstance(query, (str, np.ndarray, jax.Array))
        queries = list(query) if several else [query]
        if not queries:
            raise ValueError("there are no queries")
        dataset = self._dataset(features, queries, duration, subtitles)
        found = [
            [Moment(*map(float, moment)) for moment in moments[:top_k]]
            for moments in self._find(dataset)
        ]
        return found if several else found[0]

    @cached_property
    def fingerprint(self) -> str:
        """A hash of parameters and config."""
        return fingerprint(self._model.restored.config, self._params)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write what `load` needs into a folder: config, parameters, words, figures, a model card.

        Neither the workdir nor the data are needed then; the folder can be a repository of Hugging
        Face. Raises FileExistsError where it holds something, and FullDiskError.
        """
        write_pretrained(Path(folder), self._model)

    def refused(self, sentences: Sequence[str]) -> dict[int, str]:
        """The sentences that `predict` cannot take: the position of each, and why."""
        text = self.config.get("text")
        if not text or text.encoder == STORED:
            return word_rows(sentences, self._vocabulary, self.spec.max_words).refused
        tokenizer, refused = make_tokenizer(text, self.spec.max_words), {}
        for item, sentence in enumerate(sentences):
            try:
                words_of(sentence)
                if tokenizer.encode([sentence], too_long="cut").cut:
                    raise ValueError(
                        f"it is longer than the {self.spec.max_words} tokens that this run reads: "
                        "shorten it"
                    )
            except ValueError as error:
                refused[item] = str(error)
        return refused

    def _in_video(self, predict: Callable, dataset: Dataset) -> list[np.ndarray]:
        domain = self._checked(
            make_domain(dataset, _SPLIT, self._target(), text=self.config.get("text"))
        )
        return predict_split(predict, self._params, domain, self.config, self._mesh, _QUIET).moments

    def _by_localizer(
        self, trained: Trained[Localizer], find: Callable[..., Moments], dataset: Dataset
    ) -> list[np.ndarray]:
        corpus = self._checked(make_corpus(dataset, _SPLIT, self._target()))
        codes = encode_localizer(trained, corpus, _QUIET)
        count = len(corpus.pairs.video)
        queries = as_float32(query_batch(corpus, np.arange(count)))
        given = np.zeros((count, 1), np.float32), np.zeros((count, 1), np.int32)  # score and row
        found = jax.device_get(find(self._params, queries, *given, codes))
        ranked = np.stack((found.start, found.end, found.score), axis=-1).astype(np.float64)
        return [moments[~np.isneginf(moments[:, 2])] for moments in ranked]

    def _target(self) -> Config:
        return Config(self.config.target.to_dict() | {"labels": False})

    def _checked(self, domain: Domain) -> Domain:
        """The domain, of which nothing was cut; words that the run does not know are told."""
        if domain.cut_queries:
            raise ValueError(
                f"{domain.cut_queries} of the queries are longer than the "
                f"{self.spec.max_words} tokens that this run reads: shorten them"
            )
        if domain.unknown_words:
            warnings.warn(
                f"{domain.unknown_words} words are not in the text encoder's vocabulary",
                stacklevel=4,
            )
        return domain

    def _dataset(self, features, queries, duration, subtitles) -> Dataset:
        """The video and its queries in the form of a prepared dataset."""
        clips = as_float16(np.asarray(features), (self.spec.video_dim,), "the video")
        if self.config.target.clip_sampling == "cut" and len(clips) > self.spec.max_clips:
            warnings.warn(
                f"the video has {len(clips)} clips, of which this run reads the first "
                f"{self.spec.max_clips}: later moments are not found",
                stacklevel=3,
            )
        parts = {}
        if self.spec.sub_dim:
            if subtitles is None or len(subtitles) != len(clips):
                raise ValueError(
                    f"this run reads subtitles: give features ({len(clips)}, "
                    f"{self.spec.sub_dim}), one row a clip"
                )
            sub = as_float16(np.asarray(subtitles), (self.spec.sub_dim,), "the subtitles")
            parts = {"subtitles": lambda row: sub, "sub_dim": self.spec.sub_dim}
        elif subtitles is not None:
            raise ValueError("this run reads no subtitles")
        table, vectors = self._table(queries)
        videos = VideoTable(
            (_VIDEO,),
            np.array([duration], np.float32),
            np.array([len(clips)], np.int32),
            lambda row: clips,
            self.spec.video_dim,
        )
        return Dataset(
            name="the given video",
            feature_name=self.config.target.features,
            splits={_SPLIT: table},
            videos=videos,
            vocabulary=self._vocabulary,
            vectors=self._vectors,
            fingerprint="",
            query_vectors=vectors,
            **parts,
        )

    def _table(self, queries: Sequence[str | np.ndarray]) -> tuple[MomentTable, np.ndarray | None]:
        """The queries as a split, and the features of their tokens where they are such."""
        count = len(queries)
        words, number = np.zeros((count, 1), np.int32), np.zeros(count, np.int32)
        tokens = vectors = None
        sentences = [query for query in queries if isinstance(query, str)]
        if self.config.target.get("query_features", ""):
            rows = [self._token_features(query) for query in queries]
            vectors = np.concatenate([np.zeros((1, self.spec.word_dim), np.float16), *rows])
            lengths = np.array([len(row) for row in rows], np.int32)
            tokens = np.stack([1 + np.cumsum(lengths) - lengths, lengths], axis=1)
        elif len(sentences) < count:
            raise ValueError("this run reads sentences, not features of their tokens")
        elif self.config.get("text"):
            raise_refused(self.refused(sentences))
        else:
            read = word_rows(sentences, self._vocabulary, self.spec.max_words)
            raise_refused(read.refused)
            words, number, unknown = read.ids, read.count, read.unknown
            if any(unknown):
                spoken = ", ".join(dict.fromkeys(itertools.chain(*unknown)))
                warnings.warn(f"words without a vector: {spoken}", stacklevel=4)
        table = MomentTable(
            query_id=tuple(map(str, range(count))),
            sentence=tuple(str(query) if isinstance(query, str) else "" for query in queries),
            video=np.zeros(count, np.int32),
            words=words,
            num_words=number,
            moments=tuple(np.zeros((0, 2), np.float32) for _ in queries),
            tokens=tokens,
        )
        return table, vectors

    def _token_features(self, query: str | np.ndarray) -> np.ndarray:
        if isinstance(query, str):
            raise ValueError(
                "this run reads features of a query's tokens, not words: give an array (L, "
                f"{self.spec.word_dim})"
            )
        return as_float16(query, (self.spec.word_dim,), "a query's tokens")


def load(workdir: str | Path, data_dir: str | Path = "") -> Predictor:
    """The best checkpoint of a run, ready to find moments in a video's features.

    `workdir` is a run's, or its checkpoints directory, or a folder of `Predictor.save_pretrained`,
    or hf://OWNER/NAME, such a folder on Hugging Face. A run's word vectors come from the data that
    it was trained on, in `data_dir` if they were moved.

    Raises FileNotFoundError where there is no checkpoint or no prepared data, ValueError for a
    run that finds no moments, DamagedCheckpointError, and ConnectionError where hf:// is not
    reached.
    """
    keep_compilations()
    folder = pretrained_folder(workdir)
    return Predictor(read_pretrained(folder) if folder else _of_run(workdir, data_dir))


def _of_run(workdir: str | Path, data_dir: str | Path) -> Pretrained:
    """A run's best checkpoint with its words and reports."""
    directory = checkpoint_directory(workdir)
    restored = restore_run(None, directory)
    config, vocabulary, vectors = restored.config, (), np.zeros((0, 0), np.float32)
    if not config.get("text") and not config.target.get("query_features", ""):
        dataset = open_dataset(config.target, str(data_dir) or config.data_dir)
        vocabulary, vectors = dataset.vocabulary, dataset.vectors
    found = sorted(directory.parent.glob("eval/*/metrics.json"))
    reports = [read_json(path, "evaluate the run again") for path in found]
    return Pretrained(restored, vocabulary, vectors, reports)
