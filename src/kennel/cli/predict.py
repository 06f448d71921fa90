"""`kennel predict BUNDLE PATH...`: answers for photos and folders of photos, without torch.

With --table they become one file, for any number of photos. What a killed run answered lies in
FILE.part; the same command goes on after it.
"""

from __future__ import annotations

import argparse
import io
import json
import signal
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from kennel.errors import PhotoError, Stopped, UsageError

if TYPE_CHECKING:
    from kennel.answers_table import Growing, Row
    from kennel.bundle import Bundle
    from kennel.infer import Answer, OnnxClassifier
    from kennel.outputs import Outputs
    from kennel.photo_paths import Named, PhotoList

EXAMPLE = """\
kennel predict bundles/<id> photo.jpg --top 3
  find . -name '*.jpg' | kennel predict bundles/<id> --files-from - --table answers.csv"""
BATCH = 8  # photos a call of the model: more are no faster on a processor


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "bundle",
        metavar="BUNDLE",
        type=Path,
        help="folder that kennel export wrote, or a folder of such: the last one in it",
    )
    paths = parser.add_argument(
        "paths", metavar="PATH", type=Path, nargs="+", help="photos, or folders of photos"
    )
    # Not nargs="*": before Python 3.13 that takes nothing at once where an option follows BUNDLE.
    paths.required = False
    parser.add_argument(
        "--files-from",
        metavar="LIST",
        type=Path,
        help="photos besides: a path a line, or as find -print0 gives them; - is stdin",
    )
    parser.add_argument(
        "--top",
        metavar="N",
        type=_positive,
        default=3,
        help="labels to name (default: %(default)s)",
    )
    parser.add_argument(
        "--table",
        metavar="FILE",
        type=Path,
        help="a row a photo into a .csv, .jsonl or .parquet; goes on where it was interrupted",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="let --table replace a finished table"
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
    from kennel.infer import OnnxClassifier
    from kennel.named import bundle_named
    from kennel.photo_paths import Photos

    _check_words(args)
    path = bundle_named(args.bundle)
    if args.require_signature is None:
        bundle = read_bundle(path)
    else:
        from kennel.signing import require_signature

        bundle = require_signature(path, public_key=args.require_signature)
    photos = Photos(args.paths or (), _listed(args.files_from))
    total = photos.count()
    if not total:
        raise UsageError(f"{args.files_from} names no photo.", fix="give it a path a line")
    named = iter(photos) if args.to is None else _apart(photos)
    classifier = OnnxClassifier(bundle)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape")  # names that are not UTF-8, as they are
    if args.table is not None:
        failed = _write_table(args, classifier, named, total)
    elif args.json:
        failed = _print_json(args, classifier, named)
    else:
        failed = _print_lines(args, classifier, named)
    return 1 if failed == total else 0


def _check_words(args: argparse.Namespace) -> None:
    if not args.paths and args.files_from is None:
        raise UsageError(
            "no photo is named.",
            fix="name photos or folders behind the bundle, or a list of them with --files-from",
        )
    if args.table is not None:
        from kennel.answers_table import check_format

        check_format(args.table)
    elif args.overwrite:
        raise UsageError("--overwrite is for --table.", fix="name a table, or leave it out")


def _listed(path: Path | None) -> PhotoList | None:
    from kennel.photo_paths import PhotoList, open_list

    if path is None:
        return None
    return PhotoList(sys.stdin.buffer, said="stdin") if path == Path("-") else open_list(path)


def _write_table(
    args: argparse.Namespace, classifier: OnnxClassifier, named: Iterator[Named], total: int
) -> int:
    """Number of photos without an answer."""
    from kennel.answers_table import Begun, growing, part_of

    top = min(args.top, len(classifier.labels))
    begun = Begun.by(classifier.bundle, top=top, batch=BATCH)
    names = (photo.name for photo in named)
    with growing(args.table, begun, names, overwrite=args.overwrite) as table:
        try:
            _fill(table, args, classifier, named, total)
        except KeyboardInterrupt:
            stop = Stopped("Ctrl-C", signal.SIGINT)
            stop.message = f"{table.rows} of {total} answers are kept in {part_of(args.table)}."
            stop.fix = "type the same again: it goes on after them"
            raise stop from None
        table.finish()
    if args.json:
        summary = {
            "table": str(args.table),
            "rows": table.rows,
            "errors": table.failed,
            "not_known": table.unknown,
            "bundle": begun.bundle,
        }
        print(json.dumps(summary, ensure_ascii=False))
    else:
        print(f"table       {args.table}")
        print(f"photos      {table.rows}")
        print(f"not known   {table.unknown}")
        print(f"no answer   {table.failed}{': see error' if table.failed else ''}")
        if args.to is not None:
            print(f"pictures    {args.to}")
    return table.failed


def _fill(
    table: Growing,
    args: argparse.Namespace,
    classifier: OnnxClassifier,
    named: Iterator[Named],
    total: int,
) -> None:
    from kennel.cli.progress import Counter

    counter = Counter(total, "photos answered", kept=table.kept)
    rows: list[Row] = []
    for photo, outputs in _answers(classifier, named):
        rows.append(_row(photo, outputs, classifier, args))
        if len(rows) == BATCH:
            table.add(rows)
            counter.reach(table.rows)
            rows.clear()
    table.add(rows)
    counter.reach(table.rows)
    counter.close()


def _print_json(
    args: argparse.Namespace, classifier: OnnxClassifier, named: Iterator[Named]
) -> int:
    failed, before = 0, "["
    for photo, outputs in _answers(classifier, named):
        row = _row(photo, outputs, classifier, args)
        failed += row.error is not None
        ascii_only = not _is_unicode(photo.name)  # \udcXX: the bytes, as Python's JSON has them
        print(before + json.dumps(row.document(), ensure_ascii=ascii_only), end="")
        before = ", "
    print("]")
    return failed


def _print_lines(
    args: argparse.Namespace, classifier: OnnxClassifier, named: Iterator[Named]
) -> int:
    failed = 0
    for photo, outputs in _answers(classifier, named):
        row = _row(photo, outputs, classifier, args)
        if row.error is not None:
            failed += 1
            sys.stderr.write(f"skipped: {row.error}\n")
        else:
            print(f"{photo.name}  {_in_words(row, classifier.bundle)}")
    if args.to is not None:
        print(f"pictures    {args.to}")
    return failed


def _answers(
    classifier: OnnxClassifier, named: Iterable[Named]
) -> Iterator[tuple[Named, Outputs | PhotoError]]:
    from kennel.evaluate import classify_all
    from kennel.images import read_photo
    from kennel.machine import usable_cores

    preprocess = classifier.bundle.preprocess
    return classify_all(
        classifier,
        named,
        lambda photo: read_photo(Path(photo.name), preprocess),
        batch_size=BATCH,
        threads=usable_cores(),
    )


def _row(
    photo: Named,
    outputs: Outputs | PhotoError,
    classifier: OnnxClassifier,
    args: argparse.Namespace,
) -> Row:
    """What is said of a photo; with --to, its picture is written too."""
    from kennel.answers_table import Row

    bundle = classifier.bundle
    if isinstance(outputs, PhotoError):
        return Row(photo.name, bundle.bundle_id, error=outputs.message)
    said = classifier.answer(outputs, top=args.top)
    if args.to is not None:
        _write_annotated(photo, args.to, classifier.answer(outputs), bundle)
    return Row(photo.name, bundle.bundle_id, said.top, said.known, said.among)


def _positive(word: str) -> int:
    if not word.isdigit() or int(word) < 1:
        raise argparse.ArgumentTypeError(f"{word!r} is not a whole number from 1")
    return int(word)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _apart(named: Iterable[Named]) -> Iterator[Named]:
    """The same with a picture of its own for each photo: a name that is taken gets a number."""
    taken: set[Path] = set()
    for photo in named:
        place = photo.place
        picture = place.with_suffix(".png")
        for number in count(2):
            if picture not in taken:
                break
            picture = place.with_name(f"{place.stem}-{number}.png")
        taken.add(picture)
        yield replace(photo, place=picture)


def _in_words(row: Row, bundle: Bundle) -> str:
    words = ", ".join(f"{label} {probability:.1%}" for label, probability in row.top)
    if row.among is not None and bundle.conformal is not None:
        words += f"; {bundle.conformal.coverage:.0%} sure: {' or '.join(row.among)}"
    return words if row.known else f"not one I know (nearest: {words})"


def _write_annotated(photo: Named, folder: Path, said: Answer, bundle: Bundle) -> None:
    from kennel.annotate import annotate
    from kennel.bundle import replacing
    from kennel.images import open_photo

    path, target = Path(photo.name), folder / photo.place
    if target.exists() and target.samefile(path):
        raise UsageError(f"--to would write over {path}.", fix="name another folder")
    picture = annotate(open_photo(path), top=said.top, known=said.known, bundle_id=bundle.bundle_id)
    with replacing(target, "wb") as file:
        picture.save(file, "PNG")
