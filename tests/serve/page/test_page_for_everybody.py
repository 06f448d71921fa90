"""Keyboard, screen reader, stillness, dark, a phone, and very many labels."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from browser import SHIFT, Browser, Page, Reply
from visitors import IN_A_BROWSER, PHONE, PREDICT, assert_kept_to_itself, heading, seen, stage

from kennel.bundle import Bundle

pytestmark = IN_A_BROWSER


def test_all_of_it_works_by_keyboard_alone(page: Page, photos: Path) -> None:
    def tab_to(selector: str, *, modifiers: int = 0) -> None:
        for _ in range(20):
            page.press("Tab", modifiers=modifiers)
            if page.js(f"document.activeElement.matches({json.dumps(selector)})"):
                assert page.js("getComputedStyle(document.activeElement).outlineStyle") == "solid"
                return
        raise AssertionError(f"no way to {selector} by Tab")

    for colour in ("red", "green"):
        tab_to("#choose")
        with page.file_dialog(photos / colour / "0.png"):
            page.press("Enter")
        page.wait(f"document.querySelector('#answer .label')?.innerText === {colour!r}")
    seen(page, 2)
    tab_to("#seen li:nth-child(2) button")
    page.press("Enter")
    assert heading(page) == "red"
    tab_to("#open-about", modifiers=SHIFT)
    page.press("Enter")
    page.wait("document.querySelector('#about .facts')")
    tab_to("#about a")
    page.press("Escape")
    page.wait("!document.querySelector('#about').open")
    tab_to("#forget")
    page.press(" ")
    stage(page, "empty")
    assert page.js("document.activeElement.id") == "choose"


def test_a_screen_reader_hears_names_and_answers(page: Page, photos: Path) -> None:
    page.choose("#file", photos / "red" / "0.png")
    seen(page, 1)
    assert page.text("#status") == "0.png: red, 96.5 %. Then green, 1.8 %; blue, 1.8 %."
    assert page.js("document.querySelector('#status').role") == "status"
    tree = page.call("Accessibility.getFullAXTree")["nodes"]
    named = {
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in tree
        if not node["ignored"] and node["role"]["value"] in ("button", "link", "image", "region")
    }
    assert {("button", "Choose a photo"), ("image", "0.png"), ("region", "Answer")} <= named
    assert ("button", "red 96.5\u202f%") in named
    assert not {each for each in named if not each[1]}


@pytest.mark.parametrize("prefers", [False, True])
def test_nothing_moves_for_who_wants_it_still(page: Page, prefers: bool) -> None:
    page.prefer(still=prefers)
    moving = page.js("getComputedStyle(document.querySelector('.working')).animationName")
    assert (moving == "none") is prefers


def test_it_is_dark_in_the_dark(page: Page) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    assert page.js(ground) == "rgb(250, 247, 242)"
    page.prefer(dark=True)
    page.wait(f"{ground} === 'rgb(23, 20, 17)'")


def test_a_phone_and_120_long_labels_fit(
    browser: Browser, url: str, photos: Path, tmp_path: Path, bundle: Bundle
) -> None:
    labels = [f"{'Very_long_label_of_many_words_' * 3}{n}" for n in range(119)] + ["x" * 200]
    guesses = [{"label": label, "probability": 0.1} for label in reversed(labels[-10:])]
    answer = {
        "label": guesses[0]["label"],
        "probability": 0.1,
        "known": True,
        "top": guesses,
        "among": labels,
        "bundle": bundle.bundle_id,
        "took_ms": 3.0,
    }
    stranger = {**answer, "known": False, "among": None}
    about = {
        "bundle_id": bundle.bundle_id,
        "labels": labels,
        "preprocess": {"size": 8},
        "metrics": {"test": {"n": 251, "top1": 0.9, "top1_interval": [0.8, 0.95]}},
    }
    with browser.page(**PHONE) as page:
        page.instead_of("*/bundle", Reply(200, about))
        page.go(url)
        page.wait("document.querySelector('#summary').textContent")
        assert_fits(page)
        page.instead_of(PREDICT, Reply(200, answer), Reply(200, stranger))
        for n, photo in enumerate(("red", "green", "blue")):
            page.choose("#file", photos / photo / "0.png")
            seen(page, n + 1)
            page.js("document.querySelector('#answer details')?.toggleAttribute('open')")
            assert_fits(page)
        page.click("#open-about")
        page.wait("document.querySelectorAll('.labels li').length === 120")
        assert_fits(page)
        assert page.js("document.querySelector('#about').scrollWidth") <= PHONE["width"]
        assert_kept_to_itself(page, url)


def assert_fits(page: Page) -> None:
    """Nothing is wider than the phone, and every button that is seen can be hit by a finger."""
    assert page.js("document.documentElement.scrollWidth") <= PHONE["width"]
    small = page.js(
        """[...document.querySelectorAll("button, summary")]
          .filter((each) => each.checkVisibility())
          .map((each) => [each.innerText, each.getBoundingClientRect()])
          .filter(([, box]) => box.height < 36 || box.left < 0 || box.right > innerWidth)
          .map(([words]) => words)"""
    )
    assert small == []
