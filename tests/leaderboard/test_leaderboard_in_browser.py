"""The leaderboard in a real browser: sorted, narrow, dark, by keys, without a request.

VMR_SCREENSHOTS names a folder that keeps a picture of each view.
"""

import os
import shutil
from pathlib import Path

import pytest

pytest.importorskip("playwright.sync_api", reason="needs Playwright")

from playwright.sync_api import sync_playwright

from tests.leaderboard.boards import board_folder, labels
from vmr_jax.leaderboard.board import make_board
from vmr_jax.leaderboard.page import page as html_of

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM, reason="needs Chromium"),
]
_FIRST_COLUMN = "[...document.querySelector('tbody').rows].map(row => row.cells[0].innerText)"
_SORTED = "[...document.querySelectorAll('thead th')].map(th => th.getAttribute('aria-sort'))"


def test_the_page_of_a_leaderboard(tmp_path):
    board = make_board(board_folder(tmp_path / "board"), labels(tmp_path))
    file = tmp_path / "board.html"
    file.write_text(html_of("Doors", board), "utf-8")
    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for name, width, scheme in (("wide", 1280, "light"), ("narrow", 390, "dark")):
            context = chromium.new_context(
                viewport={"width": width, "height": 900}, color_scheme=scheme
            )
            page, said, asked = context.new_page(), [], []
            page.on("console", lambda message, said=said: said.append(message.text))
            page.on("pageerror", lambda error, said=said: said.append(str(error)))
            page.on("request", lambda request, asked=asked: asked.append(request.url))
            page.goto(file.as_uri())
            _looked_at(page, width, scheme)
            if folder := os.environ.get("VMR_SCREENSHOTS"):
                page.screenshot(path=str(Path(folder) / f"board_{name}.png"), full_page=True)
            assert not said and asked == [file.as_uri()]
        chromium.close()


def _looked_at(page, width, scheme):
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") == (scheme == "light")
    best = page.evaluate(_FIRST_COLUMN)
    assert best == ["Near <b>", "words", "far", "random"]
    button = page.locator("thead button", has_text="mIoU")
    button.focus()
    page.keyboard.press("Enter")
    assert page.evaluate(_SORTED).count("descending") == 1
    page.keyboard.press("Enter")
    assert page.evaluate(_FIRST_COLUMN)[0] == "random"
    assert page.evaluate(_SORTED).count("ascending") == 1
    shown = page.locator("[data-metric]:visible")
    assert [one.get_attribute("data-metric") for one in shown.all()] == ["R@1,IoU=0.5"] * 2
    page.get_by_label("Metric").first.select_option("mIoU")
    chosen = [one.get_attribute("data-metric") for one in shown.all()]
    assert chosen == ["mIoU", "R@1,IoU=0.5"]
