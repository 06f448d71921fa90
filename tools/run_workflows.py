"""Runs every `run:` line of the workflows on this machine, in order, as GitHub would: each job in a
copy of the tree of its own, artifacts handed on, conditions and expressions worked out.

    make workflows-check                            all scenarios; an hour
    make workflows-check ARGS="sweep comment"       these
    make workflows-check ARGS="--venv .venv sweep"  in an environment that no line changes

What other people's actions do is stood in for: a checkout is a copy, a role in AWS is moto's
server, GitHub is a server on this machine that knows its rules. Publishing to PyPI and GHCR and
signing by Sigstore are no lines of ours, and are listed as stood in for.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from bundles import tiny_bundle  # noqa: E402
from github_server import REPOSITORY, WORKFLOW  # noqa: E402
from rented import ENDER  # noqa: E402
from workflow_place import COVERAGE, EVENT, GIT, SPACE, TAG, Place, copy_tree, place  # noqa: E402
from workflows import filled, steps_of, value_of, workflows  # noqa: E402

STOOD_IN = ("actions/checkout", "actions/setup-python", "astral-sh/setup-uv")
ROLE = "aws-actions/configure-aws-credentials"


@dataclass(frozen=True)
class Scenario:
    """A workflow as something starts it.

    Attributes:
        event: its name. inputs: of a dispatch. registry: whether the project has set AWS up.
        taken: AWS takes the first machine away while it works.
    """

    workflow: str
    event: str
    inputs: Mapping[str, str] = field(default_factory=dict)
    registry: bool = True
    taken: bool = False


SCENARIOS = {
    "check": Scenario("check", "push"),
    "figures": Scenario("check", "pull_request"),
    "comment": Scenario("comment", "workflow_run"),
    "train": Scenario("train", "workflow_dispatch", {"experiment": "quick", "hours": "1"}),
    "taken": Scenario(
        "train",
        "workflow_dispatch",
        {"experiment": "quick", "hours": "1", "market": "spot-first"},
        taken=True,
    ),
    "tune": Scenario("tune", "workflow_dispatch", {"space": "head", "trials": "3", "hours": "1"}),
    "sweep": Scenario("sweep", "schedule"),
    "evaluate": Scenario("evaluate", "schedule"),
    "evaluate-alone": Scenario("evaluate", "workflow_dispatch", registry=False),
    "inference": Scenario("inference", "workflow_dispatch", {"photos": "data/sample/Beagle"}),
    "inference-alone": Scenario(
        "inference", "workflow_dispatch", {"photos": "data/sample/Beagle"}, registry=False
    ),
    "release": Scenario("release", "push"),
    "space": Scenario("deploy-space", "workflow_dispatch"),
    "lambda": Scenario("deploy-lambda", "workflow_dispatch"),
}
# Lines that take long are run once: what `check` ran, `figures` does not run again.
ONCE = {"figures": {"figures"}}
# Needs an engine and an AWS that runs images; `kennel cloud rehearse` is where that is tried.
ELSEWHERE = {"lambda": {"deploy"}}


@dataclass
class Ran:
    scenario: str
    job: str
    line: str
    code: int | None
    seconds: float


RAN: list[Ran] = []  # in order
STOOD: set[str] = set()  # actions of others that were passed by


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scenarios", nargs="*", help=f"of {', '.join(SCENARIOS)}; default: all")
    parser.add_argument(
        "--venv", type=Path, help="an environment that is there; nothing is installed"
    )
    parser.add_argument("--leave-out", action="append", default=[], help="a make verb; may repeat")
    parser.add_argument("--to", type=Path, help="writes the table there, as Markdown")
    given = parser.parse_args(words)
    if unknown := set(given.scenarios) - set(SCENARIOS):
        parser.error(f"there is no scenario {', '.join(sorted(unknown))}")
    chosen = given.scenarios or list(SCENARIOS)
    with place(given.venv) as here:
        for name in chosen:
            left_out = {*given.leave_out, *ELSEWHERE.get(name, ())}
            run_scenario(name, SCENARIOS[name], here, left_out=left_out)
        table = "\n".join(report())
        print(table)
        if given.to:
            given.to.write_text(table + "\n", encoding="utf-8")
        leaked = here.cloud.machines()
    if leaked:
        print(f"error: {len(leaked)} machines are left", file=sys.stderr)
    return int(bool(leaked) or any(each.code for each in RAN))


def run_scenario(name: str, scenario: Scenario, here: Place, *, left_out: set[str]) -> None:
    told = workflows()[scenario.workflow]
    run_jobs(name, scenario, told, here, inputs=dict(scenario.inputs), left_out=left_out)


def run_jobs(
    name: str,
    scenario: Scenario,
    told: Mapping[str, Any],
    here: Place,
    *,
    inputs: Mapping[str, str],
    left_out: set[str],
) -> dict[str, Any]:
    """Every job of a workflow, those of workflows that it calls too; what became of each."""
    results: dict[str, dict[str, Any]] = {}
    for job, wish in told["jobs"].items():
        needs = wish.get("needs", [])
        needs = [needs] if isinstance(needs, str) else needs
        failed = any(results[each]["result"] != "success" for each in needs)
        look = looked(scenario, here, inputs=inputs, needs=results)
        condition = wish.get("if")
        wanted = value_of(condition, look) if condition else not failed
        if failed and condition and "()" not in condition:
            wanted = False
        if (name in ONCE and job not in ONCE[name]) or not wanted:
            results[job] = {"result": "skipped", "outputs": {}}
        elif "uses" in wish:
            given = {key: filled(value, look) for key, value in wish["with"].items()}
            called = workflows()[Path(wish["uses"]).stem]
            results[job] = call(name, scenario, called, here, given=given, left_out=left_out)
        else:
            own = Job(name, scenario, job, wish, told.get("env", {}), inputs, here)
            results[job] = own.run(results, left_out)
    return results


def call(
    name: str,
    scenario: Scenario,
    called: Mapping[str, Any],
    here: Place,
    *,
    given: Mapping[str, str],
    left_out: set[str],
) -> dict[str, Any]:
    """A workflow that another calls, as one job of that one."""
    told = called["on"]["workflow_call"]
    defaults = {key: each.get("default", "") for key, each in told["inputs"].items()}
    inputs = {**defaults, **given}
    results = run_jobs(name, scenario, called, here, inputs=inputs, left_out=left_out)
    look = looked(scenario, here, inputs=inputs, needs=results)
    outputs = {key: filled(each["value"], look) for key, each in told.get("outputs", {}).items()}
    good = all(each["result"] in ("success", "skipped") for each in results.values())
    return {"result": "success" if good else "failure", "outputs": outputs}


def looked(
    scenario: Scenario,
    here: Place,
    *,
    inputs: Mapping[str, str],
    needs: Mapping[str, Any] | None = None,
    steps: Mapping[str, Any] | None = None,
    matrix: Mapping[str, Sequence[str]] | None = None,
) -> Any:
    """What a name in an expression stands for; of a matrix its first. One that nobody knows ends
    the check.
    """
    set_up = {
        "AWS_REGION": "us-east-1",
        "AWS_RUNNER_ROLE": "arn:aws:iam::123456789012:role/kennel-runner",
        "AWS_DATA_ROLE": "arn:aws:iam::123456789012:role/kennel-data",
        "AWS_DEPLOY_ROLE": "arn:aws:iam::123456789012:role/kennel-deploy",
        "KENNEL_REGISTRY": "s3://my-photos/registry",
        "KENNEL_RUNNER_TEMPLATE": "kennel-runner",
        "KENNEL_RUNNER_ENDER": ENDER,
        "KENNEL_APP_ID": "12345",
        "KENNEL_SPACE": SPACE,
        "KENNEL_APP_KEY": here.key,
        "KENNEL_TRAINER": "cpu",  # this machine has no GPU
        "KENNEL_RUNNER_TYPE": "",
        "KENNEL_RUNNER_SUBNETS": "",
        "KENNEL_RUNNER_MOST_USD": "",
        "KENNEL_DEPLOYMENT": "",
        "KENNEL_RUNNER_GROUP": "",
    }
    github = {
        "github.token": WORKFLOW,
        "github.event_name": scenario.event,
        "github.ref_name": TAG,
        "github.event.pull_request.base.sha": "HEAD~1",
        "github.event.workflow_run.event": "pull_request",
        "github.event.workflow_run.id": "1",
        "github.event.repository.default_branch": "main",
        "always()": True,
        "cancelled()": False,
    }

    def look(name: str) -> Any:
        kind, _, rest = name.partition(".")
        if kind == "vars":
            return set_up[rest] if scenario.registry else ""
        if kind == "inputs":
            return inputs.get(rest, "")
        if kind == "matrix" and matrix is not None:
            return matrix[rest][0]
        if kind in ("needs", "jobs", "steps"):
            which, what, *key = rest.split(".")
            found = (steps if kind == "steps" else needs) or {}
            if kind == "steps" and which not in found:
                return ""  # it was skipped
            answer = found[which][what]
            return answer.get(key[0], "") if key else answer
        return github[name]

    return look


@dataclass
class Job:
    """One job in a tree of its own."""

    name: str
    scenario: Scenario
    job: str
    wish: Mapping[str, Any]
    env: Mapping[str, str]
    inputs: Mapping[str, str]
    here: Place
    signed_in: bool = False
    lacking: bool = False  # a line was left out, and with it what it would have written

    def run(self, needs: Mapping[str, Any], left_out: set[str]) -> dict[str, Any]:
        self.tree = self.here.scratch / "tree"
        copy_tree(self.tree, release=self.scenario.workflow == "release")
        self.here.furnish(self.tree)
        steps: dict[str, Any] = {}
        good = True
        for step in steps_of(self.wish):
            look = looked(
                self.scenario,
                self.here,
                inputs=self.inputs,
                needs=needs,
                steps=steps,
                matrix=self.wish.get("strategy", {}).get("matrix"),
            )
            condition = step.get("if")
            wanted = value_of(condition, look) if condition else good
            if not wanted or (not good and "always()" not in str(condition)):
                continue
            fine, outputs = self.step(step, look, left_out)
            if "id" in step:
                outcome = "success" if fine else "failure"
                steps[step["id"]] = {"outputs": outputs, "outcome": outcome}
            good &= fine or bool(step.get("continue-on-error"))
        look = looked(self.scenario, self.here, inputs=self.inputs, needs=needs, steps=steps)
        told = self.wish.get("outputs", {})
        outputs = {key: filled(value, look) for key, value in told.items()} if good else {}
        return {"result": "success" if good else "failure", "outputs": outputs}

    def step(
        self, step: Mapping[str, Any], look: Any, left_out: set[str]
    ) -> tuple[bool, dict[str, str]]:
        uses = step.get("uses", "").partition("@")[0]
        given = {key: str(value) for key, value in step.get("with", {}).items()}
        if uses == "actions/upload-artifact":
            return self.upload(filled(given["name"], look), given), {}
        if uses == "actions/download-artifact":
            return self.download(given), {}
        if uses:
            self.signed_in |= uses == ROLE
            if uses not in STOOD_IN:
                STOOD.add(uses)
            return True, {}
        env = {**self.env, **self.wish.get("env", {}), **step.get("env", {})}
        fine, outputs = True, {}
        for line in step["run"].splitlines():
            if line.removeprefix("make ") in left_out:
                RAN.append(Ran(self.name, self.job, line, None, 0.0))
                self.lacking = True
                (self.tree / "coverage.xml").write_text(COVERAGE, encoding="utf-8")
                if line == "make champion":
                    tiny_bundle(self.tree / "bundles" / "champion")
                continue
            code, found = self.line(line, {key: filled(str(v), look) for key, v in env.items()})
            fine, outputs = fine and code == 0, {**outputs, **found}
            if code and step.get("continue-on-error"):
                RAN[-1].code = 0  # as the workflow has it: said, and not minded
        return fine, outputs

    def line(self, line: str, env: Mapping[str, str]) -> tuple[int, dict[str, str]]:
        notice = self.here.scratch / "notice"
        notice.unlink(missing_ok=True)
        if line == "make gpu" and self.scenario.taken and self.inputs["round"] == "1":
            notice.touch()
        said = self.here.scratch / "output"
        said.write_text("", encoding="utf-8")
        event = self.here.scratch / "event.json"
        event.write_text(json.dumps(EVENT), encoding="utf-8")
        kept = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(
                ("AWS_", "GITHUB_", "KENNEL_", "MAKE", "MFLAGS", "PYTHONPATH", "HF_")
            )
        }
        whole = {
            **kept,
            **GIT,
            "HOME": str(self.here.scratch),
            "DVC_NO_ANALYTICS": "1",
            "DVC_SITE_CACHE_DIR": str(self.here.scratch / "dvc-site"),
            "KENNEL_NOTICE": str(notice),  # where AWS would say that it takes the machine away
            "GITHUB_ACTIONS": "true",
            "GITHUB_API_URL": self.here.hub.address,
            "GITHUB_REPOSITORY": REPOSITORY,
            "GITHUB_REPOSITORY_OWNER": REPOSITORY.partition("/")[0],
            "GITHUB_RUN_ID": str(1000 + list(SCENARIOS).index(self.name)),
            "GITHUB_RUN_ATTEMPT": "1",
            "GITHUB_REF_NAME": TAG,
            "GITHUB_EVENT_PATH": str(event),
            "GITHUB_OUTPUT": str(said),
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"{self.here.spaces.address}/github?api-version=2",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "job",
            "HF_ENDPOINT": self.here.spaces.address,
            "HF_HOME": str(self.here.scratch / "huggingface"),
            "GITHUB_STEP_SUMMARY": str(self.here.scratch / "summary.md"),
            **(self.here.cloud.environment() if self.signed_in else {}),
            **env,
        }
        if self.here.borrowed:
            whole["PYTHONPATH"] = str(self.tree / "src")
        print(f"--- {self.name}/{self.job}: {line}", file=sys.stderr, flush=True)
        begun = time.monotonic()
        done = subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", line],
            cwd=self.tree,
            env=whole,
            check=False,
            stdout=sys.stderr,
        )
        took = time.monotonic() - begun
        RAN.append(Ran(self.name, self.job, line, done.returncode, took))
        pairs = [row.split("=", 1) for row in said.read_text("utf-8").splitlines() if "=" in row]
        return done.returncode, dict(pairs)

    def upload(self, name: str, given: Mapping[str, str]) -> bool:
        """What the patterns name, below what they have in common, as GitHub keeps it."""
        rows = [row.strip() for row in given["path"].splitlines() if row.strip()]
        out = [row.removeprefix("!") for row in rows if row.startswith("!")]
        found = [
            each
            for row in rows
            if not row.startswith("!")
            for path in sorted(self.tree.glob(row.rstrip("/")))
            for each in ([path] if path.is_file() else sorted(path.rglob("*")))
            if each.is_file() and not any(each.match(pattern) for pattern in out)
        ]
        if not found:
            return self.lacking or given.get("if-no-files-found") != "error"
        # Of the paths up to their first star, not of what was found.
        kept = [row.split("*")[0].rstrip("/") for row in rows if not row.startswith("!")]
        top = Path(os.path.commonpath([self.tree / row for row in kept]))
        top = top if top.is_dir() else top.parent
        target = self.here.scratch / "artifacts" / name
        shutil.rmtree(target, ignore_errors=True)
        for each in found:
            (target / each.relative_to(top)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(each, target / each.relative_to(top))
        self.here.artifacts[name] = target
        return True

    def download(self, given: Mapping[str, str]) -> bool:
        wanted = re.findall(r"[\w-]+", given.get("pattern", given.get("name", "")))
        there = [name for name in wanted if name in self.here.artifacts]
        for name in there:
            to = self.tree / given.get("path", ".")
            shutil.copytree(self.here.artifacts[name], to, dirs_exist_ok=True)
        return bool(there)


def report() -> list[str]:
    rows = ["| scenario | job | line | ends with | seconds |", "|---|---|---|---|---:|"]
    for each in RAN:
        code = "left out" if each.code is None else str(each.code)
        rows.append(
            f"| {each.scenario} | {each.job} | `{each.line}` | {code} | {each.seconds:.1f} |"
        )
    rows += ["", f"Stood in for: {', '.join(sorted(STOOD)) or 'nothing'}."]
    return rows


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
