"""What `vmr index VIDEOS` and `vmr search INDEX SENTENCE` do with an index of video files."""

import json
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from vmr_jax.data.datasets import jsonl
from vmr_jax.export.export import export_results
from vmr_jax.export.options import Exports
from vmr_jax.export.results import Result, clock
from vmr_jax.input_files import require_file
from vmr_jax.search.queries import Query, count_refused, refusal, refuse_all
from vmr_jax.video.sources import FrameSource
from vmr_jax.video_index.build import build_index
from vmr_jax.video_index.corpus import Corpus
from vmr_jax.video_index.engine import fill_engine
from vmr_jax.video_index.found import Found
from vmr_jax.video_index.layout import MANIFEST, is_video_index, read_manifest
from vmr_jax.zero_shot.asked import NO_RUN
from vmr_jax.zero_shot.joint_space import (
    JointSpace,
    default_encoder,
    open_joint_space,
    usual_clip_seconds,
)

if TYPE_CHECKING:
    from vmr_jax.video_index.trained import TrainedMoments

_LIKELY = 0.5
_NOTES = 20  # lines of what could not be read of what is said


def index_files(
    index: Path,
    videos: Sequence[FrameSource],
    *,
    encoder: str = "",
    weights: str = "",
    clip_seconds: float | None = None,
    prune: bool = False,
    strict: bool = False,
    jobs: int = 1,
    subtitles: str = "",
    speech: str = "",
    engine: str = "",
    engine_index: str = "",
    checkpoint: str = "",
    console: Console,
) -> bool:
    """Let an index follow video files; tell whether all could be read.

    What is not given is as the index has it. Raises as `build_index`, `fill_engine`,
    `TrainedMoments` and `open_joint_space`, and ValueError where `index` is another kind of index.
    """
    encoder, weights, clip_seconds = _settings(index, encoder, weights, clip_seconds)
    space = open_joint_space(encoder, weights)
    run = _open_run(index, space, clip_seconds, checkpoint)  # before hours of encoding
    done = build_index(
        index,
        videos,
        space,
        weights=weights,
        clip_seconds=clip_seconds,
        prune=prune,
        strict=strict,
        jobs=jobs,
        subtitles=Path(subtitles) if subtitles else None,
        speech=speech,
    )
    report = done.report
    told = [f"{report.added:,} videos encoded"]
    if report.added:
        speed = report.seconds / max(report.took, 1e-9)
        told[0] += f" ({report.seconds:,.0f} s of video, {speed:.1f} x realtime)"
    told += [f"{len(done.pruned):,} pruned"] if done.pruned else []
    frames = sum(video.frames for video in done.videos)
    told.append(f"{len(done.videos):,} in all, {frames:,} frames, encoder {encoder}")
    console.print(f"{index}: {', '.join(told)}")
    if done.videos and (filled := fill_engine(index, engine, engine_index)):
        console.print(
            f"{filled.url}: {filled.added:,} videos added, {filled.removed:,} removed; "
            f"{filled.kind} finds {filled.recall:.1%} of the 10 best videos of the exact scan"
        )
    if done.videos and checkpoint:
        from vmr_jax.video_index.trained import name_run

        name_run(index, run)
        told = f"by the trained run {run.workdir}" if run else "by no trained run"
        console.print(f"moments are placed {told}")
    if lines := sum(len(entry.lines) for entry in done.said.values()):
        talking = sum(bool(entry.lines) for entry in done.said.values())
        console.print(f"said: {lines:,} utterances in {talking:,} videos")
    if done.missing:
        names = ", ".join(done.missing[:3]) + (", ..." if len(done.missing) > 3 else "")
        console.print(
            f"the files of {len(done.missing):,} videos are gone ({names}): --prune takes them out"
        )
    for note in done.unread[:_NOTES]:
        print(f"  {note}", file=sys.stderr)
    if len(done.unread) > _NOTES:
        print(f"  and {len(done.unread) - _NOTES:,} more notes on what is said", file=sys.stderr)
    if report.failures:
        print(f"{len(report.failures):,} videos are not in it:", file=sys.stderr)
        for failure in report.failures:
            print(f"  {failure.id}: {failure.reason}", file=sys.stderr)
    return not report.failures


def _open_run(
    index: Path, space: JointSpace, clip_seconds: float, checkpoint: str
) -> "TrainedMoments | None":
    """The run in `checkpoint`, which must have been trained on such frames; None without one."""
    if checkpoint in ("", NO_RUN):
        return None
    from vmr_jax.video_index.trained import TrainedMoments  # training's imports take seconds
    from vmr_jax.zero_shot.trained import FramesMadeBy

    width = space.sentences(space.generic[:1]).shape[1]
    frames = FramesMadeBy(space.images.name, space.images.weights, clip_seconds, width)
    return TrainedMoments(index, frames, checkpoint)


