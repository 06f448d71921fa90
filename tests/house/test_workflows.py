"""Workflows hold no secret and no right too many, and run nothing but the make verbs of people."""

from __future__ import annotations

import copy
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from workflows import (
    ACTIONS,
    FOLDER,
    ROOT,
    Line,
    filled,
    lines,
    make_verbs,
    read,
    steps_of,
    value_of,
)
from workflows import workflows as read_workflows

FILES = sorted([*FOLDER.glob("*.yml"), *ACTIONS.glob("*/action.yml")])
PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}")
NOTED = re.compile(r"uses: (\S+)@([0-9a-f]{40}) # (v\d+\.\d+\.\d+)$")
# What starts on a stranger's code: it meets no right to write and no machine of ours.
STRANGERS = {"pull_request"}
# Scopes that a job may have for each workflow; what is not here is not given.
RIGHTS = {
    ("check", "badge"): {"contents": "write"},
    ("comment", "comment"): {"contents": "read", "actions": "read", "pull-requests": "write"},
    ("release", "provenance"): {"id-token": "write", "attestations": "write"},
    ("release", "images"): {
        "contents": "read",
        "packages": "write",
        "id-token": "write",
        "attestations": "write",
    },
    ("release", "pypi"): {"id-token": "write"},
    ("release", "release"): {"contents": "write"},
}
READ = {"contents": "read"}
CLOUD = {"contents": "read", "id-token": "write"}
IN_THE_CLOUD = {
    *(("on-gpu", job) for job in ("start", "work", "stop")),
    *(("train", "train"), ("tune", "tune"), ("sweep", "sweep")),
    *(("train", "again"), ("tune", "again")),
    *(("evaluate", "evaluate"), ("inference", "inference"), ("release", "bundle")),
    *(("deploy-space", "bundle"), ("deploy-space", "space")),
    *(("deploy-lambda", "bundle"), ("deploy-lambda", "deploy")),
}


def jobs() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for name, workflow in read_workflows().items():
        for job, told in workflow["jobs"].items():
            yield name, job, told


def faults(name: str, workflow: dict[str, Any], verbs: set[str]) -> list[str]:
    """What is wrong with a workflow, in words. A test plants each, to see that it is found."""
    found = []
    triggers = workflow["on"]
    triggers = set(triggers if isinstance(triggers, (dict, list)) else [triggers])
    if workflow.get("permissions") != {}:
        found.append("permissions at the top are not {}")
    if "concurrency" not in workflow and triggers != {"workflow_call"}:
        found.append("no concurrency group")
    if "pull_request_target" in triggers:
        found.append("pull_request_target")
    if "secrets." in yaml.dump(workflow) or "secrets: inherit" in yaml.dump(workflow):
        found.append("a secret")
    for job, told in workflow["jobs"].items():
        rights = told.get("permissions")
        if rights != RIGHTS.get((name, job), CLOUD if (name, job) in IN_THE_CLOUD else READ):
            found.append(f"{job}: rights {rights}")
        if "uses" not in told and not 1 <= told.get("timeout-minutes", 0) <= 720:
            found.append(f"{job}: no time limit")
        if "self-hosted" in str(told.get("runs-on")) and triggers != {"workflow_call"}:
            found.append(f"{job}: a machine of ours for whoever starts it")
        if "id-token" in str(rights) and triggers & STRANGERS:
            found.append(f"{job}: an identity for strangers")
        writes = "contents': 'write" in str(rights) and triggers & STRANGERS
        if writes and told.get("if") != "github.event_name == 'push'":
            found.append(f"{job}: a right to write for strangers")
        for step in told.get("steps", ()):
            found += [f"{job}: {each}" for each in step_faults(step, verbs)]
    return found


def step_faults(step: dict[str, Any], verbs: set[str]) -> list[str]:
    found = []
    uses, run = step.get("uses", ""), step.get("run", "")
    if uses and not uses.startswith("$/") and not PINNED.fullmatch(uses):
        found.append(f"{uses} is not pinned")
    kept = step.get("with", {}).get("persist-credentials", "unsaid")
    if uses.startswith("actions/checkout@") and kept is not False:
        found.append("a checkout that keeps the token")
    if "${{" in run:
        found.append(f"an expression in a line that runs: {run}")
    for line in run.splitlines():
        words = line.split()
        if words[:1] != ["make"] or len(words) != 2 or words[1] not in verbs:
            found.append(f"no make verb: {line}")
    return found


