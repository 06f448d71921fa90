"""Everything that a rehearsal stands on: bundles, photos, the emulated AWS, the door, who acts."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kennel.bundle import Bundle, read_bundle
from kennel.cloud import CloudError
from kennel.cloud.deployment import Deployment
from kennel.cloud.rehearsal.built import built_image
from kennel.cloud.rehearsal.container import Image as Built
from kennel.cloud.rehearsal.dockerfile import SERVE, read_settings
from kennel.cloud.rehearsal.door import Door, opened
from kennel.cloud.rehearsal.emulator import ACCOUNT, Emulator, emulated
from kennel.cloud.rehearsal.events import Reply
from kennel.cloud.rehearsal.function import Function
from kennel.cloud.rehearsal.played_image import Played, played_image
from kennel.cloud.rehearsal.sandbox import Runnable
from kennel.errors import need

ROLES = ("deploy", "data", "runner", "caller")
VERB_S = 300.0
SENT = {".jpg": "image/jpeg", ".png": "image/png", ".gif": "image/gif", ".webp": "image/webp"}


@dataclass
class Stage:
    """What the acts of the play work on.

    Attributes:
        templates: the folder of the deployment.
        bundles: the first is deployed, the second after it; may be the same one.
        images: one for each.
        photos: that are asked.
        runs: "image" where what was built runs, "processes" where its settings do. why: they do.
        kept: what one act leaves for later ones.
    """

    deployment: Deployment
    templates: Path
    bundles: tuple[Bundle, Bundle]
    images: tuple[Played, Played]
    photos: tuple[Path, ...]
    emulator: Emulator
    door: Door
    function: Function
    folder: Path
    runs: str
    why: str
    kept: dict[str, Any] = field(default_factory=dict)

    @contextmanager
    def acting(self, role: str) -> Iterator[None]:
        """Signed in as that role, and pointed at the emulator, in this process."""
        before = {name: said for name, said in os.environ.items() if name.startswith("AWS_")}
        for name in before:
            del os.environ[name]
        os.environ.update(self.emulator.environment(role))
        try:
            yield
        finally:
            for name in [name for name in os.environ if name.startswith("AWS_")]:
                del os.environ[name]
            os.environ.update(before)

    def run(self, words: Sequence[str], *, role: str, where: Path) -> str:
        """What a program prints, run as that role.

        Raises:
            CloudError: it failed.
        """
        own = {name: said for name, said in os.environ.items() if not name.startswith("AWS_")}
        done = subprocess.run(
            [sys.executable, "-m", *words],
            cwd=where,
            env={**own, **self.emulator.environment(role), "DVC_NO_ANALYTICS": "true"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=VERB_S,
        )
        if done.returncode:
            said = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
            wrong = [line for line in said if line.lower().startswith("error")] or said[-1:]
            raise CloudError(
                f"{' '.join(words[:2])} ended with {done.returncode}: {' '.join(wrong)}".rstrip(
                    ". "
                )
                + ".",
                fix="see what it says; each step is a command that can be run by itself",
            )
        return done.stdout

    def ask(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        kind: str = "",
        role: str | None = "caller",
    ) -> Reply:
        """A request to the function's URL, signed by that role; by nobody where it is None."""
        url = urlsplit(self.door.address)
        headers = {"Content-Type": kind} if kind else {}
        if role is not None:
            headers = self.signed(method, path, body, headers, role)
        connection = http.client.HTTPConnection(str(url.hostname), url.port, timeout=120)
        try:
            connection.request(method, path, body, headers)
            got = connection.getresponse()
            names = {name.lower(): said for name, said in got.getheaders()}
            return Reply(got.status, names, got.read())
        finally:
            connection.close()

    def signed(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str], role: str
    ) -> dict[str, str]:
        """Headers of a request to the function's URL, with that role's signature."""
        auth: Any = need("botocore.auth", extra="aws")
        requests: Any = need("botocore.awsrequest", extra="aws")
        credentials: Any = need("botocore.credentials", extra="aws")
        told = self.emulator.environment(role)
        who = credentials.Credentials(told["AWS_ACCESS_KEY_ID"], told["AWS_SECRET_ACCESS_KEY"])
        made = requests.AWSRequest(
            method, f"{self.door.address}{path}", data=body, headers=dict(headers)
        )
        auth.SigV4Auth(who, "lambda", self.emulator.region).add_auth(made)
        return dict(made.headers.items())

    def predicted(self, bundle: Bundle) -> list[dict[str, Any]]:
        """What the command line answers for the photos, outside of any function."""
        known = self.kept.setdefault("predicted", {})
        if bundle.path not in known:
            words = ["kennel", "predict", str(bundle.path), *map(str, self.photos), "--json"]
            said = self.run(words, role="caller", where=self.folder)
            known[bundle.path] = json.loads(said)
        found: list[dict[str, Any]] = known[bundle.path]
        return found

    def sleep(self, _: float) -> None:
        """The emulator is done when it answers: nothing has to be waited for."""
        time.sleep(0.01)


