"""`kennel report`: the page of an evaluation again, without measuring."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from duels import GREENISH, bundle_on, coloured_index
from measured_bundles import a_run, duellists, measured_bundle, of_run
from PIL import Image

from kennel.bundle import read_bundle, write_json
from kennel.cli import main

PHOTO = "base64,/9j/"  # as every JPEG on a page begins
WRONG = dict.fromkeys(range(0, 30, 3), 1)  # ten Beagles, answered as Golden Retrievers


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return duellists(tmp_path_factory.mktemp("project"))


def outcome(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = main(["report", *map(str, words)])
    out, err = capsys.readouterr()
    return code, out, err


def test_the_page_again_is_the_page_that_evaluate_wrote(
    measured: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = measured / "bundles" / "new"
    before = (folder / "report" / "index.html").read_bytes()
    code, _, err = outcome(capsys, folder, "--to", "again.html")
    assert (code, err) == (0, "")
    assert Path("again.html").read_bytes() == before
    (folder / "report" / "index.html").unlink()
    assert outcome(capsys, folder)[0] == 0
    assert (folder / "report" / "index.html").read_bytes() == before


@pytest.mark.slow
def test_the_page_again_has_all_that_the_verb_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = coloured_index(tmp_path, easy=30, nearly_green=5)
    bundle_on(dataset, Path("bundle"), GREENISH)
    Image.new("RGB", (40, 30), (9, 200, 90)).save(tmp_path / "dataset" / "stranger.png")
    Path("strangers").mkdir()
    (tmp_path / "dataset" / "stranger.png").rename("strangers/one.png")
    assert main(["evaluate", "bundle", "--strangers", "strangers"]) == 0
    capsys.readouterr()
    words = ["bundle", "--to", "again.html", "--strangers", "strangers"]
    assert outcome(capsys, *words)[0] == 0
    assert Path("again.html").read_bytes() == Path("bundle/report/index.html").read_bytes()


def test_the_page_again_measures_nothing(
    measured: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(measured / "bundles" / "new", "copy")
    Path("copy/model.onnx").unlink()
    assert outcome(capsys, "copy", "--to", "again.html")[0] == 0


def test_a_page_without_the_index_has_no_photos_and_says_so(
    capsys: pytest.CaptureFixture[str],
) -> None:
    measured_bundle(Path("new"), wrong=WRONG)
    code, _, err = outcome(capsys, "new")
    assert code == 0
    assert "the page has no photos: " in err
    page = Path("new/report/index.html").read_text(encoding="utf-8")
    assert "83.3" in page
    assert PHOTO not in page


def test_a_report_without_answers_still_has_a_page(capsys: pytest.CaptureFixture[str]) -> None:
    measured_bundle(Path("new"), wrong=WRONG, answers=False)
    assert outcome(capsys, "new")[0] == 0
    page = Path("new/report/index.html").read_text(encoding="utf-8")
    assert "10 photos of 60 answered wrong" in page


def test_the_page_shows_no_file_that_is_not_in_the_index(
    measured: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A report is a stranger's: it may name any picture of this machine."""
    shutil.copytree(measured / "bundles" / "main", "copy")
    private = next((measured / "dataset").rglob("*.png"))
    shutil.copy(private, tmp_path / "private.png")
    said = json.loads(Path("copy/report/report.json").read_text(encoding="utf-8"))
    del said["answers"]
    for mistake in said["splits"]["test"]["mistakes"]:
        mistake["path"] = str(tmp_path / "private.png")
    group = dict(said["strangers"]["groups"][0], seed=None, source=str(tmp_path), name="mine")
    group["most_known"] = [dict(group["most_known"][0], path="private.png")]
    said["strangers"]["groups"] = [group]
    write_json(Path("copy/report/report.json"), said)
    code, _, err = outcome(capsys, "copy", "--to", "page.html")
    assert code == 0
    assert "the page has no photos of the strangers in " in err
    assert PHOTO not in Path("page.html").read_text(encoding="utf-8")
    assert outcome(capsys, "copy", "--to", "page.html", "--strangers", tmp_path)[0] == 0
    assert PHOTO in Path("page.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda said: said.pop("splits"),
        lambda said: said["splits"]["test"].pop("top1"),
        lambda said: said["splits"]["test"].update(confusion=[["x"]]),
        lambda said: said.update(labels=["other", "labels", "here"]),
        lambda said: said.update(headline="train of thought"),
        lambda said: said["strangers"]["groups"][0].update(n=10**9),
        lambda said: said["answers"].update(file="../../bundle.json"),
        lambda said: said.update(bundle_id="another"),
    ],
)
def test_a_report_that_evaluate_did_not_write_is_refused_in_words(
    spoil: Any, measured: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(measured / "bundles" / "new", "copy")
    said = json.loads(Path("copy/report/report.json").read_text(encoding="utf-8"))
    spoil(said)
    write_json(Path("copy/report/report.json"), said)
    code, out, err = outcome(capsys, "copy", "--to", "page.html")
    assert (code, out) == (1, "")
    assert "kennel evaluate copy" in err
    assert "did not foresee" not in err
    assert not Path("page.html").exists()
    assert main(["report", "copy", "--markdown"]) == 0  # it tells what bundle.json keeps


def test_a_bundle_that_was_not_measured_has_no_page(
    capsys: pytest.CaptureFixture[str],
) -> None:
    measured_bundle(Path("new"))
    shutil.rmtree("new/report")
    code, _, err = outcome(capsys, "new")
    assert code == 1
    assert "fix: measure it: kennel evaluate new" in err


CONFIG = "seed: 0\n"


def test_the_page_of_a_run_is_that_of_its_newest_measured_bundle(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = a_run(Path("runs/one"), CONFIG)
    code, _, err = outcome(capsys, "runs/one")
    assert code == 2
    assert "fix: kennel export runs/one" in err
    of_run(run, Path("bundles/old"), created_utc="2026-11-01T00:00:00Z")
    of_run(run, Path("bundles/new"), created_utc="2026-11-02T00:00:00Z")
    code, out, _ = outcome(capsys, "runs/one")
    assert code == 0
    assert "bundles/new" in out
    assert Path("bundles/new/report/index.html").is_file()
    assert read_bundle(Path("bundles/new")).bundle_id == "new"
