"""Images built by buildah, without an engine, and what stands in for bases out of reach."""

from __future__ import annotations

import ast
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kennel.cloud.rehearsal.container import Image

ROOT = Path(__file__).resolve().parents[2]
ADAPTER = ROOT / "src" / "kennel" / "cloud" / "rehearsal" / "adapter.py"
BASE = re.compile(r"^FROM (\S+)@(sha256:[0-9a-f]{64})", re.MULTILINE)
PULL_SECONDS = 120
# What a slim base leaves out, as the official ones do.
LEFT_OUT = (
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
    "var/cache/apt",
    "var/lib/apt/lists",
)


class RefusedError(Exception):
    """What is in the way, and the line that mends it."""

    def __init__(self, message: str, fix: str) -> None:
        super().__init__(message)
        self.message, self.fix = message, fix


@dataclass(frozen=True)
class Base:
    """What an image is built from: `reference` is the Dockerfile's, `image` buildah's name."""

    reference: str
    image: str
    stands_in: str  # what it is instead, or ""


@dataclass(frozen=True)
class PipSettings:
    """Words for a build: files that it sees while it installs; where torch for a processor is."""

    secrets: list[str]
    torch: list[str]


class Builder:
    """buildah, with a store of its own in `folder`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        configuration = folder / "storage.conf"
        configuration.write_text(
            f'[storage]\ndriver = "vfs"\ngraphroot = "{folder}/store"\nrunroot = "{folder}/run"\n'
        )
        self.folder = folder
        self.environment = {
            **os.environ,
            "BUILDAH_ISOLATION": "chroot",
            "CONTAINERS_STORAGE_CONF": str(configuration),
            "STORAGE_DRIVER": "vfs",
        }

    def __call__(self, *words: str, timeout_s: float | None = None) -> str:
        """What buildah prints.

        Raises:
            subprocess.CalledProcessError, subprocess.TimeoutExpired
        """
        done = subprocess.run(
            ["buildah", *words],
            env=self.environment,
            check=True,
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )
        return done.stdout.strip()

    def base(self, reference: str, digest: str, *, pull: bool) -> Base:
        """A base as it is published, or where it cannot be pulled what stands in for it."""
        name = reference.rpartition(":")[0]
        why = "not tried"
        if pull:
            try:
                image = self("pull", "--quiet", f"{name}@{digest}", timeout_s=PULL_SECONDS)
                return Base(f"{reference}@{digest}", image, "")
            except subprocess.CalledProcessError as error:
                why = error.stderr.strip().splitlines()[-1]
            except subprocess.TimeoutExpired:
                why = f"no answer in {PULL_SECONDS} s"
        print(f"{reference} cannot be pulled ({why}): a stand-in", file=sys.stderr)
        if name.endswith("/python"):
            return Base(f"{reference}@{digest}", *self._python(reference))
        if name.endswith("/aws-lambda-adapter"):
            return Base(f"{reference}@{digest}", *self._adapter())
        raise RefusedError(f"nothing stands in for {reference}.", "build where it can be pulled")

    def build(self, image: str, bases: Mapping[str, Base], *words: str, **settings: str) -> float:
        """Runs tools/images, as people do. Returns: seconds."""
        options = ["--pull-never", *words]
        for base in bases.values():
            options += ["--build-context", f"{base.reference}=container-image://{base.image}"]
        environment = {"ENGINE": "buildah", "BUILD_OPTIONS": " ".join(options), **settings}
        began, log = time.monotonic(), self.folder / f"{image}.log"
        with log.open("wb") as file:
            done = subprocess.run(
                [ROOT / "tools" / "images", image],
                env={**self.environment, **environment},
                stdout=file,
                stderr=file,
                check=False,
            )
        if done.returncode:
            said = "\n".join(log.read_text(errors="replace").splitlines()[-25:])
            raise RefusedError(f"{image} was not built:\n{said}", f"read {log}")
        return time.monotonic() - began

    @contextmanager
    def opened(self, name: str) -> Iterator[Image]:
        """An image's files and settings, while the block runs."""
        container = self("from", "--pull-never", f"localhost/{name}")
        try:
            said = json.loads(self("inspect", "--type", "image", f"localhost/{name}"))
            yield Image(Path(self("mount", container)), said["Docker"]["config"])
        finally:
            self("rm", container)

    def forget(self, name: str) -> None:
        """Removes an image and what only it needed; builds leave containers of bases behind."""
        self("rm", "--all")
        self("rmi", "--force", f"localhost/{name}")
        self("rmi", "--prune")

    def _has(self, name: str) -> bool:
        return bool(self("images", "--quiet", "--filter", f"reference={name}"))

    def _commit(self, name: str, folder: Path) -> None:
        container = self("from", "scratch")
        self("copy", "--quiet", container, str(folder), "/")
        self("commit", "--quiet", "--rm", container, name)

    def _python(self, reference: str) -> tuple[str, str]:
        """Debian with its own Python, at the place where the official image has one."""
        suite = reference.rpartition("-")[2]
        name = f"localhost/stand-in-python-{suite}"
        if not self._has(name):
            if shutil.which("debootstrap") is None:
                raise RefusedError(
                    f"{reference} cannot be pulled, and debootstrap, for a stand-in, is missing.",
                    "apt-get install debootstrap",
                )
            with tempfile.TemporaryDirectory(dir=self.folder) as made:
                root = Path(made) / "root"
                words = [
                    "debootstrap",
                    "--variant=minbase",
                    "--include=python3,python3-pip,ca-certificates",
                ]
                log = self.folder / "debootstrap.log"
                with log.open("wb") as file:
                    done = subprocess.run(
                        [*words, suite, root], stdout=file, stderr=file, check=False
                    )
                if done.returncode:
                    raise RefusedError(
                        f"debootstrap made no {suite} to stand in for {reference}.", f"read {log}"
                    )
                for left_out in LEFT_OUT:
                    shutil.rmtree(root / left_out, ignore_errors=True)
                (root / "var/lib/apt/lists").mkdir()
                for link in ("python", "python3"):
                    (root / "usr/local/bin" / link).symlink_to("/usr/bin/python3")
                self._commit(name, root)
        return name, f"Debian {suite} by debootstrap, with its own Python"

    def _adapter(self) -> tuple[str, str]:
        """A file at the adapter's place that does the adapter's work."""
        name = "localhost/stand-in-adapter"
        with tempfile.TemporaryDirectory(dir=self.folder) as made:
            Path(made).chmod(0o755)
            shutil.copy(ADAPTER, Path(made) / "lambda-adapter")
            (Path(made) / "lambda-adapter").chmod(0o755)
            self._commit(name, Path(made))
        return name, str(ADAPTER.relative_to(ROOT))


