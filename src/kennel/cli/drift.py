"""`kennel drift URL|FILE|PHOTOS`: what a server saw, beside what the model was validated on.

Compares counts, not photos: a server's sketch, a file that holds one, or photos of a folder, which
the bundle answers first. Ends with 1 when a figure drifted; with 0 when none is shown to have, or
when there are too few photos to say.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kennel.errors import BundleError, KennelError, PhotoError, UsageError

if TYPE_CHECKING:
    from kennel.bundle import Bundle
    from kennel.drift import Comparison
    from kennel.sketch import Reference, Sketch

EXAMPLE = """kennel drift http://127.0.0.1:8080
  kennel drift sketch.json --bundle bundles/<id>
  kennel drift photos/new --bundle bundles/<id> --to drift"""
KEY = "KENNEL_API_KEY"  # where no --key-file is named
RATE = 0.01


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "what",
        metavar="URL|FILE|PHOTOS",
        help="a server, a file with what it answers at /sketch, or a folder of photos",
    )
    parser.add_argument(
        "--bundle",
        metavar="BUNDLE",
        type=Path,
        help="the bundle that answered (default: the reference that the server gives)",
    )
    parser.add_argument(
        "--false-alarms",
        metavar="RATE",
        type=_rate,
        default=RATE,
        help="share of looks that may say drift where there is none (default: %(default)s)",
    )
    parser.add_argument(
        "--key-file",
        metavar="FILE",
        type=Path,
        help=f"holds the server's key (default: the environment's {KEY})",
    )
    parser.add_argument(
        "--to",
        metavar="DIR",
        type=Path,
        help="folder for drift.json, drift.png, a page, and the sketch to compare again",
    )


def run(args: argparse.Namespace) -> int:
    from kennel.drift import compare
    from kennel.drift.words import document, lines

    if args.to is not None:
        from kennel.page import need_jinja

        need_jinja()
    bundle, reference = _bundle(args.bundle)
    sketch, since, source = _seen(args, bundle, reference)
    comparison = compare(sketch, false_alarms=args.false_alarms)
    outcome = document(comparison, source=source, since=since)
    if args.to is not None:
        _write(args.to, comparison=comparison, outcome=outcome)
    if args.json:
        print(json.dumps(outcome, ensure_ascii=False, indent=2))
        return int(bool(comparison.drifted))
    print("\n".join(lines(comparison, source=source, since=since)))
    if args.to is not None:
        print(f"page        {args.to / 'index.html'}")
    else:
        print(f"next: kennel drift {args.what}{_option(args.bundle)} --to drift")
    return int(bool(comparison.drifted))


def _rate(word: str) -> float:
    try:
        value = float(word)
    except ValueError:
        value = -1.0
    if not 0.001 <= value <= 0.5:
        raise argparse.ArgumentTypeError(f"{word!r} is no rate from 0.001 to 0.5, such as 0.01")
    return value


def _bundle(path: Path | None) -> tuple[Bundle | None, Reference | None]:
    """The bundle that was named, and its reference."""
    if path is None:
        return None, None
    from kennel.bundle import read_bundle
    from kennel.sketch import SKETCH_JSON, read_reference

    bundle = read_bundle(path)
    reference = read_reference(bundle)
    if reference is None:
        raise BundleError(
            f"{path} has no {SKETCH_JSON}: an older kennel exported it.",
            fix=f"export it again: kennel export runs/{bundle.lineage.run_id} --to DIR",
        )
    return bundle, reference


def _seen(
    args: argparse.Namespace, bundle: Bundle | None, reference: Reference | None
) -> tuple[Sketch, str | None, str]:
    """The sketch, since when it counts, and whose it is."""
    from kennel.drift.source import read_file, told
    from kennel.served import fetch
    from kennel.sketch import Reference, Sketch

    if "://" in args.what:
        key = _key(args.key_file)
        said = told(fetch(args.what, "sketch", key=key), source=args.what)
        if reference is None:
            reference = Reference.from_dict(fetch(args.what, "reference", key=key))
        return Sketch.from_dict(said.sketch, reference), said.since, args.what
    path = Path(args.what)
    if path.is_dir():
        if bundle is None or reference is None:
            raise UsageError(
                f"{path} is a folder of photos, and no bundle is named that answers them.",
                fix=f"kennel drift {path} --bundle bundles/<id>",
            )
        return _of_photos(path, bundle, reference), None, str(path)
    said = told(read_file(path), source=str(path))
    if reference is None:
        if said.reference is None:
            raise UsageError(
                f"{path} says what was seen, and not what that is to be compared with.",
                fix=f"name the bundle that answered: kennel drift {path} --bundle bundles/<id>",
            )
        reference = Reference.from_dict(said.reference)
    return Sketch.from_dict(said.sketch, reference), said.since, str(path)


def _of_photos(folder: Path, bundle: Bundle, reference: Reference) -> Sketch:
    from kennel.cli.progress import Counter
    from kennel.drift.photos import look_at
    from kennel.images import PHOTO_SUFFIXES
    from kennel.infer import OnnxClassifier
    from kennel.sketch import Sketch

    photos = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in PHOTO_SUFFIXES
        and not path.name.startswith(".")
        and path.is_file()
    )
    if not photos:
        raise UsageError(
            f"{folder} has no photo in it.", fix=f"photos end in {', '.join(PHOTO_SUFFIXES)}"
        )

    classifier, sketch = OnnxClassifier(bundle), Sketch(reference)
    counter = Counter(len(photos), "photos answered")
    for _, seen in look_at(photos, classifier, seed=reference.seed):
        if isinstance(seen, PhotoError):
            sys.stderr.write(f"skipped: {seen.message}\n")
        else:
            sketch.add(seen.figures, seen.label)
        counter.tick()
    counter.close()
    if not sketch.n:
        raise KennelError(
            f"none of the {len(photos)} photos in {folder} can be read.",
            fix="see the lines above for why",
        )
    return sketch


def _key(path: Path | None) -> str | None:
    if path is None:
        return os.environ.get(KEY) or None
    try:
        key = path.read_text(encoding="utf-8").strip()
    except UnicodeDecodeError:
        key = ""
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise UsageError(f"{path} holds no key.", fix="a key is one word on one line")
    return key


def _write(folder: Path, *, comparison: Comparison, outcome: dict[str, Any]) -> None:
    from kennel.drift.drawing import write_png
    from kennel.drift.page import render
    from kennel.writing import replacing, write_json

    sketch, reference = comparison.sketch, comparison.reference
    write_png(comparison, folder / "drift.png")
    write_json(folder / "drift.json", outcome)
    saved = {"bundle": reference.bundle, "since": outcome["seen"]["since"]}
    write_json(
        folder / "sketch.json",
        {**saved, "sketch": sketch.to_dict(), "reference": reference.to_dict()},
    )
    with replacing(folder / "index.html") as file:
        file.write(render(comparison, outcome))


def _option(bundle: Path | None) -> str:
    return "" if bundle is None else f" --bundle {bundle}"
