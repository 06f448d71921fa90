"""The pipeline of dvc.yaml is a real one; data and artefacts go to DVC, pointers to git."""

from __future__ import annotations

import configparser
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from bash_blocks import blocks
from dvc_project import ROOT, Project, environment, reference_pipeline
from storage import bucket, s3_server

from kennel.bundle import file_sha256
from kennel.run import read_run

GUIDE = ROOT / "docs" / "guide" / "data.md"
STAGES = ["sample", "index", "audit", "train", "export", "evaluate"]


@pytest.fixture(scope="module")
def pipeline() -> dict[str, Any]:
    """dvc.yaml, as it is written."""
    document: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
    return document


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The pipeline, carried out once and committed."""
    folder = tmp_path_factory.mktemp("made")
    project = reference_pipeline(folder / "project", folder / "home")
    assert project.repro() == STAGES
    project.run("git", "add", ".")
    project.run("git", "commit", "-qm", "Made")
    return project


def outputs(stage: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What a stage writes, with what DVC is told of it."""
    told = [out if isinstance(out, dict) else {out: {}} for out in stage["outs"]]
    return {path: options for out in told for path, options in out.items()}


def flip_a_byte(file: Path) -> None:
    """Changes one bit in the middle of a file; size and times stay as they were."""
    known = file.stat()
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    mode = known.st_mode & 0o777
    file.chmod(0o600)
    with file.open("r+b") as opened:
        opened.write(content)
    file.chmod(mode)
    os.utime(file, ns=(known.st_atime_ns, known.st_mtime_ns))


def test_every_stage_says_what_it_reads_and_what_it_writes(pipeline: dict[str, Any]) -> None:
    assert list(pipeline["stages"]) == STAGES
    for name, stage in pipeline["stages"].items():
        assert stage["outs"], name
        assert {"${code}", "${libraries}"} < {*stage["deps"], "of data"}, name
        if name != "sample":
            assert "${photos}" in stage["deps"], name


def test_photos_of_ones_own_are_never_an_output_that_dvc_would_delete(
    pipeline: dict[str, Any],
) -> None:
    written = [out for stage in pipeline["stages"].values() for out in outputs(stage)]
    assert not [out for out in written if "$" in out or out.startswith(("data/photos", "photos"))]


def test_the_earlier_index_is_there_when_photos_were_added(pipeline: dict[str, Any]) -> None:
    written = outputs(pipeline["stages"]["index"])
    assert list(written) == ["data/dataset.csv", "data/dataset.json"]
    assert all(options == {"persist": True} for options in written.values())


def test_what_the_pipeline_writes_is_left_out_of_git_and_pointers_are_not(
    pipeline: dict[str, Any],
) -> None:
    outs = [out for stage in pipeline["stages"].values() for out in outputs(stage)]
    pointers = ["data/photos.dvc", "runs/long.dvc", "bundles/best.dvc", "photos.dvc", "dvc.lock"]
    done = subprocess.run(
        ["git", "check-ignore", "--no-index", *outs, *pointers],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == outs


def test_the_shared_settings_of_dvc_name_no_secret_and_tell_nobody() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / ".dvc" / "config", encoding="utf-8")
    assert config["core"]["analytics"] == config["core"]["check_update"] == "false"
    assert config.sections() == ["core", "plots"]
    assert dict(config["plots"]) == {"html_template": "plots/page.html"}


