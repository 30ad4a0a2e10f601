"""The REST API of an index: what it answers, and what it sends away."""

import io
import json
import os
import shutil
import threading
import time
from urllib.parse import quote

import av
import pytest

pytest.importorskip("fastapi", reason="needs the extra app")

from fastapi.testclient import TestClient

from tests.serve.served import ADDRESS, films, index  # noqa: F401
from tests.video_index.small import DOOR, film, known, sentences
from vmr_jax.encoders.images import RANDOM
from vmr_jax.serve.app import make_app
from vmr_jax.serve.opened import ServedIndex
from vmr_jax.video_index.corpus import Corpus
from vmr_jax.video_index.layout import MANIFEST
from vmr_jax.zero_shot.joint_space import Sentences


@pytest.fixture(scope="module")
def served(index):  # noqa: F811
    with pytest.MonkeyPatch.context() as patch:
        known(patch)
        yield ServedIndex(index)


@pytest.fixture(scope="module")
def client(served):
    app = make_app(served, ("127.0.0.1",))
    with TestClient(app, ADDRESS, raise_server_exceptions=False) as made:
        yield made


@pytest.fixture
def own(films, tmp_path, monkeypatch):  # noqa: F811
    """An index of one's own, and a client of it: (folder of films, index, client)."""
    from tests.command_line import vmr

    known(monkeypatch)
    folder, out = tmp_path / "films", tmp_path / "my.index"
    shutil.copytree(films, folder)
    assert vmr("index", folder, "--out", out, "--jobs", 0).exit_code == 0
    with TestClient(make_app(ServedIndex(out)), raise_server_exceptions=False) as made:
        yield folder, out, made


def error_of(answer, status):
    """The message of an answer with this status."""
    assert answer.status_code == status, answer.text
    assert list(answer.json()) == ["error"]
    return answer.json()["error"]


def test_a_search_is_that_of_the_corpus(client, index):  # noqa: F811
    wanted = Corpus(index, Sentences(sentences, RANDOM)).search(DOOR, 4)
    answer = client.get("/search", params={"q": DOOR, "top": 4}).json()
    assert answer["query"] == DOOR and [one["rank"] for one in answer["moments"]] == [1, 2, 3, 4]
    for one, other in zip(answer["moments"], wanted, strict=True):
        assert one["video"] == other.video and one["score"] == pytest.approx(other.score)
        assert (one["start"], one["end"]) == pytest.approx((other.start_s, other.end_s), abs=1e-3)
    alone = client.post("/find", json={"query": DOOR, "video": "film2", "top": 3}).json()
    assert {one["video"] for one in alone["moments"]} == {"film2"}
    assert client.get("/search", params={"q": DOOR, "top": 4}).json() == answer


def test_videos_curve_and_health(client):
    listed = client.get("/videos").json()
    assert listed["count"] == 3 and listed["seconds"] == pytest.approx(58, abs=0.5)
    assert [video["id"] for video in listed["videos"]] == ["film0", "film1", "film2"]
    part = client.get("/videos", params={"first": 1, "top": 1}).json()
    assert part["count"] == 3 and [video["id"] for video in part["videos"]] == ["film1"]
    curve = client.get("/curve", params={"video": "film1", "q": DOOR}).json()
    assert len(curve["times"]) == len(curve["fit"]) == 8 and curve["duration"] == 16
    health = client.get("/health").json()
    assert (health["status"], health["videos"], health["frames"]) == ("ok", 3, 29)
    assert health["indexing"] is None


def test_ranges_of_a_video(client, films):  # noqa: F811
    content = (films / "film2.mp4").read_bytes()
    whole = client.get("/video/film2")
    assert whole.content == content and whole.headers["content-type"] == "video/mp4"
    assert whole.headers["accept-ranges"] == "bytes"
    part = client.get("/video/film2", headers={"Range": "bytes=100-299"})
    assert part.status_code == 206 and part.content == content[100:300]
    assert part.headers["content-range"] == f"bytes 100-299/{len(content)}"
    last = client.get("/video/film2", headers={"Range": "bytes=-50"})
    assert last.status_code == 206 and last.content == content[-50:]
    head = client.head("/video/film2")
    assert head.headers["content-length"] == str(len(content)) and not head.content
    beyond = client.get("/video/film2", headers={"Range": f"bytes={len(content)}-"})
    assert beyond.status_code == 416


def test_a_file_of_many_megabytes_is_read_where_it_is_asked(own):
    folder, _, client = own
    size = 300 * 2**20
    with (folder / "film0.mp4").open("r+b") as file:
        file.truncate(size)
        file.seek(size - 4)
        file.write(b"last")
    part = client.get("/video/film0", headers={"Range": f"bytes={size - 4}-"})
    assert part.status_code == 206 and part.content == b"last"


