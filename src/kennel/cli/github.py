"""`kennel github comment|badge|release|image`: what a workflow tells GitHub, with its own token.

comment FILE      one comment under the pull request whose check has just ended, written again
badge XML         the share of code that tests ran, as a picture on the branch `badges`
release FILE...   the files of a tag as a release, with its part of CHANGELOG.md
image NAME        what an image of a tag is called at GHCR, for the workflow's later steps
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kennel.errors import UsageError

if TYPE_CHECKING:
    from kennel.github import Api

EXAMPLE = """kennel github comment figures.md
  kennel github comment figures.md --pull 12
  kennel github badge coverage.xml --to coverage.svg
  kennel github release dist/* --tag v1.2.0"""
COLUMN = 12


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("do", choices=["comment", "badge", "release", "image"], help="what is told")
    parser.add_argument("files", metavar="FILE", type=Path, nargs="+", help="what it is told from")
    parser.add_argument(
        "--pull",
        metavar="N",
        type=int,
        help="comment: the pull request (default: the one of the workflow run that ended)",
    )
    parser.add_argument(
        "--to", metavar="SVG", type=Path, help="badge: writes the picture there, and asks nobody"
    )
    parser.add_argument(
        "--tag",
        metavar="TAG",
        help="release, image: which (default: GITHUB_REF_NAME, the pushed tag)",
    )


def run(args: argparse.Namespace) -> int:
    return {"comment": _comment, "badge": _badge, "release": _release, "image": _image}[args.do](
        args
    )


def _comment(args: argparse.Namespace) -> int:
    from kennel.github.comment import MOST_BYTES, checked_by, pull_of, put_comment

    [path] = _one(args)
    if path.is_symlink() or not path.is_file():
        raise UsageError(f"{path} is no file.", fix="see what should have written it")
    with path.open("rb") as file:
        content = file.read(MOST_BYTES + 1)
    try:
        # Cut in the middle of a letter it is too long besides, which is said first.
        text = content.decode(errors="strict" if len(content) <= MOST_BYTES else "replace")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is no text in UTF-8.", fix="see what wrote it") from error
    api = _github()
    pull = args.pull if args.pull is not None else pull_of(api, checked_by(_event()))
    if pull is None:
        _say(args, {"comment": None}, "nothing said: a newer commit is checked, or no pull request")
        return 0
    where = put_comment(api, pull, text)
    _say(args, {"comment": where, "pull": pull}, f"{'comment':<{COLUMN}}{where}")
    return 0


def _badge(args: argparse.Namespace) -> int:
    from kennel.github.badge import BRANCH, badge, covered, put_badge
    from kennel.writing import replacing

    [report] = _one(args)
    percent = covered(report)
    picture = badge(percent)
    if args.to is not None:
        with replacing(args.to) as file:
            file.write(picture)
        where = str(args.to)
    else:
        where = f"{BRANCH} at {put_badge(_github(), picture)}"
    _say(args, {"percent": percent, "badge": where}, f"{'badge':<{COLUMN}}{percent:.2f} %, {where}")
    return 0


def _release(args: argparse.Namespace) -> int:
    from kennel.github.release import notes, publish

    tag, version = _tag(args)
    try:
        changelog = Path("CHANGELOG.md").read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise UsageError("there is no CHANGELOG.md here.", fix="go to the repository") from error
    where = publish(_github(), tag, text=notes(changelog, version), files=args.files)
    _say(args, {"release": where}, f"{'release':<{COLUMN}}{where}")
    return 0


def _image(args: argparse.Namespace) -> int:
    from kennel.github.release import image_name

    [image] = _one(args)
    _, version = _tag(args)
    name = image_name(os.environ.get("GITHUB_REPOSITORY_OWNER", ""), str(image))
    if told := os.environ.get("GITHUB_OUTPUT"):
        with open(told, "a", encoding="utf-8") as file:  # noqa: PTH123 - GitHub's own, appended to
            file.write(f"name={name}\nversion={version}\n")
    _say(args, {"name": name, "version": version}, f"{'image':<{COLUMN}}{name}:{version}")
    return 0


def _tag(args: argparse.Namespace) -> tuple[str, str]:
    """The tag, and the version that it is of."""
    import kennel
    from kennel.github.release import version_of

    tag = args.tag or os.environ.get("GITHUB_REF_NAME") or ""
    version = version_of(tag)
    if version != kennel.__version__:
        raise UsageError(
            f"the tag {tag} is not of this version, {kennel.__version__}.",
            fix="set the version in src/kennel/__init__.py, commit, and tag that commit",
        )
    return tag, version


def _one(args: argparse.Namespace) -> list[Path]:
    if len(args.files) != 1:
        raise UsageError(f"{args.do} takes one file.", fix=f"kennel github {args.do} FILE")
    return list(args.files)


def _say(args: argparse.Namespace, document: dict[str, Any], words: str) -> None:
    print(json.dumps(document) if args.json else words)


def _event() -> Any:
    path = os.environ.get("GITHUB_EVENT_PATH")
    if not path:
        raise UsageError("no workflow says which run ended.", fix="name the pull request: --pull N")
    try:
        return json.loads(Path(path).read_bytes())
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} is no event of GitHub's.", fix="--pull N") from error


def _github() -> Api:
    from kennel.github import ADDRESS, Api

    token = os.environ.get("GITHUB_TOKEN", "")
    if not token:
        sys.stderr.write("note: GITHUB_TOKEN is not set; GitHub lets nobody write without one\n")
    return Api(
        os.environ.get("GITHUB_REPOSITORY", ""),
        token=token,
        address=os.environ.get("GITHUB_API_URL") or ADDRESS,
    )
