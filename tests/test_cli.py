"""The front door: exit codes, `error:` and `fix:`, one JSON document, predict, completion."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from bundles import COLOURS, tiny_bundle
from PIL import Image

import kennel
from kennel.bundle import Bundle
from kennel.cli import VERBS, main, show
from kennel.errors import KennelError, Stopped, UsageError

KENNEL = [sys.executable, "-m", "kennel"]


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return tiny_bundle(tmp_path / "tiny")


@pytest.fixture(autouse=True)
def a_users_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KENNEL_DEBUG", raising=False)
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)  # it hides errors of the last flush


def outcome(words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `kennel WORDS`."""
    try:
        code = main(words)
    except SystemExit as left:
        code = int(left.code or 0)
    said = capsys.readouterr()
    return code, said.out, said.err


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> list[str]:
    """Words of a verb that raises `error`."""

    def run(_: Any) -> int:
        raise error

    monkeypatch.setattr(show, "run", run)
    return ["show", "x"]


# help and usage


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert outcome(["--version"], capsys) == (0, f"kennel {kennel.__version__}\n", "")


def test_help_names_every_verb_and_what_it_does(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = outcome(["--help"], capsys)
    assert (code, err) == (0, "")
    for verb, summary in VERBS.items():
        assert any(line.split(maxsplit=1) == [verb, summary] for line in out.splitlines()), verb
    assert "example:" in out


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_a_verb_has_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = outcome([verb, "--help"], capsys)
    assert (code, err) == (0, "")
    assert out.startswith(f"usage: kennel {verb}")
    assert f"example:\n  kennel {verb}" in out
    assert "--json" in out


def test_no_words_at_all_show_the_help_as_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = outcome([], capsys)
    assert code == 2
    assert out == outcome(["--help"], capsys)[1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["bark"], "there is no verb 'bark'; there are sample, fetch, index"),
        (["--bark"], "--bark"),
        (["predict"], "BUNDLE"),
        (["predict", "b", "p", "--top", "0"], "'0' is not a whole number from 1"),
        (["predict", "b", "p", "--top", "-1"], "--top"),
        (["predict", "b", "p", "--to"], "--to"),
        (["predict", "b", "p", "--jso"], "--jso"),
        (["evaluate", "b", "--split", "dev"], "'dev'"),
        (["sample", "d", "--labels", "ten"], "'ten'"),
        (["--completion", "fish"], "fish"),
    ],
)
def test_wrong_words_end_with_2_and_a_way_out(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = outcome(words, capsys)
    assert (code, out) == (2, "")
    error, fix = err.splitlines()
    assert error.startswith("error: ")
    assert said in error
    assert fix.startswith("fix: kennel")
    assert fix.endswith("--help")


# errors


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (KennelError("the bowl is empty.", fix="fill it"), 1),
        (UsageError("the bowl is empty.", fix="fill it"), 2),
    ],
)
def test_a_refusal_is_two_lines_and_no_traceback(
    error: KennelError,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = failing(monkeypatch, error)
    assert outcome(words, capsys) == (code, "", "error: the bowl is empty.\nfix: fill it\n")


def test_kennel_debug_shows_the_traceback_above_the_refusal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KENNEL_DEBUG", "1")
    code, _, err = outcome(failing(monkeypatch, KennelError("no.", fix="yes")), capsys)
    assert code == 1
    assert err.startswith("Traceback")
    assert err.endswith("error: no.\nfix: yes\n")


def test_a_bug_of_ours_is_admitted_and_kennel_debug_raises_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = failing(monkeypatch, ZeroDivisionError("division by zero"))
    code, _, err = outcome(words, capsys)
    assert code == 1
    assert "did not foresee: ZeroDivisionError: division by zero." in err
    assert "fix: run it again with KENNEL_DEBUG=1" in err
    assert "Traceback" not in err
    monkeypatch.setenv("KENNEL_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        main(words)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "runs/x"), "runs/x: No space left"),
        (PermissionError(errno.EACCES, "Permission denied", "a.csv"), "a.csv: Permission denied."),
        (OSError("strange"), "error: strange."),
    ],
)
def test_an_error_of_the_system_names_the_file(
    error: OSError, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = failing(monkeypatch, error)
    code, out, err = outcome(words, capsys)
    assert (code, out) == (1, "")
    assert said in err.splitlines()[0]
    assert err.splitlines()[1].startswith("fix: ")
    monkeypatch.setenv("KENNEL_DEBUG", "1")
    with pytest.raises(OSError, match=error.strerror or str(error)):
        main(words)


def test_ctrl_c_ends_with_130_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(_: Any) -> int:
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("went on")

    monkeypatch.setattr(show, "run", run)
    code, out, err = outcome(["show", "x"], capsys)
    assert (code, out) == (130, "")
    assert err.strip() == "stopped: nothing was left half-written."


@pytest.mark.parametrize(("rank", "code"), [("0", 143), ("1", 0)])
def test_of_a_stopped_runs_processes_the_first_says_it_and_no_other_fails(
    rank: str, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lightning kills the first one, in the middle of what it writes, when another fails."""

    def stopped(_: object) -> int:
        raise Stopped("SIGTERM", signal.SIGTERM)

    monkeypatch.setenv("LOCAL_RANK", rank)
    monkeypatch.setattr(show, "run", stopped)
    said, _, complained = outcome(["show", "anything"], capsys)
    assert said == code
    assert ("stopped (SIGTERM)" in complained) == (rank == "0")


@pytest.mark.parametrize("words", [["--help"], ["train", "--help"], ["show", "tiny"]])
def test_a_reader_that_leaves_early_is_no_error(words: list[str], bundle: Bundle) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = subprocess.run(
        [*KENNEL, *words],
        cwd=bundle.path.parent,
        stdout=write_end,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(write_end)
    assert (done.returncode, done.stderr) == (0, b"")


def test_the_command_and_python_m_kennel_are_the_same() -> None:
    command = Path(sys.executable).with_name("kennel")
    outputs = [
        subprocess.run([*words, "--help"], capture_output=True, check=True).stdout
        for words in (KENNEL, [str(command)])
    ]
    assert outputs[0] == outputs[1]
    assert outputs[0].startswith(b"usage: kennel VERB")


def test_the_exit_code_reaches_the_shell() -> None:
    done = subprocess.run([*KENNEL, "bark"], capture_output=True, check=False)
    assert done.returncode == 2


# predict


def test_a_photo_is_answered_in_a_line(
    bundle: Bundle, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = photos / "green" / "0.png"
    code, out, err = outcome(["predict", str(bundle.path), str(photo)], capsys)
    # Logits (0, 8, 0) over temperature 2: e^4 / (e^4 + 2) = 0.9647
    assert (code, err) == (0, "")
    assert out == f"{photo}  green 96.5%, red 1.8%, blue 1.8%\n"


def test_folders_are_answered_file_by_file_in_order(
    bundle: Bundle, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["predict", str(bundle.path), str(photos), str(photos / "red" / "1.png")]
    code, out, _ = outcome([*words, "--top", "1"], capsys)
    assert code == 0
    expected = [
        f"{photos / label / f'{n}.png'}  {label} 96.5%"
        for label in sorted(COLOURS)
        for n in range(4)
    ]
    # The one that is named twice is answered once.
    assert out.splitlines() == expected


def test_what_a_folder_holds_besides_photos_is_passed_over(
    bundle: Bundle, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "mixed"
    shutil.copytree(photos / "red", folder / "red")
    (folder / "notes.txt").write_text("not a photo")
    (folder / ".hidden.png").write_text("not one either")
    (folder / "UPPER.PNG").write_bytes((photos / "red" / "0.png").read_bytes())
    code, out, err = outcome(["predict", str(bundle.path), str(folder)], capsys)
    assert (code, err) == (0, "")
    assert len(out.splitlines()) == 5


@pytest.mark.parametrize(("top", "named"), [("1", 1), ("2", 2), ("99", 3)])
def test_top_says_how_many_labels_are_named(
    bundle: Bundle, photos: Path, top: str, named: int, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["predict", str(bundle.path), str(photos / "blue" / "0.png"), "--top", top, "--json"]
    [row] = json.loads(outcome(words, capsys)[1])
    assert len(row["top"]) == named
    assert row["top"][0] == {"label": row["label"], "probability": row["probability"]}


def test_json_has_an_object_a_photo_and_nothing_else(
    bundle: Bundle, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff")
    good = photos / "red" / "0.png"
    code, out, err = outcome(
        ["predict", str(bundle.path), str(good), str(broken), "--json"], capsys
    )
    assert (code, err) == (0, "")
    answered, refused = json.loads(out)
    assert set(answered) == {"path", "label", "probability", "known", "top", "bundle"}
    assert answered["path"] == str(good)
    assert (answered["label"], answered["known"]) == ("red", True)
    assert answered["bundle"] == bundle.bundle_id
    assert sum(each["probability"] for each in answered["top"]) == pytest.approx(1)
    assert set(refused) == {"path", "error"}
    assert refused["path"] == str(broken)
    assert str(broken) in refused["error"]


def test_what_is_not_known_is_said_to_be_so(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    black = tmp_path / "black.png"
    Image.new("RGB", (9, 9)).save(black)
    words = ["predict", str(bundle.path), str(black)]
    assert "not one I know (nearest: red 33.3%" in outcome(words, capsys)[1]
    assert json.loads(outcome([*words, "--json"], capsys)[1])[0]["known"] is False


def test_a_broken_photo_is_named_and_the_others_are_answered(
    bundle: Bundle, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken, gone = tmp_path / "broken.png", tmp_path / "gone.png"
    broken.write_bytes((photos / "red" / "0.png").read_bytes()[:50])
    words = ["predict", str(bundle.path), str(broken), str(photos / "red"), str(gone)]
    code, out, err = outcome(words, capsys)
    assert code == 0
    assert len(out.splitlines()) == 4
    first, second = err.splitlines()
    assert first.startswith(f"skipped: {broken} ")
    assert second == f"skipped: {gone} does not exist."


def test_it_has_failed_when_no_photo_could_be_answered(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "empty.png"
    empty.touch()
    words = ["predict", str(bundle.path), str(empty), str(tmp_path / "gone.png")]
    code, out, err = outcome(words, capsys)
    assert (code, out) == (1, "")
    assert len(err.splitlines()) == 2
    code, out, _ = outcome([*words, "--json"], capsys)
    assert (code, [set(row) for row in json.loads(out)]) == (1, [{"path", "error"}] * 2)


def test_a_folder_without_a_photo_is_wrong_usage(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    code, _, err = outcome(["predict", str(bundle.path), str(empty)], capsys)
    assert code == 2
    assert f"error: {empty} has no photo in it." in err


def test_an_unknown_bundle_is_refused(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = outcome(["predict", str(tmp_path / "gone"), str(photos)], capsys)
    assert (code, out) == (1, "")
    assert f"error: {tmp_path / 'gone'} is not a bundle" in err


def test_annotated_pictures_are_written_beside_nothing_else(
    bundle: Bundle, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    to = tmp_path / "answers"
    before = {path: path.read_bytes() for path in photos.rglob("*.png")}
    words = ["predict", str(bundle.path), str(photos), "--to", str(to)]
    code, out, _ = outcome(words, capsys)
    assert code == 0
    assert out.splitlines()[-1].split() == ["pictures", str(to)]
    written = sorted(path.relative_to(to) for path in to.rglob("*") if path.is_file())
    assert written == sorted(path.relative_to(photos) for path in before)
    for path in to.rglob("*.png"):
        with Image.open(path) as picture:
            assert picture.format == "PNG"
            assert picture.height > picture.convert("RGB").getbbox()[1] + 300
    assert {path: path.read_bytes() for path in photos.rglob("*.png")} == before


def test_an_annotated_picture_is_never_written_over_the_photo(
    bundle: Bundle, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "own"
    shutil.copytree(photos / "red", folder)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    for words in ([str(folder)], [str(folder / "0.png")]):
        code, _, err = outcome(["predict", str(bundle.path), *words, "--to", str(folder)], capsys)
        assert code == 2
        assert f"error: --to would write over {folder / '0.png'}." in err
        assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_photos_of_the_same_name_get_a_picture_each(
    bundle: Bundle, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(photos / colour / "0.png") for colour in ("red", "green")]
    to = tmp_path / "answers"
    assert outcome(["predict", str(bundle.path), *words, "--to", str(to)], capsys)[0] == 0
    assert sorted(path.name for path in to.iterdir()) == ["0-2.png", "0.png"]


# evaluate, as far as it is the door's


@pytest.mark.parametrize("changed", [False, True])
def test_evaluate_refuses_photos_that_are_not_those_of_the_training(
    changed: bool, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    csv = tmp_path / "dataset.csv"
    if changed:
        assert outcome(["index", str(photos), "--to", str(csv)], capsys)[0] == 0
    bundle = tiny_bundle(tmp_path / "tiny", dataset_csv=str(csv))
    code, _, err = outcome(["evaluate", str(bundle.path)], capsys)
    assert code == 1
    said = "changed since the bundle was trained" if changed else "is not on this machine"
    assert said in err.splitlines()[0]
    assert "--data" in err.splitlines()[1]


@pytest.mark.slow
def test_evaluate_measures_every_split_and_notes_it_in_the_bundle(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    csv = tmp_path / "dataset.csv"
    words = ["index", str(photos), "--to", str(csv), "--fractions", "0.4,0.3,0.3", "--json"]
    indexed = json.loads(outcome(words, capsys)[1])
    bundle = tiny_bundle(tmp_path / "tiny", dataset_csv=str(csv), dataset_id=indexed["dataset_id"])
    code, out, _ = outcome(["evaluate", str(bundle.path), "--json"], capsys)
    assert code == 0
    report = json.loads(out)
    assert json.loads((bundle.path / "report" / "report.json").read_text()) == report
    assert sum(split["n"] for split in report["splits"].values()) == 12
    assert {split["top1"] for split in report["splits"].values()} == {1.0}
    assert report["robustness"]["n"] == report["splits"]["test"]["n"]
    assert [group["name"] for group in report["strangers"]["groups"]] == [
        "noise",
        "screenshots",
        "line drawings",
    ]
    assert [each["by"] for each in report["slices"]] == ["size", "brightness", "sharpness"]
    assert (bundle.path / "report" / "index.html").is_file()
    assert outcome(["show", str(bundle.path)], capsys)[1].count("top1 1.000") == len(
        report["splits"]
    )


def test_evaluate_refuses_a_folder_of_strangers_that_is_none_before_it_measures(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    csv = tmp_path / "dataset.csv"
    assert outcome(["index", str(photos), "--to", str(csv)], capsys)[0] == 0
    bundle = tiny_bundle(tmp_path / "tiny")
    words = ["evaluate", str(bundle.path), "--data", str(csv), "--strangers", str(tmp_path / "no")]
    code, out, err = outcome(words, capsys)
    assert (code, out) == (1, "")
    assert "no, where strangers should be, is not a folder" in err
    assert "answered" not in err


@pytest.mark.slow
def test_evaluate_measures_strangers_and_says_how_many_are_refused(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    csv, strangers = tmp_path / "dataset.csv", tmp_path / "greys"
    assert outcome(["index", str(photos), "--to", str(csv)], capsys)[0] == 0
    strangers.mkdir()
    for level in (0, 60):
        Image.new("RGB", (30, 30), (level, level, level)).save(strangers / f"{level}.png")
    bundle = tiny_bundle(tmp_path / "tiny")
    words = ["evaluate", str(bundle.path), "--data", str(csv), "--no-robustness"]
    code, out, err = outcome([*words, "--strangers", str(strangers)], capsys)
    assert code == 0
    assert "2 strangers of" in err
    [row] = [line for line in out.splitlines() if line.startswith("greys")]
    assert row.split()[1:3] == ["2", "1.000"]
    [folder] = bundle.path.glob("report-*")
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert report["robustness"] is None
    assert report["own_photos"] is False
    assert report["command"].endswith(f"--strangers {strangers} --no-robustness")


# completion


def completed(words: str, *, tmp_path: Path) -> list[str]:
    """What bash offers behind the last of `words`."""
    bash = shutil.which("bash")
    assert bash is not None
    script = f"""
        eval "$(kennel --completion bash)"
        COMP_LINE={words!r}
        COMP_WORDS=($COMP_LINE)
        [[ $COMP_LINE == *' ' ]] && COMP_WORDS+=("")
        COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
        COMP_POINT=${{#COMP_LINE}}
        "$(complete -p kennel | sed 's/.*-F \\([^ ]*\\).*/\\1/')"
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [bash, "--norc", "-c", script],
        env={**os.environ, "PATH": path},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


def test_bash_completes_verbs(tmp_path: Path) -> None:
    assert completed("kennel ", tmp_path=tmp_path) == list(VERBS)
    assert completed("kennel e", tmp_path=tmp_path) == ["export", "evaluate"]


def test_bash_completes_files_behind_other_verbs(tmp_path: Path) -> None:
    (tmp_path / "tiny-bundle").mkdir()
    assert "tiny-bundle" in completed("kennel predict tin", tmp_path=tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("kennel train mod", ["model"]),
        ("kennel train model=mam", ["model=mambaout"]),
        ("kennel train experiment=quick opti", ["optimizer"]),
        ("kennel train data.bat", ["data.batch_size="]),
    ],
)
def test_bash_completes_settings_and_groups_of_train(
    words: str, offered: list[str], tmp_path: Path
) -> None:
    found = completed(words, tmp_path=tmp_path)
    assert found
    for each in offered:
        assert any(word.startswith(each) for word in found), found
    assert all(word.startswith(words.rsplit(maxsplit=1)[-1]) for word in found)


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
def test_zsh_takes_the_completion() -> None:
    script = f'eval "$({sys.executable} -m kennel --completion zsh)"; echo $_comps[kennel]'
    done = subprocess.run(["zsh", "-fc", script], capture_output=True, text=True, check=True)
    assert done.stderr == ""
