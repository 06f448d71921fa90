"""tools/compose and tools/port.py: what is missing is said in words before something fails."""

from __future__ import annotations

import shutil
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NEEDED = ("sh", "dirname", "mkdir", "id", "grep", "od", "tr", "cat", "env")
# What a Docker says: `info` as below, the rest is written down with whose files it would make.
DOCKER = """\
#!/bin/sh
case "$1 $2" in
  "compose version") exit {without_compose} ;;
  "info "*) echo '{info}'; exit {silent} ;;
esac
echo "$* as $KENNEL_UID:$KENNEL_GID" > "$CALLED"
exit {code}
"""


class Machine:
    """A project with tools/compose alone, and a path on which only what is put there is found."""

    def __init__(self, folder: Path) -> None:
        self.project, self.bin = folder / "project", folder / "bin"
        self.called = folder / "called"
        (self.project / "tools").mkdir(parents=True)
        self.bin.mkdir()
        shutil.copy(ROOT / "tools" / "compose", self.project / "tools")
        for name in NEEDED:
            found = shutil.which(name)
            assert found is not None
            (self.bin / name).symlink_to(found)

    def docker(
        self,
        *,
        name: str = "docker",
        info: str = "Runtimes: runc",
        silent: int = 0,
        without_compose: int = 0,
        code: int = 0,
    ) -> None:
        script = DOCKER.format(info=info, silent=silent, without_compose=without_compose, code=code)
        (self.bin / name).write_text(script, encoding="utf-8")
        (self.bin / name).chmod(0o755)

    def compose(self, *words: str, **environment: str) -> tuple[int, str]:
        done = subprocess.run(
            ["sh", str(self.project / "tools" / "compose"), *words],
            env={"PATH": str(self.bin), "CALLED": str(self.called), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_no_engine_is_said_with_what_to_do_without_one(machine: Machine) -> None:
    code, said = machine.compose("up", "train")
    assert code == 1
    assert said.startswith("error: there is no container engine: neither docker nor podman")
    assert "make train" in said.splitlines()[1]


@pytest.mark.parametrize(
    ("docker", "said"),
    [
        ({"without_compose": 1}, "error: docker is here, and its part compose is not.\n"),
        ({"silent": 1}, "error: docker is here, and its engine does not answer.\n"),
        ({"silent": 1, "info": "permission denied"}, "error: you may not speak to docker:"),
    ],
)
def test_an_engine_that_cannot_be_used_is_said_with_its_mend(
    machine: Machine, docker: dict[str, str | int], said: str
) -> None:
    machine.docker(**docker)  # type: ignore[arg-type]
    code, found = machine.compose("up", "train")
    assert code == 1
    assert found.startswith(said)
    assert found.splitlines()[1].startswith("fix: ")
    assert not machine.called.exists()


def test_the_words_go_to_the_engine_with_whose_files_they_are(machine: Machine) -> None:
    machine.docker()
    owner = subprocess.run(["sh", "-c", "echo $(id -u):$(id -g)"], capture_output=True, check=True)
    assert machine.compose("up", "train") == (0, "")
    assert machine.called.read_text() == f"compose up train as {owner.stdout.decode()}"
    assert (machine.project / "bundles").is_dir()
    machine.docker(info="Security Options: rootless")
    assert machine.compose("up", "train") == (0, "")
    assert machine.called.read_text() == "compose up train as 0:0\n"
    machine.docker()
    assert machine.compose("up", "train", KENNEL_UID="7", KENNEL_GID="8") == (0, "")
    assert machine.called.read_text() == "compose up train as 7:8\n"


def test_podman_takes_dockers_place(machine: Machine) -> None:
    machine.docker(name="podman")
    assert machine.compose("up", "train") == (0, "")
    assert machine.called.read_text().startswith("compose up train")


def test_a_gpu_that_is_not_there_is_said_before_the_engine_fails(machine: Machine) -> None:
    machine.docker()
    for words in (("up", "train-gpu"), ("--profile", "gpu", "up", "train-gpu")):
        code, said = machine.compose(*words)
        assert code == 1
        assert said.startswith("error: a GPU is asked for, and docker has none to give.\n")
        assert "train instead of train-gpu" in said
    assert not machine.called.exists()
    machine.docker(info="Runtimes: nvidia runc")
    assert machine.compose("up", "train-gpu") == (0, "")


def test_photos_that_are_no_folder_are_said(machine: Machine, tmp_path: Path) -> None:
    machine.docker()
    code, said = machine.compose("up", "train", PHOTOS="lost")
    assert code == 1
    assert said.startswith("error: PHOTOS names lost, and no folder is there.\n")
    assert machine.compose("up", "train", PHOTOS=str(tmp_path)) == (0, "")


def test_a_store_gets_a_secret_that_nobody_else_can_read_and_keeps_it(machine: Machine) -> None:
    machine.docker()
    machine.compose("up", "train")
    assert not (machine.project / ".env").exists()
    code, said = machine.compose("up", "-d", "s3")
    assert code == 0
    assert ".env" in said
    kept = (machine.project / ".env").read_text()
    assert kept.startswith("S3_SECRET=")
    assert len(kept.strip()) == len("S3_SECRET=") + 48
    assert stat.S_IMODE((machine.project / ".env").stat().st_mode) == 0o600
    assert machine.compose("run", "--rm", "dvc", "push") == (0, "")
    assert (machine.project / ".env").read_text() == kept


def test_a_service_that_did_not_come_up_is_told_how_to_take_another_port(machine: Machine) -> None:
    machine.docker(code=17)
    code, said = machine.compose("up", "-d", "serve")
    assert code == 17
    assert said.startswith("fix: where a port is taken")
    assert 'SERVE_PORT=8081 make compose ARGS="up -d serve"' in said
    assert machine.compose("up", "train") == (17, "")


@pytest.mark.parametrize("words", [[], ["--port", "{port}"], ["--port={port}"]])
def test_a_port_in_use_is_said_before_a_board_is_opened(words: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as door:
        port = str(door.getsockname()[1])
        default = port if not words else "0"
        said = [word.format(port=port) for word in words]
        command = [sys.executable, str(ROOT / "tools/port.py"), "tensorboard", default, *said]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert done.stderr.startswith(f"error: port {port} is taken: something listens")
        assert "fix: stop that, or name another: make tensorboard ARGS=" in done.stderr
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_board_of_make_looks_at_its_port_first() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    for verb in ("hparams", "tensorboard", "mlflow"):
        first = text.partition(f"\n{verb}: setup")[2].splitlines()[1]
        assert f"tools/port.py {verb} " in first


def test_a_number_that_is_no_port_is_said() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools/port.py"), "tensorboard", "6006", "--port", "70000"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: 70000 is no port.\nfix: name one up to 65535:")
