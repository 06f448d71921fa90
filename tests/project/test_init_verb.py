"""`kennel init` makes a project of the repository's own files, under git and DVC."""

from __future__ import annotations

import configparser
import hashlib
import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

import kennel
from kennel.cli import main
from kennel.errors import UsageError
from kennel.project.begin import begin
from kennel.project.requirement import requirement
from kennel.project.templates import checkout, templates

ROOT = Path(__file__).parents[2]
BUILT = f"kennel_ml-{kennel.__version__}-py3-none-any.whl"
FOLDERS = "benchmarks|conf|docker|docs|locks|src|tests|tools"


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def params(project: Path) -> dict[str, object]:
    values: dict[str, object] = yaml.safe_load((project / "params.yaml").read_text("utf-8"))
    return values


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """A file that is called as a wheel of this Kennel."""
    path = tmp_path / "elsewhere" / BUILT
    path.parent.mkdir()
    path.write_bytes(b"a wheel")
    return path


def test_it_says_what_it_made_and_what_to_type_next(
    tmp_path: Path,
    photos: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["init", "my dogs", "--photos", str(photos)]) == 0
    said = capsys.readouterr().out
    assert re.search(r"^project   my dogs, \d\d+ files$", said, re.MULTILINE)
    assert f"photos    {photos}: 12 of 3 labels, where they are" in said
    assert re.search(r"^git       main, commit [0-9a-f]{7,}$", said, re.MULTILINE)
    assert said.splitlines()[-1] == "next: cd 'my dogs' && make setup; README.md says the rest"


