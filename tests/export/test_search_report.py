"""The report of a search: its figures, its order, and a page that needs nothing else."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest

from vmr_jax.export import report as report_module
from vmr_jax.export.report import write_report
from vmr_jax.export.report_queries import LabelledQuery, read_labelled_queries

JPEG = b"\xff\xd8picture\xff\xd9"
VOID = {"meta", "img", "input", "br", "rect", "polyline"}


class SmallCorpus:
    """Three videos of 100 s; the second one's file is gone. A sentence says what is found."""

    videos = [SimpleNamespace(id=name, duration=100.0) for name in ("a", "b", "<c>")]

    def search(self, sentence, top_k):
        if not sentence:
            raise ValueError("the sentence '' has no words")
        video, start = sentence.split()[:2]
        first = SimpleNamespace(video=video, start_s=float(start), end_s=float(start) + 10, score=2)
        return [first, SimpleNamespace(video="b", start_s=0.0, end_s=5.0, score=1.0)][:top_k]

    def curve(self, video, sentence):
        times = np.arange(2000) / 20
        return SimpleNamespace(times=times, fit=np.where(np.arange(2000) == 1234, 9.0, 1.0))

    def thumbnail(self, video, seconds):
        if video == "b":
            raise FileNotFoundError("no video at b.mp4")
        return JPEG


class Page(HTMLParser):
    """What a page holds; a tag that is not closed is an error."""

    def __init__(self, text):
        super().__init__()
        self.open, self.sections, self.addresses, self.rects = [], [], [], []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.addresses += [found[name] for name in ("src", "href") if name in found]
        if tag == "section":
            self.sections.append(found)
        if tag == "rect":
            self.rects.append(found)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


QUERIES = [
    LabelledQuery("1", "a 10 exact", "a", ((10.0, 20.0),)),
    LabelledQuery("2", "a 10 half", "a", ((80.0, 90.0), (12.0, 20.0))),
    LabelledQuery("3", "a 10 elsewhere", "<c>", ((10.0, 20.0),)),
    LabelledQuery("4", "a 15 off & <b>bold</b>", "a", ((10.0, 20.0),)),
]


def write(tmp_path, queries, **settings):
    figures = write_report(tmp_path / "r.html", SmallCorpus(), queries, title="t", **settings)
    return figures, Page((tmp_path / "r.html").read_text("utf-8"))


def test_figures_and_order(tmp_path):
    figures, page = write(tmp_path, QUERIES)
    assert figures.labelled == figures.queries == 4
    assert figures.percent == pytest.approx(
        {
            "R@1,IoU=0.5": 50.0,
            "R@1,IoU=0.7": 50.0,
            "mIoU": 100 * (1 + 0.8 + 0 + 1 / 3) / 4,
            "right video": 75.0,
        }
    )
    assert [(section["data-kind"], section["data-text"][0]) for section in page.sections] == [
        ("failure", "3"),
        ("failure", "4"),
        ("success", "2"),
        ("success", "1"),
    ]
    assert "R@1,IoU=0.550.0" in page.text and "3 videos" in page.text
    assert "true: <c> 00:10.0–00:20.0; IoU 0.00; another video was found" in page.text


def test_the_page_needs_nothing_else_and_runs_nothing_of_a_sentence(tmp_path):
    _, page = write(tmp_path, QUERIES)
    assert page.addresses and all(one.startswith("data:image/jpeg;") for one in page.addresses)
    text = (tmp_path / "r.html").read_text("utf-8")
    assert "http" not in text.replace("http-equiv", "")
    assert "default-src 'none'" in text
    assert "<b>" not in text and "off & <b>bold</b>" in page.text
    assert text.count("no picture") == len(QUERIES)  # of b, whose file is gone


def test_curves_show_what_was_found_and_what_is_true(tmp_path):
    _, page = write(tmp_path, [QUERIES[1], QUERIES[2]])
    spans = [(one["class"], float(one["x"]), float(one["width"])) for one in page.rects]
    tenth = 64.0  # of a width of 640 for 100 s
    assert spans == [
        ("found", tenth, tenth),  # of the failure: what was found, in a
        ("true", tenth, tenth),  # and what is true, in <c>
        ("found", tenth, tenth),
        ("true", 8 * tenth, tenth),
        ("true", pytest.approx(1.2 * tenth), pytest.approx(0.8 * tenth)),
    ]
    text = (tmp_path / "r.html").read_text("utf-8")
    curves = [curve.split() for curve in re.findall(r'points="([^"]+)"', text)]
    assert [len(curve) for curve in curves] == [300] * 3
    assert f"{1234 / 2000 * 640:.1f},4.0" in curves[0]  # the one high frame of 2000 stays