def test_make_pull_says_when_there_is_no_git_and_when_there_is_no_remote(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    project = tmp_path / "project"
    (project / ".dvc").mkdir(parents=True)
    (project / ".dvc" / "config").touch()
    pointer = f"outs:\n- md5: {'ab' * 16}\n  size: 2\n  hash: md5\n  path: photo.jpg\n"
    (project / "photo.jpg.dvc").write_text(pointer, encoding="utf-8")
    env = environment(tmp_path / "home")

    def pulled() -> subprocess.CompletedProcess[str]:
        words = ["make", "-s", "-f", str(ROOT / "Makefile"), "-o", "setup", "pull"]
        return subprocess.run(
            words, cwd=project, env=env, check=False, capture_output=True, text=True
        )

    env["GIT_CEILING_DIRECTORIES"] = str(tmp_path)
    bare = pulled()
    assert bare.returncode == 2
    assert "nothing to bring" not in bare.stdout
    assert f"error: {project} is in no git repository" in bare.stderr
    assert "fix: git init" in bare.stderr
    subprocess.run(["git", "init", "-q"], cwd=project, env=env, check=True)
    assert "nothing to bring" in pulled().stdout
    subprocess.run(["git", "add", "."], cwd=project, env=env, check=True)
    done = pulled()
    assert done.returncode == 2
    assert "error: DVC has no remote to bring it from.\nfix: dvc remote add" in done.stderr


def test_the_parameters_of_the_pipeline_are_those_that_the_tests_and_the_guide_know(
    pipeline: dict[str, Any],
) -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    told = GUIDE.read_text(encoding="utf-8").partition("params.yaml <<'EOF'\n")[2]
    shown = yaml.safe_load(told.partition("\nEOF")[0])
    assert {key: type(value) for key, value in shown.items()} == {
        key: type(value) for key, value in params.items()
    }
    for group in ("sample", "index", "audit", "train"):
        assert shown[group] == params[group]
        assert pipeline["stages"][group]["params"] == [group]


@pytest.mark.slow
def test_a_second_repro_does_nothing(made: Project) -> None:
    (made.folder / "src/kennel/__pycache__").mkdir(exist_ok=True)
    (made.folder / "src/kennel/__pycache__/x.pyc").write_bytes(b"of a run")
    assert made.repro() == []
    assert "up to date" in made.run("dvc", "status")
    assert made.run("git", "status", "--porcelain") == ""


@pytest.mark.slow
def test_artefacts_are_in_dvc_and_only_pointers_are_in_git(made: Project, tmp_path: Path) -> None:
    kept = made.run("git", "ls-files").split()
    assert not [name for name in kept if name.startswith(("data/", "runs/", "bundles/", "audit/"))]
    assert "dvc.lock" in kept
    home = tmp_path / "home"
    home.mkdir()
    with s3_server(tmp_path) as address:
        made.run("dvc", "remote", "add", "--default", "store", "s3://my-photos/kennel")
        made.run("dvc", "remote", "modify", "store", "endpointurl", address)
        made.run("git", "commit", "-qam", "Where artefacts are kept")
        made.run("dvc", "push", "-q")
        assert len(list(bucket(address).objects.all())) > 30
        made.run("git", "clone", "-q", ".", str(tmp_path / "clone"))
        clone = Project(tmp_path / "clone", home)
        clone.run("dvc", "pull", "-q")
    model = "bundles/measured/model.onnx"
    assert file_sha256(clone.folder / model) == file_sha256(made.folder / model)
    answer = json.loads(
        clone.run("kennel", "predict", "bundles/measured", "data/sample/Beagle", "--json")
    )
    assert len(answer) == 10
    assert clone.repro() == []


@pytest.mark.slow
def test_a_changed_parameter_runs_again_what_depends_on_it_and_nothing_else(made: Project) -> None:
    before = read_run(made.folder / "runs/dvc")
    made.change("experiment: scratch, seed: 0", "experiment: scratch, seed: 1")
    assert made.repro() == ["train", "export", "evaluate"]
    after = read_run(made.folder / "runs/dvc")
    assert (before.seed, after.seed) == (0, 1)
    assert before.dataset_id == after.dataset_id

    [changed] = json.loads(made.run("dvc", "params", "diff", "--json"))["params.yaml"].items()
    assert changed == ("train.seed", {"old": 0, "new": 1, "diff": 1})
    [moved] = json.loads(made.run("dvc", "metrics", "diff", "--json")).values()
    assert moved["test.log_loss"]["diff"]

    made.change('0.25,0.25", seed: 0', '0.25,0.25", seed: 1')
    assert made.repro("audit") == ["index", "audit"]
    assert "data/dataset.csv" in made.run("dvc", "status", "train")


@pytest.mark.slow
def test_the_page_of_plots_has_the_matrices_no_point_for_an_empty_cell_and_no_address(
    made: Project,
) -> None:
    shown = json.loads(made.run("dvc", "plots", "show", "--json"))["data"]
    curves = [each for kind in shown.values() for each in kind if each["type"] == "vega"]
    assert len(curves) == 2
    for curve in curves:
        content = curve["content"]
        spec = content if isinstance(content, dict) else json.loads(content)
        column = spec["encoding"]["y"]["field"]
        assert {row[column] == "" for row in spec["data"]["values"]} == {True, False}
        assert f"datum['{column}'] !== ''" in spec["transform"][0]["filter"]
    made.run("dvc", "plots", "show")
    page = (made.folder / "dvc_plots" / "index.html").read_text(encoding="utf-8")
    assert "<script src" not in page  # nothing of a CDN: the page draws by itself
    assert page.count("vegaEmbed('#") == 2
    [picture] = (made.folder / "dvc_plots" / "static").glob("*confusion_test.png")
    own = made.folder / "bundles/measured/report/confusion_test.png"
    assert picture.read_bytes() == own.read_bytes()
    assert made.run("git", "status", "--porcelain", "--", "dvc_plots") == ""


@pytest.mark.slow
def test_a_flipped_byte_that_dvc_does_not_see_is_found_by_the_index(made: Project) -> None:
    photo = made.folder / "data/sample/Beagle/beagle_0003.jpg"
    assert "Beagle/beagle_0003.jpg" in (made.folder / "data/dataset.csv").read_text("utf-8")
    content = photo.read_bytes()
    made.run("kennel", "audit", "data/dataset.csv", "--verify")
    flip_a_byte(photo)
    try:
        assert "data/sample" not in made.run("dvc", "status", "sample")
        said = made.run("kennel", "audit", "data/dataset.csv", "--verify", code=1)
        assert "Beagle/beagle_0003.jpg" in said
    finally:
        photo.write_bytes(content)


@pytest.mark.slow
def test_every_block_of_the_guide_to_data_runs(tmp_path: Path) -> None:
    run = [block for block in blocks(GUIDE.read_text(encoding="utf-8")) if block.reason is None]
    assert len(run) >= 8
    home = tmp_path / "home"
    home.mkdir()
    (tmp_path / "kennel").symlink_to(ROOT)  # the checkout of Kennel that lies beside
    # One shell for all: what a block exports and where it goes to lasts, as it does for a reader.
    script = "\n".join(f"echo '::{block.line}' >&2\n{block.text}" for block in run)
    with s3_server(tmp_path) as address:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=tmp_path,
            env=environment(home, S3_ENDPOINT=address),
            capture_output=True,
            text=True,
            check=False,
        )
        last = done.stderr.rpartition("::")[2]
        assert done.returncode == 0, f"{GUIDE.name}:{last}\n{done.stdout[-2000:]}"
        assert "Traceback" not in done.stderr
        assert len(list(bucket(address).objects.all())) > 36
    assert (tmp_path / "dogs/audit/index.html").is_file()
    assert (tmp_path / "dogs/dvc.lock").is_file()
    second = done.stdout.split("Running stage 'index'")[1]
    assert second.count("didn't change, skipping") == 2  # photos.dvc and index


def test_only_what_cannot_run_in_a_test_is_left_out_of_the_guide() -> None:
    left_out = [b for b in blocks(GUIDE.read_text(encoding="utf-8")) if b.reason is not None]
    assert len(left_out) == 3
