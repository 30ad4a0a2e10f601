"""Generated annotation files: the records, and how each dataset's files hold them."""

import csv
import io
import json
from itertools import groupby

import numpy as np
from hypothesis import strategies as st

from vmr_jax.data.datasets.records import MomentRecord

# Well-formed text: any character but surrogates, with what readers strip already taken off.
SENTENCES = st.text(min_size=1, max_size=30).map(str.strip).filter(bool)
NAMES = st.text(min_size=1, max_size=8).filter(lambda name: name.split() == [name])
SECONDS = st.floats(2**-10, 2**20)
# Any value that JSON can hold, of the kinds that go wrong: the huge, the deep, the not finite.
NUMBERS = st.sampled_from([10**400, -(10**309), 0, -1, 1e308, float("nan"), float("inf")])
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)


@st.composite
def videos(draw, names=NAMES, most: int = 4) -> dict[str, float]:
    """Durations in seconds of some videos."""
    return draw(st.dictionaries(names, SECONDS, min_size=1, max_size=most))


@st.composite
def moments(draw, duration: float, least: int = 1, most: int = 1) -> np.ndarray:
    """Moments (A, 2) inside a video, in seconds."""
    edges = st.lists(st.floats(0, duration), min_size=2, max_size=2, unique=True).map(sorted)
    found = draw(st.lists(edges, min_size=least, max_size=most))
    return np.array(found, np.float64).reshape(-1, 2)


@st.composite
def grouped_records(draw, durations: dict[str, float]) -> list[MomentRecord]:
    """Queries video by video, each with one moment and the id `<video>#<place>`."""
    return [
        MomentRecord(f"{video}#{place}", video, draw(SENTENCES), draw(moments(duration)))
        for video, duration in durations.items()
        for place in range(draw(st.integers(1, 3)))
    ]


@st.composite
def numbered_records(draw, durations: dict[str, float], ids: st.SearchStrategy, most: int):
    """Queries in any order under ids of their own, each with at most so many moments."""
    query_ids = draw(st.lists(ids, min_size=1, max_size=5, unique_by=str))
    chosen = [draw(st.sampled_from(sorted(durations))) for _ in query_ids]
    return [
        MomentRecord(str(i), video, draw(SENTENCES), draw(moments(durations[video], 1, most)))
        for i, video in zip(query_ids, chosen, strict=True)
    ]


def charades_files(records: list[MomentRecord], durations: dict[str, float]) -> dict[str, str]:
    """One line a query, and the table of all videos."""
    table = io.StringIO(newline="")
    rows = csv.writer(table)
    rows.writerows([("id", "script", "length"), *((v, "x, y", s) for v, s in durations.items())])
    lines = (f"{r.video_id} {r.moments[0, 0]} {r.moments[0, 1]}##{r.sentence}\n" for r in records)
    return {"charades_sta_train.txt": "".join(lines), "Charades_v1_train.csv": table.getvalue()}


def activitynet_entries(records: list[MomentRecord], durations: dict[str, float]) -> dict:
    """One object a video, with its queries as two lists."""
    entries = {}
    for video, group in groupby(records, lambda record: record.video_id):
        queries = list(group)
        entries[video] = {
            "duration": durations[video],
            "timestamps": [query.moments[0].tolist() for query in queries],
            "sentences": [f" {query.sentence}\n" for query in queries],
        }
    return entries


def tvr_lines(records: list[MomentRecord]) -> list[dict]:
    """One object a query."""
    return [
        {
            "desc_id": record.query_id,
            "vid_name": record.video_id,
            "ts": record.moments[0].tolist(),
            "desc": record.sentence,
        }
        | ({"type": record.modality} if record.modality else {})
        for record in records
    ]


def jsonl_lines(records: list[MomentRecord], durations: dict[str, float]) -> list[dict]:
    """One object a query, in the format of one's own data."""
    return [
        {
            "qid": record.query_id,
            "vid": record.video_id,
            "query": record.sentence,
            "duration": durations[record.video_id],
            "relevant_windows": record.moments.tolist(),
        }
        for record in records
    ]


def didemo_entries(records: list[MomentRecord], durations: dict[str, float]) -> list[dict]:
    """One object a query, with moments as inclusive chunks of five seconds."""
    return [
        {
            "annotation_id": record.query_id,
            "video": f"{record.video_id}.mov",
            "description": record.sentence,
            "num_segments": round(durations[record.video_id] / 5),
            "times": [[int(start) // 5, int(end) // 5 - 1] for start, end in record.moments],
        }
        for record in records
    ]


def json_lines(objects: list, ascii_only: bool = True) -> str:
    """Objects as the lines of a file."""
    return "".join(json.dumps(value, ensure_ascii=ascii_only) + "\n" for value in objects)
