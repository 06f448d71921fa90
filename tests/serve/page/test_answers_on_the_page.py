"""Answers as visitors see them, and what the page says of the model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from browser import Browser, Page, Reply
from bundles import tiny_bundle
from PIL import Image
from visitors import (
    IN_A_BROWSER,
    PREDICT,
    assert_kept_to_itself,
    heading,
    seen,
    served,
    stage,
    visit,
)

from kennel.bundle import Bundle
from kennel.look import in_words

pytestmark = IN_A_BROWSER
HOSTILE = (
    "<img src=x onerror=alert(1)>",
    '"></bdi><script>alert(1)</script>',
    "evil_\u202egnp.exe",
)


def test_not_one_i_know_stands_where_the_label_would_with_the_nearest_as_a_hint(
    page: Page, photos: Path, tmp_path: Path
) -> None:
    place = """(() => {
      const label = document.querySelector("#answer .label"), box = label.getBoundingClientRect();
      return [box.x, box.y, getComputedStyle(label).fontSize];
    })()"""
    page.choose("#file", photos / "red" / "0.png")
    seen(page, 1)
    of_a_label = page.js(place)
    Image.new("RGB", (30, 20), (9, 3, 3)).save(tmp_path / "dark.png")
    page.choose("#file", tmp_path / "dark.png")
    seen(page, 2)
    assert heading(page) == "Not one I know"
    assert page.js(place) == of_a_label
    assert "The nearest I know is red. That is a hint, not an answer." in page.text("#answer")
    assert page.js("document.querySelector('#answer details').open") is False
    assert visit(page)[0] == "Not one I know"
    assert "not one I know. The nearest I know is red." in page.text("#status")


def test_labels_that_may_be_right_are_named_with_their_promise(
    browser: Browser, url: str, photos: Path, tmp_path: Path, bundle: Bundle
) -> None:
    answer = {
        "label": "red_setter",
        "probability": 0.6,
        "known": True,
        "top": [
            {"label": "red_setter", "probability": 0.6},
            {"label": "green", "probability": 0.4},
        ],
        "among": ["red_setter", "green"],
        "bundle": bundle.bundle_id,
        "took_ms": 3.0,
    }
    about = {
        "bundle_id": bundle.bundle_id,
        "labels": ["red_setter", "green"],
        "preprocess": {"size": 8},
        "metrics": {},
        "conformal": {"coverage": 0.95, "threshold": 0.1, "split": "validation", "n": 133},
    }
    with browser.page() as page:
        page.instead_of("*/bundle", Reply(200, about))
        page.go(url)
        page.wait("document.querySelector('#summary').textContent")
        page.instead_of(PREDICT, Reply(200, answer))
        page.choose("#file", photos / "red" / "0.png")
        seen(page, 1)
        said = page.text("#answer .among")
        assert (
            said == "The right one should be among red setter, green, as it is for 95 % of photos."
        )


@pytest.mark.parametrize("label", ["German_Shepherd", "a__b ", "plain", " \t x_y", "_"])
def test_labels_are_read_as_everywhere_in_kennel(page: Page, label: str) -> None:
    said = page.js(f"import('./words.js').then(({{inWords}}) => inWords({json.dumps(label)}))")
    assert said == (in_words(label) or label)


def test_hostile_labels_are_words_and_nothing_else(
    browser: Browser, photos: Path, tmp_path: Path
) -> None:
    with served(tiny_bundle(tmp_path / "b", labels=HOSTILE)) as url, browser.page() as page:
        page.go(url)
        page.wait("document.querySelector('#summary').textContent")
        page.choose("#file", *(photos / colour / "0.png" for colour in ("blue", "green", "red")))
        seen(page, 3)
        assert page.js("document.querySelector('#answer .label').textContent") == HOSTILE[0]
        shown = page.js("[...document.querySelectorAll('#seen .what')].map((e) => e.textContent)")
        assert shown == [HOSTILE[0], HOSTILE[1], HOSTILE[2].replace("_", " ")]
        page.click("#open-about")
        page.wait("document.querySelector('.labels')")
        assert page.js("document.querySelector('.labels').textContent") == "".join(
            label.replace("_", " ") for label in HOSTILE
        )
        assert page.js("document.querySelectorAll('body script, img[src=x]').length") == 0
        assert_kept_to_itself(page, url)


def test_an_answer_can_be_seen_again_without_asking(page: Page, photos: Path) -> None:
    page.choose("#file", photos / "red" / "0.png", photos / "green" / "0.png")
    seen(page, 2)
    asked = len(page.requests)
    page.click("#seen li:nth-child(2) button")
    assert heading(page) == "red"
    assert page.js("document.querySelector('#seen [aria-current]').innerText").startswith("red")
    page.wait("document.querySelector('#photo').complete")
    assert len(page.requests) == asked


def test_looking_back_is_not_interrupted_by_answers_that_come(page: Page, photos: Path) -> None:
    page.choose("#file", photos / "red" / "0.png")
    seen(page, 1)
    with page.held(PREDICT):
        page.choose("#file", photos / "green" / "0.png")
        stage(page, "waiting")
        page.click("#seen li button")
        assert heading(page) == "red"
    seen(page, 2)
    assert heading(page) == "red"
    assert visit(page) == ["green", "red"]


def test_a_visit_is_kept_nowhere_and_can_be_forgotten(page: Page, photos: Path, url: str) -> None:
    page.choose("#file", photos / "red" / "0.png")
    seen(page, 1)
    assert page.js("localStorage.length + sessionStorage.length + document.cookie.length") == 0
    page.click("#forget")
    stage(page, "empty")
    assert page.js("document.querySelector('#visit').offsetHeight") == 0
    page.choose("#file", photos / "red" / "0.png")
    seen(page, 1)
    page.go(url)
    stage(page, "empty")
    assert visit(page) == []


def test_the_bundle_and_its_figures_are_one_click_away_with_interval_and_n(
    page: Page, bundle: Bundle
) -> None:
    assert page.text("#summary") == "Knows 3 labels; right on 97.6 % of 251 test photos."
    page.click("#open-about")
    page.wait("document.querySelector('#about .facts')")
    said = page.text("#about")
    assert "97.6 % right of 251 test photos that it never saw 95 % interval 94.9 to 98.9 %" in said
    assert "Macro F1 0.968 0.939 to 0.991" in said
    assert "Log loss 0.099 0.046 to 0.165" in said
    assert "refuses at most 5 % of 30 validation photos" in said
    assert "temperature 2.00" in said
    assert "3 labels red green blue" in said
    for fact in (bundle.bundle_id, "mean_colour", "Apache-2.0", "c" * 12, "8 × 8 pixels"):
        assert fact in said
    assert "2026-11-23 08:00:00 UTC" in said
    page.press("Escape")
    page.wait("!document.querySelector('#about').open")
    assert page.js("document.activeElement.id") == "open-about"


def test_a_bundle_that_cannot_refuse_says_so(browser: Browser, tmp_path: Path) -> None:
    plain = tiny_bundle(tmp_path / "b", rejection=None, calibration=None)
    with served(plain) as url, browser.page() as page:
        page.go(url)
        page.click("#open-about")
        page.wait("document.querySelector('#about .facts')")
        said = page.text("#about")
        assert "It was not measured yet" in said
        assert "always names one of its labels, even for a photo of none of them" in said
        assert "nobody has set them right" in said


def test_a_server_that_exchanged_its_bundle_is_asked_for_the_new_figures(
    page: Page, photos: Path
) -> None:
    told = {"bundle_id": "another", "labels": ["left", "right"], "metrics": {}}
    guess = {"label": "left", "probability": 0.9}
    answer = {**guess, "known": True, "top": [guess], "bundle": "another", "took_ms": 3.0}
    page.instead_of("http://*", Reply(200, answer), Reply(200, told))
    page.choose("#file", photos / "red" / "0.png")
    seen(page, 1)
    page.wait("document.querySelector('#summary').textContent === 'Knows 2 labels.'")