def test_json_says_it_to_scripts(
    tmp_path: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", str(tmp_path / "dogs"), "--photos", str(photos), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["dir"] == str(tmp_path / "dogs")
    assert said["counts"] == {"blue": 4, "green": 4, "red": 4}
    assert said["branch"] == "main"
    tracked = git(tmp_path / "dogs", "ls-files").split()
    assert sorted(tracked) == said["files"]
    assert {"README.md", "Makefile", "conf/experiment/mine.yaml", "kennel.txt"} <= {*tracked}


def test_photos_are_named_by_their_path_and_neither_copied_nor_touched(
    tmp_path: Path, photos: Path
) -> None:
    link = tmp_path / "my photos"
    link.symlink_to(photos)
    before = {path: path.stat().st_mtime_ns for path in photos.rglob("*")}
    assert main(["init", str(tmp_path / "dogs"), "--photos", str(link)]) == 0
    assert params(tmp_path / "dogs")["photos"] == str(link)  # the name that was given
    assert {path: path.stat().st_mtime_ns for path in photos.rglob("*")} == before
    assert not [
        path for path in (tmp_path / "dogs").rglob("*.*") if path.suffix in {".jpg", ".png"}
    ]
    told = (tmp_path / "dogs/README.md").read_text("utf-8")
    assert f"curl --form image=@'{link}/blue/" in told


def test_a_path_of_photos_is_the_same_from_wherever_it_was_named(
    tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photos.parent)
    assert main(["init", str(tmp_path / "dogs"), "--photos", photos.name]) == 0
    assert params(tmp_path / "dogs")["photos"] == str(photos)


def test_a_folder_without_photos_is_refused_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    for folder in ("empty", "none"):
        assert main(["init", str(tmp_path / "dogs"), "--photos", str(tmp_path / folder)]) == 1
        assert folder in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def test_without_photos_the_pipeline_draws_some_and_with_photos_it_does_not(
    tmp_path: Path, photos: Path
) -> None:
    begin(tmp_path / "drawn")
    main(["init", str(tmp_path / "own"), "--photos", str(photos)])
    stages = [
        list(yaml.safe_load((tmp_path / name / "dvc.yaml").read_text("utf-8"))["stages"])
        for name in ("drawn", "own")
    ]
    assert stages[0] == ["sample", *stages[1]]
    assert params(tmp_path / "drawn")["photos"] == "data/sample"
    assert "sample" not in params(tmp_path / "own")


def test_its_files_are_the_repository_s_own_and_its_pipeline_names_no_code_of_kennel(
    tmp_path: Path,
) -> None:
    begun = begin(tmp_path / "dogs")
    shared = [each for each in templates() if each.shared]
    assert {each.path for each in shared} < {*begun.files}
    same = [
        each.path
        for each in shared
        if (tmp_path / "dogs" / each.path).read_bytes() == (ROOT / each.path).read_bytes()
    ]
    assert {"locks/train.lock", "tools/demo", ".gitignore", ".dvc/plots/epochs.json"} <= {*same}
    told = params(tmp_path / "dogs")
    assert (told["code"], told["libraries"]) == ("kennel.txt", "locks")
    for name in begun.files:
        made = tmp_path / "dogs" / name
        assert os.access(made, os.X_OK) == os.access(ROOT / name, os.X_OK), name
        assert "<kennel>" not in made.read_text("utf-8"), name


def test_a_project_names_no_file_that_it_does_not_have(tmp_path: Path) -> None:
    begun = begin(tmp_path / "dogs")
    written = {"conf/experiment/best.yaml", "conf/space"}  # by `kennel tune`, and by users
    missing = []
    for name in begun.files:
        text = (tmp_path / "dogs" / name).read_text("utf-8")
        for named in re.findall(rf"(?<![\w./${{}}-])(?:{FOLDERS})/[\w./-]*[\w/]", text):
            there = any(each.startswith(named) for each in begun.files)  # locks/torch$(...)
            if not there and named not in written:
                missing.append(f"{name}: {named}")
    assert missing == []


def test_containers_of_a_project_see_its_photos_and_images_are_made_of_the_kennel_it_pins(
    tmp_path: Path, photos: Path
) -> None:
    link = tmp_path / 'my "$photos"'
    link.symlink_to(photos)
    assert main(["init", str(tmp_path / "My Dogs"), "--photos", str(link)]) == 0
    begin(tmp_path / "drawn")
    own, drawn = (
        yaml.safe_load((tmp_path / name / "compose.yml").read_text("utf-8"))
        for name in ("My Dogs", "drawn")
    )
    assert (own["name"], drawn["name"]) == ("my-dogs", "drawn")
    assert own["x-photos"]["source"] == "${PHOTOS:-" + str(link).replace("$", "$$") + "}"
    assert own["services"]["train"]["command"].startswith("data.csv=null data.photos=/photos ")
    assert drawn["services"]["train"]["command"].startswith(
        "data.csv=null ${PHOTOS:+data.photos=/photos} "
    )
    assert all("experiment=quick" not in str(each) for each in own["services"].values())
    for name in ("serve", "ui", "train"):
        steps = (tmp_path / "drawn" / "docker" / f"{name}.Dockerfile").read_text("utf-8")
        assert "COPY src" not in steps
        assert "install --no-deps -r kennel.txt" in steps
    seen = (tmp_path / "drawn" / ".dockerignore").read_text("utf-8").splitlines()
    assert {"!kennel.txt", "!wheels", "!locks", "!docker"} == {s for s in seen if s[0] == "!"}


def test_workflows_of_a_project_check_and_train_what_it_has(tmp_path: Path) -> None:
    begin(tmp_path / "dogs")
    folder = tmp_path / "dogs" / ".github" / "workflows"
    flows = {path.stem: yaml.safe_load(path.read_text("utf-8")) for path in folder.iterdir()}
    assert flows.keys() == {*("check", "evaluate", "inference", "on-gpu", "sweep", "train", "tune")}
    assert list(flows["check"]["jobs"]) == ["check", "images"]
    inputs = flows["train"][True]["workflow_dispatch"]["inputs"]  # YAML 1.1 reads `on` as yes
    assert inputs["experiment"]["default"] == "mine"
    verbs = (tmp_path / "dogs" / "Makefile").read_text("utf-8")
    for flow in flows.values():
        for job in flow["jobs"].values():
            for step in job.get("steps", []):
                words = step.get("run", "make setup").split()
                assert words[0] == "make"
                assert re.search(rf"^{words[1]}:", verbs, re.MULTILINE), words


def test_make_help_of_a_project_lists_every_verb(tmp_path: Path) -> None:
    begin(tmp_path / "dogs")
    text = (tmp_path / "dogs/Makefile").read_text("utf-8")
    [verbs] = re.findall(r"^\.PHONY: ((?:.*\\\n)*.*)", text, re.MULTILINE)
    listed = verbs.replace("\\\n", " ").split()
    done = subprocess.run(
        ["make", "--no-print-directory", "help"],
        cwd=tmp_path / "dogs",
        check=True,
        capture_output=True,
        text=True,
    )
    rows = [row.split(maxsplit=2) for row in done.stdout.splitlines()]
    assert [name for _, name, _ in rows] == listed
    told = (tmp_path / "dogs/README.md").read_text("utf-8")
    named = {a or b for a, b in re.findall(r"^make ([a-z-]+)|`make ([a-z-]+)", told, re.MULTILINE)}
    assert {"setup", "repro", "serve"} < named
    assert named <= {*listed}


def test_without_workflows_there_are_none(tmp_path: Path) -> None:
    begun = begin(tmp_path / "dogs", without=["workflows"])
    assert [name for name in begun.files if name.startswith(".github")] == []


# which Kennel


def test_a_wheel_is_kept_in_the_project_and_pinned_by_its_bytes(
    tmp_path: Path, wheel: Path
) -> None:
    begun = begin(tmp_path / "dogs", named=str(wheel))
    kept = tmp_path / "dogs" / "wheels" / BUILT
    assert kept.read_bytes() == b"a wheel"
    sha256 = hashlib.sha256(b"a wheel").hexdigest()
    pinned = (tmp_path / "dogs/kennel.txt").read_text("utf-8")
    assert pinned == f"./wheels/{BUILT} --hash=sha256:{sha256}\n"
    assert f"wheels/{BUILT}" in begun.files
    assert begun.notes == ()


def test_a_version_is_pinned_as_it_is_named(tmp_path: Path) -> None:
    begun = begin(tmp_path / "dogs", named=f"kennel-ml == {kennel.__version__}")
    assert begun.kennel == f"kennel-ml=={kennel.__version__}"


def test_a_checkout_is_named_by_its_address_and_said_to_be_of_this_machine(tmp_path: Path) -> None:
    begun = begin(tmp_path / "dogs", named=str(ROOT))
    assert begun.kennel == f"-e {ROOT.as_uri()}"
    assert "which only this machine has" in begun.notes[0]


def test_a_commit_is_taken_and_a_branch_is_not() -> None:
    address = "git+https://example.org/kennel.git@"
    assert requirement(address + "0" * 40).line == f"kennel-ml @ {address}{'0' * 40}"
    with pytest.raises(UsageError):
        requirement(f"{address}main")


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("kennel-ml>=0.1", "no pinned version"),
        ("kennel-ml==9.9", "is Kennel 9.9; this is"),
        ("kennel_ml-9.9-py3-none-any.whl", "is Kennel 9.9; this is"),
        ("other-1.0-py3-none-any.whl", "no wheel and no sdist of Kennel"),
        ("folder", "no checkout of Kennel"),
        ("--index-url http://x", "no file, no folder"),
    ],
)
def test_what_is_no_kennel_of_this_version_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    if named.endswith(".whl"):
        Path(named).write_bytes(b"")
    with pytest.raises(UsageError, match=said):
        begin(tmp_path / "dogs", named=named)
    assert not (tmp_path / "dogs").exists()