@contextmanager
def set_stage(
    deployment: Deployment,
    bundles: Sequence[Path],
    *,
    templates: Path,
    photos: Sequence[Path] = (),
    dockerfile: Path | None = None,
) -> Iterator[Stage]:
    """All of it, while the block runs; nothing of it is left after it.

    Args:
        bundles: one or two. templates: the folder that the deployment was read from.
        photos: asked besides those that are drawn.
        dockerfile: whose settings are taken where no image was built.
    Raises:
        MissingExtraError, BundleError, CloudError: something is not there.
    """
    for module, extra in (("uvicorn", "serve"), ("dvc", "data"), ("dvc_s3", "data")):
        need(module, extra=extra)
    read = [read_bundle(path) for path in bundles]
    pair = (read[0], read[-1])
    images = (played_image(pair[0], 1), played_image(pair[1], 2))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kennel-rehearsal-")))
        ids = tuple(each.bundle_id for each in pair)
        image, why = stack.enter_context(built_image(ids))
        runnables = {
            played.digest: _runnable(played, bundle, image=image, dockerfile=dockerfile)
            for played, bundle in zip(images, pair, strict=True)
        }
        function = Function(runnables, folder / "sandboxes")
        door = stack.enter_context(opened(function))
        name = function_name(deployment)
        emulator = stack.enter_context(
            emulated(folder, door=door.address, region=deployment.region, function=name)
        )
        door.cloud = emulator
        function.hand_on = emulator.hand_on
        for role in ROLES:
            emulator.user(role, policy_of(role, deployment, name))
        stage = Stage(
            deployment,
            templates.resolve(),
            pair,
            images,
            (),
            emulator,
            door,
            function,
            folder,
            "processes" if image is None else "image",
            why,
        )
        stage.photos = (*photos, *_drawn(folder / "drawn"))
        yield stage


def policy_of(role: str, deployment: Deployment, function: str) -> dict[str, Any]:
    """What a user of the stage may do: the door looks at it, and moto does not."""
    arn = f"arn:aws:lambda:{deployment.region}:{ACCOUNT}:function:{function}:*"
    statement = (
        {
            "Effect": "Allow",
            "Action": ["lambda:InvokeFunctionUrl", "lambda:InvokeFunction"],
            "Resource": arn,
        }
        if role in ("caller", "deploy")
        else {"Effect": "Allow", "Action": ["sts:GetCallerIdentity"], "Resource": "*"}
    )
    return {"Version": "2012-10-17", "Statement": [statement]}


def function_name(deployment: Deployment) -> str:
    """Of the function that has a URL, by the service's template.

    Raises:
        CloudError: it has none.
    """
    stack = deployment.stack("service")
    told = stack.template["Resources"].values() if stack else ()
    for each in told:
        if each["Type"] == "AWS::Lambda::Function" and "ImageUri" in each["Properties"]["Code"]:
            return str(each["Properties"]["FunctionName"])
    raise CloudError("this deployment has no service.", fix="make synth")


def _runnable(
    played: Played, bundle: Bundle, *, image: Built | None, dockerfile: Path | None
) -> Runnable:
    if image is not None:
        entry = (*image.words("Entrypoint"), *image.words("Cmd"))
        return Runnable(played.digest, entry, image.environment, image)
    told = read_settings(dockerfile or find_dockerfile())
    return Runnable(played.digest, told.entry, told.environment, bundle=bundle.path.resolve())


def find_dockerfile() -> Path:
    """The serve image's: of the working folder, else the one that came with Kennel."""
    from kennel.project.templates import templates

    here = Path.cwd() / SERVE
    if here.is_file():
        return here
    return next(each.file for each in templates() if each.path == SERVE)


def _drawn(folder: Path) -> tuple[Path, ...]:
    """Photos that are drawn: dogs, and what a camera seldom gives."""
    from kennel.awkward import awkward_photos

    return tuple(each for each in awkward_photos(folder).values() if each.suffix in SENT)
