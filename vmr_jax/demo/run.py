"""What `vmr demo` does: render videos, index them, search them, and score what was found."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from vmr_jax.demo.render import render
from vmr_jax.demo.score import Asked, ask, score, single_video
from vmr_jax.demo.world import Scene, plan_scene
from vmr_jax.evaluation.report import metrics_table
from vmr_jax.metrics.moments import temporal_iou
from vmr_jax.video.sources import find_videos
from vmr_jax.video_index.build import build_index
from vmr_jax.video_index.corpus import Corpus
from vmr_jax.zero_shot.joint_space import open_joint_space, usual_clip_seconds

VIDEOS = 40
ENCODER = "demo"
_SHOWN = 8  # sentences
_SAID = (
    "The encoder has seen other rendered videos only. linear_match is a ridge on its rows; "
    "location_prior and random see neither video nor sentence."
)


def run(out: Path, console: Console) -> dict[str, dict[str, float]]:
    """Render test worlds into a folder, index and search them, and print what was found.

    Returns the figures of `score`. Raises ValueError without PyAV, and FullDiskError.
    """
    scenes = [plan_scene("test", number) for number in range(VIDEOS)]
    folder, index = out / "videos", out / "index"
    render(scenes, folder)
    space, seconds = open_joint_space(ENCODER), usual_clip_seconds(ENCODER)
    found = find_videos([folder])
    build_index(index, found, space, clip_seconds=seconds, prune=True, strict=True, jobs=0)
    asked = ask(Corpus(index), scenes)
    report = score(asked, index, space)
    console.print(_examples(asked, scenes))
    console.print(metrics_table(report))
    console.print(
        f"SVMR: {len(asked)} sentences of {len(scenes)} rendered videos, each in its own; VCMR: "
        f"the {len(single_video(asked))} of them that are true of one video only, in all; VR: the "
        f"right video. {_SAID}"
    )
    for line in _next_commands(asked, scenes, folder, index):
        console.print(line)
    return report


def _examples(asked: Sequence[Asked], scenes: Sequence[Scene]) -> Table:
    """One sentence of each of _SHOWN videos, evenly spread, with the best moment of all videos.

    A sentence is a video's first one that is true of it only; beside them how many of all are
    right.
    """
    single = [asked[place] for place in single_video(asked)]
    first = {one.video: one for one in reversed(single)}
    videos = sorted(first)
    shown = [first[videos[n * len(videos) // _SHOWN]] for n in range(min(_SHOWN, len(videos)))]
    table = Table(title=Text("searched in all videos"), title_justify="left")
    for name in ("sentence", "found in", "found", "true in", "true", "IoU"):
        table.add_column(name, no_wrap=name != "sentence")
    for one in shown:
        best, name = one.everywhere[0], scenes[one.video].name
        span, true = (best.start_s, best.end_s), (one.event.start, one.event.end)
        iou = f"{_iou(one, scenes):.2f}"
        table.add_row(one.event.sentence, best.video, _span(span), name, _span(true), iou)
    right = [sum(_iou(one, scenes) >= 0.5 for one in part) for part in (shown, single)]
    table.caption = (
        f"IoU 0.5 and more: {right[0]} of these {len(shown)}, a sentence each of videos that are "
        f"evenly spread; {right[1]} of all {len(single)}"
    )
    return table


def _iou(one: Asked, scenes: Sequence[Scene]) -> float:
    """Of the best moment of all videos with the true one; 0 in another video."""
    best, event = one.everywhere[0], one.event
    if best.video != scenes[one.video].name:
        return 0.0
    return float(temporal_iou((best.start_s, best.end_s), (event.start, event.end)))


def _span(seconds: tuple[float, float]) -> str:
    return "{:.1f} – {:.1f} s".format(*seconds)


def _next_commands(
    asked: Sequence[Asked], scenes: Sequence[Scene], folder: Path, index: Path
) -> list[str]:
    one = asked[0]
    video = folder / f"{scenes[one.video].name}.mp4"
    return [
        "next:",
        f'  vmr search {index} "{one.event.sentence}"',
        f'  vmr find {video} "{one.event.sentence}" --encoder {ENCODER}',
        f"  vmr serve {index}",
        "  vmr index YOUR_VIDEOS --out my.index    # with an encoder of real pictures",
    ]