def test_the_kennel_of_a_project_is_the_one_that_makes_it() -> None:
    assert checkout() == ROOT
    assert requirement(None).line == f"-e {ROOT.as_uri()}"


# git and DVC


def test_the_first_commit_holds_everything(tmp_path: Path) -> None:
    begun = begin(tmp_path / "dogs")
    project = tmp_path / "dogs"
    assert git(project, "status", "--porcelain") == ""
    assert git(project, "branch", "--show-current").strip() == "main"
    assert git(project, "log", "--format=%s|%h").strip() == (
        f"A project around Kennel {kennel.__version__}|{begun.commit}"
    )


def test_what_a_user_leaves_out_of_all_repositories_is_part_of_it(
    tmp_path: Path, own_home: Path
) -> None:
    (own_home / "config/git").mkdir(parents=True)
    (own_home / "config/git/ignore").write_text("*.lock\nMakefile\n.dvc\n")
    begun = begin(tmp_path / "dogs")
    assert sorted(git(tmp_path / "dogs", "ls-files").split()) == list(begun.files)


def test_a_git_that_does_not_know_the_user_makes_no_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    begun = begin(tmp_path / "dogs")
    assert (begun.branch, begun.commit) == ("main", None)
    assert "git does not know you" in " ".join(begun.notes)
    assert "No commits yet" in git(tmp_path / "dogs", "status")


def test_a_hook_that_refuses_is_heard_and_the_project_stays(tmp_path: Path, own_home: Path) -> None:
    hook = own_home / "hooks" / "pre-commit"
    hook.parent.mkdir()
    hook.write_text("#!/bin/sh\necho not today\nexit 1\n")
    hook.chmod(0o755)
    (own_home / ".gitconfig").write_text(f"[core]\n\thooksPath = {hook.parent}\n")
    begun = begin(tmp_path / "dogs")
    assert begun.commit is None
    assert "there is no first commit (not today)" in " ".join(begun.notes)


def test_within_another_repository_it_has_its_own_and_says_so(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    begun = begin(tmp_path / "work" / "dogs")
    assert (tmp_path / "work/dogs/.git").is_dir()
    [note] = [note for note in begun.notes if "git repository" in note]
    assert f"{tmp_path} is a git repository too" in note
    assert "echo '/work/dogs/' >> .gitignore" in note
    (tmp_path / ".gitignore").write_text("/work/\n")
    assert not [n for n in begin(tmp_path / "work/cats").notes if "git repository" in n]


def test_a_git_that_was_told_of_another_repository_leaves_that_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(tmp_path, "init", "-q", "other")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other/.git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(tmp_path / "other"))
    begin(tmp_path / "dogs")
    assert (tmp_path / "dogs/.git/HEAD").is_file()
    assert not list((tmp_path / "other/.git/refs/heads").iterdir())


def test_without_git_it_goes_on_and_says_so_and_dvc_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    begun = begin(tmp_path / "dogs")
    assert (begun.branch, begun.commit) == (None, None)
    assert "git was not found" in " ".join(begun.notes)
    assert not (tmp_path / "dogs/.git").exists()
    config = configparser.ConfigParser()
    config.read(tmp_path / "dogs/.dvc/config", encoding="utf-8")
    assert config["core"]["no_scm"] == "true"