def test_a_clip_is_exact(client):
    answer = client.get("/clip", params={"video": "film2", "start": 4.4, "end": 9.2})
    assert answer.status_code == 200 and answer.headers["content-type"] == "video/mp4"
    assert "film2-4.40-9.20.mp4" in answer.headers["content-disposition"]
    assert len(answer.content) == int(answer.headers["content-length"])
    with av.open(io.BytesIO(answer.content)) as file:
        assert file.duration / 1e6 == pytest.approx(4.8, abs=0.05)


def test_a_picture(client):
    answer = client.get("/thumbnail", params={"video": "film1", "seconds": 3})
    assert answer.content[:3] == b"\xff\xd8\xff" and answer.headers["content-type"] == "image/jpeg"
    behind = client.get("/thumbnail", params={"video": "film1", "seconds": 1e9})
    assert "film1" in error_of(behind, 400)


@pytest.mark.parametrize(
    "name",
    [
        "other",
        "film0.mp4",
        "../film0",
        "..%2ffilm0",
        "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "..%252f..%252fetc%252fpasswd",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "..%5c..%5cfilm0",
        "film0%00",
        "file%3a%2f%2f%2fetc%2fpasswd",
        "FILMS/film0.mp4",
        "INDEX/index.json",
    ],
)
def test_what_is_not_in_the_index_is_not_given(client, films, index, name):  # noqa: F811
    name = name.replace("FILMS", quote(str(films), "")).replace("INDEX", quote(str(index), ""))
    answer = client.get(f"/video/{name}")
    assert answer.status_code == 404 and "root:" not in answer.text
    assert list(answer.json()) == ["error"]
    for route in ("thumbnail?seconds=1", "clip?start=0&end=1", "curve?q=a+door"):
        assert "no video" in error_of(client.get(f"/{route}&video={name}"), 404)


@pytest.mark.parametrize("name", ["../app.py", "..%2fapp.py", "%2fetc%2fpasswd", "..%5capp.py"])
def test_the_page_has_its_own_files_alone(client, name):
    error_of(client.get(f"/page/{name}"), 404)


def test_a_link_in_the_place_of_a_video_is_not_followed(own, tmp_path):
    folder, _, client = own
    secret = tmp_path / "secret.mp4"
    shutil.move(folder / "film1.mp4", secret)
    (folder / "film1.mp4").symlink_to(secret)
    for path in (
        "video/film1",
        "thumbnail?video=film1&seconds=1",
        "clip?video=film1&start=0&end=1",
    ):
        message = error_of(client.get(f"/{path}"), 404)
        assert message == (
            "the file of the video 'film1' is no longer where it was indexed: run `vmr index` again"
        )
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    error_of(client.get("/video/film0"), 404)
    assert client.get("/search", params={"q": DOOR}).json()["moments"]


def test_a_file_that_is_no_video_any_more(own):
    folder, _, client = own
    (folder / "film0.mp4").write_text("text")
    message = error_of(client.get("/clip", params={"video": "film0", "start": 0, "end": 1}), 400)
    assert "film0" in message and str(folder) not in message
    os.unlink(folder / "film1.mp4")
    os.mkfifo(folder / "film1.mp4")
    error_of(client.get("/video/film1"), 404)


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("search?q=", 400, "has no words"),
        ("search?q=%F0%9F%9A%AA", 400, "has no words"),
        ("search?q=" + "a+" * 400, 400, "has 400 words"),
        ("search?q=" + "a" * 2001, 422, "q: String should have at most 2000 characters"),
        ("search", 422, "q: Field required"),
        ("search?q=door&top=0", 422, "top: Input should be greater than or equal to 1"),
        ("search?q=door&top=101", 422, "top: Input should be less than or equal to 100"),
        ("search?q=door&top=x", 422, "top: Input should be a valid integer"),
        ("clip?video=film0&start=3&end=2", 400, "film0: a moment from 3 to 2 s"),
        ("clip?video=film0&start=50&end=60", 400, "the video ends at 12.00 s"),
        ("clip?video=film0&start=0&end=301", 400, "a clip of 301 s; the server cuts 300 s at most"),
        ("clip?video=film0&start=nan&end=1", 422, "start: Input should be a finite number"),
        ("thumbnail?video=film0&seconds=-1", 422, "seconds: Input should be greater"),
        ("nothing", 404, "Not Found"),
        ("find", 405, "Method Not Allowed"),
    ],
)
def test_what_is_refused(client, path, status, message):
    assert message in error_of(client.get(f"/{path}"), status)


def test_bodies_that_are_refused(client):
    assert "2000 characters" in error_of(
        client.post("/find", json={"query": "a" * 3000, "video": "film0"}), 422
    )
    assert "no video" in error_of(client.post("/find", json={"query": DOOR, "video": "x"}), 404)
    large = json.dumps({"query": "a" * 100_000, "video": "film0"})
    assert "at most 65536 are read" in error_of(client.post("/find", content=large), 413)
    parts = iter([b"{}", b" " * 10])
    assert "Content-Length" in error_of(client.post("/find", content=parts), 411)
    error_of(client.post("/find", content=b"{not json"), 422)


