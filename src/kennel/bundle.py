"""The bundle: all that crosses from training to serving, and the contract both sides read it by.

A bundle is a folder whose `bundle.json` names every other file with its sha256. Nothing in it is
parsed before its checksum was seen to match, and what lies in the folder without being named is
never opened. Standard library only, so that every room can know it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from io import BufferedReader
from pathlib import Path
from typing import Any

import kennel
from kennel.errors import BundleError
from kennel.schema import (
    Backbone,
    Bank,
    Calibration,
    Candidate,
    Conformal,
    FileEntry,
    Lineage,
    ParityPhotos,
    ParityRow,
    Preprocess,
    Rejection,
    RejectionMethod,
    ResizeFilter,
    ResizeRule,
    SplitFigures,
    Tensor,
)
from kennel.typed import build, quoted
from kennel.untrusted import MOST_BYTES, MOST_BYTES_A_FILE, check_names, opened
from kennel.writing import file_sha256, replacing, write_json, written

__all__ = [
    "BUNDLE_JSON",
    "MODEL_ONNX",
    "MODEL_SIG",
    "SCHEMA_VERSION",
    "Backbone",
    "Bank",
    "Bundle",
    "Calibration",
    "Candidate",
    "Conformal",
    "FileEntry",
    "Lineage",
    "ParityPhotos",
    "ParityRow",
    "Preprocess",
    "Rejection",
    "RejectionMethod",
    "ResizeFilter",
    "ResizeRule",
    "SplitFigures",
    "Tensor",
    "build",
    "file_sha256",
    "parse_bundle",
    "read_bundle",
    "read_document",
    "replacing",
    "write_bundle",
    "write_json",
]

SCHEMA_VERSION = 1
BUNDLE_JSON = "bundle.json"
MODEL_ONNX = "model.onnx"
MODEL_SIG = "model.sig"  # kennel sign writes it; see kennel.signing
MOST_DOCUMENT_BYTES = 2 * 2**20  # of bundle.json: room for some ten thousand labels
MOST_IN_A_DIMENSION = 2**31 - 1
AGAIN = "copy the bundle again, or export again"


@dataclass(frozen=True)
class Bundle:
    """`bundle.json`, typed. `path` is the folder it was read from and is not part of the
    document; `notes` say in words what a format lacks, or why it was left out ("int8: ...").
    """

    bundle_id: str
    labels: tuple[str, ...]
    preprocess: Preprocess
    input: Tensor
    outputs: tuple[Tensor, ...]
    calibration: Calibration | None
    rejection: Rejection | None
    parity: tuple[ParityRow, ...]
    metrics: dict[str, SplitFigures]
    lineage: Lineage
    files: dict[str, FileEntry]
    conformal: Conformal | None = None
    parity_photos: ParityPhotos | None = None
    notes: tuple[str, ...] = ()
    schema_version: int = SCHEMA_VERSION
    path: Path = field(default=Path(), compare=False)

    def read(self, name: str) -> bytes:
        """Bytes of a file of the bundle, once its size and sha256 were seen to match.

        What parses the file gets these bytes: by its path it could be another file by then.

        Raises:
            BundleError: the bundle has no such file, or its bytes are not those that were exported.
        """
        entry = self._entry(name)
        with self._opened(name, entry) as file:
            content = file.read(entry.bytes + 1)
        self._compare(name, entry, hashlib.sha256(content).hexdigest())
        return content

    def file(self, name: str) -> Path:
        """Path of a file of the bundle, after its size and sha256 were seen to match.

        Raises:
            BundleError: as by `read`.
        """
        entry = self._entry(name)
        with self._opened(name, entry) as file:
            self._compare(name, entry, hashlib.file_digest(file, "sha256").hexdigest())
        return self.path / name

    def unlisted(self) -> list[str]:
        """Names of what lies in the folder besides, which nobody verified: it is never opened."""
        own = {BUNDLE_JSON, MODEL_SIG, *(name.partition("/")[0] for name in self.files)}
        return sorted(each.name for each in self.path.iterdir() if each.name not in own)

    def _entry(self, name: str) -> FileEntry:
        entry = self.files.get(name)
        if entry is None:
            raise BundleError(
                f"{self.path} has no {name}; it holds {', '.join(sorted(self.files))}.",
                fix=f"export it again with that format: kennel export runs/{self.lineage.run_id}",
            )
        return entry

    @contextmanager
    def _opened(self, name: str, entry: FileEntry) -> Iterator[BufferedReader]:
        again = f"copy the whole folder, or export again: kennel export runs/{self.lineage.run_id}"
        with opened(self.path, name, fix=again) as file:
            found = os.fstat(file.fileno()).st_size
            if found != entry.bytes:
                raise self._other(name, f"it has {found} bytes instead of {entry.bytes}")
            yield file

    def _compare(self, name: str, entry: FileEntry, sha256: str) -> None:
        if sha256 != entry.sha256:
            raise self._other(name, f"its sha256 differs from {BUNDLE_JSON}")

    def _other(self, name: str, reason: str) -> BundleError:
        return BundleError(
            f"{self.path / name} is not the file that was exported: {reason}.",
            fix=f"copy it again, or export again: kennel export runs/{self.lineage.run_id}",
        )


def read_bundle(path: Path) -> Bundle:
    """Reads `bundle.json` of a bundle folder; files are verified as they are asked for, by
    `Bundle.read`.

    Raises:
        BundleError: no bundle there, another schema, a value of the wrong kind (named by its
            path), or not the bytes that were exported.
    """
    return parse_bundle(read_document(path), path=path)


def read_document(path: Path) -> bytes:
    """Bytes of a folder's `bundle.json`, not yet parsed.

    Raises:
        BundleError: no bundle there, or one that is too large to be one.
    """
    if not (path / BUNDLE_JSON).is_symlink() and not (path / BUNDLE_JSON).exists():
        raise BundleError(
            f"{path} is not a bundle: it has no {BUNDLE_JSON}.",
            fix="name a folder that kennel export wrote, such as bundles/<id>",
        )
    with opened(path, BUNDLE_JSON, fix=AGAIN) as file:
        found = os.fstat(file.fileno()).st_size
        if found > MOST_DOCUMENT_BYTES:
            raise BundleError(
                f"{path / BUNDLE_JSON} has {found} bytes; {MOST_DOCUMENT_BYTES} are allowed.",
                fix=AGAIN,
            )
        return file.read(MOST_DOCUMENT_BYTES)


def parse_bundle(document: bytes, *, path: Path) -> Bundle:
    """The bundle that the bytes of `bundle.json` describe.

    Args:
        path: the folder they were read from.
    Raises:
        BundleError: as by `read_bundle`.
    """
    where = path / BUNDLE_JSON
    try:
        text = document.decode()
        values = json.loads(text, object_pairs_hook=_without_twins, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{where} cannot be read: {error}.", fix=AGAIN) from error
    found = values.get("schema_version") if isinstance(values, dict) else None
    if type(found) is not int or found != SCHEMA_VERSION:
        newer = type(found) is int and found > SCHEMA_VERSION
        raise BundleError(
            f"{where} has schema_version {quoted(found)}; this kennel reads {SCHEMA_VERSION}"
            + (": a newer kennel wrote it." if newer else "."),
            fix="pip install -U kennel-ml"
            if newer
            else "export the run again with this version of kennel",
        )
    try:
        bundle: Bundle = build(Bundle, {**values, "path": path})
        _check(bundle)
        changed = values.get("checksum") != _checksum(values)
        # Byte for byte, so that no change goes by, not even one between the values.
        changed = changed or text != written(values)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise BundleError(
            f"{where} is not a bundle that kennel wrote: {error}.", fix=_mend(values)
        ) from error
    if changed:
        raise BundleError(
            f"{where} was changed after it was exported: its own checksum, or the way it is "
            "written, does not match.",
            fix=AGAIN,
        )
    return bundle


def write_bundle(bundle: Bundle) -> None:
    """Writes `bundle.json` into `bundle.path`; the other files must lie there already."""
    document = asdict(bundle)
    del document["path"]
    document = json.loads(json.dumps(document))
    document["checksum"] = _checksum(document)
    write_json(bundle.path / BUNDLE_JSON, document)


def _checksum(document: Mapping[str, Any]) -> str:
    rest = {key: value for key, value in document.items() if key != "checksum"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def _mend(values: dict[str, Any]) -> str:
    """What to do with a document that is not understood: it may be another version's."""
    lineage = values.get("lineage")
    found = lineage.get("versions") if isinstance(lineage, dict) else None
    by = found.get("kennel") if isinstance(found, dict) else None
    if not isinstance(by, str) or by == kennel.__version__:
        return AGAIN
    return (
        f"it says that kennel {quoted(by)} wrote it, and this is kennel {kennel.__version__}: pip "
        f"install -U kennel-ml where that is the newer one; else {AGAIN}"
    )


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"{quoted(name)} stands twice in one object")
        found[name] = value
    return found


