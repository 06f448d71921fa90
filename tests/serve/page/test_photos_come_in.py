"""Photos are dropped, pasted, chosen or taken, and answered in order."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from browser import Browser, Page
from visitors import IN_A_BROWSER, PHONE, PREDICT, heading, seen, stage, visit

pytestmark = IN_A_BROWSER


def test_a_chosen_photo_is_answered_with_bars_in_per_cent(page: Page, photos: Path) -> None:
    page.choose("#file", photos / "red" / "0.png")
    seen(page, 1)
    assert heading(page) == "red"
    assert page.text("#answer .guess.first strong") == "96.5 %"
    others = page.js("[...document.querySelectorAll('#answer .guess')].map((e) => e.innerText)")
    assert [" ".join(each.split()) for each in others[1:]] == ["green 1.8 %", "blue 1.8 %"]
    width = page.js(
        "document.querySelector('.first .bar i').offsetWidth"
        " / document.querySelector('.first .bar').offsetWidth"
    )
    assert width == pytest.approx(0.9648, abs=0.005)
    assert page.js("document.querySelector('#photo').naturalWidth") == 20


def test_time_taken_is_said_of_both_sides(page: Page, photos: Path) -> None:
    page.choose("#file", photos / "red" / "0.png")
    seen(page, 1)
    said = page.text("#answer .times")
    assert "Answered in " in said
    assert " ms on the server" in said
    assert "reading the photo" in said
    assert "the model" in said


def test_a_pasted_picture_is_answered(page: Page, photos: Path) -> None:
    page.paste_picture(photos / "green" / "0.png")
    seen(page, 1)
    assert heading(page) == "green"


def test_pasted_words_are_no_picture_and_that_is_said(page: Page) -> None:
    page.paste_text("https://example.org/dog.jpg")
    page.wait("document.querySelector('#notice').textContent")
    assert "no picture on the clipboard" in page.text("#notice")
    stage(page, "empty")


def test_a_dropped_photo_is_answered(page: Page, photos: Path) -> None:
    page.drag("dragEnter", "#stage", photos / "blue" / "0.png")
    assert page.js("getComputedStyle(document.querySelector('.dropping')).display") == "grid"
    page.drag("dragOver", "#stage", photos / "blue" / "0.png")
    page.drag("drop", "#stage", photos / "blue" / "0.png")
    seen(page, 1)
    assert heading(page) == "blue"
    assert page.js("getComputedStyle(document.querySelector('.dropping')).display") == "none"


def test_photos_dropped_together_are_answered_each_in_order(page: Page, photos: Path) -> None:
    page.drop(
        "#stage", photos / "blue" / "0.png", photos / "red" / "1.png", photos / "green" / "2.png"
    )
    seen(page, 3)
    assert visit(page) == ["green", "red", "blue"]
    assert heading(page) == "green"


def test_a_folder_is_no_photo_and_that_is_said(page: Page, photos: Path) -> None:
    page.drop("#stage", photos / "blue")
    page.wait("document.querySelector('#notice').textContent")
    assert "That is a folder" in page.text("#notice")
    stage(page, "empty")


def test_a_phone_can_take_a_photo_and_a_desk_is_not_asked_to(
    browser: Browser, url: str, photos: Path
) -> None:
    with browser.page() as page:
        page.go(url)
        assert page.js("document.querySelector('#take').offsetWidth") == 0
    with browser.page(**PHONE) as page:
        page.go(url)
        assert page.js("document.querySelector('#camera').getAttribute('capture')") == "environment"
        with page.file_dialog(photos / "red" / "0.png"):
            page.click("#take")
        seen(page, 1)
        assert heading(page) == "red"


def test_a_new_photo_takes_the_place_of_one_under_way(page: Page, photos: Path) -> None:
    with page.held(PREDICT):
        page.choose("#file", photos / "red" / "0.png", photos / "red" / "1.png")
        page.wait("document.querySelector('#answer').innerText.includes('1 of 2')")
        until = time.monotonic() + 10
        while not page.paused and time.monotonic() < until:
            page.js("0")
        page.choose("#file", photos / "green" / "0.png")
    seen(page, 1)
    assert visit(page) == ["green"]
    assert heading(page) == "green"


def test_escape_stops_and_goes_back_to_what_was_seen(page: Page, photos: Path) -> None:
    page.choose("#file", photos / "red" / "0.png")
    seen(page, 1)
    with page.held(PREDICT):
        page.choose("#file", photos / "green" / "0.png")
        stage(page, "waiting")
        assert page.js("document.querySelector('#stage').ariaBusy") == "true"
        page.press("Escape")
        stage(page, "answer")
    assert heading(page) == "red"
    assert visit(page) == ["red"]
    assert page.text("#status") == "Stopped."


def test_more_photos_than_a_visit_keeps_are_named_as_left_out(page: Page, photos: Path) -> None:
    with page.held(PREDICT):
        page.drop("#stage", *[photos / "red" / "0.png"] * 61)
        page.wait("document.querySelector('#answer').innerText.includes('1 of 60')")
        assert "The first 60 of 61 were taken" in page.text("#notice")
        page.click("#stop")
        stage(page, "empty")
