"""Ids of annotations and of features that differ in form."""

from vmr_jax.data.sources.names import describe_missing, match_names

NFC, NFD = "caf\u00e9", "cafe\u0301"


def test_equal_names_come_first():
    names = ["a", "a.mp4", "x/a"]
    assert match_names(names, ["a"]) == {"a": "a"}
    assert match_names(names, ["a", "a.mp4", "b"]) == {"a": "a", "a.mp4": "a.mp4"}


def test_names_match_in_another_form_that_nothing_else_has():
    names = ["b.", "c.MP4", "d.x", "e.mp4", NFD, "videos/g", "h"]
    videos = ["b", "c", "d", "e.avi", NFC, "g.mkv", "set/videos/h"]
    wanted = {"b": "b.", "c": "c.MP4", "e.avi": "e.mp4", NFC: NFD}
    assert match_names(names, videos) == wanted | {"g.mkv": "videos/g", "set/videos/h": "h"}


def test_ambiguous_names_do_not_match():
    assert match_names(["a.mov", "a.mp4"], ["a"]) == {}
    assert match_names(["train/a", "test/a"], ["a", "train/a"]) == {"train/a": "train/a"}
    assert match_names(["a"], ["a.mp4", "a.avi"]) == {}
    assert match_names(["a"], ["a", "a.mp4"]) == {"a": "a"}
    assert match_names(["x/a"], ["y/a"]) == {}


def test_what_is_missing_is_shown_with_what_looks_like_it():
    assert describe_missing(["a.mov", "a.mp4", "b"], ["a", "c", NFC]) == {
        "a": "'a' (alike: 'a.mov' and 'a.mp4')",
        "c": "c",
        NFC: "'caf\\xe9'",
    }
    assert describe_missing([NFD, f"{NFD}.avi"], [NFC])[NFC] == (
        "'caf\\xe9' (alike: 'cafe\\u0301' and 'cafe\\u0301.avi')"
    )
