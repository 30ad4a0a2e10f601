"""A trained run beside an index of video files: it places the moments that a search lists.

Which videos are listed, and how high, is told by the frames in the joint space alone; the scores of
a run, which are comparable within a video only, put the moments of one video in their order.
"""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import h5py

from vmr_jax.data.sources.hdf5 import naming, open_hdf5
from vmr_jax.evaluation.predictor import load
from vmr_jax.evaluation.windows import predict_in_windows
from vmr_jax.input_files import read_json
from vmr_jax.output_files import write_whole
from vmr_jax.types import Moment
from vmr_jax.video_index.apart import apart
from vmr_jax.video_index.found import Found
from vmr_jax.video_index.layout import FRAMES, RUN, IndexedVideo, Opened
from vmr_jax.zero_shot.asked import NO_RUN
from vmr_jax.zero_shot.trained import FramesMadeBy, check_run

_KEYS = ("workdir", "fingerprint")


class TrainedMoments:
    """A run that was trained on the features of an index's frames."""

    def __init__(self, index: Path, frames: FramesMadeBy, workdir: str):
        """Open a run for an index of such frames. Raises as `load` and `check_run`."""
        self._frames, self._predictor = index / FRAMES, load(workdir)
        todo = f"give another --checkpoint, or index again so, into another --out than {index}"
        check_run(workdir, self._predictor, frames, todo)
        self.workdir = workdir if "://" in workdir else str(Path(workdir).absolute())
        self.fingerprint = self._predictor.fingerprint

    def check(self, sentence: str) -> None:
        """Raise ValueError for a sentence that the run cannot read."""
        for reason in self._predictor.refused([sentence]).values():
            raise ValueError(reason)

    def find(self, video: IndexedVideo, sentence: str) -> list[Moment]:
        """The moments of a sentence in a video, best first, which share little."""
        with open_hdf5(self._frames, "features") as file, naming(str(self._frames)):
            rows = file[video.id]
            assert isinstance(rows, h5py.Dataset)
            features = rows[:]
        (found,) = predict_in_windows(
            self._predictor, features, [sentence], duration=video.duration
        )
        return apart(found)

    def place(
        self,
        ranked: Sequence[Found],
        seen: Sequence[Found],
        videos: dict[str, IndexedVideo],
        sentence: str,
        top_k: int,
    ) -> list[Found]:
        """The first `top_k` of a ranking, with the run's borders for what is seen.

        The n-th of the moments that are `seen` in a video becomes the run's n-th there. Where it
        has fewer, that one is left out; where it has none, the first one stays as it is.
        """
        number, counts = {}, Counter()
        for one in seen:
            number[one[:4]] = counts[one.video]
            counts[one.video] += 1
        of_run: dict[str, list[Moment]] = {}
        placed: list[Found] = []
        for one in ranked:
            if len(placed) == top_k:
                break
            if one[:4] not in number:
                placed.append(one)
                continue
            if one.video not in of_run:
                of_run[one.video] = self.find(videos[one.video], sentence)
            moments, at = of_run[one.video], number[one[:4]]
            if at < len(moments):
                start, end, _ = moments[at]
                by = one.found_by.replace("video", "trained")
                placed.append(one._replace(start_s=start, end_s=end, found_by=by))
            elif not at:
                placed.append(one)
        return placed


def open_run(index: Path, opened: Opened, checkpoint: str) -> TrainedMoments | None:
    """The run in `checkpoint`, else the one that the index names; None: "none".

    Raises as TrainedMoments, and ValueError where the index's run is no longer what it was.
    """
    if checkpoint == NO_RUN:
        return None
    settings = opened.encoder, opened.weights_sha256, opened.clip_seconds
    frames = FramesMadeBy(*settings, opened.rows.shape[1])
    if checkpoint:
        return TrainedMoments(index, frames, checkpoint)
    known = read_json(index / RUN, f"`vmr index --checkpoint` again, or {NO_RUN}", *_KEYS)
    hint = f"say with --checkpoint where it is now, or --checkpoint {NO_RUN}"
    try:
        run = TrainedMoments(index, frames, known["workdir"])
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"the run that {index} names cannot be opened ({error}): {hint}"
        ) from error
    if run.fingerprint != known["fingerprint"]:
        raise ValueError(
            f"the run in {known['workdir']} has changed since `vmr index --checkpoint`: the same "
            "command takes it as it is now"
        )
    return run


def name_run(index: Path, run: TrainedMoments | None) -> None:
    """Let searches of an index ask a run from now on, or none any more."""
    if run is None:
        (index / RUN).unlink(missing_ok=True)
    else:
        told = dict(zip(_KEYS, (run.workdir, run.fingerprint), strict=True))
        write_whole(index / RUN, json.dumps(told) + "\n")
