"""Everything that a command's options ask to be made of its results."""

from collections.abc import Callable, Iterator, Sequence

from vmr_jax.export.clips import Clip
from vmr_jax.export.contact_sheet import write_contact_sheet
from vmr_jax.export.cut import cut_results
from vmr_jax.export.options import Exports
from vmr_jax.export.player import play
from vmr_jax.export.results import Result, clock
from vmr_jax.export.subtitles import write_srt
from vmr_jax.export.tables import write_csv, write_jsonl
from vmr_jax.export.timelines import write_edl, write_otio

_AT_ONCE = 0.05  # seconds: a clip that begins so little earlier begins with its moment


def export_results(results: Sequence[Result], exports: Exports, say: Callable[[str], None]) -> bool:
    """Make of results what the options name, and say what was made, a line each.

    Returns whether all clips could be cut; of one that could not the reason is said. Raises
    ValueError where there are fewer results than the one to play, and as the functions that write.
    """
    if exports.play and exports.play > len(results):
        raise ValueError(f"--open {exports.play}: the results are {len(results)}")
    if not results:
        if exports.any():
            say("nothing was found, so that nothing is written")
        return True
    for line in _written(results, exports):
        say(line)
    clips = []
    if exports.cut:
        clips = cut_results(results, exports.cut, reencode=exports.reencode)
        for line in dict.fromkeys(map(_told, results, clips)):  # a lost video is said once
            say(line)
    if exports.play:
        clip = clips[exports.play - 1] if clips else None
        say(_played(results[exports.play - 1], clip))
    return not any(isinstance(clip, Exception) for clip in clips)


def _written(results: Sequence[Result], exports: Exports) -> Iterator[str]:
    """Write the files about results, and yield what was written."""
    count = f"{len(results)} results"
    if exports.csv:
        write_csv(exports.csv, results)
        yield f"{exports.csv}: {count}"
    if exports.jsonl:
        write_jsonl(exports.jsonl, results)
        yield f"{exports.jsonl}: {count}"
    if exports.srt:
        of_video = write_srt(exports.srt, results)
        yield f"{exports.srt}: {len(of_video)} of {count}, those in {results[0].path.name}"
    if exports.edl:
        yield from write_edl(exports.edl, results)
        yield f"{exports.edl}: {count}"
    if exports.otio:
        write_otio(exports.otio, results)
        yield f"{exports.otio}: {count}"
    if exports.contact_sheet:
        yield from write_contact_sheet(exports.contact_sheet, results)
        yield f"{exports.contact_sheet}: {count}"


def _told(result: Result, clip: Clip | Exception) -> str:
    """What became of a result that was to be cut."""
    if isinstance(clip, FileNotFoundError):
        return f"not cut: {clip}; if it was moved or deleted, run `vmr index` again"
    if isinstance(clip, Exception):
        return f"not cut: {clip}"
    early = result.start_s - clip.start_s
    notes = [f"{clip.end_s - clip.start_s:.2f} s"]
    if early > _AT_ONCE:
        notes.append(f"the moment begins {early:.2f} s after the key frame")
    if clip.left_out:
        notes.append(f"without {', '.join(clip.left_out)}")
    return f"{clip.path}: {'; '.join(notes)}"


def _played(result: Result, clip: Clip | Exception | None) -> str:
    """Play a result, or its clip where there is one, and tell what is played or where it is."""
    path, start = (clip.path, 0.0) if isinstance(clip, Clip) else (result.path, result.start_s)
    place = f"{path} at {clock(start)}"
    return f"opened {place}" if play(path, start) else f"no player is here; see {place}"
