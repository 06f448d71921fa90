"""A package index that turns: what is locked stays what it was, or is not installed.

Every refusal has its counter-case: the same index, the same poison, and lines without hashes.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import poisoned_index
import pytest
import stand_in
from poisoned_index import ACTED, Index

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
LOCK = "locks/serve.lock"
INSTALLERS = ("pip", "uv")
# How each says that bytes are not those it was told.
REFUSED = {
    "pip": "THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE",
    "uv": "Hash mismatch for `leash==1.0`",
}
UNPINNED = {
    "pip": "all requirements must have their versions pinned with ==",
    "uv": "no trusted hash was provided for: `leash`",
}


@dataclass(frozen=True)
class Honest:
    """An index, what pip and uv run under, and a project locked while the index was honest."""

    index: Index
    env: dict[str, str]
    project: Path


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Honest]:
    folder = tmp_path_factory.mktemp("honest")
    with poisoned_index.serving() as index:
        env = poisoned_index.environment(index, folder)
        project = poisoned_index.locked_project(folder / "project", env)
        assert "leash==1.0" in (project / LOCK).read_text(encoding="utf-8")
        yield Honest(index, env, project)


@pytest.fixture
def index(honest: Honest) -> Iterator[Index]:
    """Honest until a test says otherwise."""
    before = {name: dict(files) for name, files in honest.index.files.items()}
    yield honest.index
    honest.index.files = before


@pytest.fixture
def env(honest: Honest, tmp_path: Path) -> dict[str, str]:
    return {**honest.env, "MARKER": str(tmp_path / "marker")}


@pytest.fixture
def project(honest: Honest, tmp_path: Path) -> Path:
    return Path(shutil.copytree(honest.project, tmp_path / "project"))


def line_of_the_guide(installer: str) -> str:
    """How docs/guide/install.md installs the server, by its hashes."""
    text = (ROOT / "docs/guide/install.md").read_text(encoding="utf-8")
    start = {"pip": "pip install", "uv": "uv pip install"}[installer]
    [line] = re.findall(rf"^{start} --require-hashes -r {re.escape(LOCK)}$", text, re.MULTILINE)
    return str(line)


def in_a_new_environment(
    line: str, project: Path, env: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    """A line of the shell, then what Python says that starts and imports what it brought."""
    home = project.parent / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True)
    pip = home / "bin" / "pip"  # the one that is here, on that environment
    pip.write_text(f'#!/bin/sh\nexec {sys.executable} -m pip --python {home}/bin/python "$@"\n')
    pip.chmod(0o755)
    env = {**env, "VIRTUAL_ENV": str(home), "PATH": f"{home / 'bin'}:{env['PATH']}"}
    then = 'python -c "import leash; print(leash.VERSION)"'
    return subprocess.run(
        ["sh", "-c", f"{line} && {then}"],
        cwd=project,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )


def acted(done: subprocess.CompletedProcess[str], env: dict[str, str]) -> bool:
    return ACTED in done.stdout + done.stderr or Path(env["MARKER"]).exists()


def without_hashes(lock: Path) -> None:
    text = lock.read_text(encoding="utf-8")
    text = re.sub(r" *\\\n +--hash=\S+", "", text).replace("--require-hashes\n", "")
    assert "--hash" not in text
    lock.write_text(text, encoding="utf-8")


def ranges(lock: Path) -> None:
    """As `pip install 'kennel-ml[serve]'` reads: names, the newest of each, built here."""
    without_hashes(lock)
    text = re.sub(r"==\S+", "", lock.read_text(encoding="utf-8"))
    lock.write_text(re.sub(r"^--.*\n", "", text, flags=re.MULTILINE), encoding="utf-8")


@pytest.mark.parametrize("installer", INSTALLERS)
def test_a_poisoned_newer_release_is_passed_by(
    installer: str, index: Index, project: Path, env: dict[str, str]
) -> None:
    index.release_poison()
    done = in_a_new_environment(line_of_the_guide(installer), project, env)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == "1.0"
    assert not acted(done, env)


@pytest.mark.parametrize("installer", INSTALLERS)
def test_other_bytes_under_the_same_version_are_refused(
    installer: str, index: Index, project: Path, env: dict[str, str]
) -> None:
    index.exchange()
    done = in_a_new_environment(line_of_the_guide(installer), project, env)
    assert done.returncode != 0
    assert REFUSED[installer] in done.stderr
    assert not acted(done, env)


@pytest.mark.parametrize("installer", INSTALLERS)
def test_a_library_that_nobody_locked_is_refused(
    installer: str, project: Path, env: dict[str, str]
) -> None:
    """What a locked library needs is locked as well, or nothing is installed."""
    lock = project / LOCK
    text = re.sub(r"^leash==.*(?:\n +.*)*\n", "", lock.read_text("utf-8"), flags=re.MULTILINE)
    lock.write_text(text, encoding="utf-8")
    done = in_a_new_environment(line_of_the_guide(installer), project, env)
    assert done.returncode != 0
    assert UNPINNED[installer] in done.stderr


@pytest.mark.parametrize("installer", INSTALLERS)
def test_without_a_lock_the_newer_release_acts(
    installer: str, index: Index, project: Path, env: dict[str, str]
) -> None:
    index.release_poison()
    ranges(project / LOCK)
    line = line_of_the_guide(installer).replace("--require-hashes ", "")
    assert acted(in_a_new_environment(line, project, env), env)


@pytest.mark.parametrize("installer", INSTALLERS)
def test_without_hashes_other_bytes_under_the_same_version_act(
    installer: str, index: Index, project: Path, env: dict[str, str]
) -> None:
    index.exchange()
    without_hashes(project / LOCK)
    line = line_of_the_guide(installer).replace("--require-hashes ", "")
    assert acted(in_a_new_environment(line, project, env), env)


@pytest.mark.parametrize("installer", INSTALLERS)
def test_a_lock_asks_for_hashes_itself(
    installer: str, index: Index, project: Path, env: dict[str, str]
) -> None:
    """Who forgets the option is not worse off: it stands in the file."""
    index.exchange()
    line = line_of_the_guide(installer).replace("--require-hashes ", "")
    done = in_a_new_environment(line, project, env)
    assert done.returncode != 0
    assert REFUSED[installer] in done.stderr


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    if why := stand_in.why_not():
        pytest.skip(why)
    folder = tmp_path_factory.mktemp("images")
    stand_in.make(folder)
    yield folder
    shutil.rmtree(folder)


def built(project: Path, index: Index, store: Path) -> subprocess.CompletedProcess[str]:
    """An image by the very lines that install in docker/serve.Dockerfile, from this index."""
    text = (ROOT / "docker/serve.Dockerfile").read_text(encoding="utf-8")
    [line] = re.findall(
        rf"^RUN (?:.*\\\n)*.*-r {re.escape(LOCK)}.*(?:(?<=\\)\n.*)*", text, re.MULTILINE
    )
    python = re.search(rf"--python (\S+) install .*-r {re.escape(LOCK)}", line)
    program = python.group(1) if python else "python"
    dockerfile = project / "Dockerfile"
    dockerfile.write_text(
        f"FROM {stand_in.NAME}\nWORKDIR /build\nCOPY locks locks\n{line}\n"
        f"RUN {program} -c \"import leash; print('leash', leash.VERSION)\"\n",
        encoding="utf-8",
    )
    (project / "pip.conf").write_text(f"[global]\nindex-url = {index.url}/simple\n", "utf-8")
    (project / "ca.pem").write_text("", encoding="utf-8")
    secrets = [f"--secret=id={name},src={project / name}" for name in ("pip.conf", "ca.pem")]
    return stand_in.buildah(
        "bud", "--pull-never", "--no-cache", "--network=host", *secrets, str(project), store=store
    )


def test_an_image_passes_by_a_poisoned_newer_release(
    index: Index, project: Path, store: Path
) -> None:
    index.release_poison()
    done = built(project, index, store)
    assert done.returncode == 0, done.stderr
    assert "leash 1.0" in done.stdout
    assert ACTED not in done.stdout + done.stderr


def test_an_image_is_not_built_of_other_bytes(index: Index, project: Path, store: Path) -> None:
    index.exchange()
    done = built(project, index, store)
    assert done.returncode != 0
    assert REFUSED["pip"] in done.stderr
    assert ACTED not in done.stdout + done.stderr


def test_an_image_without_hashes_would_be_poisoned(
    index: Index, project: Path, store: Path
) -> None:
    index.exchange()
    without_hashes(project / LOCK)
    assert ACTED in built(project, index, store).stdout


def test_an_image_without_a_lock_would_be_poisoned(
    index: Index, project: Path, store: Path
) -> None:
    index.release_poison()
    del index.files["leash"]["leash-1.2.tar.gz"]  # what is built there tells nobody
    ranges(project / LOCK)
    assert ACTED in built(project, index, store).stdout
