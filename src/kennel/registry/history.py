"""The registry: bundles put in, champions made and unmade, all of it read back and verified."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from kennel.bundle import (
    BUNDLE_JSON,
    MODEL_SIG,
    MOST_DOCUMENT_BYTES,
    Bundle,
    parse_bundle,
    read_bundle,
    read_document,
)
from kennel.errors import BundleError, UsageError
from kennel.registry import RegistryError
from kennel.registry.entry import NAME, SCHEMA_VERSION, Entry, decode, encode, name_of, sha256
from kennel.registry.store import Store
from kennel.writing import file_sha256

REGISTRY_JSON = "registry.json"
HISTORY = "history"
MOST_SIGNATURE_BYTES = 4 << 20
BUNDLE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")


@dataclass(frozen=True)
class Place:
    """Where a bundle lies in the registry, and the sha256 of its bundle.json and its model.sig."""

    folder: str
    bundle_json_sha256: str
    signature_sha256: str | None


@dataclass(frozen=True)
class Verified:
    """What a look at every byte found. `damage` names files, in words; none of it is good."""

    entries: int
    bundles: int
    files: int
    newest_sha256: str | None
    damage: tuple[str, ...]


class Registry:
    """Champions in a store. Making one has no effect; nothing is written before `put`."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def newest(self) -> Entry | None:
        """The entry that says who is champion; None where nobody ever was.

        Raises:
            RegistryError: it is damaged, or an entry before it is missing.
        """
        numbers = self._numbers()
        return self._entry(numbers[-1])[0] if numbers else None

    def entries(self) -> tuple[Entry, ...]:
        """All entries, oldest first, each seen to follow the one before.

        Raises:
            RegistryError: one is damaged, missing, or not the one that the next one followed.
        """
        entries: list[Entry] = []
        before: str | None = None
        for number in self._numbers():
            entry, digest = self._entry(number)
            if entry.previous_sha256 != before:
                raise self._broken(number)
            entries.append(entry)
            before = digest
        return tuple(entries)

    def put(self, bundle: Bundle) -> Place:
        """Copies a bundle in; every sha256 is checked before and after. The champion is who it was.

        Raises:
            BundleError: the bundle is not what was exported.
            RegistryError: it cannot be written.
        """
        if not BUNDLE_ID.fullmatch(bundle.bundle_id):
            raise RegistryError(
                f"{bundle.path} has the bundle_id {bundle.bundle_id!r}, which cannot be a folder.",
                fix="train and export it again under a run name of letters, digits, . _ -",
            )
        files = {name: bundle.file(name) for name in sorted(bundle.files)}
        digests = {name: bundle.files[name].sha256 for name in files}
        document, signature = bundle.path / BUNDLE_JSON, bundle.path / MODEL_SIG
        digest = named = file_sha256(document)
        signed = None
        if signature.is_file():
            files[MODEL_SIG], digests[MODEL_SIG] = signature, file_sha256(signature)
            signed = digests[MODEL_SIG]
            named = sha256(f"{digest} {signed}".encode())
        place = Place(f"bundles/{bundle.bundle_id}-{named[:8]}", digest, signed)
        self._begin()
        # Last: what is there without it is an interrupted upload.
        files[BUNDLE_JSON], digests[BUNDLE_JSON] = document, digest
        self.store.put(place.folder, files, digests)
        return place

    def append(self, entry: Entry) -> str:
        """Writes an entry: from then on its bundle is the champion. One step, whole or not at all.

        Args:
            entry: its number is one more than the newest's, and `previous_sha256` is that one's.
        Returns:
            sha256 of its file.
        Raises:
            RegistryError: somebody else wrote that number first.
        """
        content = encode(entry)
        name = name_of(entry.number)
        # A write whose answer was lost is tried again by libraries, and finds its own bytes there.
        if not self.store.create(name, content) and self.store.read(name) != content:
            other = self._entry(entry.number)[0]
            raise RegistryError(
                f"{other.bundle_id} was made champion while this was going on (entry "
                f"{other.number}, {other.created_utc}); nothing was changed.",
                fix="run it again: it is then measured against the new champion",
            )
        return sha256(content)

    def next_number(self, newest: Entry | None) -> tuple[int, str | None]:
        """Number and `previous_sha256` of the entry that follows `newest`."""
        if newest is None:
            return 1, None
        return newest.number + 1, self._entry(newest.number)[1]

    @contextmanager
    def opened(self, entry: Entry) -> Iterator[Bundle]:
        """The bundle of an entry, whole: where it lies, or a copy that goes when the block ends.

        Raises:
            RegistryError, BundleError: it is missing or damaged.
        """
        here = self.store.folder(entry.place)
        if here is not None:
            yield self._checked(entry, here)
            return
        with TemporaryDirectory(prefix="kennel-") as folder:
            yield self.fetch(entry, Path(folder, entry.bundle_id))

    def fetch(self, entry: Entry, to: Path) -> Bundle:
        """Copies the bundle of an entry into `to`, an empty or new folder.

        Nothing is parsed before its sha256 was seen to match.

        Raises:
            RegistryError: it is missing or damaged, or `to` holds something.
        """
        if to.exists() and (not to.is_dir() or any(to.iterdir())):
            raise RegistryError(f"{to} is not empty.", fix="name a new folder: --to DIR")
        to.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=f".{to.name}.", suffix=".part", dir=to.parent) as folder:
            stage = Path(folder, "bundle")
            stage.mkdir()
            self._fetch(entry, BUNDLE_JSON, stage, entry.bundle_json_sha256, MOST_DOCUMENT_BYTES)
            if entry.signature_sha256 is not None:
                self._fetch(entry, MODEL_SIG, stage, entry.signature_sha256, MOST_SIGNATURE_BYTES)
            for name, each in read_bundle(stage).files.items():
                self._fetch(entry, name, stage, each.sha256, each.bytes)
            if to.is_dir():
                to.rmdir()
            stage.rename(to)
        return read_bundle(to)

    def verify(self) -> Verified:
        """Looks at every entry and every byte of every bundle that an entry names."""
        damage: list[str] = []
        places: dict[str, Entry] = {}
        before: str | None = None
        chained = True
        numbers = self._listed()
        for number in range(1, max(numbers, default=0) + 1):
            content = self.store.read(name_of(number))
            if content is None:
                damage.append(f"{name_of(number)} is missing")
                chained = False
                continue
            try:
                entry = decode(content, number, where=name_of(number))
            except RegistryError as error:
                damage.append(error.message.rstrip("."))
            else:
                places.setdefault(entry.place, entry)
                if chained and entry.previous_sha256 != before:
                    damage.append(
                        f"{name_of(number)} does not follow the entry before it: one of the two "
                        "was changed"
                    )
            before, chained = sha256(content), True
        files = 0
        for entry in places.values():
            seen, broken = self._look(entry)
            files += seen
            damage += broken
        return Verified(len(numbers), len(places), files, before, tuple(damage))

    def _look(self, entry: Entry) -> tuple[int, list[str]]:
        """How many files an entry's bundle has, and which of them are not what they were."""
        document = f"{entry.place}/{BUNDLE_JSON}"
        found = self.store.digest(document)
        if found != entry.bundle_json_sha256:
            return 0, [f"{document} {'is missing' if found is None else 'was changed'}"]
        with TemporaryDirectory(prefix="kennel-") as folder:
            self.store.fetch(document, Path(folder, BUNDLE_JSON), most_bytes=MOST_DOCUMENT_BYTES)
            try:
                bundle = read_bundle(Path(folder))
            except BundleError as error:
                return 1, [f"{document}: {error.message.rstrip('.')}"]
        digests = {name: each.sha256 for name, each in bundle.files.items()}
        if entry.signature_sha256 is not None:
            digests[MODEL_SIG] = entry.signature_sha256
        damage = []
        for name, digest in digests.items():
            found = self.store.digest(f"{entry.place}/{name}")
            if found != digest:
                state = "is missing" if found is None else "was changed"
                damage.append(f"{entry.place}/{name} {state}")
        return 1 + len(digests), damage

    def _begin(self) -> None:
        """Writes what the registry is, and sees that the store lets nobody write over a file."""
        content = f"{json.dumps({'kennel_registry': SCHEMA_VERSION})}\n".encode()
        found = self.store.read(REGISTRY_JSON)
        if found not in (None, content):
            raise RegistryError(
                f"{self.store.address}/{REGISTRY_JSON} is of no registry that this kennel knows.",
                fix="use the kennel that wrote it, or name another: --registry DIR",
            )
        if found is None:
            self.store.create(REGISTRY_JSON, content)
        if self.store.create(REGISTRY_JSON, content):
            raise RegistryError(
                f"{self.store.address} lets files be written over, so that two who promote at once "
                "would not notice each other.",
                fix="use a store that knows If-None-Match, as Amazon S3, MinIO and Ceph do",
            )

    def _listed(self) -> list[int]:
        found = (NAME.fullmatch(name) for name in self.store.names(HISTORY))
        return sorted(int(match[1]) for match in found if match)

    def _numbers(self) -> list[int]:
        numbers = self._listed()
        missing = set(range(1, len(numbers) + 1)) - set(numbers)
        if missing:
            raise RegistryError(
                f"{self.store.address}/{name_of(min(missing))} is missing, though later entries "
                "are there.",
                fix="put it back from a copy of the registry",
            )
        return numbers

    def _entry(self, number: int) -> tuple[Entry, str]:
        where = f"{self.store.address}/{name_of(number)}"
        content = self.store.read(name_of(number))
        if content is None:
            raise RegistryError(f"{where} is missing.", fix="put it back from a copy")
        return decode(content, number, where=where), sha256(content)

    def _broken(self, number: int) -> RegistryError:
        return RegistryError(
            f"{self.store.address}/{name_of(number)} does not follow the entry before it: one of "
            "the two was changed after it was written.",
            fix="put both back from a copy of the registry; kennel promote --verify looks at all",
        )

    def _checked(self, entry: Entry, here: Path) -> Bundle:
        document = here / BUNDLE_JSON
        if not document.is_file():
            raise RegistryError(
                f"the bundle of entry {entry.number}, {here}, is missing.",
                fix="put it back from a copy, or promote another: kennel promote BUNDLE --force "
                '--reason "the champion is lost"',
            )
        content = read_document(here)
        if sha256(content) != entry.bundle_json_sha256:
            raise RegistryError(
                f"{document} was changed since it was promoted (kennel evaluate does that, when it "
                "is let at the registry's own copy).",
                fix=f"move {here} away and promote the same bundle again with --force --reason "
                '"..."; measure copies: kennel promote --champion --to DIR',
            )
        bundle = parse_bundle(content, path=here)
        for name in bundle.files:
            bundle.file(name)
        return bundle

    def _fetch(self, entry: Entry, name: str, to: Path, digest: str, most_bytes: int) -> None:
        target = to / name
        target.parent.mkdir(parents=True, exist_ok=True)
        self.store.fetch(f"{entry.place}/{name}", target, most_bytes=most_bytes)
        if file_sha256(target) != digest:
            raise RegistryError(
                f"{self.store.address}/{entry.place}/{name} is not the file that was promoted: its "
                "sha256 differs.",
                fix="put it back from a copy; kennel promote --verify looks at all",
            )


def champions(entries: Sequence[Entry]) -> list[Entry]:
    """Those that were champion one after the other and were not rolled back; the last is now.

    A rollback takes away those after the one it returns to: the next one goes on from there.
    """
    line: list[Entry] = []
    for entry in entries:
        if entry.returns_to is None:
            line.append(entry)
            continue
        kept = [at for at, each in enumerate(line) if each.number == entry.returns_to]
        line = line[: kept[0] + 1] if kept else [*line, entries[entry.returns_to - 1]]
    return line


def named_entry(entries: Sequence[Entry], word: str) -> Entry:
    """The promotion that a number or a bundle_id names; of several the newest.

    Raises:
        UsageError: there is none.
    """
    found = [each for each in entries if word in (str(each.number), each.bundle_id)]
    if not found:
        raise UsageError(
            f"the history has no entry {word} and no bundle of that name.",
            fix="kennel promote --history lists them",
        )
    named = found[-1]
    return named if named.returns_to is None else entries[named.returns_to - 1]
