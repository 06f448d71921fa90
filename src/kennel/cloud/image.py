"""The image that is deployed: found in an engine, looked at, and pushed to ECR once.

ECR's token stands in no argument, and in no file that stays: the engine reads it from this
process's memory where Linux gives memory a name, else from a file of a folder that goes.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from kennel.cloud import CloudError, asking, client
from kennel.errors import UsageError

ADAPTER = "/opt/extensions/lambda-adapter"
LABEL = "kennel.bundle_id"
ARCHITECTURE = "amd64"  # ONNX Runtime was reported to abort on Lambda's arm64
INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
REFERENCE = re.compile(r"[a-z0-9][A-Za-z0-9._/:@-]{0,254}")
FIXES = {
    "RepositoryNotFoundException": "deploy that room first: kennel cloud deploy --only images",
    "ExpiredTokenException": "sign in again: aws sso login",
}


class Image(Protocol):
    """What can be deployed.

    Attributes:
        bundle: id of the bundle in it.
        tag: in the repository; follows from its content, so that one tag is one image.
    """

    @property
    def bundle(self) -> str: ...
    @property
    def tag(self) -> str: ...
    def push(self, repository: str) -> None:
        """Puts it into the repository of that URI, under its tag."""


@dataclass(frozen=True)
class LocalImage:
    """An image that an engine of this machine has.

    Attributes:
        engine: docker or buildah.
        image_id: sha256 of its configuration, hexadecimal.
    """

    reference: str
    engine: str
    image_id: str
    bundle: str

    @property
    def tag(self) -> str:
        return f"{self.bundle}-{self.image_id[:12]}"

    def push(self, repository: str) -> None:
        registry = repository.partition("/")[0]
        target = f"{repository}:{self.tag}"
        with _signed_in(registry) as (folder, file):
            if self.engine == "docker":
                environment = {"DOCKER_CONFIG": str(folder), **_docker_host()}
                _run("docker", "tag", self.image_id, target)
                try:
                    _run("docker", "push", "--quiet", target, environment=environment)
                finally:
                    with suppress(CloudError):
                        _run("docker", "image", "rm", "--no-prune", target)
            else:
                plain = registry.partition(":")[0] in ("127.0.0.1", "localhost")
                own = ["--tls-verify=false"] if plain else []
                _run(
                    *("buildah", "push", "--quiet", "--authfile", str(file), *own),
                    *("--format", "docker", self.image_id, f"docker://{target}"),
                )


def local_image(reference: str, *, bundle: str, rebuild: str) -> LocalImage:
    """The image of that name, looked at: it must be able to answer for that bundle in Lambda.

    Args:
        rebuild: the line that builds it.
    Raises:
        CloudError: there is no engine or no such image, or it cannot be deployed.
    """
    if not REFERENCE.fullmatch(reference):
        raise UsageError(f"{reference!r} is no name of an image.", fix="--image kennel-serve")
    name = engine()
    told = _inspected(name, reference)
    if told is None:
        raise CloudError(f"{name} has no image {reference}.", fix=rebuild)
    if told.architecture != ARCHITECTURE:
        raise CloudError(
            f"the image {reference} is for {told.architecture or 'no processor that it says'}; "
            "Lambda runs it on x86_64.",
            fix=f'{rebuild} BUILD_OPTIONS="--platform linux/amd64"',
        )
    if told.bundle != bundle:
        has = f"the bundle {told.bundle}" if told.bundle else "no bundle"
        raise CloudError(f"the image {reference} has {has} in it, not {bundle}.", fix=rebuild)
    if not _holds(name, reference):
        raise CloudError(
            f"the image {reference} has no {ADAPTER}: no request of Lambda's would reach it.",
            fix=rebuild,
        )
    return LocalImage(reference, name, told.image_id, told.bundle)


def engine() -> str:
    """docker where its engine answers, else buildah.

    Raises:
        CloudError: neither is there.
    """
    if shutil.which("docker") and _asked("docker", "version").returncode == 0:
        return "docker"
    if shutil.which("buildah"):
        return "buildah"
    raise CloudError(
        "neither docker nor buildah is on this machine, or Docker's engine does not answer.",
        fix="start Docker, or: apt-get install buildah",
    )


@dataclass(frozen=True)
class _Told:
    image_id: str
    architecture: str
    bundle: str


def _inspected(name: str, reference: str) -> _Told | None:
    words = ("image", "inspect") if name == "docker" else ("inspect", "--type", "image")
    done = _asked(name, *words, reference)
    if done.returncode:
        said = done.stderr.strip().lower()
        if "no such" in said or "not known" in said or "not found" in said:
            return None
        raise CloudError(
            f"{name} cannot look at {reference}: {_last(done.stderr)}.", fix=f"see {name} images"
        )
    found: Any = json.loads(done.stdout)
    if name == "docker":
        [found] = found
        config, machine, own = found.get("Config") or {}, found.get("Architecture"), found["Id"]
    else:
        docker = found.get("Docker") or {}
        config, machine = docker.get("config") or {}, docker.get("architecture")
        own = found["FromImageID"]
    labels = config.get("Labels") or {}
    return _Told(str(own).removeprefix("sha256:"), str(machine or ""), str(labels.get(LABEL, "")))


def _holds(name: str, reference: str) -> bool:
    """Whether the adapter is in it. A container is made for that, and not started."""
    if name == "docker":
        container = _run("docker", "create", reference).strip()
        try:
            with subprocess.Popen(
                ["docker", "cp", f"{container}:{ADAPTER}", "-"],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            ) as copying:
                assert copying.stdout is not None
                found = bool(copying.stdout.read(1))
                copying.kill()
            return found
        finally:
            _asked("docker", "rm", container)
    container = _run("buildah", "from", "--pull-never", reference).strip()
    try:
        look = f'test -x "$(buildah mount "$1"){ADAPTER}"'
        shell = ["sh", "-c", look, "sh", container]
        own = [] if os.geteuid() == 0 else ["buildah", "unshare"]  # or it may mount nothing
        return _asked(*own, *shell).returncode == 0
    finally:
        _asked("buildah", "rm", container)


def pushed(repository: str, image: Image) -> str | None:
    """The digest of that image in the repository; None where it is not there, or not whole.

    Args:
        repository: name of it.
    Raises:
        CloudError: AWS refuses, or what is there is for another processor.
    """
    ecr = client("ecr")
    try:
        with asking(f"ecr:DescribeImages {repository}", fixes=FIXES):
            [found] = ecr.describe_images(
                repositoryName=repository, imageIds=[{"imageTag": image.tag}]
            )["imageDetails"]
    except CloudError as error:
        if error.code == "ImageNotFoundException":
            return None
        raise
    digest = str(found["imageDigest"])
    with asking(f"ecr:BatchGetImage {repository}", fixes=FIXES):
        answer = ecr.batch_get_image(repositoryName=repository, imageIds=[{"imageDigest": digest}])
    manifest = json.loads(answer["images"][0]["imageManifest"])
    if manifest.get("mediaType") not in INDEXES:
        return digest
    # Docker wraps an image with its provenance; Lambda takes no such list, but what is in it.
    for each in manifest["manifests"]:
        if each.get("platform", {}).get("architecture") == ARCHITECTURE:
            return str(each["digest"])
    raise CloudError(
        f"{repository}:{image.tag} is a list of images, and none is for x86_64.",
        fix='make images ARGS=serve with BUILD_OPTIONS="--platform linux/amd64 --provenance=false"',
    )


def push(repository: str, uri: str, image: Image) -> str:
    """Pushes it where it is not there yet.

    Args:
        repository, uri: name and URI of the repository.
    Returns:
        its digest, sha256:...
    Raises:
        CloudError: it cannot be pushed. What was pushed of it is taken up by the next try.
    """
    digest = pushed(repository, image)
    if digest is None:
        image.push(uri)
        digest = pushed(repository, image)
    if digest is None:
        raise CloudError(
            f"{repository} has no {image.tag} after it was pushed.", fix="run it again"
        )
    return digest


def bundle_of(repository: str, digest: str) -> str:
    """Which bundle is in an image of the repository, by its tag; "" where no tag says it."""
    try:
        with asking(f"ecr:DescribeImages {repository}", fixes=FIXES):
            [found] = client("ecr").describe_images(
                repositoryName=repository, imageIds=[{"imageDigest": digest}]
            )["imageDetails"]
    except CloudError as error:
        if error.code in ("ImageNotFoundException", "RepositoryNotFoundException"):
            return ""
        raise
    tags: Sequence[str] = found.get("imageTags", ())
    return next((tag.rpartition("-")[0] for tag in tags if "-" in tag), "")


@contextmanager
def _signed_in(registry: str) -> Iterator[tuple[Path, Path]]:
    """Docker's configuration with ECR's token in it: its folder, and the file."""
    with asking("ecr:GetAuthorizationToken", fixes=FIXES):
        [data] = client("ecr").get_authorization_token()["authorizationData"]
    token = base64.b64encode(base64.b64decode(data["authorizationToken"])).decode()
    content = json.dumps({"auths": {registry: {"auth": token}}}).encode()
    with tempfile.TemporaryDirectory(prefix="kennel-push-") as name:
        folder = Path(name)
        file = folder / "config.json"
        if sys.platform == "linux":
            memory = os.memfd_create("kennel-push")
            try:
                os.write(memory, content)
                file.symlink_to(f"/proc/{os.getpid()}/fd/{memory}")
                yield folder, file
            finally:
                os.close(memory)
        else:
            with os.fdopen(os.open(file, os.O_CREAT | os.O_WRONLY, 0o600), "wb") as written:
                written.write(content)
            yield folder, file


def _docker_host() -> dict[str, str]:
    """Where Docker's engine is: with another configuration its contexts are not known."""
    if os.environ.get("DOCKER_HOST"):
        return {}
    done = _asked("docker", "context", "inspect", "--format", "{{.Endpoints.docker.Host}}")
    host = done.stdout.strip()
    return {"DOCKER_HOST": host} if done.returncode == 0 and host else {}


def _run(*words: str, environment: dict[str, str] | None = None) -> str:
    done = _asked(*words, environment=environment)
    if done.returncode:
        said = _last(done.stderr) or f"exit {done.returncode}"
        raise CloudError(
            f"{words[0]} {words[1]} failed: {said}.", fix=f"see {words[0]} and the network"
        )
    return done.stdout


def _asked(
    *words: str, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            words,
            check=False,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **(environment or {})},
        )
    except OSError as error:
        raise CloudError(
            f"{words[0]} cannot be run: {error.strerror}.", fix="install it, or the other engine"
        ) from error


def _last(said: str) -> str:
    rows = [row.strip() for row in said.splitlines() if row.strip()]
    return rows[-1].rstrip(".")[:300] if rows else ""
