"""A release with its files: a draft until each of them is there, and never changed after that."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from kennel.errors import UsageError
from kennel.github import Api, GithubError

TAG = re.compile(r"v(\d+\.\d+\.\d+(?:(?:a|b|rc)\d+)?)")

IMAGES = ("serve", "train", "ui")
OWNER = re.compile(r"[A-Za-z0-9](-?[A-Za-z0-9]){0,38}")


def version_of(tag: str) -> str:
    """What a tag such as v1.2.0 releases.

    Raises:
        UsageError: it is no tag of a release.
    """
    found = TAG.fullmatch(tag)
    if found is None:
        raise UsageError(
            f"{tag!r} is no tag of a release.", fix="such as v1.2.0, or v1.2.0rc1 before it"
        )
    return found[1]


def image_name(owner: str, image: str) -> str:
    """What an image of somebody's is called at GHCR, without its version.

    Args:
        owner: as GitHub writes it, which may have capitals; registries take small letters alone.
        image: serve, train, ui.
    Raises:
        UsageError: there is no such image, or no owner.
    """
    if image not in IMAGES:
        raise UsageError(f"there is no image {image!r}.", fix=f"one of {', '.join(IMAGES)}")
    if not OWNER.fullmatch(owner):
        raise UsageError(
            f"GITHUB_REPOSITORY_OWNER is {owner!r}: no name at GitHub.", fix="a workflow sets it"
        )
    return f"ghcr.io/{owner.lower()}/kennel-{image}"


def notes(changelog: str, version: str) -> str:
    """The part of CHANGELOG.md about a version.

    Raises:
        UsageError: it has none.
    """
    own = re.search(
        rf"^## [^\n]*(?<![\d.]){re.escape(version)}(?![\w.])[^\n]*\n(.*?)(?=^## |\Z)",
        changelog,
        re.MULTILINE | re.DOTALL,
    )
    if own is None or not own[1].strip():
        raise UsageError(
            f"CHANGELOG.md says nothing of {version}.", fix=f"write a part: ## {version}"
        )
    return own[1].strip()


def publish(api: Api, tag: str, *, text: str, files: Sequence[Path]) -> str:
    """Makes the release of a tag, or goes on with a draft of it.

    Returns:
        its address.
    Raises:
        UsageError: a file is missing, or two have the same name.
        GithubError: it is published already, with other files.
    """
    version = version_of(tag)
    contents = {path.name: path for path in files}
    if len(contents) != len(files) or not files:
        raise UsageError(
            "a release needs files, each of another name.", fix="such as FILES='dist/*'"
        )
    for path in files:
        if not path.is_file():
            raise UsageError(f"{path} is no file.", fix="see what should have written it")
    found = [each for each in api.every("/releases") if each.get("tag_name") == tag]
    if found and not found[0]["draft"]:
        return _same(found[0], contents, tag)
    release = (
        found[0] if found else _draft(api, tag, text, pre=not version.replace(".", "").isdigit())
    )
    for asset in release.get("assets", ()):  # of a try that was cut off
        api.of_repository("DELETE", f"/releases/assets/{asset['id']}")
    where = str(release["upload_url"]).partition("{")[0]
    for name, path in sorted(contents.items()):
        api.upload(f"{where}?name={quote(name)}", path.read_bytes())
    done = api.of_repository("PATCH", f"/releases/{release['id']}", {"draft": False})
    return str(done["html_url"])


def _draft(api: Api, tag: str, text: str, *, pre: bool) -> Any:
    document = {"tag_name": tag, "name": tag, "body": text, "draft": True, "prerelease": pre}
    return api.of_repository("POST", "/releases", document)


def _same(release: Any, contents: dict[str, Path], tag: str) -> str:
    """The address of a release that is there, if its files are these."""
    there = {str(each["name"]): each.get("digest") for each in release.get("assets", ())}
    own = {name: f"sha256:{_sha256(path)}" for name, path in contents.items()}
    if there != own:
        raise GithubError(
            f"{tag} is released already, with other files.",
            fix="a release is never changed: raise the version, and tag that",
        )
    return str(release["html_url"])


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
