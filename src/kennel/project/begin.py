"""A project around Kennel, begun: files, git, DVC."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import kennel
from kennel.errors import UsageError
from kennel.project import version_control
from kennel.project.place import appearing, named_path, refuse_name, refuse_taken, write
from kennel.project.requirement import WHEELS, Requirement, requirement
from kennel.project.sections import filled_in, for_a_project, with_links
from kennel.project.templates import WORKFLOWS, Template, templates

PINS_KENNEL = "kennel.txt"
DRAWN = "data/sample"  # where the first stage of dvc.yaml draws
DRAWN_PHOTO = f"{DRAWN}/Beagle/beagle_0001.jpg"
PHOTOS_WORD = "data.photos=/photos"  # where a container has them
NO_SCM = "    no_scm = true\n"  # what DVC wants to be told where there is no git


@dataclass(frozen=True)
class Photos:
    """A folder of photos, by its path, and one of them."""

    folder: Path
    one: Path


@dataclass(frozen=True)
class Begun:
    """A project.

    Attributes:
        files: what it holds, relative to it, sorted.
        kennel: the line that pins Kennel.
        branch: of its git repository; None where there is none.
        commit: the first; None where git could not make one.
        notes: what the user has to know.
    """

    folder: Path
    files: tuple[str, ...]
    kennel: str
    branch: str | None
    commit: str | None
    notes: tuple[str, ...]


def begin(
    folder: Path,
    *,
    photos: Photos | None = None,
    named: str | None = None,
    without: Collection[str] = (),
) -> Begun:
    """Makes a project, whole or not at all.

    Args:
        folder: does not exist, or is empty.
        photos: named in params.yaml by their path; None where Kennel is to draw some.
        named: the Kennel that it pins; None for this one. See requirement.py.
        without: "workflows": no .github.
    Raises:
        KennelError: the place is taken, or a name cannot be carried.
        OSError: something could not be written; nothing is left of it.
    """
    folder = named_path(folder)
    refuse_taken(folder)
    refuse_name(folder, what="project", signs=":")
    if photos is not None:
        refuse_name(photos.folder, what="photos", signs="'{}")
        _refuse_within(folder, photos.folder)
    pinned = requirement(named)
    notes = [pinned.note] if pinned.note else []
    git = version_control.has_git()
    around = version_control.repository_around(folder) if git else None
    if around is not None:
        notes.append(
            f"{around} is a git repository too, and sees this one as something foreign: "
            f"leave it out there: echo '/{folder.relative_to(around)}/' >> .gitignore"
            if folder.is_relative_to(around)
            else f"{around} is a git repository too: leave this folder out there"
        )
    branch: str | None = None
    first: str | None = None
    with appearing(folder) as parts:
        files = _write_files(
            parts, name=folder.name, photos=photos, pinned=pinned, without=without, git=git
        )
        if git:
            branch, first, said = _versions(parts)
            notes += said
        else:
            notes.append(
                "git was not found: once it is there, git init -b main && "
                "dvc config --unset core.no_scm"
            )
    return Begun(folder, files, pinned.line, branch, first, tuple(notes))


def _refuse_within(folder: Path, photos: Path) -> None:
    """Among the photos a project would be a label, and its pictures photos."""
    if photos.resolve() in (folder.resolve(), *folder.resolve().parents):
        raise UsageError(
            f"{folder} lies within the photos, {photos}, and would be read as one of their labels.",
            fix=f"name a place beside them: kennel init {photos.parent / folder.name}",
        )


def _write_files(
    parts: Path,
    *,
    name: str,
    photos: Photos | None,
    pinned: Requirement,
    without: Collection[str],
    git: bool,
) -> tuple[str, ...]:
    """Writes every file of a project; their paths, sorted."""
    values = _values(name, photos)
    leave_out = {"kennel", "photos" if photos is None else "drawn"}
    wanted = [
        each
        for each in templates()
        if not ("workflows" in without and each.path.startswith(f"{WORKFLOWS}/"))
    ]
    there = [PINS_KENNEL, *(each.path for each in wanted)]
    write(parts / PINS_KENNEL, f"{pinned.line}\n".encode())
    if pinned.file is not None:
        there.append(f"{WHEELS}/{pinned.file.name}")
        write(parts / there[-1], pinned.file.read_bytes())
    for template in wanted:
        text = _text(template, leave_out, values)
        if template.path.endswith(".md"):
            text = with_links(text, page=template.path, there=there)
        if template.path == ".dvc/config" and not git:
            text = text.replace("[core]\n", f"[core]\n{NO_SCM}")
        mode = template.file.stat().st_mode
        write(parts / template.path, text.encode(), executable=bool(mode & 0o100))
    return tuple(sorted(there))


def _text(template: Template, leave_out: Collection[str], values: dict[str, str]) -> str:
    text = template.file.read_text(encoding="utf-8")
    try:
        text = for_a_project(text, leave_out=leave_out, values=values)
        return text if template.shared else filled_in(text, values)
    except ValueError as error:
        raise ValueError(f"{template.file}: {error}") from error


def _values(name: str, photos: Photos | None) -> dict[str, str]:
    """What stands for @name@ in the files."""
    in_compose = json.dumps(str(photos.folder), ensure_ascii=False)[1:-1] if photos else "."
    photo = shlex.quote(str(photos.one) if photos else DRAWN_PHOTO)
    return {
        "title": re.sub(r"([\\`*_{}\[\]<>#|~!&$])", r"\\\1", name),
        "slug": re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "kennel-project",
        "photos": json.dumps(str(photos.folder) if photos else DRAWN, ensure_ascii=False),
        "photo": photo,
        "photo_in_make": shlex.quote(photo.replace("$", "$$")),
        "photos_in_compose": in_compose.replace("$", "$$"),
        "photos_in_words": PHOTOS_WORD if photos else f"${{PHOTOS:+{PHOTOS_WORD}}}",
        "version": kennel.__version__,
    }


def _versions(parts: Path) -> tuple[str | None, str | None, list[str]]:
    """git in a folder: branch, first commit, and what the user has to know."""
    refused = version_control.start(parts)
    if refused is not None:
        shutil.rmtree(parts / ".git", ignore_errors=True)
        return None, None, [f"git could not begin ({refused}): git init -b main"]
    if not version_control.knows_the_user(parts):
        return (
            "main",
            None,
            [
                "git does not know you, so there is no first commit: git config --global user.name "
                "NAME, user.email ADDRESS, then git add . && git commit -m Begun"
            ],
        )
    first, said = version_control.commit(parts, f"A project around Kennel {kennel.__version__}")
    if first is None:
        return "main", None, [f"there is no first commit ({said}): git add . && git commit"]
    return "main", first, []
