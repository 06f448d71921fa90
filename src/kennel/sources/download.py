"""An archive from the network into a folder: in pieces, gone on with after a cut, checked.

What has come lies in NAME.part, and what the server said of it in NAME.part.json, so that a later
call goes on where this one ended. NAME itself appears only when it is whole and was checked.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from kennel.bundle import build, file_sha256, write_json
from kennel.sources import FetchError
from kennel.sources.address import plain
from kennel.sources.ask import Answer, CutError, ask
from kennel.sources.catalogue import Source, cache_name

SPARE_BYTES = 64 << 20  # left free on the disk
Checked = Literal["sha256", "md5", "nothing"]


@dataclass(frozen=True)
class Patience:
    """How long to wait for a server, and how often to ask again.

    Attributes:
        tries: in a row that bring nothing new, >= 1; a try that brings bytes starts the count anew.
        first_wait_s: after the first of them; doubled after each.
        longest_wait_s: also of what a server asks for in Retry-After.
        timeout_s: without a byte.
        pause: waits that many seconds.
    """

    tries: int = 5
    first_wait_s: float = 1.0
    longest_wait_s: float = 60.0
    timeout_s: float = 30.0
    pause: Callable[[float], None] = time.sleep


@dataclass(frozen=True)
class Download:
    """An archive that is whole. `checked` says by which published checksum."""

    path: Path
    sha256: str
    bytes: int
    checked: Checked


OnBytes = Callable[[int, int | None], None]  # bytes there, of how many where that is known


def download(
    source: Source,
    *,
    folder: Path,
    authorisation: str | None = None,
    patience: Patience | None = None,
    on_bytes: OnBytes | None = None,
    say: Callable[[str], None] | None = None,
) -> Download:
    """Brings the archive of `source` into `folder`, or goes on with what lies there of it.

    One caller at a time for each source and folder.

    Args:
        authorisation: value of the Authorization header; sent to the source's own host alone.
        on_bytes: called as bytes come in.
        say: called with a sentence for people where a try failed or begins anew.
    Raises:
        FetchError: it cannot be had, or is not what was published.
    """
    patience, say = patience or Patience(), say or (lambda _: None)
    path = folder / cache_name(source)
    if path.is_file():
        kept = _kept(path, source)
        if kept is not None:
            return kept
        say("the archive that was kept is not whole any more; it is fetched again")
        path.unlink()
    folder.mkdir(parents=True, exist_ok=True)
    part = _Part(path.with_name(f"{path.name}.part"))
    furthest, failures, resumed = part.size(), 0, part.size() > 0
    while True:
        try:
            _receive(
                source,
                part,
                authorisation=authorisation,
                timeout_s=patience.timeout_s,
                on_bytes=on_bytes,
                say=say,
            )
            return _finish(part, path, source)
        except _UnlikeError as error:
            part.discard()
            if not resumed:
                raise FetchError(error.message, fix=error.fix) from None
            # Pieces of two files, perhaps: the server may have changed it and not said so.
            say("the pieces do not make the archive that was published; it is fetched anew")
            furthest, failures, resumed = 0, 0, False
        except CutError as cut:
            size = part.size()
            failures = 1 if size > furthest else failures + 1
            furthest, resumed = max(furthest, size), size > 0
            if failures >= patience.tries:
                raise FetchError(
                    f"{cut.what}; {failures} tries in a row brought nothing new.",
                    fix="see that the network and the address work, then type the same again"
                    + (f": it goes on after {size:,} bytes" if size else ""),
                ) from cut
            wait_s = cut.retry_after_s or patience.first_wait_s * 2 ** (failures - 1)
            wait_s = min(wait_s, patience.longest_wait_s)
            say(f"{cut.what}; trying again in {wait_s:g} s")
            patience.pause(wait_s)


def forget(done: Download) -> None:
    """Removes an archive that is no longer needed."""
    done.path.unlink(missing_ok=True)
    done.path.with_name(f"{done.path.name}.json").unlink(missing_ok=True)


class _UnlikeError(FetchError):
    """What came is not what was published."""


@dataclass(frozen=True)
class _Seen:
    """What the server said of the file whose beginning lies in the part."""

    etag: str | None
    modified: str | None
    total: int | None

    def validator(self) -> str | None:
        """What If-Range takes: a strong ETag, or a date."""
        if self.etag and not self.etag.startswith("W/"):
            return self.etag
        return self.modified


def _differ(seen: _Seen, now: _Seen) -> bool:
    """Whether they cannot be of one file, whatever If-Range should have seen to."""
    etags, totals = (seen.etag, now.etag), (seen.total, now.total)
    return any(None not in pair and len(set(pair)) == 2 for pair in (etags, totals))


@dataclass(frozen=True)
class _Part:
    path: Path

    def size(self) -> int:
        return self.path.stat().st_size if self.path.is_file() else 0

    def seen(self) -> _Seen:
        try:
            seen: _Seen = build(_Seen, json.loads(self._note().read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return _Seen(None, None, None)
        return seen

    def remember(self, seen: _Seen) -> None:
        write_json(self._note(), asdict(seen))

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self._note().unlink(missing_ok=True)

    def _note(self) -> Path:
        return self.path.with_name(f"{self.path.name}.json")


def _receive(
    source: Source,
    part: _Part,
    *,
    authorisation: str | None,
    timeout_s: float,
    on_bytes: OnBytes | None,
    say: Callable[[str], None],
) -> None:
    """One try: the part is whole when this returns."""
    have, seen = part.size(), part.seen()
    if source.bytes is not None and have == source.bytes:
        return
    if have and not (seen.validator() or source.sha256 or source.md5):
        have = 0  # nothing would tell pieces of two files from one
    with ask(
        source,
        have=have,
        validator=seen.validator(),
        authorisation=authorisation,
        timeout_s=timeout_s,
    ) as answer:
        now = _Seen(answer.etag, answer.modified, answer.total)
        if answer.gives == "nothing" and answer.total == have and not _differ(seen, now):
            return  # all of it had come
        if answer.gives != "all" and (answer.start != have or _differ(seen, now)):
            part.discard()
            raise CutError("the file is another than the one that was begun")
        if answer.start != have:
            say("the server begins the file anew")
        if source.bytes is not None and answer.total not in (None, source.bytes):
            raise FetchError(
                f"{plain(source.url)} has {answer.total:,} bytes; {source.bytes:,} were published.",
                fix="the set has changed or moved: see " + (source.homepage or plain(source.url)),
            )
        expected = answer.total or source.bytes
        _refuse_full_disk(part.path.parent, (expected or answer.start) - answer.start)
        part.remember(now)
        size = _write(answer, part, source, expected, on_bytes)
    if expected is not None and size < expected:
        raise CutError(f"the connection was cut at {size:,} of {expected:,} bytes")


def _write(
    answer: Answer, part: _Part, source: Source, expected: int | None, on_bytes: OnBytes | None
) -> int:
    """Adds what comes to the part; its size then."""
    size = answer.start
    with part.path.open("r+b" if part.path.exists() else "wb", buffering=0) as file:
        file.truncate(size)
        file.seek(size)
        for piece in answer.pieces():
            if not size:
                _refuse_page(piece, source)
            if expected is None:  # it may never end
                _refuse_full_disk(part.path.parent, len(piece))
            file.write(piece)
            size += len(piece)
            if on_bytes is not None:
                on_bytes(size, expected)
            if expected is not None and size > expected:
                break  # longer than it may be; the check says so
    return size


def _refuse_full_disk(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed + SPARE_BYTES > free:
        raise FetchError(
            f"{needed / 1e9:.2f} GB or more are still to come, and {folder} has "
            f"{free / 1e9:.2f} GB free.",
            fix="make room, or name a folder on another disk with --downloads",
        )


def _refuse_page(beginning: bytes, source: Source) -> None:
    if re.match(rb"\s*<(!doctype html|html|head|body)\b", beginning[:512], re.IGNORECASE):
        raise FetchError(
            f"{plain(source.url)} sends a web page, not an archive.",
            fix="open it in a browser: it may ask you to log in, or name the archive's own address",
        )


def _finish(part: _Part, path: Path, source: Source) -> Download:
    """Checks the part, and gives it its name."""
    done = _checked(part.path, source)
    write_json(path.with_name(f"{path.name}.json"), {"sha256": done.sha256, "bytes": done.bytes})
    part.path.replace(path)
    part.discard()
    return Download(path, done.sha256, done.bytes, done.checked)


def _kept(path: Path, source: Source) -> Download | None:
    """The archive that lies there from before, where it still is what it was."""
    note = path.with_name(f"{path.name}.json")
    try:
        noted = json.loads(note.read_text(encoding="utf-8"))
        done = _checked(path, source)
    except (OSError, ValueError, _UnlikeError):
        return None
    return done if isinstance(noted, dict) and noted.get("sha256") == done.sha256 else None


def _checked(path: Path, source: Source) -> Download:
    size, sha256 = path.stat().st_size, file_sha256(path)
    fix = "nothing was kept; if the set was published anew, see " + (
        source.homepage or plain(source.url)
    )
    if source.bytes is not None and size != source.bytes:
        raise _UnlikeError(
            f"{plain(source.url)} sent {size:,} bytes; {source.bytes:,} were expected.", fix=fix
        )
    if source.sha256:
        _compare(source, "sha256", source.sha256, sha256, fix)
        return Download(path, sha256, size, "sha256")
    if source.md5:
        with path.open("rb") as file:
            md5 = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        _compare(source, "md5", source.md5, md5, fix)
        return Download(path, sha256, size, "md5")
    return Download(path, sha256, size, "nothing")


def _compare(source: Source, kind: str, expected: str, found: str, fix: str) -> None:
    if found != expected:
        raise _UnlikeError(
            f"{plain(source.url)} is not what was expected: its {kind} is {found}, not {expected}.",
            fix=fix,
        )