def bases_of(image: str) -> list[tuple[str, str]]:
    """References and digests that a Dockerfile is built from."""
    return BASE.findall((ROOT / "docker" / f"{image}.Dockerfile").read_text(encoding="utf-8"))


@contextmanager
def pip_settings(folder: Path) -> Iterator[PipSettings]:
    """This machine's pip settings for a build, with no trace of them in an image.

    Folders on the disk, which a build does not see, are served on loopback meanwhile.
    """
    found = _pip_config()
    served: list[Path] = []
    with _served(served) as address:

        def reached(kind: str, word: str) -> str:
            if "://" in word and not word.startswith("file://"):
                return word
            path = Path(word.removeprefix("file://"))
            served.append(path if kind == "find-links" else path.parent)
            return f"{address}/{len(served) - 1}/" + ("" if kind == "find-links" else path.name)

        lines, secrets, torch = ["[global]"], [], []
        for kind in ("index-url", "extra-index-url", "find-links"):
            if places := [reached(kind, word) for word in found.get(kind, "").split()]:
                lines.append(f"{kind} = {' '.join(places)}")
                if kind == "find-links":
                    torch = ["--build-arg", f"TORCH_WHEELS={places[0]}"]
        if "trusted-host" in found:
            lines.append(f"trusted-host = {found['trusted-host']}")
        if timeout := found.get("default-timeout") or found.get("timeout"):
            lines.append(f"timeout = {timeout}")
        if "cert" in found:
            lines.append("cert = /etc/ca.pem")
            secrets += ["--secret", f"id=ca.pem,src={found['cert']}"]
        if len(lines) > 1:
            file = folder / "pip.conf"
            file.write_text("\n".join([*lines, ""]))
            secrets += ["--secret", f"id=pip.conf,src={file}"]
        yield PipSettings(secrets, torch)


def _pip_config() -> dict[str, str]:
    """pip's settings here; what the environment says goes before files."""
    done = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    )
    pairs = [line.partition("=") for line in done.stdout.splitlines() if "=" in line]
    values = {name: str(ast.literal_eval(said)) for name, _, said in pairs}
    in_order = sorted(values, key=lambda name: name.startswith(":env:"))
    return {name.rpartition(".")[2]: values[name] for name in in_order}


@contextmanager
def _served(folders: list[Path]) -> Iterator[str]:
    """Serves each folder under its number, on loopback."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def translate_path(self, path: str) -> str:
            _, number, *rest = path.split("/")
            self.directory = str(folders[int(number)]) if number.isdigit() else os.devnull
            return super().translate_path("/" + "/".join(rest))

        def log_message(self, *_: object) -> None:
            """Nothing: pip says what it takes."""

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """Nothing: pip leaves when it has what it wanted."""

    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
