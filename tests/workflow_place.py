"""Where the lines of workflows run on this machine: AWS, GitHub, an environment, and trees."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from github_server import Github, github_server
from loopback_hub import BEGINS, loopback_hub
from loopback_hub import Hub as HuggingFace
from rented import Cloud, rented_cloud
from workflows import ROOT

TAG = "v0.1.0"
SPACE = "anna/dogs"
GIT = {
    "GIT_AUTHOR_NAME": "A",
    "GIT_AUTHOR_EMAIL": "a@example.com",
    "GIT_COMMITTER_NAME": "A",
    "GIT_COMMITTER_EMAIL": "a@example.com",
    "GIT_CONFIG_GLOBAL": os.devnull,
}


# What a project with photos of its own has in .dvc/config.
DVC = """[core]
    remote = s3
['remote "s3"']
    url = s3://my-photos/dvc
    endpointurl = {address}
"""
CONTENT = b"kept in S3\n"  # and brought by `make pull`
EXTRA = "outs:\n- md5: {md5}\n  size: {size}\n  hash: md5\n  path: photos.txt\n"
COVERAGE = (
    '<coverage lines-valid="9" lines-covered="9" branches-covered="1" branches-valid="1">'
    "</coverage>"
)
EVENT: dict[str, Any] = {
    "workflow_run": {
        "head_sha": "ab" * 20,
        "head_branch": "better",
        "head_repository": {"owner": {"login": "stranger"}},
    }
}


@dataclass
class Place:
    """What all scenarios share: servers, artifacts, an environment."""

    scratch: Path
    cloud: Cloud
    hub: Github
    spaces: HuggingFace
    key: str
    venv: Path
    borrowed: bool
    artifacts: dict[str, Path] = field(default_factory=dict)

    def furnish(self, tree: Path) -> None:
        """What a tree has besides what git has: the environment, and where DVC keeps things."""
        if self.borrowed:
            for below in ("", "tools", "rents"):
                (self.venv / below / "ready").touch()  # newer: no line installs anything
        (tree / ".venv").symlink_to(self.venv)
        (tree / ".git" / "info" / "exclude").write_text(".venv\n", encoding="utf-8")
        local = DVC.format(address=self.cloud.address)
        (tree / ".dvc" / "config.local").write_text(local, encoding="utf-8")


@contextmanager
def place(venv: Path | None) -> Iterator[Place]:
    with ExitStack() as stack:
        folder = tempfile.TemporaryDirectory(prefix="kennel-workflows-")
        scratch = Path(stack.enter_context(folder)).resolve()
        cloud = stack.enter_context(rented_cloud(scratch))
        hub = stack.enter_context(github_server())
        spaces = stack.enter_context(loopback_hub())
        spaces.space(SPACE, {"README.md": BEGINS})  # made by hand, as the guide says
        spaces.publishers[f"spaces/{SPACE}"] = "workflow deploy-space"
        made = cloud.client("kms").create_key(KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")
        key = str(made["KeyMetadata"]["KeyId"])
        public: Any = serialization.load_der_public_key(
            cloud.client("kms").get_public_key(KeyId=key)["PublicKey"]
        )

        def verify(message: bytes, signature: bytes) -> bool:
            try:
                public.verify(signature, message, padding.PKCS1v15(), hashes.SHA256())
            except InvalidSignature:
                return False
            return True

        hub.verify = verify
        own = scratch / "venv"
        if venv is None:
            # Here, because each tree has it by a link, and `python -m venv` makes none of those.
            subprocess.run([sys.executable, "-m", "venv", own], check=True)
        else:
            borrow(venv.absolute(), own)
        here = Place(scratch, cloud, hub, spaces, key, own, venv is not None)
        keep_remotely(cloud)
        hub.pulls.append(
            {
                "number": 12,
                "state": "open",
                "label": "stranger:better",
                "head": {"sha": EVENT["workflow_run"]["head_sha"]},
            }
        )
        here.artifacts["figures"] = scratch / "artifacts" / "figures"
        here.artifacts["figures"].mkdir(parents=True)
        (here.artifacts["figures"] / "figures.md").write_text("Not measured.\n", encoding="utf-8")
        yield here


def borrow(venv: Path, own: Path) -> None:
    """The environment under another name, ready for all times, so that no line installs into it."""
    for folder in (own, own / "rents"):
        folder.mkdir()
        for each in venv.iterdir():
            if each.name not in ("ready", "tools", "rents"):
                (folder / each.name).symlink_to(each.resolve())
    (own / "tools").mkdir()


def keep_remotely(cloud: Cloud) -> None:
    """Puts into DVC's remote what EXTRA names."""
    md5 = hashlib.md5(CONTENT).hexdigest()
    key = f"dvc/files/md5/{md5[:2]}/{md5[2:]}"
    cloud.client("s3").put_object(Bucket="my-photos", Key=key, Body=CONTENT)


def copy_files(to: Path) -> None:
    """Every file that git has or would take, copied as it is here."""
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file() and not (ROOT / name).is_symlink():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name)


def copy_tree(to: Path, *, release: bool) -> None:
    """This tree, committed, with a commit before it to compare with."""
    shutil.rmtree(to, ignore_errors=True)
    copy_files(to)
    md5 = hashlib.md5(CONTENT).hexdigest()
    extra = EXTRA.format(md5=md5, size=len(CONTENT))
    (to / "photos.txt.dvc").write_text(extra, encoding="utf-8")

    def git(*words: str) -> None:
        subprocess.run(["git", *words], cwd=to, check=True, env={**os.environ, **GIT})

    small = (to / "params.yaml").read_text("utf-8")
    small = small.replace("labels: 10", "labels: 4").replace("per_label: 60", "per_label: 30")
    (to / "params.yaml").write_text(small, "utf-8")  # it is the lines that are tried
    git("init", "-q", "-b", "main")
    git("add", ".")
    git("commit", "-qm", "Before")
    if release:  # as who releases does it by hand
        version = to / "src" / "kennel" / "__init__.py"
        old = version.read_text("utf-8")
        version.write_text(
            re.sub(r'__version__ = ".*"', f'__version__ = "{TAG[1:]}"', old), "utf-8"
        )
        log = to / "CHANGELOG.md"
        log.write_text(
            re.sub(r"^## .*", f"## {TAG[1:]}", log.read_text("utf-8"), count=1, flags=re.M), "utf-8"
        )
    params = (to / "params.yaml").read_text("utf-8")
    assert "epochs: 12" in params
    (to / "params.yaml").write_text(params.replace("epochs: 12", "epochs: 11"), "utf-8")
    git("commit", "-qam", "What is checked")
