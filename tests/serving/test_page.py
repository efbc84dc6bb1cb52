"""The page in a browser, by clicks and keys."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
PICTURE = str(files("florence2") / "nano" / "demo.png")

pytestmark = pytest.mark.skipif(not BROWSER, reason="no Chromium here")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(address)
    page.wait_for_selector("#examples button")
    yield page
    page.close()
    assert not errors


def ask(page: Any, task: str | None = None) -> None:
    if task:
        page.select_option("#task", task)
    page.click("#run")
    page.wait_for_function("document.getElementById('status').textContent.startsWith('Done')",
                           timeout=60_000)  # fmt: skip


def status(page: Any) -> str:
    text: str = page.inner_text("#status")
    return text


def test_detection_filter_and_download(page: Any) -> None:
    page.set_input_files("#files", PICTURE)
    page.wait_for_function("document.getElementById('status').textContent.includes('256 by 256')")
    ask(page)
    count = page.locator("#rows tr").count()
    assert count >= 1
    label = page.inner_text("#rows tr:first-child td:nth-child(2)")
    assert label in page.get_attribute("#canvas", "aria-label")
    with page.expect_download() as download:
        page.click("#json")
    answer = json.loads(Path(download.value.path()).read_text())
    assert answer["task"] == "<OD>" and len(answer["answer"]["bboxes"]) == count
    with page.expect_download() as download:
        page.click("#coco")
    coco = json.loads(Path(download.value.path()).read_text())
    assert len(coco["annotations"]) == count and coco["images"][0]["width"] == 256
    with page.expect_download() as download:
        page.click("#png")
    assert Path(download.value.path()).read_bytes().startswith(b"\x89PNG")
    page.evaluate("document.getElementById('score').value = 1; "
                  "document.getElementById('score').dispatchEvent(new Event('input'))")  # fmt: skip
    assert page.locator("#rows tr").count() == 0


def test_text_regions_and_cascades(page: Any) -> None:
    page.click("#examples button:first-child")
    page.wait_for_function("document.getElementById('run').disabled === false")
    assert page.is_hidden("#text-field")
    page.select_option("#task", "phrase-grounding")
    page.click("#run")
    page.wait_for_selector("#status.error")
    assert "needs a text input" in status(page)
    page.fill("#text", "a cake")
    page.press("#text", "Enter")
    page.wait_for_function("document.getElementById('status').textContent.startsWith('Done')")
    page.select_option("#task", "region-to-category")
    assert page.is_hidden("#text-field") and page.is_visible("#region-field")
    box = page.locator("#canvas").bounding_box()
    x, y, side = box["x"], box["y"], box["width"]
    page.mouse.move(x + 0.1 * side, y + 0.6 * side)
    page.mouse.down()
    page.mouse.move(x + 0.4 * side, y + 0.9 * side)
    page.mouse.up()
    assert 20 <= int(page.input_value("#x0")) <= 30 and 95 <= int(page.input_value("#x1")) <= 110
    ask(page)
    assert page.inner_text("#output-text")
    ask(page, "caption-then-ground")
    assert page.locator("#rows tr").count() >= 1


def test_several_images_keep_their_outputs(page: Any) -> None:
    content = Path(PICTURE).read_bytes()
    page.set_input_files("#files", [
        {"name": name, "mimeType": "image/png", "buffer": content} for name in ("a.png", "b.png")
    ])  # fmt: skip
    page.wait_for_function("document.querySelectorAll('#images button').length === 2")
    ask(page, "caption")
    second = page.inner_text("#output-text")
    page.click("#images button:first-child")
    assert page.inner_text("#output-text") == second
    page.set_input_files("#files", {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"x"})
    page.wait_for_function(
        "document.getElementById('status').textContent.includes('is not an image')"
    )


def test_the_page_works_by_keyboard(page: Any, address: str) -> None:
    # Asked for before the page is, for a browser takes its time to hand choosers over: one that
    # opens in between is lost.
    page.on("filechooser", lambda chooser: chooser.set_files(PICTURE))
    page.goto(address)
    page.wait_for_selector("#examples button")
    page.focus("#drop")
    page.keyboard.press("Enter")
    page.wait_for_function("document.getElementById('run').disabled === false")
    page.focus("#task")
    page.keyboard.type("caption")
    page.focus("#run")
    page.keyboard.press("Space")
    page.wait_for_function("document.getElementById('status').textContent.startsWith('Done')")


def test_everything_has_a_name_for_screen_readers(page: Any) -> None:
    nameless = page.evaluate("""() =>
        [...document.querySelectorAll('input, select, button, canvas')]
        .filter((each) => each.type !== 'file' && each.offsetParent !== null)
        .filter((each) => !(each.labels?.length || each.textContent.trim()
            || each.getAttribute('aria-label') || each.querySelector?.('img[alt]')))
        .map((each) => each.id)""")
    assert nameless == []
    assert page.get_attribute("#status", "aria-live") == "polite"


def test_errors_of_the_server_are_shown(page: Any, address: str, browser: Any) -> None:
    # The same page against a route that refuses: the error is shown, nothing breaks.
    page.route("**/v1/run", lambda route: route.fulfill(
        status=401, content_type="application/json", body='{"error": "the key is missing"}'
    ))  # fmt: skip
    page.set_input_files("#files", PICTURE)
    page.click("#run")
    page.wait_for_selector("#status.error")
    assert "the key is missing" in status(page)
