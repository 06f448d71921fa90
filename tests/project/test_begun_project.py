"""A project that `kennel init` made works: its own checks pass, its README is true."""

from __future__ import annotations

import hashlib
import io
import json
import os
import socket
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from bash_blocks import blocks
from dvc_project import environment

import kennel
from kennel.cli import main

pytestmark = pytest.mark.slow
LABELS, EACH = 3, 14


@pytest.fixture
def some_photos(tmp_path: Path) -> Path:
    """A few photos of a few labels: of KENNEL_PHOTOS by links, or drawn."""
    folder = tmp_path / "my photos"
    given = os.environ.get("KENNEL_PHOTOS")
    if given is None:
        assert main(["sample", str(folder), "--labels", str(LABELS), "--per-label", str(EACH)]) == 0
        return folder
    for label in sorted(path for path in Path(given, "dogs10").iterdir() if path.is_dir())[:LABELS]:
        (folder / label.name).mkdir(parents=True)
        for photo in sorted(label.iterdir())[:EACH]:
            (folder / label.name / photo.name).symlink_to(photo)
    return folder


def own_environment(home: Path) -> dict[str, str]:
    """Nothing of the user's, and none of the words that `make test` was given."""
    home.mkdir()
    own = environment(home)
    return {name: value for name, value in own.items() if name not in {"MAKEFLAGS", "MAKELEVEL"}}


def installed(project: Path) -> None:
    """The environment that runs the tests, as if `make setup` had made it."""
    # A link to one with an older `ready` would be made anew, there where the link leads.
    for here, there in (
        (project / ".venv", Path(sys.prefix)),
        (project / ".venv/tools", Path(sys.prefix, "tools")),
    ):
        if there.is_dir():
            here.mkdir()
            for path in there.iterdir():
                if path.name not in {"ready", "tools", "rents"}:
                    (here / path.name).symlink_to(path)
            (here / "ready").touch()


def free_port() -> int:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return int(door.getsockname()[1])


def test_its_readme_leads_from_an_empty_folder_to_a_served_prediction(
    tmp_path: Path, some_photos: Path
) -> None:
    env = own_environment(tmp_path / "home")
    project = tmp_path / "my project"

    def run(*words: str, cwd: Path = project) -> str:
        done = subprocess.run(words, cwd=cwd, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{words}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        assert "Traceback" not in done.stderr
        return done.stdout

    module = [sys.executable, "-m", "kennel"]
    run(*module, "init", project.name, "--photos", str(some_photos), cwd=tmp_path)
    installed(project)
    port = free_port()
    said = []
    for block in blocks((project / "README.md").read_text(encoding="utf-8")):
        text = block.text.replace("localhost:8080", f"localhost:{port}")
        text = text.replace("make serve &", f'make serve ARGS="--port {port}" &')
        said.append(run("bash", "-euo", "pipefail", "-c", text))
    [answer] = [line for each in said for line in each.splitlines() if line.startswith('{"label"')]
    assert json.loads(answer)["label"] in {path.name for path in some_photos.iterdir()}
    assert (project / "audit/index.html").is_file()
    assert (project / "bundles/measured/report/index.html").is_file()
    assert sum(path.is_symlink() for path in project.rglob("*.jpg")) == 0

    # A second time the pipeline does nothing, and git has neither photos nor weights.
    again = run("make", "repro")
    assert "Running stage" not in again
    assert "git add dvc.lock" not in again
    assert run("git", "status", "--porcelain").split() == ["??", "dvc.lock"]
    run("make", "test")


def test_a_setting_that_does_not_exist_fails_its_check(tmp_path: Path) -> None:
    env = own_environment(tmp_path / "home")
    project = tmp_path / "dogs"
    assert main(["init", str(project)]) == 0
    installed(project)
    mine = project / "conf/experiment/mine.yaml"
    text = mine.read_text("utf-8")
    for changed, said in (
        (text.replace("seed: 0", "sead: 0"), "sead"),
        (text.replace("- quick", "- quik"), "quik"),
    ):
        mine.write_text(changed, "utf-8")
        done = subprocess.run(
            ["make", "check"], cwd=project, env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 2
        assert said in done.stderr
    mine.write_text(text, "utf-8")
    (project / "dvc.yaml").write_text(
        (project / "dvc.yaml").read_text("utf-8").replace("deps:", "depps:", 1), "utf-8"
    )
    done = subprocess.run(
        ["make", "check"], cwd=project, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "depps" in done.stdout + done.stderr


def test_the_bytes_of_a_version_are_asked_of_the_index_once(tmp_path: Path) -> None:
    project = tmp_path / "dogs"
    pinned = f"kennel-ml=={kennel.__version__}"
    assert main(["init", str(project), "--kennel", pinned]) == 0
    installed(project)
    (tmp_path / "nothing").mkdir()
    env = own_environment(tmp_path / "home") | {"UV_FIND_LINKS": str(tmp_path / "nothing")}
    wheel = small_wheel()
    with index_of(wheel) as address:
        index = {"UV_DEFAULT_INDEX": address, "UV_INDEX_URL": address}
        subprocess.run(["make", "pin"], cwd=project, env=env | index, check=True)
    sha256 = hashlib.sha256(wheel).hexdigest()
    said = (project / "kennel.txt").read_text("utf-8")
    assert said.split() == [pinned, "\\", f"--hash=sha256:{sha256}"]
    subprocess.run(["make", "pin"], cwd=project, env=env | index, check=True)  # nobody is asked
    assert (project / "kennel.txt").read_text("utf-8") == said


def small_wheel() -> bytes:
    """A wheel that says it is this Kennel."""
    about = f"kennel_ml-{kennel.__version__}.dist-info"
    files = {
        "METADATA": f"Metadata-Version: 2.1\nName: kennel-ml\nVersion: {kennel.__version__}\n",
        "WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "RECORD": "",
    }
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, text in files.items():
            archive.writestr(f"{about}/{name}", text)
    return content.getvalue()


@contextmanager
def index_of(wheel: bytes) -> Iterator[str]:
    """A package index on this machine that has one wheel, and says its sha256."""
    name = f"kennel_ml-{kennel.__version__}-py3-none-any.whl"
    page = f'<a href="/{name}#sha256={hashlib.sha256(wheel).hexdigest()}">{name}</a>'

    class Index(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = self.path.endswith((".whl", "/kennel-ml/"))
            body = wheel if self.path.endswith(".whl") else page.encode()
            self.send_response(200 if found else 404)
            self.send_header("content-type", "text/html")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Index) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/simple"
        server.shutdown()


def test_without_git_the_pipeline_runs_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = own_environment(tmp_path / "home")
    with monkeypatch.context() as without:
        without.setenv("PATH", str(tmp_path))
        assert main(["init", str(tmp_path / "dogs")]) == 0
    installed(tmp_path / "dogs")
    words = [str(Path(sys.executable).parent / "dvc"), "status"]
    done = subprocess.run(
        words, cwd=tmp_path / "dogs", env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "sample" in done.stdout
