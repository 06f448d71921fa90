"""`kennel show --verify`: each checksum matches, differs, or cannot be reached; and why."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from lines import FIGURES, Line, git, write_line

from kennel.bundle import MODEL_ONNX, write_bundle
from kennel.cli import main
from kennel.pedigree.proof import checks_of
from kennel.run import BEST_WEIGHTS, CONFIG_YAML, read_run


def states(line: Line, path: str = "bundle") -> dict[str, str]:
    of = line.bundle if path == "bundle" else read_run(line.run.path)
    return {check.name: check.state for check in checks_of(of, project=line.project)}


def append(path: Path, more: bytes = b"x") -> None:
    with path.open("ab") as file:
        file.write(more)


def test_a_whole_line_matches_from_the_bundle_to_the_photos(line: Line) -> None:
    assert states(line) == {
        "bundle.json": "matches",
        MODEL_ONNX: "matches",
        CONFIG_YAML: "matches",
        BEST_WEIGHTS: "matches",
        "commit": "not reachable",  # it was trained outside of a repository
        "index": "matches",
        "photos": "matches",
    }
    assert states(line, "run") == {
        name: state
        for name, state in states(line).items()
        if name not in ("bundle.json", MODEL_ONNX)
    }


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ("bundles/first/model.onnx", MODEL_ONNX),
        ("runs/first/config.yaml", CONFIG_YAML),
        ("runs/first/checkpoints/best.safetensors", BEST_WEIGHTS),
        ("data/dataset.csv", "index"),
        ("photos/red/1.png", "photos"),
    ],
)
def test_one_changed_file_is_named_and_ends_with_1(
    line: Line, changed: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    append(line.project / changed)
    assert [found for found, state in states(line).items() if state == "differs"] == [name]
    assert main(["show", "bundles/first", "--verify"]) == 1
    said = capsys.readouterr().out
    [row] = [row for row in said.splitlines() if row.startswith("differs")]
    assert name in row
    assert ", 1 differs, " in said.splitlines()[-1]


@pytest.mark.parametrize(
    ("gone", "name"),
    [
        ("bundles/first/model.onnx", MODEL_ONNX),
        ("runs/first/checkpoints/best.safetensors", BEST_WEIGHTS),
        ("photos/red/1.png", "photos"),
    ],
)
def test_a_missing_file_where_it_should_be_differs(line: Line, gone: str, name: str) -> None:
    (line.project / gone).unlink()
    assert states(line)[name] == "differs"


def test_what_is_on_another_machine_is_counted_and_no_failure(
    line: Line, capsys: pytest.CaptureFixture[str]
) -> None:
    for gone in ("photos", "data", "runs"):
        shutil.rmtree(line.project / gone)
    assert main(["show", "bundles/first", "--verify", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["count"] == {"matches": 2, "differs": 0, "not reachable": 5}
    assert {check["name"] for check in document["checks"] if check["state"] != "matches"} == {
        *(CONFIG_YAML, BEST_WEIGHTS, "commit", "index", "photos"),
    }


def test_photos_that_are_gone_are_not_reachable_and_their_index_still_is(line: Line) -> None:
    shutil.rmtree(line.project / "photos")
    found = states(line)
    assert (found["index"], found["photos"]) == ("matches", "not reachable")


def test_an_index_that_lies_elsewhere_now_can_be_named(
    line: Line, capsys: pytest.CaptureFixture[str]
) -> None:
    (line.project / "data").rename(line.project / "moved")
    assert main(["show", "bundles/first", "--verify"]) == 0
    assert "is not here: --data CSV names another place" in capsys.readouterr().out
    assert main(["show", "bundles/first", "--verify", "--data", "moved/dataset.csv"]) == 0
    assert "2 not reachable" not in capsys.readouterr().out


def test_a_bundle_json_that_was_changed_is_believed_in_nothing(
    line: Line, capsys: pytest.CaptureFixture[str]
) -> None:
    document = line.bundle.path / "bundle.json"
    text = document.read_text(encoding="utf-8")
    document.write_text(text.replace('"seed": 7', '"seed": 8'), encoding="utf-8")
    assert main(["show", "bundles/first", "--verify"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "was changed after it was exported: its own checksum" in said.err


def test_a_report_with_other_figures_than_the_bundle_differs(line: Line) -> None:
    figures = {"n": FIGURES.n, "top1": FIGURES.top1}
    document = {
        "bundle_id": line.bundle.bundle_id,
        "dataset_id": line.dataset.dataset_id,
        "created_utc": "",
    }
    report = line.bundle.path / "report" / "report.json"
    report.parent.mkdir()
    for top1, state in ((FIGURES.top1, "matches"), (0.99, "differs")):
        splits = {"test": {**figures, "top1": top1}}
        report.write_text(json.dumps({**document, "splits": splits}), encoding="utf-8")
        assert states(line)["report/report.json"] == state


# The commit


@pytest.fixture
def committed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Line:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text("1\n", encoding="utf-8")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "train.py")
    git(tmp_path, "commit", "-qm", "Code")
    return write_line(tmp_path, commit=git(tmp_path, "rev-parse", "HEAD"))


def test_a_commit_that_is_checked_out_matches(committed: Line) -> None:
    found = states(committed)
    assert (found["commit"], found["code"]) == ("matches", "matches")


def test_later_work_makes_the_code_unreachable_and_names_the_files(
    committed: Line, capsys: pytest.CaptureFixture[str]
) -> None:
    (committed.project / "train.py").write_text("2\n", encoding="utf-8")
    for _ in range(2):  # not committed, and committed
        found = states(committed)
        assert (found["commit"], found["code"]) == ("matches", "not reachable")
        git(committed.project, "commit", "-qam", "Later")
        git(committed.project, "commit", "-q", "--allow-empty", "-m", "Later still")
        (committed.project / "train.py").write_text("3\n", encoding="utf-8")
    assert main(["show", "bundles/first", "--verify"]) == 0
    assert "(train.py): git checkout " in capsys.readouterr().out


def test_uncommitted_changes_of_then_cannot_be_reached(committed: Line) -> None:
    dirty = replace(committed.bundle, lineage=replace(committed.bundle.lineage, dirty=True))
    found = {check.name: check.state for check in checks_of(dirty, project=committed.project)}
    assert (found["commit"], found["code"]) == ("matches", "not reachable")


@pytest.mark.parametrize("commit", ["0" * 40, "--output=canary", "HEAD", "a;touch canary"])
def test_a_commit_that_is_not_here_is_not_reachable_and_no_option_of_git(
    committed: Line, commit: str
) -> None:
    odd = replace(committed.bundle, lineage=replace(committed.bundle.lineage, git_commit=commit))
    write_bundle(odd)
    found = {check.name: check.state for check in checks_of(odd, project=committed.project)}
    assert found["commit"] == "not reachable"
    assert "code" not in found
    assert not (committed.project / "canary").exists()