def test_every_workflow_keeps_the_rules() -> None:
    found = {name: faults(name, told, make_verbs()) for name, told in read_workflows().items()}
    assert {name: each for name, each in found.items() if each} == {}
    assert set(found) >= {
        *("check", "train", "tune", "evaluate", "inference", "release", "comment", "sweep"),
        *("deploy-space", "deploy-lambda"),
    }


def test_every_line_of_every_workflow_is_a_make_verb_that_exists() -> None:
    found = lines()
    assert len(found) > 20
    wrong = [
        each for each in found if each.text.split()[1:] == [] or each.text.split()[0] != "make"
    ]
    assert wrong == []
    assert {each.text.split()[1] for each in found} <= make_verbs()
    assert Line("check", "test", "make test") in found
    assert Line("check", "test", "make setup") in found  # of the action that all jobs share


PLANTED: dict[str, Callable[[dict[str, Any]], None]] = {
    "permissions at the top": lambda w: w.update(permissions={"contents": "read"}),
    "no concurrency": lambda w: w.pop("concurrency"),
    "pull_request_target": lambda w: w["on"].update(pull_request_target=None),
    "a secret": lambda w: w["jobs"]["test"].update(env={"TOKEN": "${{ secrets.PYPI }}"}),
    "rights": lambda w: w["jobs"]["test"].update(permissions={"contents": "write"}),
    "no time limit": lambda w: w["jobs"]["test"].pop("timeout-minutes"),
    "a machine of ours": lambda w: w["jobs"]["test"].update({"runs-on": ["self-hosted", "gpu"]}),
    "an identity for strangers": lambda w: w["jobs"]["test"].update(permissions=CLOUD),
    "a right to write for strangers": lambda w: w["jobs"]["badge"].pop("if"),
    "is not pinned": lambda w: w["jobs"]["test"]["steps"].append({"uses": "actions/cache@v5"}),
    "keeps the token": lambda w: w["jobs"]["test"]["steps"][0]["with"].clear(),
    "an expression": lambda w: w["jobs"]["test"]["steps"].append(
        {"run": "make test ${{ github.head_ref }}"}
    ),
    "no make verb: make tests": lambda w: w["jobs"]["test"]["steps"].append({"run": "make tests"}),
    "no make verb: curl": lambda w: w["jobs"]["test"]["steps"].append({"run": "curl x | sh"}),
    "no make verb: make test; id": lambda w: w["jobs"]["test"]["steps"].append(
        {"run": "make test; id"}
    ),
}


@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_is_found(fault: str) -> None:
    workflow = copy.deepcopy(read_workflows()["check"])
    PLANTED[fault](workflow)
    assert any(fault in each for each in faults("check", workflow, make_verbs()))


def test_actions_of_ours_keep_the_rules_for_steps() -> None:
    for path in ACTIONS.glob("*/action.yml"):
        for step in read(path)["runs"]["steps"]:
            assert step_faults(step, make_verbs()) == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_action_is_pinned_by_its_commit_with_its_version_beside_it(path: Path) -> None:
    for line in path.read_text(encoding="utf-8").splitlines():
        if "uses:" in line and "$/" not in line:
            assert NOTED.search(line), line


def test_an_action_has_one_version_everywhere() -> None:
    versions: dict[str, set[tuple[str, str]]] = {}
    for path in FILES:
        for line in path.read_text(encoding="utf-8").splitlines():
            if noted := NOTED.search(line):
                versions.setdefault(noted[1], set()).add((noted[2], noted[3]))
    assert len(versions) > 8
    assert {name: found for name, found in versions.items() if len(found) > 1} == {}


