"""`kennel predict BUNDLE PATH...`: answers for photos and folders of photos, without torch."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kennel.errors import PhotoError, UsageError

if TYPE_CHECKING:
    from kennel.bundle import Bundle
    from kennel.infer import Answer

EXAMPLE = "kennel predict bundles/<id> photo.jpg --top 3"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "bundle", metavar="BUNDLE", type=Path, help="folder that kennel export wrote"
    )
    parser.add_argument(
        "paths", metavar="PATH", type=Path, nargs="+", help="photos, or folders of photos"
    )
    parser.add_argument(
        "--top",
        metavar="N",
        type=_positive,
        default=3,
        help="labels to name (default: %(default)s)",
    )
    parser.add_argument(
        "--to", metavar="DIR", type=Path, help="write the photos with their answers under them"
    )
    parser.add_argument(
        "--require-signature",
        metavar="PEM",
        type=Path,
        help="public key; refuse a bundle that its owner did not sign as it is",
    )


def run(args: argparse.Namespace) -> int:
    from kennel.bundle import read_bundle
    from kennel.evaluate import classify_files
    from kennel.infer import OnnxClassifier
    from kennel.machine import usable_cores

    if args.require_signature is None:
        bundle = read_bundle(args.bundle)
    else:
        from kennel.signing import require_signature

        bundle = require_signature(args.bundle, public_key=args.require_signature)
    places = _apart(dict(_photos(args.paths)))
    classifier = OnnxClassifier(bundle)
    rows: list[dict[str, Any]] = []
    failed = 0
    answers = classify_files(
        classifier, places, bundle.preprocess, batch_size=8, threads=usable_cores()
    )
    for path, outputs in answers:
        if isinstance(outputs, PhotoError):
            failed += 1
            rows.append({"path": str(path), "error": outputs.message})
            if not args.json:
                sys.stderr.write(f"skipped: {outputs.message}\n")
            continue
        said = classifier.answer(outputs, top=args.top)
        if args.json:
            rows.append(_row(path, said, bundle))
        else:
            print(f"{path}  {_in_words(said, bundle)}")
        if args.to is not None:
            _write_annotated(path, args.to / places[path], classifier.answer(outputs), bundle)
    if args.json:
        print(json.dumps(rows, ensure_ascii=False))
    elif args.to is not None:
        print(f"pictures    {args.to}")
    return 1 if failed == len(places) else 0


def _positive(word: str) -> int:
    if not word.isdigit() or int(word) < 1:
        raise argparse.ArgumentTypeError(f"{word!r} is not a whole number from 1")
    return int(word)


def _photos(paths: list[Path]) -> Iterator[tuple[Path, Path]]:
    """Each photo with the path it has below --to."""
    from kennel.images import PHOTO_SUFFIXES

    for path in paths:
        if path.is_dir():
            inside = sorted(
                p
                for p in path.rglob("*")
                if p.suffix.lower() in PHOTO_SUFFIXES and not p.name.startswith(".") and p.is_file()
            )
            if not inside:
                raise UsageError(
                    f"{path} has no photo in it.",
                    fix=f"photos end in {', '.join(sorted(PHOTO_SUFFIXES))}",
                )
            yield from ((p, p.relative_to(path)) for p in inside)
        else:
            yield path, Path(path.name)


def _apart(places: dict[Path, Path]) -> dict[Path, Path]:
    """The same with a picture of its own for each photo: a name that is taken gets a number."""
    taken: set[Path] = set()
    apart = {}
    for path, place in places.items():
        picture = place.with_suffix(".png")
        for number in count(2):
            if picture not in taken:
                break
            picture = place.with_name(f"{place.stem}-{number}.png")
        taken.add(picture)
        apart[path] = picture
    return apart


def _row(path: Path, said: Answer, bundle: Bundle) -> dict[str, Any]:
    row = {
        "path": str(path),
        "label": said.label,
        "probability": said.probability,
        "known": said.known,
        "top": [{"label": label, "probability": probability} for label, probability in said.top],
        "bundle": bundle.bundle_id,
    }
    return row if said.among is None else {**row, "among": list(said.among)}


def _in_words(said: Answer, bundle: Bundle) -> str:
    words = ", ".join(f"{label} {probability:.1%}" for label, probability in said.top)
    if said.among is not None and bundle.conformal is not None:
        words += f"; {bundle.conformal.coverage:.0%} sure: {' or '.join(said.among)}"
    return words if said.known else f"not one I know (nearest: {words})"


def _write_annotated(path: Path, target: Path, said: Answer, bundle: Bundle) -> None:
    from kennel.annotate import annotate
    from kennel.bundle import replacing
    from kennel.images import open_photo

    if target.exists() and target.samefile(path):
        raise UsageError(f"--to would write over {path}.", fix="name another folder")
    picture = annotate(open_photo(path), top=said.top, known=said.known, bundle_id=bundle.bundle_id)
    with replacing(target, "wb") as file:
        picture.save(file, "PNG")