def _no_number(word: str) -> float:
    raise ValueError(f"{word} is no number that JSON knows")


def _check(bundle: Bundle) -> None:
    labels, size = bundle.labels, bundle.preprocess.size
    if len(labels) < 2 or len(set(labels)) != len(labels):
        raise ValueError(f"labels must be two or more distinct names, not {quoted(list(labels))}")
    # It names folders elsewhere.
    if not re.fullmatch(r"(?!\.{1,2}$)[^/\\\x00-\x1f\x7f]{1,255}", bundle.bundle_id):
        raise ValueError(f"bundle_id is {quoted(bundle.bundle_id)}, which is no plain name")
    check_names(bundle.files, taken=(BUNDLE_JSON, MODEL_SIG))
    for name, entry in bundle.files.items():
        if not re.fullmatch(r"[0-9a-f]{64}", entry.sha256):
            raise ValueError(f"files.{name}.sha256 is {quoted(entry.sha256)}, no sha256")
        if not 0 <= entry.bytes <= MOST_BYTES_A_FILE:
            raise ValueError(
                f"files.{name}.bytes is {quoted(entry.bytes)}; 0 to {MOST_BYTES_A_FILE} are allowed"
            )
    total = sum(entry.bytes for entry in bundle.files.values())
    if total > MOST_BYTES:
        raise ValueError(f"files have {total} bytes together; {MOST_BYTES} are allowed")
    for tensor in (bundle.input, *bundle.outputs):
        if tensor.dtype != "float32":
            raise ValueError(f"{tensor.name} is of dtype {quoted(tensor.dtype)}, not float32")
        for side in tensor.shape:
            if isinstance(side, int) and not 1 <= side <= MOST_IN_A_DIMENSION:
                raise ValueError(f"{tensor.name} has the shape {quoted(tensor.shape)}")
    if bundle.input.shape[1:] != (3, size, size):
        raise ValueError(
            f"input has the shape {quoted(bundle.input.shape)}, but photos are made "
            f"3 x {size} x {size}"
        )
    logits = bundle.outputs[0].shape if bundle.outputs else ()
    if len(logits) != 2 or logits[1] != len(labels):
        raise ValueError(f"the first output has the shape {logits}, for {len(labels)} labels")
    if bundle.rejection is not None and bundle.rejection.bank is not None:
        _check_bank(bundle, bundle.rejection.bank, bundle.rejection.method)


def _check_bank(bundle: Bundle, bank: Bank, method: str) -> None:
    if bank.file not in bundle.files:
        raise ValueError(f"files has no {bank.file}, the bank of rejection")
    found = bundle.files[bank.file].bytes
    if found != bank.rows * bank.features:
        raise ValueError(
            f"{bank.file} has {found} bytes; {bank.rows} rows of {bank.features} features need "
            f"{bank.rows * bank.features}"
        )
    given = {output.name: output.shape[-1] for output in bundle.outputs if output.shape}
    if given.get("features") != bank.features:
        raise ValueError(
            f"the model gives {given.get('features', 'no')} features, which rejection by {method} "
            f"needs: its bank has {bank.features}"
        )
