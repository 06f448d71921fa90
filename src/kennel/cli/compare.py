"""`kennel compare BUNDLE BUNDLE`: both answer the same photos; is the second shown to be better?

Photos that one of them was trained on, or whose label one does not know, are left out. Ends with 1
when the second is not better; with --not-worse, when it is not shown to lose less than a margin.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from kennel.cli.progress import Counter

EXAMPLE = """kennel compare bundles/first bundles/second
  kennel compare bundles/first bundles/second --data data/dataset.csv --to compare
  kennel compare bundles/first bundles/second --not-worse 0.02"""
LIBRARIES = ("numpy", "onnxruntime", "pillow")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from kennel.registry.entry import MARGIN

    parser.add_argument("first", metavar="BUNDLE", type=Path, help="such as the champion")
    parser.add_argument("second", metavar="BUNDLE", type=Path, help="the one that is judged")
    add_photos(parser)
    parser.add_argument(
        "--not-worse",
        metavar="MARGIN",
        type=share,
        nargs="?",
        const=MARGIN,
        help="end with 0 when the second is shown to lose less than this share of top1 "
        f"(default: {MARGIN})",
    )
    parser.add_argument(
        "--to",
        metavar="DIR",
        type=Path,
        help="folder for compare.json and a page with the photos on which they differ",
    )


def add_photos(parser: argparse.ArgumentParser) -> None:
    """The options that say which photos judge."""
    parser.add_argument(
        "--data",
        metavar="CSV",
        type=Path,
        help="index whose photos judge (default: the one that both were trained on)",
    )
    parser.add_argument(
        "--split",
        choices=["train", "validation", "test", "all"],
        default="test",
        help="of that index (default: %(default)s)",
    )


def share(word: str) -> float:
    """A margin: 0 <= margin < 1."""
    try:
        value = float(word)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"{word!r} is not a share of top1, such as 0.02")
    return value


def run(args: argparse.Namespace) -> int:
    from kennel.bundle import read_bundle
    from kennel.compare import choose_photos, duel
    from kennel.compare.document import document, lines, margin_in_words
    from kennel.compare.page import render
    from kennel.machine import hardware, usable_cores, versions
    from kennel.page import need_jinja
    from kennel.registry.entry import MARGIN
    from kennel.writing import replacing, write_json

    if args.to is not None:
        need_jinja()
    first, second = read_bundle(args.first), read_bundle(args.second)
    subject = choose_photos((first, second), csv=args.data, split=args.split)
    counter = Counter(2 * len(subject.photos), "answers")
    fought = duel(first, second, subject, threads=usable_cores(), on_photo=counter.tick)
    counter.close()
    margin = MARGIN if args.not_worse is None else args.not_worse
    outcome = document(fought, margin=margin, hardware=hardware(), versions=versions(LIBRARIES))
    if args.to is not None:
        write_json(args.to / "compare.json", outcome)
        with replacing(args.to / "index.html") as file:
            file.write(render(fought, margin=margin_in_words(fought, margin)))
    better = fought.comparison.verdict == "better"
    passed = better if args.not_worse is None else fought.not_worse(margin)
    if args.json:
        print(json.dumps(outcome, ensure_ascii=False, indent=2))
        return int(not passed)
    print("\n".join(lines(fought)))
    if args.not_worse is not None:
        print(f"{'margin':<12}{margin_in_words(fought, margin)}")
    if args.to is not None:
        print(f"{'page':<12}{args.to / 'index.html'}")
    if passed:
        print(f"next: kennel promote {args.second}")
    elif args.to is not None:
        print(f"next: look at {args.to / 'index.html'}")
    else:
        print(f"next: kennel compare {args.first} {args.second} --to compare")
    return int(not passed)