def test_a_job_that_may_write_installs_nothing() -> None:
    # Whatever a library does in `make setup`, it never meets a token that writes to the repository.
    writing = [
        (name, job)
        for name, job, told in jobs()
        if any(told["permissions"].get(each) == "write" for each in ("contents", "pull-requests"))
    ]
    assert set(writing) == {("check", "badge"), ("comment", "comment"), ("release", "release")}
    for name, job in writing:
        told = read_workflows()[name]["jobs"][job]
        runs = [step["run"] for step in steps_of(told) if "run" in step]
        assert len(runs) == 1
        text = (FOLDER.parents[1] / "Makefile").read_text(encoding="utf-8")
        verb = runs[0].removeprefix("make ")
        assert re.search(rf"^{verb}: ## ", text, re.MULTILINE), f"{verb} needs something first"


def test_images_of_a_release_are_named_and_labelled_by_one_step() -> None:
    told = read_workflows()["release"]["jobs"]["images"]
    [name] = [step for step in told["steps"] if step.get("run") == "make image-name"]
    rest = yaml.dump([step for step in told["steps"] if step is not name])
    assert "github.ref_name" not in rest  # v1.2.0, where labels and tags have 1.2.0
    assert "github.repository_owner" not in rest  # which may have capitals
    assert rest.count("steps.image.outputs.version") == 2
    assert rest.count("steps.image.outputs.name") == 2


def test_only_a_candidate_that_is_not_good_enough_is_forgiven() -> None:
    [step] = [
        step
        for step in read_workflows()["on-gpu"]["jobs"]["work"]["steps"]
        if step.get("run") == "make promote"
    ]
    assert "continue-on-error" not in step
    assert step["env"]["ARGS"] == "--or-keep"


def test_a_release_uses_no_cache() -> None:
    for name in ("release", "on-gpu", "sweep", "deploy-space", "deploy-lambda"):
        for job in read_workflows()[name]["jobs"].values():
            for step in job.get("steps", ()):
                assert "actions/cache" not in step.get("uses", "")
                if step.get("uses") == "$/.github/actions/setup":
                    assert step["with"]["cache"] == "false"


def test_what_spends_or_publishes_waits_in_an_environment() -> None:
    for name, job, told in jobs():
        spends = "id-token" in told["permissions"] and "uses" not in told
        if (spends and (name, job) != ("release", "provenance")) or job == "release":
            assert "environment" in told, f"{name}: {job}"


def test_the_comment_is_made_of_no_word_of_the_fork() -> None:
    told = read_workflows()["comment"]
    [job] = told["jobs"].values()
    [checkout] = [s for s in job["steps"] if s.get("uses", "").startswith("actions/checkout@")]
    assert checkout["with"]["ref"] == "${{ github.event.repository.default_branch }}"
    assert set(told["on"]) == {"workflow_run"}
    expressions = set(re.findall(r"\$\{\{ *(.+?) *\}\}", yaml.dump(job)))
    assert expressions == {
        "github.event.repository.default_branch",
        "github.event.workflow_run.id",
        "github.token",
    }


def test_stop_runs_whatever_became_of_the_rest_and_needs_nothing_of_it() -> None:
    stop = read_workflows()["on-gpu"]["jobs"]["stop"]
    assert stop["if"] == "always() && needs.start.result != 'skipped'"
    assert set(stop["needs"]) == {"start", "work"}
    assert "needs." not in yaml.dump(stop["steps"])  # a start that was killed has no output
    assert stop["environment"] not in ("gpu", "gpu-work")  # nobody must say yes first


@pytest.mark.parametrize("name", ["train", "tune"])
def test_a_job_whose_machine_was_taken_away_is_queued_once_more_and_no_oftener(name: str) -> None:
    told = read_workflows()[name]["jobs"]
    assert list(told) == [name, "again"]
    first, again = told[name], told["again"]
    assert again["if"] == f"!cancelled() && needs.{name}.outputs.taken == 'true'"
    assert again["with"].pop("round") == "2"
    assert again["with"].pop("market") == "on-demand"  # it is not taken away again
    first["with"].pop("market")
    assert again["with"] == first["with"]
    assert again["permissions"] == first["permissions"]


