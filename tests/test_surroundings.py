"""The container engine and DVC's remote: there, or said with the line that mends it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kennel.cli import main
from kennel.surroundings import container_engine, dvc_remote

DENIED = "permission denied while trying to connect to the Docker daemon socket"
SILENT = "Cannot connect to the Docker daemon at unix:///var/run/docker.sock."


def engine(folder: Path, script: str, *, name: str = "docker") -> None:
    """A command that stands for an engine's."""
    command = folder / name
    command.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    command.chmod(0o755)


@pytest.mark.parametrize(
    ("script", "found", "fix"),
    [
        (None, "none: neither docker nor podman", "install Docker or Podman"),
        (f"echo '{SILENT}' >&2; exit 1", "docker, whose engine does not answer", "start it"),
        (f"echo '{DENIED}' >&2; exit 1", "docker, to which you may not speak", "usermod -aG"),
        ('[ "$1" = info ]', "docker, without its part compose", "docker-compose-plugin"),
        ("exit 0", "docker, with compose", None),
    ],
)
def test_what_is_wrong_with_the_engine_is_said_with_its_mend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str | None, found: str, fix: str | None
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    if script is not None:
        engine(tmp_path, script)
    seen = container_engine()
    assert seen.found == found
    assert seen.fix is None if fix is None else fix in (seen.fix or "")


def test_podman_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    engine(tmp_path, "exit 0", name="podman")
    assert container_engine().found == "podman, with compose"


def project(folder: Path, config: str) -> Path:
    (folder / ".dvc").mkdir(parents=True)
    (folder / ".dvc" / "config").write_text(config, encoding="utf-8")
    (folder / "photos").mkdir()
    return folder / "photos"


@pytest.mark.parametrize(
    ("config", "found", "fix"),
    [
        ("[core]\n    analytics = false\n", "no remote:", "dvc remote add --default"),
        ("['remote \"disk\"']\n    url = /disk\n", "remotes, and none is the default", "--default"),
        ("[core]\n    remote = lost\n", "the default remote lost is", "--default lost"),
        (
            "[core]\n    remote = store\n['remote \"store\"']\n    url = s3://mine/dogs\n",
            "kept at s3://mine/dogs",
            None,
        ),
        ("no section\n", "cannot be read", "mend or remove"),
    ],
)
def test_a_missing_remote_is_said_with_its_mend(
    tmp_path: Path, config: str, found: str, fix: str | None
) -> None:
    seen = dvc_remote(project(tmp_path / "dogs", config), own=tmp_path / "none")
    assert seen is not None
    assert found in seen.found
    assert seen.fix is None if fix is None else fix in (seen.fix or "")


def test_a_remote_in_the_users_own_settings_is_found(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text("[core]\n    remote = all\n['remote \"all\"']\n    url = /backup\n", "utf-8")
    seen = dvc_remote(project(tmp_path / "dogs", "[core]\n"), own=own)
    assert seen is not None
    assert (seen.found, seen.fix) == ("kept at /backup", None)


def test_where_there_is_no_dvc_nothing_is_said_of_it(tmp_path: Path) -> None:
    assert dvc_remote(tmp_path, own=tmp_path / "none") is None


def test_the_doctor_names_engine_and_remote_and_is_well_without_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project(tmp_path / "dogs", "[core]\n"))
    monkeypatch.setenv("DVC_GLOBAL_CONFIG_DIR", str(tmp_path / "none"))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["doctor", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    found = {finding["name"]: finding for finding in document["findings"]}
    assert "install Docker" in found["engine"]["fix"]
    assert "dvc remote add" in found["dvc"]["fix"]
    assert not found["engine"]["needed"]
    assert not found["dvc"]["needed"]
