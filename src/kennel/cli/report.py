"""`kennel report RUN|BUNDLE`: the page of its evaluation again, without measuring anything; with
--markdown the text for a pull request: figures, beside those of another bundle, and what changed.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from kennel.errors import DatasetError, UsageError

if TYPE_CHECKING:
    from kennel.bundle import Bundle
    from kennel.run import Run

EXAMPLE = """kennel report bundles/<id>                               the page again
  kennel report bundles/new --against bundles/main --markdown
  kennel report bundles/new --against bundles/main --markdown --price 0.526 --to comment.md
  gh pr comment --body-file comment.md"""
PAGE = "index.html"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "path",
        metavar="RUN|BUNDLE",
        type=Path,
        help="a folder that kennel train or kennel export wrote",
    )
    parser.add_argument(
        "--against",
        metavar="RUN|BUNDLE",
        type=Path,
        help="what it would replace, such as main's; with --markdown",
    )
    parser.add_argument(
        "--markdown",
        action="store_true",
        help="the text for a pull request, as GitHub reads it, on stdout",
    )
    parser.add_argument(
        "--price",
        metavar="USD|MACHINE",
        help="of an hour of the machine that trained it: a number, or a name of the price book; "
        "with --markdown",
    )
    parser.add_argument(
        "--to",
        metavar="FILE",
        type=Path,
        help="write there instead (default of the page: report/index.html in the bundle)",
    )
    parser.add_argument(
        "--data",
        metavar="CSV",
        type=Path,
        help="the index it was made from, where that lies elsewhere now; for the page's photos",
    )
    parser.add_argument(
        "--strangers",
        metavar="DIR",
        type=Path,
        action="append",
        default=[],
        help="a folder that it was measured on, whose photos the page may show; may be given again",
    )


def run(args: argparse.Namespace) -> int:
    from kennel.named import bundle_named, holds_bundles

    if holds_bundles(args.path):
        args.path = bundle_named(args.path)
    if args.markdown:
        return _comment(args)
    for option, value in (("--against", args.against), ("--price", args.price)):
        if value is not None:
            raise UsageError(
                f"{option} is for the text of a pull request, not for the page.",
                fix=f"kennel report {args.path} {option} {value} --markdown",
            )
    return _page(args)


def _comment(args: argparse.Namespace) -> int:
    from kennel.comment import comment_on, document, side_of, text_of
    from kennel.pedigree import read_either
    from kennel.prices import price_named
    from kennel.writing import replacing

    for option, value in (("--data", args.data), ("--strangers", args.strangers)):
        if value:
            raise UsageError(
                f"{option} is for the page's photos; a text for a pull request has none.",
                fix=f"leave out {option}, or --markdown",
            )
    price = None if args.price is None else price_named(args.price)
    here = Path.cwd()
    second = side_of(read_either(args.path), project=here)
    first = None if args.against is None else side_of(read_either(args.against), project=here)
    comment = comment_on(second, first, price=price, project=here)
    text = text_of(comment)
    if args.to is not None:
        with replacing(args.to) as file:
            file.write(text)
    if args.json:
        print(json.dumps(document(comment, markdown=text), ensure_ascii=False, indent=2))
    elif args.to is None:
        print(text, end="")
    else:
        print(f"{'text':<12}{args.to}  {len(text):,} characters")
        print(f"next: gh pr comment --body-file {args.to}")
    return 0


def _page(args: argparse.Namespace) -> int:
    from kennel.dataset import Dataset, read_dataset
    from kennel.measured import REPORT
    from kennel.pedigree import read_either
    from kennel.report.again import page_again
    from kennel.writing import replacing

    bundle = _measured(read_either(args.path), args.path)
    dataset: Dataset | None = None
    try:
        dataset = read_dataset(args.data or Path(bundle.lineage.dataset_csv))
        if dataset.dataset_id != bundle.lineage.dataset_id:
            raise DatasetError(
                f"{dataset.csv} is not the index that {bundle.bundle_id} was made from.",
                fix="name that one: --data data/dataset.csv",
            )
    except DatasetError as error:
        if args.data is not None:
            raise
        dataset = None
        sys.stderr.write(f"the page has no photos: {error.message}\nto show them: --data CSV\n")
    page = page_again(
        bundle,
        dataset=dataset,
        strangers=args.strangers,
        on_hidden=_say_hidden,
    )
    to = args.to or bundle.path / REPORT / PAGE
    if to.is_dir():
        to /= PAGE
    with replacing(to) as file:
        file.write(page)
    if args.json:
        print(json.dumps({"bundle": bundle.bundle_id, "page": str(to)}))
    else:
        print(f"{'bundle':<12}{bundle.bundle_id}, {bundle.path}")
        print(f"{'page':<12}{to}")
        print(f"next: look at {to}; kennel report {args.path} --markdown")
    return 0


def _say_hidden(folder: str) -> None:
    from kennel.typed import quoted

    sys.stderr.write(
        f"the page has no photos of the strangers in {quoted(folder)}\n"
        "to show them, if they are yours to show: --strangers DIR\n"
    )


def _measured(shown: Run | Bundle, path: Path) -> Bundle:
    """The bundle; of a run its newest that was measured."""
    from kennel.bundle import Bundle
    from kennel.measured import evaluation_of
    from kennel.pedigree import bundles_of

    if isinstance(shown, Bundle):
        return shown
    made = bundles_of(shown, project=Path.cwd())
    measured = [bundle for bundle in made if evaluation_of(bundle) is not None]
    if measured:
        return max(measured, key=lambda bundle: bundle.lineage.created_utc)
    raise UsageError(
        f"{path} is a run, and no bundle of it that lies here was measured: it has no page.",
        fix=f"kennel evaluate {made[0].path}" if made else f"kennel export {path}",
    )
