"""The page of a study: one HTML file that needs nothing else, and its pictures as PNG."""

from __future__ import annotations

import base64
import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState

from kennel import page
from kennel.learn.tuning import storage
from kennel.learn.tuning.drawings import Row, as_svg, drawings, write_png
from kennel.machine import utc_now
from kennel.run import RUN_JSON
from kennel.writing import replacing

if TYPE_CHECKING:
    from kennel.learn.tuning.work import Plan

PAGE = "index.html"
TEMPLATE = "learn/tuning/page.html.j2"
LEAST_TRIALS = 6  # that say which parameter matters
MOST_ROWS = 200  # of the table
STEPS = {"fold": "fold", "seed": "seed", "rung": "rung"}


def write_page(plan: Plan) -> Path:
    """Writes the page and its pictures into the study's folder.

    Raises:
        MissingExtraError: they cannot be drawn.
    """
    study, monitor = plan.study, plan.tune.monitor
    maximise = study.direction is optuna.study.StudyDirection.MAXIMIZE
    trials = study.get_trials(deepcopy=False)
    rows = [_row(plan, trial) for trial in storage.finished(study)]
    shown = [row for row in rows if row is not None]
    best = study.best_trial
    importances = _importances(study)
    leader = next(row for row in shown if row.number == best.number)
    pictures = []
    for each in drawings(
        shown,
        plan.space,
        importances,
        monitor=monitor,
        maximise=maximise,
        step=STEPS.get(plan.parts[0].name.partition("-")[0], "epoch"),
    ):
        write_png(each, plan.folder)
        light, dark = (_uri(as_svg(each, colours)) for colours in (page.LIGHT, page.DARK))
        pictures.append(
            {"title": each.title, "caption": each.caption, "light": light, "dark": dark}
        )
    ranked = sorted(shown, key=lambda row: row.figure, reverse=maximise)
    states = [trial.state for trial in trials]
    html = page.render(
        TEMPLATE,
        {
            "name": plan.tune.name,
            "monitor": monitor,
            "best": leader,
            "best_values": [(path, _number(value)) for path, value in leader.values.items()],
            "done": states.count(TrialState.COMPLETE),
            "pruned": states.count(TrialState.PRUNED),
            "failed": [
                (trial.number, trial.user_attrs[storage.WHY])
                for trial in trials
                if trial.state is TrialState.FAIL and storage.WHY in trial.user_attrs
            ],
            "pictures": pictures,
            "rows": [(row, _words(row.values)) for row in ranked[:MOST_ROWS]],
            "left": max(len(ranked) - MOST_ROWS, 0),
            "settings": [(each.path, _range(each)) for each in plan.space.parameters],
            "n": plan.validation_photos,
            "created": utc_now(),
            "machine": _machine(plan, best.number),
            "runs": len(plan.parts),
        },
    )
    path = plan.folder / PAGE
    with replacing(path) as file:
        file.write(html)
    return path


def _row(plan: Plan, trial: FrozenTrial) -> Row | None:
    curve = dict(sorted(trial.intermediate_values.items()))
    figure = trial.value if trial.state is TrialState.COMPLETE else None
    if figure is None:
        if not curve:
            return None
        figure = list(curve.values())[-1]
    values = plan.space.as_written(trial.params)
    return Row(trial.number, figure, trial.state is TrialState.PRUNED, values, curve)


def _importances(study: optuna.Study) -> dict[str, float]:
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(done) < LEAST_TRIALS:
        return {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0))
    except (ValueError, RuntimeError):  # no parameter that all have, or figures all alike
        return {}
    return {name: float(share) for name, share in found.items()}


def _machine(plan: Plan, number: int) -> str:
    """What the best trial was trained on, by its own record."""
    for record in sorted(plan.trial_folder(number).rglob(RUN_JSON)):
        run: dict[str, Any] = json.loads(record.read_text(encoding="utf-8"))
        hardware, versions = run["hardware"], run["versions"]
        names = ("kennel", "torch", "timm")
        said = ", ".join(f"{name} {versions[name]}" for name in names if name in versions)
        return f"{hardware.get('gpu') or hardware.get('cpu')}, {said}"
    return ""


def _words(values: dict[str, Any]) -> str:
    return ", ".join(f"{path}={_number(value)}" for path, value in values.items())


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _range(each: Any) -> str:
    if each.choices is not None:
        said = " | ".join(str(choice) for choice in each.choices)
    else:
        said = f"{each.low:g} to {each.high:g}"
        said += ", in factors" if each.log else ""
        said += f", by {each.step:g}" if each.step else ""
        said += ", whole" if each.whole else ""
    conditions = [f"{path} is {' or '.join(map(str, v))}" for path, v in each.when.items()]
    return said + (f"; where {' and '.join(conditions)}" if conditions else "")


def _uri(svg: str) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode("ascii")
