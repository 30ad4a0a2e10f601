"""Results as a timeline for editors: one after the other, best first, as EDL and OpenTimelineIO."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from vmr_jax.export.results import Result, label, ranked
from vmr_jax.export.timecode import Rate, rate_of, timecode
from vmr_jax.output_files import write_whole
from vmr_jax.video.container import open_video

_HOUR = 3600  # seconds at which an EDL's timeline begins, by custom


class _Source(NamedTuple):
    """A video of the timeline."""

    rate: Rate
    duration: float  # seconds; NaN where it is not known
    sound: bool


def write_edl(out: str | Path, results: Sequence[Result]) -> list[str]:
    """Write results as a CMX 3600 edit decision list; returns notes on what it cannot say.

    Its time codes count the frames of the first video, from 0 at the start of its file; those of
    29.97 and 59.94 frames a second are drop-frame. Each event names its file in comments. Raises
    ValueError where there are no results, as `open_video` for a video that cannot be read, and
    OSError.
    """
    sources = _sources(out, results)
    rate = sources[results[0].path].rate
    lines = [f"TITLE: {_line(results[0].query) or 'moments'}"]
    lines += [f"FCM: {'' if rate.drop else 'NON-'}DROP FRAME", ""]
    place = rate.frame(_HOUR)
    for number, (rank, result) in enumerate(ranked(results), 1):
        first, last = _frames(result, rate)
        marks = (first, last, place, place + last - first)
        codes = " ".join(timecode(frame, rate) for frame in marks)
        track = "B" if sources[result.path].sound else "V"  # B: both, sound and picture
        lines.append(f"{number:03d}  AX       {track:5} C        {codes}")
        lines.append(f"* FROM CLIP NAME: {_line(result.path.name)}")
        lines.append(f"* SOURCE FILE: {_line(str(result.path.absolute()))}")
        lines.append(f"* COMMENT: {label(rank, result)}")
        place += last - first
    write_whole(out, "\n".join(lines) + "\n")
    others = {float(source.rate.exact) for source in sources.values()} - {float(rate.exact)}
    if not others:
        return []
    told = ", ".join(f"{other:.5g}" for other in sorted(others))
    return [
        f"{out}: an EDL has one frame rate, here {float(rate.exact):.5g}; the times of videos of "
        f"{told} are rounded to it"
    ]


def write_otio(out: str | Path, results: Sequence[Result]) -> None:
    """Write results as an OpenTimelineIO timeline, each in the frame rate of its video.

    Rank, score and query are a clip's metadata "vmr_jax". Raises ValueError where opentimelineio is
    missing, where there are no results and as `open_video`, and OSError.
    """
    otio = import_otio()
    sources = _sources(out, results)
    timeline = otio.schema.Timeline(_line(results[0].query) or "moments")
    for kind in (otio.schema.TrackKind.Video, otio.schema.TrackKind.Audio):
        track = otio.schema.Track(kind.lower(), kind=kind)
        for rank, result in ranked(results):
            track.append(_clip(otio, rank, result, sources[result.path], kind))
        timeline.tracks.append(track)
    write_whole(out, otio.adapters.write_to_string(timeline, "otio_json"))


def _clip(otio: Any, rank: int, result: Result, source: _Source, kind: str) -> Any:
    """A result as a clip of a track; a gap in the sound of a video without."""
    rate = source.rate

    def span(first: int, last: int) -> Any:
        time, fps = otio.opentime.RationalTime, float(rate.exact)
        return otio.opentime.TimeRange(time(first, fps), time(last - first, fps))

    shown = span(*_frames(result, rate))
    if kind == otio.schema.TrackKind.Audio and not source.sound:
        return otio.schema.Gap(source_range=shown)
    known = source.duration == source.duration
    media = otio.schema.ExternalReference(
        target_url=result.path.absolute().as_uri(),
        available_range=span(0, rate.frame(source.duration)) if known else None,
    )
    told = {"rank": rank, "score": float(result.score), "query": result.query}
    return otio.schema.Clip(
        name=result.path.name,
        media_reference=media,
        source_range=shown,
        metadata={"vmr_jax": told},
    )


def import_otio() -> Any:
    """OpenTimelineIO, an extra. Raises ValueError where it is not installed."""
    try:
        import opentimelineio  # pyright: ignore[reportMissingImports]  # an extra
    except ImportError as error:
        raise ValueError(
            f"timelines are written by OpenTimelineIO ({error}); install it with: pip install "
            "'vmr_jax[otio]'"
        ) from error
    return opentimelineio


def _sources(out: str | Path, results: Sequence[Result]) -> dict[Path, _Source]:
    """The videos of the results by their paths."""
    if not results:
        raise ValueError(f"{out}: there are no results to put on a timeline")
    sources = {}
    for path in dict.fromkeys(result.path for result in results):
        with open_video(path) as (container, _, reader):
            sound = bool(container.streams.audio)
            sources[path] = _Source(rate_of(reader.rate), reader.duration, sound)
    return sources


def _frames(result: Result, rate: Rate) -> tuple[int, int]:
    """The first frame of a moment and the one behind its last."""
    first = rate.frame(result.start_s)
    return first, max(first + 1, rate.frame(result.end_s))


def _line(text: str) -> str:
    """A text without line breaks, which end a comment."""
    return " ".join(text.split())
