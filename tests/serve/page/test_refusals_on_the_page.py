"""What goes wrong is said in words, with what to do now; a key is asked for."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from browser import Browser, Page, Reply
from visitors import IN_A_BROWSER, PREDICT, assert_kept_to_itself, heading, seen, stage, visit

pytestmark = IN_A_BROWSER
BUSY = {
    "type": "about:blank",
    "title": "Service Unavailable",
    "status": 503,
    "detail": "As many photos wait as this server lets in.",
    "fix": "ask again in 1 s",
}


def test_a_refusal_says_what_is_wrong_and_what_to_do(page: Page, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff\xe0 and nothing more")
    page.choose("#file", broken)
    seen(page, 1)
    assert heading(page) == "This photo cannot be read"
    assert page.text("#answer .fix")
    assert page.js("document.querySelector('#answer button')") is None  # it would help nobody
    assert "broken.jpg" in page.text("#no-picture")
    assert page.text("#status").startswith("This photo cannot be read")


def test_a_file_that_is_no_photo_is_refused_in_words(page: Page, tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("no picture")
    page.drop("#stage", notes)
    seen(page, 1)
    assert heading(page) == "This is not a photo I can read"
    assert page.text("#answer .fix")


def test_one_bad_photo_does_not_keep_the_others_from_their_answers(
    page: Page, photos: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff\xe0 and nothing more")
    page.drop("#stage", photos / "red" / "0.png", broken, photos / "green" / "0.png")
    seen(page, 3)
    assert visit(page) == ["green", "Not answered", "red"]


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_asked_once_more_by_itself(page: Page, photos: Path, status: int) -> None:
    page.instead_of(PREDICT, Reply(status, {**BUSY, "status": status}, {"Retry-After": "1"}))
    began = time.monotonic()
    page.choose("#file", photos / "red" / "0.png")
    page.wait("document.querySelector('#answer').innerText.includes('Trying again in 1 second')")
    seen(page, 1)
    assert time.monotonic() - began >= 1
    assert heading(page) == "red"


def test_a_server_that_stays_busy_is_named_and_can_be_asked_again(page: Page, photos: Path) -> None:
    page.instead_of(PREDICT, *[Reply(503, BUSY, {"Retry-After": "1"})] * 2)
    page.choose("#file", photos / "red" / "0.png")
    stage(page, "problem")
    seen(page, 1)
    assert heading(page) == "The server is busy"
    assert "As many photos wait as this server lets in. Ask again in 1 s." in page.text("#answer")
    page.click("#answer button")
    stage(page, "answer")
    seen(page, 1)
    assert visit(page) == ["red"]


def test_a_long_wait_is_not_waited_for(page: Page, photos: Path) -> None:
    page.instead_of(PREDICT, Reply(503, BUSY, {"Retry-After": "3600"}))
    page.choose("#file", photos / "red" / "0.png")
    stage(page, "problem")


def test_a_server_that_is_gone_is_named(page: Page, photos: Path) -> None:
    conditions = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    page.call("Network.emulateNetworkConditions", offline=True, **conditions)
    page.choose("#file", photos / "red" / "0.png")
    seen(page, 1)
    assert heading(page) == "The server cannot be reached"
    page.call("Network.emulateNetworkConditions", offline=False, **conditions)
    page.click("#answer button")
    stage(page, "answer")
    assert heading(page) == "red"


def test_what_a_cloud_in_between_refuses_is_said_in_words(page: Page, photos: Path) -> None:
    page.instead_of(PREDICT, Reply(413, b'{"message": "Request Too Long"}'), Reply(200, b"<html>"))
    page.choose("#file", photos / "red" / "0.png")
    seen(page, 1)
    assert heading(page) == "This photo is too large"
    page.choose("#file", photos / "red" / "0.png")
    seen(page, 2)
    assert heading(page) == "This is no answer of Kennel"


def test_a_key_is_asked_for_and_kept_for_this_tab_alone(
    browser: Browser, locked: str, photos: Path
) -> None:
    with browser.page() as page:
        page.go(locked)
        page.choose("#file", photos / "red" / "0.png")
        page.wait("document.querySelector('#ask-key').open")
        assert page.js("document.activeElement.id") == "key"
        page.type("wrong")
        page.press("Enter")
        page.wait("document.querySelector('#key-wrong').textContent")
        assert page.text("#key-wrong") == "The server does not take this key."
        page.type("a b")
        page.press("Enter")
        assert "no blanks" in page.text("#key-wrong")
        page.js("document.querySelector('#key').value = ''")
        page.type("open-sesame")
        page.press("Enter")
        seen(page, 1)
        assert heading(page) == "red"
        assert page.js("Object.values(sessionStorage)") == ["open-sesame"]
        assert page.js("localStorage.length + document.cookie.length") == 0
        page.go(locked)  # the same tab
        page.choose("#file", photos / "green" / "0.png")
        seen(page, 1)
        assert heading(page) == "green"
        assert_kept_to_itself(page, locked)


def test_who_has_no_key_is_told_that_one_is_needed(
    browser: Browser, locked: str, photos: Path
) -> None:
    with browser.page() as page:
        page.go(locked)
        page.choose("#file", photos / "red" / "0.png")
        page.wait("document.querySelector('#ask-key').open")
        page.press("Escape")
        seen(page, 1)
        assert heading(page) == "A key is needed"
        assert page.text("#answer button") == "Try again"