def test_another_hosts_name_is_sent_away(client):
    assert "another host's name" in error_of(
        client.get("/videos", headers={"Host": "evil.example:8000"}), 403
    )
    answer = client.get("/videos")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"


def test_one_search_too_many_is_told_to_come_again(served, monkeypatch):
    begun, go_on = threading.Event(), threading.Event()
    opened = served.now()

    def slow(*_):
        begun.set()
        assert go_on.wait(30)
        return [[]]

    monkeypatch.setattr(opened.corpus, "search_all", slow)
    with TestClient(make_app(served, waiting=0)) as client:
        first = threading.Thread(target=client.get, args=("/search?q=door",))
        first.start()
        assert begun.wait(30)
        answer = client.get("/search?q=door")
        go_on.set()
        first.join(30)
    assert error_of(answer, 503) == "too many requests wait; try again in a second"
    assert answer.headers["retry-after"] == "1"


def test_a_mistake_shows_no_trace(served, monkeypatch):
    def wrong(*_):
        raise RuntimeError("secret")

    monkeypatch.setattr(served.now().corpus, "search_all", wrong)
    with TestClient(make_app(served), raise_server_exceptions=False) as client:
        message = error_of(client.get("/search?q=door"), 500)
    assert message == "a mistake in the server; its terminal tells more"


def test_a_changed_index_is_noticed(own):
    from tests.command_line import vmr

    folder, out, client = own
    assert client.get("/videos").json()["count"] == 3
    film(folder / "film3.mp4", 12)
    vmr("index", folder, "--out", out, "--jobs", 0)
    assert client.get("/videos").json()["count"] == 4
    assert client.get("/video/film3").status_code == 200
    (out / MANIFEST).unlink()
    assert "no index" in error_of(client.get("/videos"), 503)


def test_the_page_and_the_description_need_nothing_from_elsewhere(client):
    for path in ("/", "/docs", "/page/page.js", "/page/page.css"):
        answer = client.get(path)
        assert answer.status_code == 200 and "default-src 'self'" in str(answer.headers)
        assert "//" not in answer.text.replace("http://www.w3.org/2000/svg", "").replace("// ", "")
    paths = client.get("/openapi.json").json()["paths"]
    assert {"/search", "/find", "/videos", "/clip", "/curve", "/thumbnail", "/health"} < set(paths)


def test_searches_that_come_at_once_are_answered_together(served, monkeypatch):
    corpus, calls = served.now().corpus, []
    wanted = {n: corpus.search(f"a door {n}", n) for n in range(1, 9)}
    begun, go_on, answers = threading.Event(), threading.Event(), {}
    search_all = corpus.search_all

    def noted(sentences, *rest):
        calls.append(list(sentences))
        begun.set()
        assert go_on.wait(30)
        return search_all(sentences, *rest)

    def get(name, **asked):
        answers[name] = client.get("/search", params=asked)

    monkeypatch.setattr(corpus, "search_all", noted)
    with TestClient(make_app(served)) as client:
        asked = {0: {"q": "a box"}, 100: {"q": "?!"}, 101: {"q": "a box", "modality": "speech"}}
        asked |= {n: {"q": f"a door {n}", "top": n} for n in wanted}
        threads = [threading.Thread(target=get, args=(n,), kwargs=asked[n]) for n in asked]
        threads[0].start()
        assert begun.wait(30)
        for thread in threads[1:]:
            thread.start()
        time.sleep(0.5)
        go_on.set()
        for thread in threads:
            thread.join(30)
    assert calls[0] == ["a box"] and sorted(map(len, calls)) == [1, 1, 8]
    for n, moments in wanted.items():
        found = [(one["video"], one["start"]) for one in answers[n].json()["moments"]]
        assert found == [(one.video, round(one.start_s, 3)) for one in moments]
    assert "has no words" in error_of(answers[100], 400)
    assert "knows nothing that is said" in error_of(answers[101], 400)
    assert answers[0].status_code == 200


def test_what_is_said_can_be_searched_alone(own):
    from tests.command_line import vmr

    folder, out, client = own
    assert client.get("/health").json()["speech"] is False
    (folder / "film1.srt").write_text("1\n00:00:03,000 --> 00:00:04,000\nopen the red door\n")
    vmr("index", folder, "--out", out, "--jobs", 0)
    client = TestClient(make_app(ServedIndex(out)))
    assert client.get("/health").json()["speech"] is True
    asked = {"q": "the red door", "modality": "speech"}
    (moment,) = client.get("/search", params=asked).json()["moments"]
    assert (moment["start"], moment["end"], moment["found_by"]) == (3.0, 4.0, "speech")
    found = client.post(
        "/find", json={"query": "the red door", "video": "film1", "modality": "speech"}
    )
    assert found.json()["moments"] == [moment]
    assert client.get("/search", params=asked | {"modality": "smell"}).status_code == 422