def _settings(
    index: Path, encoder: str, weights: str, clip_seconds: float | None
) -> tuple[str, str, float]:
    """What an index is made with: as given, else as it was made, else by default."""
    if not is_video_index(index):
        if (index / "manifest.json").exists():
            raise ValueError(f"{index} is an index of trained systems: give another --out")
        encoder = encoder or default_encoder()
        return encoder, weights, clip_seconds or usual_clip_seconds(encoder)
    found = read_manifest(index / MANIFEST)
    if encoder and encoder != found["encoder"]:
        raise ValueError(
            f"{index} was made with the encoder {found['encoder']}, not {encoder}: give another "
            "--out"
        )
    return found["encoder"], weights or found["weights"], clip_seconds or found["clip_seconds"]


def search_files(
    index: Path,
    queries: Sequence[Query],
    *,
    top: int,
    modality: str = "both",
    checkpoint: str = "",
    as_json: bool,
    exports: Exports,
    console: Console,
) -> bool:
    """Print the moments of each query; tell whether all that was to be exported was.

    A query that cannot be asked costs itself alone. Raises as `Corpus`, and ValueError where no
    query could be asked, or where several are to be exported.
    """
    corpus, refused, results = Corpus(index, checkpoint=checkpoint), {}, []
    for item, query in enumerate(queries):
        try:
            corpus.check(query.text, modality)
        except ValueError as error:
            refused[item] = str(error)
    refuse_all(queries, refused)
    asked = [query.text for item, query in enumerate(queries) if item not in refused]
    with warnings.catch_warnings(record=True) as told:
        all_found = iter(corpus.search_all(asked, top, modality=modality))
    for message in dict.fromkeys(str(warning.message) for warning in told):
        print(f"vmr: {message}", file=sys.stderr)
    for item, query in enumerate(queries):
        reason = refused.get(item, "")
        found = [] if reason else next(all_found)
        if as_json:
            moments = [_as_json(rank, moment) for rank, moment in enumerate(found, 1)]
            line = {"qid": query.qid, "query": query.text, "moments": moments}
            print(json.dumps(line | ({"error": reason} if reason else {}), ensure_ascii=False))
        else:
            console.print(refusal(query, reason) if reason else _table(query, found))
        results += [
            Result(one.video, one.path, one.start_s, one.end_s, one.score, query.text)
            for one in found
        ]
    if refused:
        print(count_refused(queries, refused), file=sys.stderr)
    return export_results(results, exports, lambda line: print(line, file=sys.stderr))


def _as_json(rank: int, moment: Found) -> dict:
    return {
        "rank": rank,
        "video": moment.video,
        "path": str(moment.path),
        "start": round(moment.start_s, 3),
        "end": round(moment.end_s, 3),
        "score": moment.score,
        "found_by": moment.found_by,
    } | ({} if moment.probability is None else {"probability": round(moment.probability, 4)})


def _table(query: Query, found: Sequence[Found]) -> Table:
    table = Table(title=Text(query.text), title_justify="left")
    likely = any(moment.probability is not None for moment in found)
    for name in ("rank", "video", "start", "end", "score", *(["probability"] if likely else [])):
        table.add_column(name, justify="left" if name == "video" else "right")
    table.add_column("found by")
    for rank, moment in enumerate(found, 1):
        cells = [clock(moment.start_s), clock(moment.end_s), f"{moment.score:.3g}"]
        if likely:
            known = moment.probability is not None
            cells.append(f"{moment.probability:.0%}" if known else "")
        table.add_row(str(rank), Text(moment.video), *cells, moment.found_by)
    if found and found[0].probability is not None and found[0].probability < _LIKELY:
        table.caption = f"Perhaps in none of these videos: no moment is {_LIKELY:.0%} likely."
    return table


def calibrate_index(index: Path, labels: Path, console: Console) -> None:
    """Learn probabilities for an index from labelled sentences; print how reliable they are.

    Raises as `Corpus`, `calibrate` and the reader of labels.
    """
    from vmr_jax.video_index.calibrate import calibrate  # scipy's solvers take half a second

    annotations = jsonl.read("labels", require_file(labels, "labels"))
    records = [record for split in annotations.splits.values() for record in split]
    bins = calibrate(Corpus(index), records)
    table = Table(title="of videos that the fit had not seen", title_justify="left")
    for name in ("predicted", "right", "moments"):
        table.add_column(name, justify="right")
    for one in bins:
        table.add_row(f"{one.predicted:.0%}", f"{one.observed:.0%}", f"{one.count:,}")
    console.print(table)
    console.print(f"{index}: searches tell the probability that a moment is right (IoU 0.5)")
