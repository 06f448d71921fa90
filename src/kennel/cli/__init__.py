"""The front door: `kennel VERB ...`. One file a verb; nothing heavier than the standard library
until a verb runs.
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn, Protocol, cast

import kennel
from kennel.errors import KennelError, Stopped

# In the order of the work. The summaries stand here so that `kennel --help` imports no verb.
VERBS = {
    "sample": "draw a practice set of dog pictures",
    "fetch": "bring a public set of photos, checked",
    "index": "list and split a folder of photos",
    "audit": "find copies, leaks, wrong labels and broken photos",
    "train": "train one run",
    "tune": "a study: many runs, the best becomes an experiment",
    "export": "turn a run into a bundle, or refuse",
    "evaluate": "measure a bundle on train, validation and test photos",
    "report": "the page again, or the text for a pull request",
    "compare": "two bundles on the same photos: a paired test",
    "promote": "make a bundle champion, when it is not worse",
    "predict": "answer for photos",
    "serve": "answer over HTTP, with a page",
    "ui": "a bundle in the browser, with Gradio",
    "space": "a bundle in the browser, on the Hugging Face Hub",
    "hub": "a bundle to and from the Hugging Face Hub, for timm",
    "drift": "what is seen, beside what was validated",
    "sign": "say who made a bundle, with a key",
    "verify": "whether a bundle is as it was signed",
    "show": "the pedigree of a run or a bundle",
    "init": "a project of your own around Kennel",
    "cloud": "what is rented in AWS, and its end",
    "github": "tells GitHub: a comment, a badge, a release",
    "clean": "remove caches and unfinished runs",
    "doctor": "what this machine has and lacks",
}

EXAMPLE = """\
  kennel sample photos && kennel index photos
  kennel train data.csv=data/dataset.csv
  kennel export runs/<id> && kennel evaluate bundles/<id>
  kennel predict bundles/<id> photo.jpg
"""


class Verb(Protocol):
    """What a verb's file offers. `OVERRIDES` is True where the words after the verb are Hydra's."""

    EXAMPLE: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None: ...
    def run(self, args: argparse.Namespace) -> int: ...


class Parser(argparse.ArgumentParser):
    """argparse, with Kennel's `error:` and `fix:` lines."""

    def error(self, message: str) -> NoReturn:
        sys.stderr.write(f"error: {message}.\nfix: {self.prog} --help\n")
        sys.exit(2)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one verb.

    Returns:
        0 done, 1 refused or failed, 2 wrong usage, 130 on Ctrl-C, 143 on SIGTERM.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        if os.getpid() == 1:
            # A container's first process: SIGTERM is ignored there, until somebody listens.
            signal.signal(signal.SIGTERM, _stop)
        try:
            return _dispatch(words)
        finally:
            sys.stdout.flush()  # here, where a reader that left early is still handled
    except KennelError as error:
        _say_error(error.message, error.fix)
        return error.exit_code
    except Stopped as stop:
        if os.environ.get("LOCAL_RANK", "0") != "0":
            # Of a run's processes the first says it. Lightning kills the first when another ends
            # with anything but 0, while it still writes what the run became.
            return 0
        sys.stderr.write(f"\nstopped ({stop.why}): {stop.message}\n")
        sys.stderr.write(f"next: {stop.fix}\n" if stop.fix else "")
        return stop.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("\nstopped: nothing was left half-written.\n")
        return 130
    except BrokenPipeError:
        # The reader left (`kennel show ... | head`): not an error, and Python must not complain at
        # exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if os.environ.get("KENNEL_DEBUG"):
            raise
        where = f"{error.filename}: " if error.filename else ""
        _say_error(
            f"{where}{error.strerror or error}.",
            "see that the path exists, that you may write there, and that the disk is not full",
        )
        return 1
    except Exception as error:
        if os.environ.get("KENNEL_DEBUG"):
            raise
        _say_error(
            f"kennel failed on something it did not foresee: {type(error).__name__}: {error}.",
            "run it again with KENNEL_DEBUG=1 and report what it prints",
        )
        return 1


def _stop(signum: int, _: FrameType | None) -> NoReturn:
    raise Stopped(signal.Signals(signum).name, signum)


def _dispatch(words: list[str]) -> int:
    warnings.filterwarnings(
        "ignore", module="PIL"
    )  # of damaged EXIF and the like, which change no pixel
    parser = Parser(
        prog="kennel",
        usage="kennel VERB ...",
        allow_abbrev=False,
        description="From a folder of labelled photos to an image classifier that can be trusted.",
        epilog=f"example:\n{EXAMPLE}\n`kennel VERB --help` says more of each.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"kennel {kennel.__version__}")
    parser.add_argument(
        "--completion",
        choices=["bash", "zsh"],
        help='print completion for a shell: eval "$(kennel --completion bash)"',
    )
    verbs = parser.add_argument_group("verbs")
    for name, summary in VERBS.items():
        verbs.add_argument(f"__{name}", metavar=name, help=summary, nargs="?")
    if not words or words[0].startswith("-"):
        args = parser.parse_args(words)
        if args.completion:
            from kennel.cli import completion

            print(completion.script(args.completion, tuple(VERBS)))
            return 0
        parser.print_help()
        return 0 if words else 2
    name = words[0]
    if name not in VERBS:
        parser.error(f"there is no verb {name!r}; there are {', '.join(VERBS)}")
    verb = cast(Verb, importlib.import_module(f"kennel.cli.{name}"))
    own = Parser(
        prog=f"kennel {name}",
        allow_abbrev=False,
        description=verb.__doc__,
        epilog=f"example:\n  {verb.EXAMPLE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.add_arguments(own)
    own.add_argument("--json", action="store_true", help="print one JSON document and nothing else")
    if getattr(verb, "OVERRIDES", False):
        args, overrides = own.parse_known_args(words[1:])
        args.overrides = overrides
    else:
        args = own.parse_args(words[1:])
    return verb.run(args)


def _say_error(message: str, fix: str) -> None:
    if os.environ.get("KENNEL_DEBUG"):
        traceback.print_exc()
    sys.stderr.write(f"error: {message}\nfix: {fix}\n")