def test_queries_without_labels_and_those_that_cannot_be_asked(tmp_path):
    queries = [LabelledQuery("1", "a 10"), LabelledQuery("2", ""), LabelledQuery("3", "b 1")]
    figures, page = write(tmp_path, queries)
    assert (figures.queries, figures.labelled, figures.percent) == (3, 0, {})
    assert [section["data-text"][0] for section in page.sections] == ["1", "2", "3"]
    assert "query 2; the sentence '' has no words" in page.text and "mIoU" not in page.text
    asked = LabelledQuery("4", "", "a", ((1.0, 2.0),))
    gone = LabelledQuery("5", "a 10", "d", ((10.0, 20.0),))
    figures, page = write(tmp_path, [*queries, asked, gone])
    assert figures.labelled == figures.refused == 2 and figures.percent["mIoU"] == 0
    assert "the true video, d, is not in the index" in page.text
    with pytest.raises(ValueError, match="none of the 1 queries can be asked: the sentence '' has"):
        write(tmp_path, [queries[1]])


def test_the_page_is_of_bounded_size(tmp_path, monkeypatch):
    monkeypatch.setattr(report_module, "MOST", 2)
    figures, page = write(tmp_path, QUERIES)
    assert figures.queries == 4
    assert [section["data-text"][0] for section in page.sections] == ["3", "1"]
    assert "2 queries are shown: those of the largest and the smallest errors." in page.text
    _, page = write(tmp_path, [query._replace(windows=(), video="") for query in QUERIES])
    assert [section["data-text"][0] for section in page.sections] == ["1", "2"]


@pytest.mark.skipif(not shutil.which("node"), reason="there is no node to run the filter")
def test_the_filter(tmp_path):
    write(tmp_path, QUERIES)
    script = re.search(r"<script>(.*)</script>", (tmp_path / "r.html").read_text(), re.S)[1]
    around = """
const listen = {addEventListener(_, f) { this.tell = f; }, value: ""};
const parts = {kind: {...listen}, words: {...listen}, shown: {}};
const made = [["failure", "3 a 10"], ["success", "1 a dog"]].map(
  ([kind, text]) => ({dataset: {kind, text}, hidden: false}));
const document = {getElementById: id => parts[id], querySelectorAll: () => made,
  querySelector: () => ({...listen})};
"""
    asked = """
const seen = [];
for (const [kind, words] of [["", ""], ["success", ""], ["", "DOG a"], ["failure", "dog"]]) {
  parts.kind.value = kind; parts.words.value = words; parts.words.tell();
  seen.push(made.map(one => !one.hidden), parts.shown.textContent);
}
console.log(JSON.stringify(seen));
"""
    done = subprocess.run(
        ["node", "-e", around + script + asked], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == [
        [True, True],
        "2 of 2",
        [False, True],
        "1 of 2",
        [False, True],
        "1 of 2",
        [False, False],
        "0 of 2",
    ]


def test_queries_are_read_with_their_labels(tmp_path):
    path = tmp_path / "queries.jsonl"
    path.write_text(
        '{"qid": 7, "query": "a door", "vid": 3, "relevant_windows": [[1, 2.5]], "duration": 9}\n'
        '{"qid": "8", "query": "a dog", "relevant_windows": []}\n'
    )
    assert read_labelled_queries(path) == [
        LabelledQuery("7", "a door", "3", ((1.0, 2.5),)),
        LabelledQuery("8", "a dog"),
    ]
    for line, message in (
        ('{"query": "a"}', r'queries\.jsonl:1: no "qid"'),
        ('{"qid": 1, "query": "a", "relevant_windows": [[1, 2]]}', 'no "vid"'),
        ('{"qid": 1, "query": "a", "vid": "v", "relevant_windows": [[1]]}', r"\[start, end\]"),
        ("", "holds no queries"),
    ):
        path.write_text(line)
        with pytest.raises(ValueError, match=message):
            read_labelled_queries(path)
