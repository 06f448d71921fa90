"""`kennel train [key=value ...]`: one run; with -m several."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kennel.cli.progress import Counter
from kennel.errors import need

OVERRIDES = True
EXAMPLE = """kennel train experiment=quick data.csv=data/dataset.csv
  kennel train model=mambaout trainer.max_epochs=40      from random weights
  kennel train ckpt_path=last paths.output_dir=runs/x    goes on with a run, or starts it
  kennel train --from-run runs/x                         repeats a run from its own record
  kennel train -m seed=0,1,2 experiment=quick            three runs
  kennel train --cfg job                                 shows every setting"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = (
        "kennel train [key=value ...] [--from-run RUN] [-m] [--cfg job] [--config-dir DIR] [--json]"
    )
    parser.add_argument(
        "--from-run",
        metavar="RUN",
        type=Path,
        help="repeat the run in this folder from its config.yaml, in a new folder",
    )


def run(args: argparse.Namespace) -> int:
    need("hydra", extra="train")
    from kennel.learn.configure import overrides_of_job, with_settings
    from kennel.learn.reproduce import (
        refuse_checkpoint,
        refuse_lost_index,
        run_to_repeat,
        same_weights,
        settings_again,
    )

    then = run_to_repeat(args.from_run) if args.from_run is not None else None
    documents: list[dict[str, Any]] = []

    def one(settings: Any) -> None:
        need("torch", extra="train")
        if then is not None:
            refuse_checkpoint(then, settings)
            refuse_lost_index(then, settings)
        with contextlib.redirect_stdout(sys.stderr):
            from kennel.learn.train import train
        with quiet_libraries(), contextlib.redirect_stdout(sys.stderr):
            done = train(settings, count=_count, overrides=overrides_of_job(), repeats=then)
        if os.environ.get("LOCAL_RANK", "0") != "0":
            return
        if done.dirty and done.git_commit is not None:
            sys.stderr.write(
                f"note: files differed from commit {done.git_commit[:12]}, so no commit holds what "
                "ran; before a run that is to be repeated: git commit -a\n"
            )
        same = same_weights(then, done) if then is not None else None
        if args.json:
            repeated = {"same_weights": same} if then is not None else {}
            documents.append({**asdict(done), "path": str(done.path), **repeated})
            return
        figures = done.metrics
        for name in ("validation/top1", "validation/loss"):
            if name in figures:
                print(f"{name:<18}{figures[name]:.4f}")
        print(f"{'best epoch':<18}{done.best_epoch}")
        rate = (
            f", {done.images_per_s:.0f} images/s"
            if done.images_per_s
            else ", features from the cache"
        )
        print(f"{'took':<18}{done.duration_s:.1f} s{rate}")
        if same is not None:
            said = "the same, bit for bit, as" if same else "other bits than"
            print(f"{'weights':<18}{said} {args.from_run}")
        print(f"{'run':<18}{done.path}")
        print(f"next: kennel export {done.path}")

    instead = settings_again(then) if then is not None else None
    with_settings(args.overrides, one, instead=instead)
    if documents:
        print(json.dumps(documents if len(documents) > 1 else documents[0]))
    return 0


def _count(total: int, what: str) -> Callable[[Path], None]:
    counter = Counter(total, what)

    def tick(_: Path) -> None:
        counter.tick()
        if counter.done == total:
            counter.close()

    return tick


@contextlib.contextmanager
def quiet_libraries() -> Any:
    """Kennel's own log lines on stderr, plain; what libraries warn of among themselves stays
    out.
    """
    import logging
    import warnings

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    own = logging.getLogger("kennel")
    own.addHandler(handler)
    for library in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(library).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        own.removeHandler(handler)