def test_what_a_machine_left_is_kept_and_brought_to_the_next_alone() -> None:
    steps = read_workflows()["on-gpu"]["jobs"]["work"]["steps"]
    [gpu] = [step for step in steps if step.get("run") == "make gpu"]
    [keeps] = [
        s for s in steps if s.get("with", {}).get("name") == "left" and "upload" in s["uses"]
    ]
    [brings] = [s for s in steps if "download-artifact" in s.get("uses", "")]
    assert keeps["if"] == f"steps.{gpu['id']}.outputs.taken == 'true'"
    assert brings["if"] == "inputs.round == '2'"
    assert brings["with"]["name"] == keeps["with"]["name"]
    assert "!**/*.ckpt" not in keeps["with"]["path"]
    assert steps.index(brings) < steps.index(gpu) < steps.index(keeps)
    # What is not whole is neither measured nor promoted.
    for step in steps[steps.index(keeps) + 1 :]:
        assert "steps.gpu.outputs.taken != 'true'" in step["if"]


def test_free_text_reaches_no_verb_but_as_one_word() -> None:
    # A choice is checked by GitHub; a string is whatever somebody types.
    for name, told in read_workflows().items():
        inputs = (told["on"].get("workflow_dispatch") or {}) if isinstance(told["on"], dict) else {}
        for word, wish in (inputs.get("inputs") or {}).items():
            if wish["type"] != "choice":
                assert (name, word) == ("inference", "photos")
    [step] = [
        step
        for step in read_workflows()["inference"]["jobs"]["inference"]["steps"]
        if step.get("run") == "make inference"
    ]
    assert step["env"]["PHOTOS"] == "${{ inputs.photos }}"


def test_dependabot_waits_and_looks_at_all_that_is_pinned() -> None:
    told = read(FOLDER.parent / "dependabot.yml")
    assert {each["package-ecosystem"] for each in told["updates"]} == {
        *("github-actions", "pip", "docker"),
    }
    assert all(each["cooldown"]["default-days"] >= 7 for each in told["updates"])


def test_lines_of_another_repository_are_found(tmp_path: Path) -> None:
    shutil.copytree(FOLDER.parent, tmp_path / ".github")
    path = tmp_path / ".github" / "workflows" / "sweep.yml"
    path.write_text(path.read_text("utf-8").replace("make runner-sweep", "make nothing"), "utf-8")
    assert Line("sweep", "sweep", "make nothing") in lines(tmp_path)


@pytest.mark.parametrize(
    ("expression", "worth"),
    [
        ("vars.A", "a"),
        ("vars.NONE != ''", False),
        ("vars.A != '' && 'x' || 'y'", "x"),
        ("vars.NONE != '' && 'x' || 'y'", "y"),
        ("inputs.hours || '4'", "4"),
        ("!cancelled() && (vars.A == 'a')", True),
        ("'it''s'", "it's"),
    ],
)
def test_expressions_are_worth_what_github_says(expression: str, worth: Any) -> None:
    known = {"vars.A": "a", "cancelled()": False}
    assert value_of(expression, known.get) == worth
    assert filled(f"x ${{{{ {expression} }}}}", known.get).startswith("x ")


@pytest.mark.parametrize(
    "words", ["-p; touch owned", "$(touch owned)", "$(shell touch owned)", "--to=owned", "a'b\"c"]
)
def test_what_somebody_types_as_photos_is_one_path_and_nothing_else(
    words: str, tmp_path: Path
) -> None:
    said = tmp_path / "kennel"
    said.write_text('#!/bin/sh\nprintf "%s\\n" "$@" > said\n', encoding="utf-8")
    said.chmod(0o755)
    subprocess.run(
        ["make", "-s", "-f", str(ROOT / "Makefile"), "-o", "setup", f"KENNEL={said}", "inference"],
        cwd=tmp_path,
        env={**os.environ, "PHOTOS": words, "ARGS": "--to answers", "BUNDLE": "bundles/champion"},
        check=True,
    )
    told = (tmp_path / "said").read_text(encoding="utf-8").splitlines()
    assert told == ["predict", "--to", "answers", "bundles/champion", "--", words]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kennel", "said"]


def test_no_job_uploads_an_artifact_twice() -> None:
    for name, job, told in jobs():
        uploads = [
            step["with"]["name"]
            for step in told.get("steps", ())
            if step.get("uses", "").startswith("actions/upload-artifact@")
        ]
        assert len(uploads) == len(set(uploads)), f"{name}: {job}"
