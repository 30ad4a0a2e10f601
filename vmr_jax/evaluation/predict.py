"""What `vmr predict` does: the moments of sentences in one video, on the terminal."""

import json
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from vmr_jax.data.sources.features import FeatureSource, notes, open_features
from vmr_jax.data.sources.names import describe_missing, match_names
from vmr_jax.evaluation.predictions import file_id
from vmr_jax.evaluation.predictor import Predictor, load
from vmr_jax.search.queries import Query, count_refused, read_queries, refusal, refuse_all
from vmr_jax.types import Moment


def predict_moments(
    workdir: Path,
    sentence: str,
    queries: Path | None,
    features: str,
    video: str,
    *,
    duration: float,
    subtitles: str,
    key: str,
    top: int,
    data_dir: str,
    as_json: bool,
) -> None:
    """Print the best `top` moments of each query in a video: tables, or lines of predictions.jsonl.

    The features are read from a file or directory, of which `video` names one where there are
    several, `key` is that of `open_features`; a `duration` of 0 is the run's clip length times the
    clips. What the predictor warns of is said on stderr, and so is how many queries could not be
    asked; each of these has its reason in its place. Raises ValueError for options that do not
    go together, and as `load`, `open_features` and `Predictor.predict`.
    """
    if (queries is None) != bool(sentence.strip()):
        raise ValueError('give either one sentence, such as "a person opens a door", or --queries')
    if not features:
        raise ValueError("--features names the file or directory with the video's features")
    asked = read_queries(queries) if queries else [Query("1", sentence)]
    source = open_features(features, key=key)
    video = video or _only(source, features)
    clips = _read(source, video, features)
    spoken = _read(open_features(subtitles, key=key), video, subtitles) if subtitles else None
    predictor = load(workdir, data_dir)
    refused = {}
    if not predictor.config.target.get("query_features", ""):
        refused = predictor.refused([query.text for query in asked])
        refuse_all(asked, refused)
    with warnings.catch_warnings(record=True) as told:
        found = predictor.predict(
            clips,
            [query.text for item, query in enumerate(asked) if item not in refused],
            duration=duration or _duration(predictor, len(clips)),
            subtitles=spoken,
            top_k=top,
        )
    for warning in told:
        print(f"vmr: {warning.message}", file=sys.stderr)
    rest = iter(found)
    for item, query in enumerate(asked):
        reason = refused.get(item, "")
        moments = [] if reason else next(rest)
        if as_json:
            print(_line(query, video, moments, reason))
        elif reason:
            print(refusal(query, reason))
        else:
            Console().print(_table(query, video, moments))
    if refused:
        print(f"vmr: {count_refused(asked, refused)}", file=sys.stderr)


def _only(source: FeatureSource, path: str) -> str:
    if len(source.ids) != 1:
        raise ValueError(f"{path} holds {len(source.ids)} videos: name one with --video")
    return source.ids[0]


def _read(source: FeatureSource, video: str, path: str):
    for note in notes(source):
        print(f"vmr: {note}", file=sys.stderr)
    name = match_names(source.ids, [video]).get(video)
    if name is None:
        missing = describe_missing(source.ids, [video])[video]
        shown = ", ".join(source.ids[:3])
        raise ValueError(
            f"{path} has no video {missing}; it has {len(source.ids)}, such as {shown}"
        )
    if name != video:
        print(f"vmr: {path}: {name!a} is taken for {video!a}", file=sys.stderr)
    return source.read(name)


def _duration(predictor: Predictor, clips: int) -> float:
    if "clip_seconds" not in predictor.config:
        raise ValueError("--duration is missing: how many seconds does the video last?")
    return clips * predictor.config.clip_seconds


def _line(query: Query, video: str, moments: Sequence[Moment], error: str) -> str:
    windows = [list(moment) for moment in moments]
    qid = file_id(query.qid) if isinstance(query.qid, str) else query.qid
    record = {"qid": qid, "query": query.text, "vid": video, "pred_relevant_windows": windows}
    if error:
        record["error"] = error
    return json.dumps(record)


def _table(query: Query, video: str, moments: Sequence[Moment]) -> Table:
    table = Table(title=Text(f"{query.text} — {video}"), title_justify="left")
    for name in ("", "start s", "end s", "score"):
        table.add_column(name, justify="right")
    for rank, moment in enumerate(moments, 1):
        table.add_row(
            str(rank), f"{moment.start_s:.2f}", f"{moment.end_s:.2f}", f"{moment.score:.4f}"
        )
    return table
