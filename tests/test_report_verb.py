"""`kennel report --markdown`: what the text for a pull request says."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from measured_bundles import DOGS, duellists, measured_bundle
from report_text import LOST, outcome, rows, text, told

from kennel.bundle import write_json
from kennel.cli import main
from kennel.comment import MARKER


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_marker_is_the_first_line_and_the_verdict_the_next_words(
    capsys: pytest.CaptureFixture[str],
) -> None:
    measured_bundle(Path("main"), wrong=LOST)
    measured_bundle(Path("new"))
    lines = [line for line in text(capsys, "new", "--against", "main").splitlines() if line]
    assert lines[0] == MARKER == "<!-- kennel-report -->"
    assert lines[1].startswith("### Better: top1 +0.167 (+0.0")
    assert lines[1].endswith("on 60 test photos")
    assert lines[2] == "**This** is bundle `new`, **the other** bundle `main`."
    assert "10 photos are right by this alone, 0 by the other alone: exact McNemar p" in lines[3]


def test_a_worse_one_is_called_worse(capsys: pytest.CaptureFixture[str]) -> None:
    measured_bundle(Path("main"))
    measured_bundle(Path("new"), wrong=LOST)
    said = text(capsys, "new", "--against", "main")
    assert "### Worse: top1 -0.167 (-0.2" in said
    assert "not shown to lose less than 3 points" in said


def test_a_difference_that_chance_may_give_is_not_called_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    measured_bundle(Path("main"), wrong={0: 1, 3: 1})
    measured_bundle(Path("new"), wrong={1: 0})
    assert "### No difference shown: top1 +0.017 (-0." in text(capsys, "new", "--against", "main")


def test_one_model_twice_is_said_to_be_one(capsys: pytest.CaptureFixture[str]) -> None:
    measured_bundle(Path("main"), wrong=LOST)
    measured_bundle(Path("new"), wrong=LOST)
    said = text(capsys, "new", "--against", "main")
    assert "### No difference shown" in said
    assert "Both are one model: they cannot differ." in said


def test_without_answers_there_is_no_paired_test_and_that_is_said(
    capsys: pytest.CaptureFixture[str],
) -> None:
    measured_bundle(Path("main"), answers=False)
    measured_bundle(Path("new"), wrong=LOST)
    said = text(capsys, "new", "--against", "main")
    assert (
        "### Not comparable: the other has no answers photo by photo: its report is of an older "
        "Kennel; kennel evaluate writes them" in said
    )
    assert "There is no paired test" in said
    n, top1 = rows(said, "test photos")["n"], rows(said, "test photos")["top1"]
    assert n == ["60", "60", "unpaired"]
    assert top1[0].startswith("0.833 (0.7")
    assert top1[1].startswith("1.000 (0.9")
    assert top1[2] == "-0.167, unpaired"
    assert rows(said, "found (recall)")["Beagle"][-1] == "-0.500, unpaired"


def test_figures_without_a_report_are_those_of_the_bundle(
    capsys: pytest.CaptureFixture[str],
) -> None:
    measured_bundle(Path("main"))
    shutil.rmtree("main/report")
    measured_bundle(Path("new"))
    said = text(capsys, "new", "--against", "main")
    assert "Not comparable: the other has no answers photo by photo: it has no report" in said
    assert "The other has no report of its own photos" in said
    assert rows(said, "test photos")["top1"][1].startswith("1.000 (0.9")


def test_bundles_without_a_common_photo_are_not_comparable(
    capsys: pytest.CaptureFixture[str],
) -> None:
    measured_bundle(Path("main"), photos="earlier", dataset_id="e" * 64)
    measured_bundle(Path("new"))
    said = text(capsys, "new", "--against", "main")
    assert "### Not comparable: they have no test photo in common" in said


def test_bundles_without_two_common_labels_are_not_comparable(
    capsys: pytest.CaptureFixture[str],
) -> None:
    measured_bundle(Path("main"), labels=("Beagle", "cat", "cow"))
    measured_bundle(Path("new"))
    said = text(capsys, "new", "--against", "main")
    assert "### Not comparable: they have 1 of their labels in common" in said


def test_one_bundle_alone_is_told_by_its_figures(capsys: pytest.CaptureFixture[str]) -> None:
    measured_bundle(Path("new"), wrong=LOST)
    said = text(capsys, "new")
    assert "### top1 0.833 (0.720 to 0.907) on 60 test photos" in said
    assert "the other" not in said


# ---- the paired test


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return duellists(tmp_path_factory.mktemp("project"))


def test_the_paired_test_is_that_of_compare_without_asking_a_model(
    measured: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = measured / "bundles" / "main", measured / "bundles" / "new"
    capsys.readouterr()
    assert main(["compare", str(first), str(second), "--json"]) == 0
    compared = json.loads(capsys.readouterr().out)
    said = told(capsys, second, "--against", first)
    paired = said["paired"]["test"]
    assert said["verdict"]["word"] == compared["verdict"] == "better"
    assert (paired["n"], paired["p"]) == (compared["n"], compared["p"])
    assert (paired["only_against"], paired["only_this"]) == (0, 20)
    for name, found in paired["figures"].items():
        other = compared["figures"][name]
        assert found["against"] == pytest.approx(other["first"], abs=1e-12)
        assert found["this"] == pytest.approx(other["second"], abs=1e-12)
        assert found["interval"] == pytest.approx(other["interval"], abs=1e-12)


def test_photos_that_only_one_met_do_not_judge_and_are_counted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    measured_bundle(Path("main"), n=60, dataset_id="e" * 64)
    measured_bundle(Path("new"), n=90, wrong=LOST | dict.fromkeys(range(61, 90, 3), 0))
    said = text(capsys, "new", "--against", "main")
    assert "on 60 test photos" in said
    assert "10 by the other alone" in said
    assert "Differences are without 30 test photos: only this was measured on them." in said
    assert rows(said, "test photos")["n"] == ["90", "60", "60 answered by both"]


def test_photos_that_got_another_label_do_not_judge(capsys: pytest.CaptureFixture[str]) -> None:
    measured_bundle(Path("main"), labels=DOGS)
    measured_bundle(Path("new"), labels=(DOGS[1], DOGS[0], DOGS[2]), dataset_id="e" * 64)
    said = text(capsys, "new", "--against", "main")
    assert "Differences are without 40 test photos: they have another label now." in said


def test_answers_of_another_evaluation_are_not_believed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    measured_bundle(Path("main"))
    measured_bundle(Path("new"), wrong=LOST)
    shutil.copy("main/report/answers.csv", "new/report/answers.csv")
    said = text(capsys, "new", "--against", "main")
    assert "### Not comparable: this has no answers photo by photo: those beside its report" in said


def test_a_report_that_says_other_figures_than_its_bundle_is_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    measured_bundle(Path("new"), wrong=LOST)
    said = json.loads(Path("new/report/report.json").read_text())
    said["splits"]["test"]["top1"] = 1.0
    write_json(Path("new/report/report.json"), said)
    assert "This has a report with other figures than its bundle.json." in text(capsys, "new")


# ---- what changed


def test_the_labels_that_lost_most_stand_first(capsys: pytest.CaptureFixture[str]) -> None:
    measured_bundle(Path("main"), wrong={1: 0, 4: 0})
    measured_bundle(Path("new"), wrong=LOST)
    found = rows(text(capsys, "new", "--against", "main"), "found (recall)")
    assert list(found) == ["Beagle", "Golden Retriever"]
    assert found["Beagle"][:3] == ["20", "0.500", "1.000"]
    assert found["Beagle"][3].startswith("-0.500 (-0.7")
    assert found["Beagle"][4] == "10, 0"
    assert found["Golden Retriever"][4] == "0, 2"


def test_of_many_labels_the_worst_and_the_best_are_shown(
    capsys: pytest.CaptureFixture[str],
) -> None:
    labels = [f"breed {chr(97 + at // 26)}{chr(97 + at % 26)}" for at in range(40)]
    half = {at: (at + 1) % 40 for at in range(20)}
    measured_bundle(Path("main"), labels=labels, n=120, wrong={at + 20: at for at in range(20)})
    measured_bundle(Path("new"), labels=labels, n=120, wrong=half)
    said = text(capsys, "new", "--against", "main")
    found = list(rows(said, "found (recall)").values())
    assert len(found) == 10
    assert [row[-1] for row in found] == ["1, 0"] * 7 + ["0, 1"] * 3
    assert "30 more labels moved less." in said


def test_to_writes_the_text_and_says_how_to_post_it(capsys: pytest.CaptureFixture[str]) -> None:
    measured_bundle(Path("new"))
    code, out, _ = outcome(capsys, "new", "--markdown", "--to", "out/comment.md")
    assert code == 0
    assert out.splitlines()[-1] == "next: gh pr comment --body-file out/comment.md"
    written = Path("out/comment.md").read_text(encoding="utf-8")
    assert written.replace("\u00a0", " ") == text(capsys, "new")


def test_json_has_every_figure_and_the_text(capsys: pytest.CaptureFixture[str]) -> None:
    measured_bundle(Path("main"))
    measured_bundle(Path("new"), wrong=LOST)
    document = told(capsys, "new", "--against", "main")
    written = document["markdown"].replace("\u00a0", " ")
    assert written == text(capsys, "new", "--against", "main")
    assert document["verdict"]["word"] == "worse"
    assert document["this"]["figures"]["test"]["top1"] == pytest.approx(50 / 60)
    assert document["paired"]["test"]["labels"][0]["only_against"] == 10


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["new", "--against", "new"], "--markdown"),
        (["new", "--price", "1"], "--markdown"),
        (["new", "--markdown", "--data", "x.csv"], "leave out --data"),
        (["new", "--markdown", "--strangers", "x"], "leave out --strangers"),
        (["nothing"], "neither a run nor a bundle"),
        (["new", "--markdown", "--against", "nothing"], "neither a run nor a bundle"),
    ],
)
def test_words_that_do_not_go_together_are_wrong_usage(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    measured_bundle(Path("new"))
    code, out, err = outcome(capsys, *words)
    assert (code, out) == (2, "")
    assert says in err


def test_a_text_needs_neither_a_model_nor_what_draws_pages(tmp_path: Path) -> None:
    measured_bundle(Path("main"), wrong=LOST)
    measured_bundle(Path("new"))
    code = (
        "import sys; from kennel.cli import main; "
        "main(['report', 'new', '--against', 'main', '--markdown']); "
        "heavy = {'torch', 'onnxruntime', 'hydra', 'matplotlib', 'jinja2', 'fastapi', 'gradio'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout.splitlines()[-1] == "[]"
