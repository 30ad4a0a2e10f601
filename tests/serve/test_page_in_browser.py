"""The page in a real browser: typed, clicked, played, cut, by keys, narrow, dark.

VMR_SCREENSHOTS names a folder that keeps a picture of each step.
"""

import os
import shutil
from contextlib import contextmanager
from pathlib import Path

import av
import pytest

pytest.importorskip("fastapi", reason="needs the extra app")
pytest.importorskip("playwright.sync_api", reason="needs Playwright")

from playwright.sync_api import sync_playwright

from tests.serve.served import films, index  # noqa: F401
from tests.serve.test_server import serving
from tests.video_index.small import DOOR
from vmr_jax.video_index.running import telling

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM, reason="needs Chromium"),
]
# The first place where each jump of the player ended.
_NOTE_JUMPS = """
window.jumps = [];
document.addEventListener("seeked", (event) => window.jumps.push(event.target.currentTime), true);
"""


@contextmanager
def browser():
    with sync_playwright() as driver:
        made = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            yield made
        finally:
            made.close()


def until(page, expression):
    """Wait until an expression holds; Playwright's own wait is an eval, which the page forbids."""
    for _ in range(400):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(50)
    raise AssertionError(expression)


def picture(page, name):
    if folder := os.environ.get("VMR_SCREENSHOTS"):
        page.screenshot(path=str(Path(folder) / f"{name}.png"))


def test_the_page(index, tmp_path):  # noqa: F811
    with serving(index) as (_, address), browser() as chromium:
        context = chromium.new_context(viewport={"width": 1200, "height": 800})
        page = context.new_page()
        page.add_init_script(_NOTE_JUMPS)
        wrong = []
        page.on("pageerror", lambda error: wrong.append(error))
        page.on("request", lambda request: wrong.append(request.url))
        page.goto(address)
        page.wait_for_selector("#state.empty")
        assert page.inner_text("#state").startswith("3 videos, 0:58.")
        picture(page, "1-before-a-search")
        _search_and_play(page)
        _cut(page, tmp_path)
        _restore(context, page.url)
        _keys(page)
        page.fill("#query", "🚪")
        page.press("#query", "Enter")
        page.wait_for_selector("#error:not([hidden])")
        assert "has no words" in page.inner_text("#error")
        picture(page, "5-error")
        assert [one for one in wrong if not str(one).startswith((address, f"blob:{address}"))] == []
        _narrow_and_dark(chromium, page.url, address)
        page.goto(f"{address}docs")
        page.wait_for_selector("#routes section")
        assert "GET /search" in page.inner_text("#routes")
        picture(page, "8-api")


def test_the_page_tells_how_far_an_index_is(index):  # noqa: F811
    with serving(index) as (_, address), browser() as chromium:
        page = chromium.new_page()
        with telling(index) as tell:
            tell(2, 5)
            page.goto(address)
            page.wait_for_selector("#progress:not([hidden])")
            assert page.inner_text("#progress").startswith("Indexing: 2 of 5 new or changed videos")
            picture(page, "9-indexing")
            tell(3, 5)
            until(page, "document.getElementById('progress').textContent.includes('3 of 5')")
        until(page, "document.getElementById('progress').hidden")


def moment_of(page):
    """(start, end) in the address of the page."""
    said = page.evaluate("Object.fromEntries(new URLSearchParams(location.hash.slice(1)))")
    return float(said["start"]), float(said["end"])


def _search_and_play(page):
    page.fill("#query", DOOR)
    page.press("#query", "Enter")
    page.wait_for_selector(".card")
    until(page, "[...document.images].every((image) => image.naturalWidth > 0)")
    picture(page, "2-results")
    page.click("li:nth-child(2) .card")
    until(page, "window.jumps.length > 0")
    start, end = moment_of(page)
    assert abs(page.evaluate("window.jumps[0]") - start) < 0.3
    page.wait_for_selector("#curve .now", state="attached")
    picture(page, "3-player")
    page.evaluate(f"document.getElementById('video').currentTime = {end - 0.4}")
    until(
        page, f"window.jumps.length > 2 && Math.abs(window.jumps.at(-1) - {start}) < 0.3"
    )  # it came back at the end
    box = page.locator("#curve").bounding_box()
    page.evaluate("document.getElementById('video').pause()")
    duration = page.evaluate("document.getElementById('video').duration")
    page.mouse.click(box["x"] + box["width"] * 0.75, box["y"] + 10)
    until(page, f"Math.abs(window.jumps.at(-1) - {0.75 * duration}) < 0.3")


def _cut(page, tmp_path):
    start, end = moment_of(page)
    with page.expect_download() as download:
        page.click("#cut")
    download.value.save_as(tmp_path / "clip.mp4")
    with av.open(tmp_path / "clip.mp4") as file:
        assert file.duration / 1e6 == pytest.approx(end - start, abs=0.25)
    until(page, "document.getElementById('done').textContent.startsWith('Cut:')")


def _restore(context, url):
    again = context.new_page()
    again.add_init_script(_NOTE_JUMPS)
    again.goto(url)
    until(again, "window.jumps.length > 0")
    assert again.input_value("#query") == DOOR
    start, _ = moment_of(again)
    assert abs(again.evaluate("window.jumps[0]") - start) < 0.3
    assert again.get_attribute("li:nth-child(2) .card", "aria-current") == "true"
    again.close()


def _keys(page):
    page.keyboard.press("Escape")
    assert page.locator("#player").is_hidden()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    assert page.evaluate("document.activeElement.matches('li:nth-child(2) .card')")
    page.keyboard.press("Enter")
    page.wait_for_selector("#player:not([hidden])")
    picture(page, "4-by-keys")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "query"
    page.keyboard.press("Escape")
    assert page.locator("#player").is_hidden()


def _narrow_and_dark(chromium, url, address):
    context = chromium.new_context(viewport={"width": 390, "height": 780}, color_scheme="dark")
    page = context.new_page()
    page.goto(f"{address}#q={DOOR.replace(' ', '+')}")
    page.wait_for_selector(".card")
    until(page, "[...document.images].some((image) => image.naturalWidth > 0)")
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= 390
    picture(page, "6-narrow-dark")
    page.click("li:nth-child(1) .card")
    page.wait_for_selector("#curve .now", state="attached")
    picture(page, "7-narrow-dark-player")
