"""What `vmr index` and `vmr search` do."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from vmr_jax.datasets import open_dataset
from vmr_jax.progress import shown
from vmr_jax.search.corpus_search import TrainedCorpus
from vmr_jax.search.index import build_index, remove_videos
from vmr_jax.search.manifest import find_manifest, read_manifest
from vmr_jax.search.queries import Query, count_refused, refusal, refuse_all
from vmr_jax.search.sentences import WordVectors, ask_features
from vmr_jax.search.trained import Trained, open_maker
from vmr_jax.search.video_source import open_source
from vmr_jax.types import Localizer, Moments, Retriever


def index_videos(
    out: Path,
    videos: str,
    *,
    checkpoint: str = "",
    localizer: str = "",
    subtitles: str = "",
    key: str = "",
    data_dir: str = "",
    dtype: str = "",
    append: bool = False,
    remove: Sequence[str] = (),
    console: Console,
) -> None:
    """Build an index of `videos`, add them to it, or `remove` some.

    Checkpoints that are not named are those that the index was made by. Raises ValueError for
    options that do not go together, and as `build_index`, `remove_videos`, `open_source` and
    `open_maker`.
    """
    if remove:
        if videos:
            raise ValueError("either remove videos (--remove) or add some (--videos), not both")
        remove_videos(out, remove)
        console.print(f"{out}: removed {', '.join(remove)}")
        return
    manifest = find_manifest(out)
    if manifest:
        if dtype and dtype != manifest["dtype"]:
            raise ValueError(f"{out} is {manifest['dtype']}; it cannot be continued as {dtype}")
        dtype = manifest["dtype"]
    retriever = open_maker(out, manifest, Retriever, checkpoint)
    if retriever is None:
        raise ValueError("--checkpoint names the retriever's workdir")
    second = open_maker(out, manifest, Localizer, localizer)
    data_dir = data_dir or retriever.config.data_dir
    source = open_source(videos, subtitles, key, retriever.config.target, data_dir)
    for note in source.notes:
        console.print(note)
    words = None if manifest else _words(retriever, data_dir)
    count = build_index(
        out,
        source,
        retriever,
        second,
        words,
        dtype=dtype or "float16",
        append=append,
        progress=shown,
        say=console.print,
    )
    entries = read_manifest(out)["shards"]
    size = sum(file["bytes"] for shard in entries for file in shard["files"].values())
    total = sum(shard["videos"] - len(shard["removed"]) for shard in entries)
    console.print(f"{out}: {count:,} videos encoded, {total:,} in all, {size / 1e6:,.1f} MB")


def search_index(
    index: Path,
    queries: Sequence[Query],
    *,
    checkpoint: str = "",
    localizer: str = "",
    query_features: str = "",
    key: str = "",
    top: int = 10,
    videos: int = 10,
    verify: bool = True,
    as_json: bool = False,
    console: Console,
) -> None:
    """Print the ranked moments of queries: a table each, or a line of JSON each.

    Words that the systems do not know are said on stderr, and so is an unfinished append, and how
    many queries could not be asked; each of these has its reason in its place. A table says that
    whole videos were ranked.
    Raises as `TrainedCorpus.open` and `TrainedCorpus.search`, and ValueError where no query could
    be asked.
    """
    warn = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)
    corpus = TrainedCorpus.open(
        index, checkpoint=checkpoint, localizer=localizer, verify=verify, say=warn.print
    )
    if query_features:
        ids = [str(query.qid) for query in queries]
        asked = ask_features(query_features, ids, corpus.word_dim, corpus.max_words, key)
    else:
        asked = corpus.read([query.text for query in queries])
    refuse_all(queries, asked.refused)
    found = iter(_rows(corpus, corpus.search(asked.queries, top, videos)))
    unknown = iter(asked.unknown)
    for item, query in enumerate(queries):
        reason = asked.refused.get(item, "")
        moments = [] if reason else next(found)
        if not reason and (words := next(unknown, [])):
            warn.print(f"{query.text!r}: no vector for {', '.join(words)}: read as unknown")
        if as_json:
            line = {"qid": query.qid, "query": query.text, "moments": moments}
            print(json.dumps(line | ({"error": reason} if reason else {}), ensure_ascii=False))
        else:
            console.print(refusal(query, reason) if reason else _table(query, moments))
    if not (as_json or corpus.finds_moments):
        console.print(
            "These are whole videos: the index was made without a localizer (`vmr index "
            "--localizer`), which finds the moments in them."
        )
    if asked.refused:
        warn.print(count_refused(queries, asked.refused))


def _words(retriever: Trained, data_dir: str) -> WordVectors | None:
    """The words that a system was trained with; None where it reads token features."""
    target = retriever.config.target
    if target.query_features:
        return None
    dataset = open_dataset(target, data_dir)
    return WordVectors(dataset.vocabulary, dataset.vectors)


def _rows(corpus: TrainedCorpus, found: Moments) -> list[list[dict]]:
    """Each query's moments as they are printed, rounded to milliseconds."""
    start, end, score, video = map(np.asarray, (found.start, found.end, found.score, found.video))
    return [
        [
            {
                "rank": rank + 1,
                "video": corpus.video_id[video[item, rank]],
                "start": round(float(start[item, rank]), 3),
                "end": round(float(end[item, rank]), 3),
                "score": float(score[item, rank]),
            }
            for rank in np.flatnonzero(video[item] >= 0).tolist()
        ]
        for item in range(len(video))
    ]


def _table(query: Query, moments: Sequence[dict]) -> Table:
    table = Table(title=query.text or str(query.qid), title_justify="left")
    for name in ("rank", "video", "start", "end", "score"):
        table.add_column(name, justify="left" if name == "video" else "right")
    for moment in moments:
        start, end = (f"{moment[name]:.1f} s" for name in ("start", "end"))
        table.add_row(str(moment["rank"]), moment["video"], start, end, f"{moment['score']:.4g}")
    return table
