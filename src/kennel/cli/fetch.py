"""`kennel fetch NAME`: brings a public set of photos, or any archive, as a folder a label.

Shows the licence, downloads, goes on where an earlier try was cut off, checks what came, and
unpacks photos alone. What a set comes with as train and val lies in train and validation.
`source.json` beside the photos says where they come from. Without a name the sets are listed.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kennel.sources.catalogue import Source
    from kennel.sources.fetch import Fetched

EXAMPLE = "kennel fetch imagewoof-160 --to photos"
COLUMN = 10  # where the facts begin
REDRAW_EVERY_S = 0.1
MANY_LABELS = 40  # of which more are counted and not listed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = f"{__doc__}\nsets:\n" + "\n".join(_list())
    parser.add_argument("name", metavar="NAME", nargs="?", help="one of the sets above")
    parser.add_argument(
        "--url",
        metavar="URL",
        help="an archive instead: .zip, .tar, .tar.gz, .tgz, .tar.bz2, .tar.xz; "
        "http:// only with --sha256",
    )
    parser.add_argument("--sha256", metavar="HEX", help="what the archive must have")
    parser.add_argument(
        "--to",
        metavar="DIR",
        type=Path,
        default=Path("photos"),
        help="new or empty folder (default: %(default)s)",
    )
    parser.add_argument(
        "--downloads",
        metavar="DIR",
        type=Path,
        default=Path(".kennel/downloads"),
        help="where archives lie, and what was begun of them (default: %(default)s)",
    )
    parser.add_argument(
        "--keep",
        action="store_true",
        help="keep the archive, to fetch again without network; else it goes when its photos lie",
    )


def run(args: argparse.Namespace) -> int:
    from kennel.sources.fetch import fetch

    if args.name is None and args.url is None:
        print(json.dumps(_catalogue(), indent=2) if args.json else "\n".join(_list()))
        return 0
    source = _source(args.name, args.url, args.sha256)
    source, authorisation = _account(source)
    meter = Meter()
    meter.say(f"{source.name}: {source.what}, {_size(source)}, from {_shown(source)}")
    meter.say(f"licence: {source.licence} ({source.terms})")
    try:
        fetched = fetch(
            source,
            to=args.to,
            downloads=args.downloads,
            keep=args.keep,
            authorisation=authorisation,
            on_bytes=meter.bytes,
            on_photo=meter.photo,
            say=meter.say,
        )
    except KeyboardInterrupt:
        meter.say("what came is kept; type the same again to go on")
        raise
    finally:
        meter.close()
    if args.json:
        print(json.dumps(_document(fetched, args.to), indent=2, ensure_ascii=False))
    else:
        print("\n".join(_lines(fetched, args.to)))
    return 0


class Meter:
    """Bytes, then photos, on stderr: how many, how fast, how long to go. Redrawn on a terminal,
    one closing line each elsewhere.
    """

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._what = ""
        self._done, self._first, self._started_s, self._drawn_s = 0, 0, 0.0, 0.0

    def bytes(self, done: int, total: int | None) -> None:
        """So many bytes are there, of so many."""
        if self._what != "bytes":
            self._begin("bytes", done)
        self._done = done
        rate = self._rate()
        of = f" of {total / 1e6:,.1f}" if total else ""
        left = f", {_span((total - done) / rate)} left" if total and rate > 0 else ""
        self._draw(f"{done / 1e6:,.1f}{of} MB, {rate / 1e6:.1f} MB/s{left}")

    def photo(self) -> None:
        """One more photo is unpacked."""
        if self._what != "photos":
            self._begin("photos", 0)
        self._done += 1
        self._draw(f"{self._done:,} photos unpacked, {self._rate():.0f}/s")

    def say(self, sentence: str) -> None:
        self.close()
        sys.stderr.write(f"{sentence}\n")
        sys.stderr.flush()

    def close(self) -> None:
        """Leaves what was counted as a line of its own."""
        if not self._what:
            return
        took_s = time.monotonic() - self._started_s
        new = self._done - self._first
        if self._what == "bytes":
            text = f"{new / 1e6:,.1f} MB in {took_s:.1f} s ({self._rate() / 1e6:.1f} MB/s)"
        else:
            text = f"{new:,} photos unpacked in {took_s:.1f} s"
        start, end = ("\r", "\x1b[K\n") if self._live else ("", "\n")
        sys.stderr.write(f"{start}{text}{end}")
        self._what = ""

    def _begin(self, what: str, first: int) -> None:
        self.close()
        self._what, self._first, self._done = what, first, first
        self._started_s = self._drawn_s = time.monotonic()

    def _rate(self) -> float:
        took_s = time.monotonic() - self._started_s
        return (self._done - self._first) / max(took_s, REDRAW_EVERY_S)

    def _draw(self, text: str) -> None:
        now = time.monotonic()
        if self._live and now - self._drawn_s >= REDRAW_EVERY_S:
            self._drawn_s = now
            sys.stderr.write(f"\r{text}\x1b[K")
            sys.stderr.flush()


def _source(name: str | None, url: str | None, sha256: str | None) -> Source:
    """What to fetch, of the words that were typed."""
    import re
    from dataclasses import replace

    from kennel.errors import UsageError
    from kennel.sources.catalogue import SOURCES, source_of_url

    if sha256 is not None and not re.fullmatch("[0-9a-fA-F]{64}", sha256):
        raise UsageError(
            f"--sha256 is {sha256}; it has {len(sha256)} letters, not 64 of 0-9 and a-f.",
            fix="copy it whole; sha256sum FILE prints one",
        )
    if url is not None:
        if name is not None:
            raise UsageError(
                f"both a set ({name}) and --url are given.", fix="leave one of them out"
            )
        return source_of_url(url, sha256=sha256)
    source = SOURCES.get(name or "")
    if source is None:
        fix = (
            f"kennel fetch --url {shlex.quote(name or '')}"
            if "://" in (name or "")
            else ("kennel fetch lists them; any other archive: kennel fetch --url URL")
        )
        raise UsageError(f"there is no set {name!r}; there are {', '.join(SOURCES)}.", fix=fix)
    if sha256 is None:
        return source
    if source.sha256 not in (None, sha256.lower()):
        raise UsageError(
            f"--sha256 is {sha256}, and the published one of {name} is {source.sha256}.",
            fix="leave --sha256 out",
        )
    return replace(source, sha256=sha256.lower())


def _account(source: Source) -> tuple[Source, str | None]:
    if source.credentials is None:
        return source, None
    import os

    from kennel.sources.kaggle import at_endpoint, authorisation

    return at_endpoint(source, os.environ), authorisation(os.environ, Path.home())


def _list() -> list[str]:
    """The sets that have a name, in columns."""
    from kennel.sources.catalogue import SOURCES

    widest = max(len(source.what) for source in SOURCES.values())
    return [
        f"  {source.name:<16}{_size(source):>9}  {source.what:<{widest}}  {source.licence}"
        for source in SOURCES.values()
    ]


def _catalogue() -> list[dict[str, object]]:
    from kennel.sources.catalogue import SOURCES

    return [
        {
            "name": source.name,
            "what": source.what,
            "bytes": source.bytes,
            "licence": source.licence,
            "terms": source.terms,
            "homepage": source.homepage,
            "url": source.url,
            "sha256": source.sha256,
            "md5": source.md5,
        }
        for source in SOURCES.values()
    ]


def _document(fetched: Fetched, to: Path) -> dict[str, object]:
    record = fetched.record
    return {
        "dir": str(to),
        "name": record.name,
        "url": record.url,
        "licence": record.licence,
        "terms": record.terms,
        "sha256": record.sha256,
        "bytes": record.bytes,
        "checked": record.checked,
        "photos": sum(record.photos.values()),
        "labels": record.photos,
        "left_out": record.left_out,
        "already_there": fetched.there,
        "archive": str(fetched.archive) if fetched.archive else None,
    }


def _lines(fetched: Fetched, to: Path) -> list[str]:
    record = fetched.record
    total, labels = sum(record.photos.values()), record.photos
    where = f"{to} (already there, fetched {record.fetched_utc})" if fetched.there else str(to)
    lines = [
        _fact("photos", f"{total:,} of {len(labels):,} labels"),
        _fact("folder", where),
        _fact("licence", f"{record.licence} ({record.terms})"),
        _fact("sha256", f"{record.sha256} ({_CHECKED[record.checked]})"),
    ]
    if len(labels) <= MANY_LABELS:
        widest = max(map(len, labels), default=0)
        lines += ["", *(f"{label:<{widest}}{count:>8,}" for label, count in labels.items()), ""]
    if record.left_out:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in record.left_out.items())
        lines.append(_fact("left out", kinds))
    if fetched.archive:
        lines.append(_fact("archive", str(fetched.archive)))
    if len(labels) < 2:
        lines.append(_fact("warning", "one label only; a classifier tells two or more apart."))
    lines.append(f"next: kennel index {shlex.quote(str(to))}")
    return lines


_CHECKED = {
    "sha256": "as published",
    "md5": "its md5 and size are as published",
    "nothing": "none is published to compare it with",
}


def _fact(name: str, value: str) -> str:
    return f"{name:<{COLUMN}}{value}"


def _size(source: Source) -> str:
    return "size ?" if source.bytes is None else f"{source.bytes / 1e6:,.0f} MB"


def _shown(source: Source) -> str:
    from kennel.sources.address import plain

    return plain(source.url)


def _span(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
