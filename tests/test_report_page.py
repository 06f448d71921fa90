"""The page of a report: what it shows, that it loads nothing, and that hostile names do nothing."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kennel.bundle import Conformal, Preprocess, Rejection
from kennel.evaluate import Outputs, SplitReport
from kennel.metrics import measure
from kennel.report import Birth, Examination, Judged
from kennel.report.document import document
from kennel.report.page import render
from kennel.robustness import Level, Robustness, Series
from kennel.slices import by_value
from kennel.strangers import Judge, drawn, known_photos

LABELS = ("Beagle", "Golden_Retriever", "Poodle")
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>'\"&{{ 7 * 7 }}$%"
PREPROCESS = Preprocess(size=16, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), resize="squash")
REJECTION = Rejection("energy", 2.0, 0.05, "validation", 40)
BIRTH = Birth("20261123-ab12", "d" * 64, "2026-11-23T08:00:00Z", {"kennel": "0"}, {"cpu": "two"}, 7)


class Page(HTMLParser):
    """Tags, addresses, text, and what stands in scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text, self.scripts = "", [""]
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        self._inside = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts[-1] += data
        elif self._inside != "style":
            self.text += data

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.attributes if key == name]


def split(name: str, *, labels: tuple[str, ...] = LABELS, n: int = 12, wrong: int = 3) -> Judged:
    """n photos of all labels but the last; the first few are taken for the next label."""
    truth = np.arange(n) % max(1, len(labels) - 1)
    answer = np.where(np.arange(n) < wrong, (truth + 1) % len(labels), truth)
    rng = np.random.default_rng(0)
    logits = (rng.normal(size=(n, len(labels))) + 9 * np.eye(len(labels))[answer]).astype(
        np.float32
    )
    report = SplitReport(
        split=name,
        labels=labels,
        figures=measure(logits, truth, resamples=20),
        paths=tuple(f"{labels[of]}/{at}.png" for at, of in enumerate(truth)),
        truth=truth,
        logits=logits,
        skipped=(),
        images_per_s=1.0,
        temperature=1.5,
        scores=logits.max(axis=1).astype(np.float64),
    )
    return Judged(report, REJECTION, Conformal(0.9, 0.2, "validation", 40))


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    Image.new("RGB", (40, 30), (200, 120, 60)).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def page_of(photo: Path, *splits: Judged, examination: Examination | None = None) -> str:
    examination = examination or Examination()
    said = json.loads(json.dumps(document(splits, examination, BIRTH, own=True)))
    answers = {judged.report.split: judged.answers() for judged in splits}
    return render(said, answers, file=lambda path: photo, preprocess=PREPROCESS)


def test_the_headline_has_its_interval_and_n(photo: Path) -> None:
    page = Page(page_of(photo, split("test"), split("train")))
    said = " ".join(page.text.split())
    assert "75.0 % of 12 test photos answered right: 46.8 to 91.1 % at 95 %" in said
    assert "Train flatters" in said


def test_the_page_loads_nothing_and_runs_only_its_own_script(photo: Path) -> None:
    text = page_of(photo, split("test"))
    page = Page(text)
    policy = next(value for value in page.all("content") if "default-src" in value)
    _, data, script = page.scripts
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy == (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'"
    )
    assert json.loads(data)["labels"] == ["Beagle", "Golden Retriever", "Poodle"]
    assert all(src.startswith("data:image/jpeg;base64,") for src in page.all("src"))
    assert not re.search(r"https?://|url\(|@import", text)
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert not set(page.tags) & {"link", "iframe", "object", "base", "form"}


def test_hostile_names_are_shown_as_text(photo: Path) -> None:
    labels = (HOSTILE, "</script><b>", "Poodle")
    judged = split("test", labels=labels)
    text = page_of(photo, judged, examination=examined(judged))
    page = Page(text)
    assert page.tags.count("script") == 2
    assert "<script>alert(1)</script>" in page.text
    assert "{{ 7 * 7 }}" in page.text
    assert "onerror" not in {name for name, _ in page.attributes}
    assert json.loads(page.scripts[1])["labels"][:2] == [HOSTILE, "</script><b>"]


