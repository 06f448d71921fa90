"""The page as its visitors have it: a real browser, a real server, a bundle whose answers are known."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import CHROMIUM, SHIFT, Browser, Page, Reply, started
from bundles import tiny_bundle
from PIL import Image

from kennel.bundle import Bundle, SplitFigures
from kennel.look import in_words

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM, reason="there is no chromium on this machine"),
]
FIGURES = SplitFigures(
    n=251,
    top1=0.9761,
    top1_interval=(0.9487, 0.989),
    macro_f1=0.968,
    macro_f1_interval=(0.939, 0.991),
    log_loss=0.099,
    log_loss_interval=(0.046, 0.165),
)
HOSTILE = (
    "<img src=x onerror=alert(1)>",
    '"></bdi><script>alert(1)</script>',
    "evil_\u202egnp.exe",
)
PHONE = {"width": 360, "height": 740, "touch": True}
PREDICT = "*/predict*"
BUSY = {
    "type": "about:blank",
    "title": "Service Unavailable",
    "status": 503,
    "detail": "As many photos wait as this server lets in.",
    "fix": "ask again in 1 s",
}


@contextmanager
def served(bundle: Bundle, **environment: str) -> Iterator[str]:
    """The address of `kennel serve BUNDLE` while the block runs."""
    words = [sys.executable, "-m", "kennel", "serve", str(bundle.path), "--port", "0", "--json"]
    process = subprocess.Popen(
        [*words, "--workers", "1"],
        env={**os.environ, "KENNEL_SERVE_LOG": "none", **environment},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield json.loads(process.stdout.readline())["url"] + "/"
    finally:
        process.terminate()
        process.wait(timeout=30)
        process.stdout.close()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with started(tmp_path_factory.mktemp("browser")) as found:
        yield found


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(tmp_path_factory.mktemp("bundle"), metrics={"test": FIGURES})


@pytest.fixture(scope="module")
def url(bundle: Bundle) -> Iterator[str]:
    with served(bundle) as address:
        yield address


@pytest.fixture(scope="module")
def locked(bundle: Bundle) -> Iterator[str]:
    """The same, for who has the key "open-sesame"."""
    with served(bundle, KENNEL_SERVE_KEYS=hashlib.sha256(b"open-sesame").hexdigest()) as address:
        yield address


@pytest.fixture(scope="module")
def desk(browser: Browser) -> Iterator[Page]:
    with browser.page() as page:
        yield page


@pytest.fixture
def page(desk: Page, url: str) -> Iterator[Page]:
    """The page, opened. After each test nothing may have gone elsewhere or against its policy."""
    desk.anew()
    desk.go(url)
    desk.wait("document.querySelector('#summary').textContent")
    yield desk
    assert_kept_to_itself(desk, url)


def assert_kept_to_itself(page: Page, url: str) -> None:
    """Refusals of the server are printed by the browser as errors; anything else is one of ours."""
    assert page.requests
    assert [each for each in page.requests if not each.startswith(url)] == []
    ours = [each for each in page.errors if not each.startswith("Failed to load resource")]
    assert ours == []


def seen(page: Page, n: int) -> None:
    """Waits until n photos were answered on this visit, and nothing is under way."""
    page.wait(f"document.querySelectorAll('#seen li').length === {n}")
    page.wait("!document.body.classList.contains('at-work')")


def stage(page: Page, state: str) -> None:
    page.wait(f"document.querySelector('#main').dataset.state === {json.dumps(state)}")


def heading(page: Page) -> str:
    return page.text("#answer .label")


def visit(page: Page) -> list[str]:
    """What stands under the thumbnails, newest first."""
    found: list[str] = page.js(
        "[...document.querySelectorAll('#seen .what')].map((each) => each.innerText)"
    )
    return found


def noisy_photo(path: Path, *, width: int, height: int, orientation: int = 1) -> Path:
    """A JPEG too large to be sent as it is: its left half reddish, its right half bluish."""
    pixels = np.random.default_rng(0).integers(0, 80, (height, width, 3), dtype=np.uint8)
    pixels[:, : width // 2, 0] += 160
    pixels[:, width // 2 :, 2] += 160
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(path, quality=95, exif=exif)
    return path


def as_sent(page: Page, photo: Path, preprocess: dict[str, Any]) -> dict[str, Any]:
    """What the page would send of a photo: its type, bytes, pixels, and two of its colours."""
    page.js(
        """(() => {
          const probe = document.createElement("input");
          Object.assign(probe, {type: "file", id: "probe"});
          document.body.append(probe);
        })()"""
    )
    page.choose("#probe", photo)
    said: dict[str, Any] = page.js(
        f"""(async () => {{
          const {{toSend}} = await import("./photo.js");
          const file = document.querySelector("#probe").files[0];
          const {{body, type, shrunk}} = await toSend(file, {json.dumps(preprocess)});
          document.querySelector("#probe").remove();
          const found = {{type, bytes: body.size, untouched: body === file, shrunk}};
          const image = await createImageBitmap(body).catch(() => null);
          if (!image) return found;
          const canvas = document.createElement("canvas");
          canvas.width = image.width;
          canvas.height = image.height;
          const context = canvas.getContext("2d");
          context.drawImage(image, 0, 0);
          const at = (x, y) =>
            [...context.getImageData(x * image.width, y * image.height, 1, 1).data].slice(0, 3);
          return {{...found, width: image.width, height: image.height,
                   top: at(0.5, 0.1), bottom: at(0.5, 0.9), middle: at(0.5, 0.5)}};
        }})()"""
    )
    return said


# ---- Photos come in -------------------------------------------------------------------------


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
    page.drop("#stage", photos / "blue" / "0.png", photos / "red" / "1.png", photos / "green" / "2.png")
    seen(page, 3)
    assert visit(page) == ["green", "red", "blue"]
    assert heading(page) == "green"


def test_a_folder_is_no_photo_and_that_is_said(page: Page, photos: Path) -> None:
    page.drop("#stage", photos / "blue")
    page.wait("document.querySelector('#notice').textContent")
    assert "That is a folder" in page.text("#notice")
    stage(page, "empty")


def test_a_phone_can_take_a_photo_and_a_desk_is_not_asked_to(browser: Browser, url: str, photos: Path) -> None:
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


# ---- What is sent ---------------------------------------------------------------------------


def test_a_small_photo_is_sent_untouched(page: Page, photos: Path) -> None:
    photo = photos / "red" / "0.png"
    said = as_sent(page, photo, {"size": 224, "fill": [128, 128, 128]})
    assert said["untouched"]
    assert (said["type"], said["bytes"]) == ("image/png", photo.stat().st_size)


def test_a_large_photo_is_shrunk_upright_and_keeps_five_times_the_models_pixels(
    page: Page, tmp_path: Path
) -> None:
    photo = noisy_photo(tmp_path / "large.jpg", width=2400, height=1800, orientation=6)
    assert photo.stat().st_size > 1_500_000
    said = as_sent(page, photo, {"size": 224, "fill": [128, 128, 128]})
    assert (said["type"], said["untouched"]) == ("image/jpeg", False)
    assert (said["width"], said["height"]) == (1120, 1493)  # turned: the short side is 5 x 224
    assert said["bytes"] < min(4_000_000, photo.stat().st_size)
    red, _, blue = said["top"]  # its left half is on top once it is turned
    assert red > blue + 60
    red, _, blue = said["bottom"]
    assert blue > red + 60


def test_a_photo_that_has_no_pixels_to_spare_keeps_them(page: Page, tmp_path: Path) -> None:
    photo = noisy_photo(tmp_path / "large.jpg", width=1500, height=1100)
    assert photo.stat().st_size < 4_000_000
    wanted = {"size": 512, "fill": [128, 128, 128]}
    said = as_sent(page, photo, wanted)
    assert said["untouched"]
    pixels = np.random.default_rng(0).integers(0, 255, (1100, 1500, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "large.png")  # 5 MB: more than clouds let through
    said = as_sent(page, tmp_path / "large.png", wanted)
    assert (said["width"], said["height"], said["type"]) == (1500, 1100, "image/jpeg")
    assert said["bytes"] < 4_000_000


def test_what_is_transparent_gets_the_colour_that_the_bundle_names(page: Page, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (900, 1200, 4), dtype=np.uint8)
    pixels[300:600, 400:800, 3] = 0
    Image.fromarray(pixels).save(tmp_path / "holes.png")
    said = as_sent(page, tmp_path / "holes.png", {"size": 100, "fill": [10, 200, 30]})
    assert said["shrunk"]
    assert said["middle"] == pytest.approx([10, 200, 30], abs=6)


def test_what_the_browser_cannot_read_is_sent_as_it_is(page: Page, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (900, 1200, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "scan.tif")
    said = as_sent(page, tmp_path / "scan.tif", {"size": 8, "fill": [128, 128, 128]})
    assert (said["type"], said["untouched"]) == ("image/tiff", True)


def test_a_shrunk_photo_is_answered_and_says_so(page: Page, tmp_path: Path) -> None:
    Image.new("RGB", (2400, 1800), (255, 0, 0)).save(tmp_path / "plain.bmp")
    page.choose("#file", tmp_path / "plain.bmp")
    seen(page, 1)
    assert heading(page) == "red"
    assert "of 13 MB" in page.text("#answer .times")


def test_the_first_bytes_say_what_a_file_is(page: Page, photos: Path, tmp_path: Path) -> None:
    nameless = tmp_path / "photo"
    nameless.write_bytes((photos / "green" / "0.png").read_bytes())
    page.choose("#file", nameless)
    seen(page, 1)
    assert heading(page) == "green"


# ---- Answers --------------------------------------------------------------------------------


def test_not_one_i_know_stands_where_the_label_would_with_the_nearest_as_a_hint(
    page: Page, photos: Path, tmp_path: Path
) -> None:
    size = "(() => {const e = document.querySelector('#answer .label'); const b = e.getBoundingClientRect(); return [b.x, b.y, getComputedStyle(e).fontSize]})()"
    page.choose("#file", photos / "red" / "0.png")
    seen(page, 1)
    of_a_label = page.js(size)
    Image.new("RGB", (30, 20), (9, 3, 3)).save(tmp_path / "dark.png")
    page.choose("#file", tmp_path / "dark.png")
    seen(page, 2)
    assert heading(page) == "Not one I know"
    assert page.js(size) == of_a_label
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
        "top": [{"label": "red_setter", "probability": 0.6}, {"label": "green", "probability": 0.4}],
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
        assert said == "The right one should be among red setter, green, as it is for 95 % of photos."


@pytest.mark.parametrize("label", ["German_Shepherd", "a__b ", "plain", " \t x_y", "_"])
def test_labels_are_read_as_everywhere_in_kennel(page: Page, label: str) -> None:
    said = page.js(f"import('./words.js').then(({{inWords}}) => inWords({json.dumps(label)}))")
    assert said == (in_words(label) or label)


def test_hostile_labels_are_words_and_nothing_else(browser: Browser, photos: Path, tmp_path: Path) -> None:
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


# ---- The model ------------------------------------------------------------------------------


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


# ---- Errors ---------------------------------------------------------------------------------


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


# ---- For everybody --------------------------------------------------------------------------


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


def test_a_phone_and_120_long_labels_fit(browser: Browser, url: str, photos: Path, tmp_path: Path, bundle: Bundle) -> None:
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
