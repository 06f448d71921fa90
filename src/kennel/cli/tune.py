"""`kennel tune [key=value ...]`: a study; many runs, each with other settings."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kennel.errors import UsageError, need

OVERRIDES = True
EXAMPLE = """kennel tune data.csv=data/dataset.csv tune.n_trials=40 tune.workers=2
  kennel tune experiment=quick space=head data.csv=data/dataset.csv
  kennel tune tune.resume=true data.csv=data/dataset.csv       goes on with a study
  kennel tune space.optimizer.lr.high=0.003 pruner=median      another space, another pruner
  kennel train experiment=best data.csv=data/dataset.csv       the best trial again
  kennel tune --cfg job                                        shows every setting"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = "kennel tune [key=value ...] [--cfg job] [--config-dir DIR] [--json]"


def run(args: argparse.Namespace) -> int:
    need("hydra", extra="train")
    from kennel.learn.configure import with_settings
    from kennel.learn.tuning.settings import check_study

    if {"-m", "--multirun"} & set(args.overrides):
        raise UsageError("-m starts runs, and a study starts its own.", fix="leave -m out")
    outcomes: list[Any] = []

    def one(settings: Any) -> None:
        need("torch", extra="train")
        need("optuna", extra="train")
        from kennel.cli.train import quiet_libraries

        with contextlib.redirect_stdout(sys.stderr):
            import kennel.learn  # noqa: F401 - before anything that imports torchvision
            from kennel.learn.tuning.study import tune
        with quiet_libraries(), contextlib.redirect_stdout(sys.stderr):
            outcomes.append(tune(settings, words=args.overrides, count=_silent, say=_say))

    with_settings(args.overrides, one, config="tune", check=check_study)
    for outcome in outcomes:
        if outcome is None:
            continue
        if args.json:
            print(json.dumps(asdict(outcome), default=str))
            continue
        print(f"{outcome.monitor:<18}{outcome.figure:.4f}, trial {outcome.best_trial}")
        for path, value in outcome.values.items():
            said = f"{value:.4g}" if isinstance(value, float) else value
            print(f"  {path:<26}{said}")
        print(f"{'trials':<18}{outcome.done} done, {outcome.pruned} pruned{_lost(outcome)}")
        print(f"{'took':<18}{outcome.seconds:.1f} s")
        print(f"{'page':<18}{outcome.page}")
        print(f"{'best run':<18}{outcome.best_run}")
        if outcome.experiment is not None:
            print(f"{'experiment':<18}{outcome.experiment}")
            print(f"next: kennel train experiment={outcome.experiment.stem} data.csv=...")
        else:
            print(f"next: kennel export {outcome.best_run}")
    return 0


def _lost(outcome: Any) -> str:
    said = f", {outcome.failed} failed" if outcome.failed else ""
    return said + (f", {outcome.lost} killed and tried again" if outcome.lost else "")


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _silent(total: int, what: str) -> Callable[[Path], None]:
    """Trials tell no progress of their own: there may be several at a time."""

    def tick(_: Path) -> None:
        pass

    return tick
