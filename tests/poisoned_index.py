"""A package index on this machine that can turn against its users, and a project to lock.

`collar` needs `leash`. As long as the index is honest there is leash 1.0; then it offers newer ones
that act when they are built or when Python starts, or other bytes under the same version.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

ROOT = Path(__file__).parents[1]
ACTED = "the poison acted"
HARMLESS = ""
HARMFUL = f"print({ACTED!r}, flush=True)\n"
BACKEND = f"""\
import os, pathlib

def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    pathlib.Path(os.environ["MARKER"]).write_text({ACTED!r})
    raise SystemExit({ACTED!r})
"""
# A project with what tools/lock.py looks for. Its torch and what builds it are empty packages.
PROJECT = """\
[build-system]
requires = ["hatchling>=1.27"]
[project]
name = "kennel-ml"
version = "0"
dependencies = ["collar"]
requires-python = ">=3.11"
[project.optional-dependencies]
serve = ["collar"]
train = ["torch", "torchvision"]
[dependency-groups]
tools = ["collar"]
compose = ["collar"]
"""
APP = """\
[project]
name = "app"
version = "0"
requires-python = ">=3.11"
dependencies = ["collar"]
[dependency-groups]
test = ["collar"]
[tool.uv]
package = false
"""
BESIDES = ("editables", "hatchling", "setuptools", "uv", "wheel")


@dataclass
class Index:
    """What it offers: name -> file -> bytes. The pages say of each file the hash that it has."""

    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    url: str = ""

    def add(
        self, name: str, version: str, *, needs: str = "", acts: str = HARMLESS, page: str = ""
    ) -> None:
        held = {
            f"{name}/__init__.py": f"VERSION = {version!r}\n{acts}",
            f"{name}-{version}.dist-info/METADATA": (
                f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
                + (f"Requires-Dist: {needs}\n" if needs else "")
            ),
            f"{name}-{version}.dist-info/WHEEL": (
                "Wheel-Version: 1.0\nGenerator: a test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
            ),
        }
        if acts:  # when Python starts: nobody has to import it
            held[f"{name}.pth"] = f"import sys; exec({acts!r})\n"
        record = f"{name}-{version}.dist-info/RECORD"
        held[record] = "".join(
            f"{path},{checksum(said)},{len(said)}\n" for path, said in held.items()
        )
        held[record] += f"{record},,\n"
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as wheel:
            for path, said in held.items():
                wheel.writestr(zipfile.ZipInfo(path), said)
        self.files.setdefault(page or name, {})[f"{name}-{version}-py3-none-any.whl"] = (
            out.getvalue()
        )

    def add_source(self, name: str, version: str) -> None:
        """One that acts when it is built."""
        held = {
            "PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
            "pyproject.toml": (
                "[build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['.']\n"
                f"[project]\nname = '{name}'\nversion = '{version}'\n"
            ),
            "backend.py": BACKEND,
        }
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w:gz") as archive:
            for path, said in held.items():
                entry = tarfile.TarInfo(f"{name}-{version}/{path}")
                entry.size = len(said.encode())
                archive.addfile(entry, io.BytesIO(said.encode()))
        self.files.setdefault(name, {})[f"{name}-{version}.tar.gz"] = out.getvalue()

    def release_poison(self) -> None:
        """Newer versions: a wheel, and one newer still that is built where it is installed."""
        self.add("leash", "1.1", acts=HARMFUL)
        self.add_source("leash", "1.2")

    def exchange(self) -> None:
        """Other bytes under the version that is locked."""
        self.add("leash", "1.0", acts=HARMFUL)

    def page(self, path: str) -> bytes | None:
        """PEP 503: a list of names, a list of files, a file."""
        parts = [unquote(part) for part in path.strip("/").split("/")]
        if parts == ["simple"]:
            return "".join(f'<a href="{n}/">{n}</a>' for n in self.files).encode()
        if parts[0] == "simple" and parts[1] in self.files:
            rows = "".join(
                f'<a href="/files/{parts[1]}/{file}#sha256={sha256(held)}">{file}</a>'
                for file, held in self.files[parts[1]].items()
            )
            return f"<!DOCTYPE html><html><body>{rows}</body></html>".encode()
        if parts[0] == "files":
            return self.files.get(parts[1], {}).get(parts[2])
        return None


def sha256(held: bytes) -> str:
    return hashlib.sha256(held).hexdigest()


def checksum(said: str) -> str:
    digest = hashlib.sha256(said.encode()).digest()
    return "sha256=" + base64.urlsafe_b64encode(digest).decode().rstrip("=")


@contextmanager
def serving() -> Iterator[Index]:
    """An honest index that answers on the loopback."""
    index = Index()
    index.add("collar", "1.0", needs="leash>=1.0")
    index.add("leash", "1.0")
    index.add("torch", "2.13.0")
    index.add("torch", "2.13.0+cpu", page="processors")
    index.add("torchvision", "0.28.0")
    for name in BESIDES:
        index.add(name, "1.27.0")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = index.page(self.path)
            self.send_response(404 if found is None else 200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(found or b"")))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(found or b"")

        do_HEAD = do_GET  # noqa: N815 - the name that http.server calls

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    index.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield index
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def environment(index: Index, home: Path) -> dict[str, str]:
    """What pip and uv run under: this index alone, no cache, no file of the user's."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "UV_", "PYTHON"))}
    return {
        **kept,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(home),
        "MARKER": str(home / "marker"),
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_INDEX_URL": f"{index.url}/simple",
        "PIP_NO_CACHE_DIR": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "UV_DEFAULT_INDEX": f"{index.url}/simple",
        "UV_NO_CACHE": "1",
        "UV_NO_CONFIG": "1",
        "CPU_WHEELS": f"{index.url}/simple/processors/",
    }


def locked_project(folder: Path, env: dict[str, str]) -> Path:
    """A project whose locks this repository's own `tools/lock.py` writes."""
    (folder / "tools").mkdir(parents=True)
    (folder / "locks").mkdir()
    (folder / "pyproject.toml").write_text(PROJECT, encoding="utf-8")
    shutil.copy(ROOT / "tools" / "lock.py", folder / "tools")
    shutil.copy(ROOT / "locks" / "held.txt", folder / "locks")
    (folder / "deploy" / "aws").mkdir(parents=True)
    (folder / "deploy" / "aws" / "pyproject.toml").write_text(APP, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "tools/lock.py"],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder
