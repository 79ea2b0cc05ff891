"""The HTML page in a real browser; skipped where there is no Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from deepscan.report.html import HtmlReport
from tests.fixtures import browser as chromium
from tests.fixtures.browser import Browser
from tests.fixtures.pictures import with_pictures
from tests.fixtures.sample import ODD_NAMES, failed, real, run, scanned, written

PROGRAM = chromium.find()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PROGRAM is None, reason="there is no Chromium here"),
]

FEW = [with_pictures(scanned("clips/forged.mp4")), with_pictures(real("clips/real.mp4")), failed()]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    assert PROGRAM is not None
    opened = Browser(PROGRAM, tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


def write(path: Path, files: list[Any]) -> Path:
    path.write_text(written(HtmlReport, run(files, not_counted=("sola",))), encoding="utf-8")
    return path


def shown(browser: Browser) -> list[str]:
    """The paths of the files that are visible."""
    return browser.ask(
        "[...document.querySelectorAll('.file')].filter(f => f.checkVisibility())"
        ".map(f => f.querySelector('.path').textContent)"
    )


def test_the_page_asks_for_nothing_and_the_console_is_silent(browser: Browser, tmp_path: Path) -> None:
    names = [scanned(name) for name in ODD_NAMES]
    for path in (write(tmp_path / "few.html", FEW), write(tmp_path / "odd.html", names)):
        browser.open(path)
        browser.ask("new Promise(done => setTimeout(done, 100))")
        assert browser.requests() == [path.as_uri()]
        assert browser.complaints() == []


def test_pictures_and_style_are_really_there(browser: Browser, tmp_path: Path) -> None:
    browser.open(write(tmp_path / "page.html", FEW))
    assert browser.ask("[...document.images].every(i => i.complete && i.naturalWidth === 48)")
    assert browser.ask("getComputedStyle(document.querySelector('.file.fake')).borderLeftWidth") == "4px"
    browser.view(1100, 900)
    box = browser.ask(
        "(() => { const b = document.querySelector('figure svg').getBoundingClientRect();"
        " window.scrollTo(0, b.top + scrollY - 100); const c = document.querySelector('figure svg')"
        ".getBoundingClientRect(); return [c.left, c.top, c.right, c.bottom] })()"
    )
    browser.screenshot(tmp_path / "shot.png")
    with Image.open(tmp_path / "shot.png") as shot:
        crop = np.asarray(shot.convert("RGB").crop(tuple(round(v) for v in box)))
    assert crop.std() > 20, "a portrait, not an empty box"


def test_light_and_dark(browser: Browser, tmp_path: Path) -> None:
    path = write(tmp_path / "page.html", FEW)
    brightness = {}
    for dark in (False, True):
        browser.view(1100, 900, dark=dark)
        browser.open(path)
        browser.screenshot(tmp_path / "shot.png")
        with Image.open(tmp_path / "shot.png") as shot:
            brightness[dark] = float(np.median(np.asarray(shot.convert("L"))))
    browser.view(1100, 900)
    assert brightness[False] > 220
    assert brightness[True] < 50


def test_no_sideways_scrolling_on_a_phone(browser: Browser, tmp_path: Path) -> None:
    browser.view(380, 800)
    browser.open(write(tmp_path / "page.html", [with_pictures(scanned("x" * 200 + ".mp4"))]))
    assert browser.ask("document.documentElement.scrollWidth") <= 380
    browser.view(1100, 900)


def test_everything_works_from_the_keyboard(browser: Browser, tmp_path: Path) -> None:
    browser.open(write(tmp_path / "page.html", [*FEW, real("last.mp4")]))
    assert len(shown(browser)) == 4
    browser.press("Tab")
    assert browser.ask("document.activeElement.className") == "skip"
    browser.press("Tab")
    assert browser.ask("document.activeElement.id") == "show-all"
    browser.press("ArrowRight")
    assert shown(browser) == ["clips/forged.mp4"]
    browser.press("ArrowRight")
    assert shown(browser) == ["clips/real.mp4", "last.mp4"]
    browser.press("Tab")
    assert browser.ask("document.activeElement.id") == "heat"
    browser.press("Tab")
    assert browser.ask("document.activeElement.localName") == "summary"
    assert not browser.ask("document.activeElement.parentElement.open")
    browser.press("Enter")
    assert browser.ask("document.activeElement.parentElement.open")


def test_the_heat_can_be_switched_off(browser: Browser, tmp_path: Path) -> None:
    browser.open(write(tmp_path / "page.html", FEW))
    visible = "[...document.querySelectorAll('figure .heat')].filter(i => i.checkVisibility()).length"
    assert browser.ask(visible) == browser.ask("document.querySelectorAll('figure .heat').length") > 10
    browser.ask("document.getElementById('heat').focus()")
    browser.press(" ")
    assert browser.ask(visible) == 0


def test_two_hundred_files_open_quickly(browser: Browser, tmp_path: Path) -> None:
    fake, genuine = with_pictures(scanned()), real()
    files = [replace(genuine if number % 5 else fake, path=f"clips/{number:03}.mp4") for number in range(200)]
    path = write(tmp_path / "many.html", files)
    assert path.stat().st_size < 20_000_000
    browser.open(path)
    assert browser.ask("document.querySelectorAll('.file').length") == 200
    assert len(shown(browser)) == 200
    assert browser.busy_s() < 10, "with every page opened before it; alone it took 0.7 s"
    browser.ask("document.getElementById('show-fake').click()")
    assert len(shown(browser)) == 40
