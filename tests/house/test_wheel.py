"""What `pip install` brings works from any folder, with its configurations and its types."""

from __future__ import annotations

import email
import email.message
import hashlib
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

import kennel
from kennel.cli import VERBS
from kennel.project.templates import templates
from kennel.writing import file_sha256

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as pip builds it, by what locks/build.lock brought."""
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", str(ROOT), "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder))
    [path] = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, installed into a folder of its own."""
    folder = tmp_path_factory.mktemp("site")
    pip("install", "--no-deps", "--no-index", "--target", str(folder), str(wheel))
    return folder


def pip(*words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", *words],
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def installed(*words: str, site: Path, cwd: Path) -> str:
    """What a command prints with the wheel before everything else on the path."""
    done = subprocess.run(
        words,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def metadata(wheel: Path) -> email.message.Message:
    with zipfile.ZipFile(wheel) as archive:
        [name] = [n for n in archive.namelist() if n.endswith(".dist-info/METADATA")]
        return email.message_from_bytes(archive.read(name))


def names(requirements: list[str], *, extra: str | None) -> set[str]:
    """Distributions that are required by an extra, or without any."""
    found = set()
    for line in requirements:
        requirement, _, marker = line.partition(";")
        wanted = f"extra == '{extra}'" if extra else ""
        if marker.strip().replace('"', "'") == wanted:
            name = re.match(r"[A-Za-z0-9._-]+", requirement)
            assert name is not None
            found.add(name.group().lower())
    return found


def test_the_wheel_holds_every_file_of_the_package_and_nothing_else(wheel: Path) -> None:
    source = ROOT / "src"
    expected = {
        path.relative_to(source).as_posix()
        for path in (source / "kennel").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
        licences = [name for name in archive.namelist() if name.endswith("LICENSE")]
    shared = {f"kennel/project/repository/{each.path}" for each in templates() if each.shared}
    assert held == expected | shared
    assert "kennel/project/repository/Makefile" in held
    assert "kennel/project/own/README.md" in held
    assert "kennel/py.typed" in held
    assert "kennel/configs/train.yaml" in held
    assert len([name for name in held if name.endswith(".yaml")]) > 20
    assert licences


def test_it_is_called_kennel_ml_and_says_what_it_is(wheel: Path) -> None:
    said = metadata(wheel)
    assert said["Name"] == "kennel-ml"
    assert said["Version"] == kennel.__version__
    assert said["License-Expression"] == "Apache-2.0"
    assert said["Requires-Python"] == ">=3.11"
    assert "From a folder of labelled photos" in str(said.get_payload())


def test_an_answer_needs_three_libraries_and_no_torch(wheel: Path) -> None:
    said = metadata(wheel)
    requirements = said.get_all("Requires-Dist", [])
    assert names(requirements, extra=None) == {"numpy", "onnxruntime", "pillow"}
    assert set(said.get_all("Provides-Extra", [])) == {
        *(
            "aws",
            "data",
            "dev",
            "heic",
            "mlflow",
            "parquet",
            "rehearse",
            "serve",
            "sign",
            "train",
            "ui",
            "wandb",
        ),
    }
    assert names(requirements, extra="train") >= {"torch", "timm", "lightning", "hydra-core"}
    assert names(requirements, extra="dev") >= {"pytest", "mypy", "ruff", "import-linter"}


def copied(folder: Path, *, umask: int = 0o022) -> Path:
    """What git has, and would take, in another folder."""
    if not (ROOT / ".git").exists():
        pytest.skip("this is no git checkout")
    done = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        check=True,
    )
    for name in filter(None, done.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
            (folder / name).chmod(0o777 & ~umask)
    return folder


def built(folder: Path, *, epoch: str) -> dict[str, str]:
    """Wheel and sdist of a folder: file -> sha256."""
    words = [sys.executable, "-m", "hatchling", "build", "-d", str(folder / "dist")]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": epoch}
    made = subprocess.run(
        words, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr
    files = sorted((folder / "dist").iterdir())
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_two_builds_of_a_commit_are_the_same_bytes(tmp_path: Path) -> None:
    one = built(copied(tmp_path / "one"), epoch="1790000000")
    assert {name.rpartition(".")[2] for name in one} == {"whl", "gz"}
    assert built(copied(tmp_path / "two", umask=0o077), epoch="1790000000") == one
    later = built(tmp_path / "one", epoch="1790086400")
    assert not set(later.values()) & set(one.values())


def test_nothing_that_lies_around_gets_into_wheel_or_sdist(tmp_path: Path) -> None:
    folder = copied(tmp_path / "copy")
    clean = built(folder, epoch="1790000000")
    for name in ("notes/src/key.txt", "env/lib/tests/key.txt", "key.txt", "data/src/photo.jpg"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("nobody's business", encoding="utf-8")
    assert built(folder, epoch="1790000000") == clean


def test_make_dist_builds_with_what_is_locked_and_the_time_of_the_commit() -> None:
    text = (ROOT / "tools/dist").read_text(encoding="utf-8")
    assert re.search(r"^SOURCE_DATE_EPOCH=.*git log -1 --format=%ct", text, re.MULTILINE)
    assert "uv build --quiet --require-hashes --build-constraint locks/build.lock" in text
    assert "sh tools/dist\n" in (ROOT / "Makefile").read_text(encoding="utf-8")


def test_it_works_from_another_folder_without_the_source(site: Path, tmp_path: Path) -> None:
    script = "import kennel, kennel.configs; print(kennel.__file__); print(kennel.configs.__file__)"
    found = installed(sys.executable, "-c", script, site=site, cwd=tmp_path).split()
    assert found == [
        str(site / "kennel" / "__init__.py"),
        str(site / "kennel" / "configs" / "__init__.py"),
    ]
    shown = installed(sys.executable, "-m", "kennel", "--help", site=site, cwd=tmp_path)
    assert all(verb in shown for verb in VERBS)
    assert list(tmp_path.iterdir()) == []


def test_it_brings_the_command(site: Path, tmp_path: Path) -> None:
    command = str(site / "bin" / "kennel")
    assert installed(command, "--version", site=site, cwd=tmp_path) == (
        f"kennel {kennel.__version__}\n"
    )


def test_its_configurations_are_found(site: Path, tmp_path: Path) -> None:
    words = ["train", "--cfg", "job", "experiment=quick", "data=mixup"]
    shown = installed(sys.executable, "-m", "kennel", *words, site=site, cwd=tmp_path)
    settings = yaml.safe_load(shown)
    assert settings["recipe"]["frozen"] is True
    assert settings["data"]["mix"]["alpha"] == 0.2
    assert list(tmp_path.iterdir()) == []


def test_it_makes_the_same_project_as_the_checkout(site: Path, tmp_path: Path) -> None:
    """From files in the wheel, and from files in the repository."""
    named = f"kennel-ml=={kennel.__version__}"
    for place, folder in ((site, "of the wheel"), (ROOT / "src", "of the checkout")):
        (tmp_path / folder).mkdir()
        words = ["init", "dogs", "--kennel", named]
        installed(sys.executable, "-m", "kennel", *words, site=place, cwd=tmp_path / folder)
    made = [
        {
            path.relative_to(tmp_path / folder): (path.read_bytes(), os.access(path, os.X_OK))
            for path in (tmp_path / folder / "dogs").rglob("*")
            if path.is_file() and ".git" not in path.parts
        }
        for folder in ("of the wheel", "of the checkout")
    ]
    assert made[0] == made[1]
    assert len(made[0]) > 10


def test_its_project_pins_the_wheel_that_it_came_from(
    wheel: Path, site: Path, tmp_path: Path
) -> None:
    installed(sys.executable, "-m", "kennel", "init", "dogs", site=site, cwd=tmp_path)
    pinned, hashed = (tmp_path / "dogs" / "kennel.txt").read_text("utf-8").split()
    assert (tmp_path / "dogs" / pinned).read_bytes() == wheel.read_bytes()
    assert hashed == f"--hash=sha256:{file_sha256(wheel)}"


def test_the_sdist_builds_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    assert uv is not None  # `make setup` brings it
    words = ["build", "--quiet", "--sdist", "--no-build-isolation", "--python", sys.executable]
    subprocess.run([uv, *words, "--out-dir", str(tmp_path), str(ROOT)], cwd="/", check=True)
    [sdist] = tmp_path.glob("*.tar.gz")
    pip("wheel", str(sdist), "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path))
    [again] = tmp_path.glob("*.whl")
    assert contents(again) == contents(wheel)


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}
