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
  find . -name '*.jpg' | kennel predict bundles/<id> --files-from - --table answers.csv
  kennel predict --engine ray bundles/<id> s3://bucket/photos --to s3://bucket/answers"""
BATCH = 8  # photos a call of the model: more are no faster on a processor


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "bundle",
        metavar="BUNDLE",
        type=Path,
        help="folder that kennel export wrote, or a folder of such: the last one in it",
    )
    paths = parser.add_argument(
        "paths",
        metavar="PATH",
        nargs="+",
        help="photos, or folders of photos; s3://bucket/prefix too",
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
        "--to",
        metavar="DIR",
        help="write the photos with their answers under them; with --engine ray: the answers, as "
        "Parquet files, into this folder or s3://bucket/prefix",
    )
    parser.add_argument(
        "--engine",
        choices=("local", "ray"),
        default="local",
        help="ray: by the workers of the Ray cluster at RAY_ADDRESS, or of one of this machine "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--workers",
        metavar="N",
        type=_positive,
        help="with --engine ray: workers of one core (default: as many as the cluster has cores)",
    )
    parser.add_argument(
        "--rows-a-file",
        metavar="N",
        type=_positive,
        help="with --engine ray: photos a file, what a kill makes a worker do again "
        "(default: 64 to 4096, by their number)",
    )
    parser.add_argument(
        "--require-signature",
        metavar="PEM",
        type=Path,
        help="public key; refuse a bundle that its owner did not sign as it is",
    )


def run(args: argparse.Namespace) -> int:
    from kennel.infer import OnnxClassifier
    from kennel.photo_paths import Photos, place_named

    _check_words(args)
    bundle = _bundle(args)
    photos = Photos([place_named(word) for word in args.paths or ()], _listed(args.files_from))
    if args.engine == "ray":
        from kennel.cli.answering import answer_beyond

        return answer_beyond(args, bundle, photos, batch=BATCH)
    args.to = None if args.to is None else Path(args.to)
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


def _bundle(args: argparse.Namespace) -> Bundle:
    from kennel.bundle import read_bundle
    from kennel.named import bundle_named

    path = bundle_named(args.bundle)
    if args.require_signature is None:
        return read_bundle(path)
    from kennel.signing import require_signature

    return require_signature(path, public_key=args.require_signature)


def _check_words(args: argparse.Namespace) -> None:
    if not args.paths and args.files_from is None:
        raise UsageError(
            "no photo is named.",
            fix="name photos or folders behind the bundle, or a list of them with --files-from",
        )
    if args.engine == "ray":
        _check_words_beyond(args)
    elif args.workers is not None or args.rows_a_file is not None:
        raise UsageError(
            "--workers and --rows-a-file are for --engine ray.", fix="add --engine ray"
        )
    elif args.to is not None and args.to.startswith("s3://"):
        raise UsageError(
            "--to writes pictures, and those go into a folder.",
            fix="name a folder; or for answers as Parquet files add --engine ray",
        )
    if args.table is not None:
        from kennel.answers_table import check_format

        check_format(args.table)
    elif args.overwrite:
        raise UsageError("--overwrite is for --table.", fix="name a table, or leave it out")


def _check_words_beyond(args: argparse.Namespace) -> None:
    if args.table is not None or args.overwrite:
        raise UsageError(
            "--engine ray writes a folder of Parquet files, and --table is one file.",
            fix="name the folder: --to DIR or --to s3://bucket/prefix",
        )
    if args.to is None:
        raise UsageError(
            "--engine ray does not know where the answers go.",
            fix="--to DIR or --to s3://bucket/prefix",
        )
    if args.rows_a_file is not None and args.rows_a_file % BATCH:
        raise UsageError(
            f"--rows-a-file is {args.rows_a_file}; photos are answered {BATCH} at a time.",
            fix=f"a multiple of {BATCH}, such as 1024",
        )


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
    from kennel.machine import usable_cores
    from kennel.reach import read_named

    preprocess = classifier.bundle.preprocess
    return classify_all(
        classifier,
        named,
        lambda photo: read_named(photo.name, preprocess),
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