def test_every_cell_with_photos_is_a_button_that_knows_them(photo: Path) -> None:
    page = Page(page_of(photo, split("test"), split("validation", wrong=0)))
    keys = page.all("data-cell")
    assert sorted(key for key in keys if key.startswith("test")) == [
        "test.0.0",
        "test.0.1",
        "test.1.1",
        "test.1.2",
    ]
    shown = json.loads(page.scripts[1])["cells"]
    assert set(shown) == set(keys)
    path, src, probability, known = shown["test.1.2"][0]
    assert path == "Golden_Retriever/1.png"
    assert src.startswith("data:image/jpeg;base64,")
    assert 0 < probability <= 1
    assert known is True


def test_a_label_without_photos_is_a_dash_and_not_0(photo: Path) -> None:
    text = page_of(photo, split("test"))
    [row] = [
        row for row in re.findall(r"<tr>.*?</tr>", text, re.S) if '<td class="n">0</td>' in row
    ]
    assert "Poodle" in row
    assert row.count("–") == 3
    assert "%" not in row


def test_mistakes_are_shown_with_what_was_seen(photo: Path) -> None:
    page = Page(page_of(photo, split("test")))
    assert page.all("class").count("seen") == 3
    assert "taken for Golden Retriever" in page.text
    assert page.all("class").count("error") == 3  # not one of them is refused


def test_a_photo_that_went_away_is_no_reason_to_fail(photo: Path) -> None:
    judged = split("test")
    photo.unlink()
    page = Page(page_of(photo, judged))
    assert page.text.count("no picture") == 3


@pytest.mark.parametrize("wrong", [0, 12])
def test_all_right_and_all_wrong_are_shown(wrong: int, photo: Path) -> None:
    text = page_of(photo, split("test", wrong=wrong))
    assert ("There is none: every test photo is answered right." in text) == (wrong == 0)


def test_one_label_in_a_split_is_shown(photo: Path) -> None:
    text = page_of(photo, split("test", labels=("Beagle", "Poodle"), n=4, wrong=1))
    assert "Beagle is taken for Poodle in 1 of 4" in text


def test_a_hundred_and_twenty_labels_and_many_photos_stay_under_5_mb(photo: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)
    Image.fromarray(noise).save(photo)
    labels = tuple(f"a_breed_with_a_long_name_{at}" for at in range(120))
    judged = split("test", labels=labels, n=1500, wrong=500)
    text = page_of(photo, judged, replace_split(judged, "train"))
    assert len(text.encode()) < 5_000_000
    page = Page(text)
    assert page.all("data-cell").count("test.0.0") == 1
    assert "Labels that are taken for each other stand together" in page.text


def replace_split(judged: Judged, name: str) -> Judged:
    return replace(judged, report=replace(judged.report, split=name))


class Bright:
    def __init__(self, labels: tuple[str, ...]) -> None:
        self.labels = labels

    def outputs(self, batch: np.ndarray) -> Outputs:
        return Outputs(batch.mean(axis=(2, 3)))


def examined(judged: Judged) -> Examination:
    classifier = Bright(judged.report.labels)
    score = lambda logits, features: logits.max(axis=1).astype(np.float64)  # noqa: E731
    judge = Judge(classifier, PREPROCESS, 1.5, "energy", score, 2.0, 0.05)
    known = known_photos(judge, judged.report, judged.report)
    level = Level(7.0, 0.25, (0.1, 0.5))
    return Examination(
        slicings=(by_value("size", "pixels", np.arange(12.0), judged.right),),
        robustness=Robustness(
            "test", 12, 40, 0, 0.75, (0.5, 0.9), (Series("blur", "sigma {:g}", (level,) * 5),)
        ),
        known=known,
        strangers=(drawn(judge, known, "screenshots", n=3),),
    )


def test_strangers_slices_and_spoiled_photos_are_shown_with_n(photo: Path) -> None:
    judged = split("test")
    text = page_of(photo, judged, examination=examined(judged))
    said = " ".join(Page(text).text.split())
    assert "screenshots: those that look most known" in said
    assert "Blur hurts most. Over all ways and strengths 25.0 %" in said
    assert "12 photos drawn from 40 with seed 0" in said
    assert "n 3" in said


def test_what_was_not_measured_is_not_on_the_page(photo: Path) -> None:
    text = page_of(photo, split("test"))
    for title in ("Strangers", "Are some photos harder", "How much a photo may suffer"):
        assert f"<h2>{title}" not in text
