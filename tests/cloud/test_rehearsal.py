"""The whole play on real processes: it passes, it says where it cannot, and it leaves nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from bundles import tiny_bundle

from kennel.cloud.deployment import read_deployment
from kennel.cloud.rehearsal.acts import ACTS
from kennel.cloud.rehearsal.play import Rehearsed, Step, play
from kennel.cloud.rehearsal.stage import Stage, set_stage
from kennel.errors import KennelError

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
LONGEST_S = 300.0


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the app writes of its settings as they are."""
    folder = tmp_path_factory.mktemp("synth") / "out"
    done = subprocess.run(
        ["make", "--no-print-directory", "synth", f"OUT={folder}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@contextmanager
def stage(tmp_path: Path, templates: Path) -> Iterator[Stage]:
    bundles = [tiny_bundle(tmp_path / "one").path]
    bundles.append(tiny_bundle(tmp_path / "two", bundle_id="tiny-two", gains=(1.0, 1.0, 1.2)).path)
    with set_stage(read_deployment(templates), bundles, templates=templates) as set_up:
        yield set_up


def played(stage: Stage, *names: str) -> dict[str, str]:
    """Those acts in order, each with what it said.

    Raises:
        KennelError: one failed.
    """
    return {name: act(stage) for name, act in ACTS if name in names}


@pytest.fixture(scope="module")
def whole(
    tmp_path_factory: pytest.TempPathFactory, templates: Path
) -> tuple[Rehearsed, list[Step]]:
    heard: list[Step] = []
    with stage(tmp_path_factory.mktemp("whole"), templates) as set_up:
        return play(set_up, say=heard.append), heard


def test_every_act_passes_and_nothing_is_left(whole: tuple[Rehearsed, list[Step]]) -> None:
    done, heard = whole
    assert [each.name for each in done.steps] == [name for name, _ in ACTS]
    assert all(each.ok for each in done.steps), done.steps[-1]
    assert list(done.steps) == heard
    assert done.ok
    # A key of KMS goes by itself, after the days that AWS wants.
    assert done.left is not None
    assert all(each.startswith("AWS::KMS::Key ") for each in done.left)
    assert len(done.cold_s) == 3
    assert len(done.cold_starts) >= 5


def test_every_type_of_the_templates_is_played_by_somebody(
    whole: tuple[Rehearsed, list[Step]], templates: Path
) -> None:
    done, _ = whole
    assert set(done.types) == {
        kind for each in read_deployment(templates).stacks for kind in each.resources.values()
    }
    assert set(done.types.values()) <= {"ours", "moto"}


def test_it_says_which_rights_were_used_and_by_whom(whole: tuple[Rehearsed, list[Step]]) -> None:
    done, _ = whole
    assert set(done.calls) == {"cloudformation", "data", "deploy", "runner"}
    assert done.calls["data"] == ["s3:GetObject", "s3:ListBucket", "s3:PutObject"]
    assert "ec2:RunInstances" in done.calls["runner"]
    assert "cloudformation:ExecuteChangeSet" in done.calls["deploy"]
    assert "lambda:CreateFunctionUrlConfig" in done.calls["cloudformation"]
    assert all(":" in each and " " not in each for every in done.calls.values() for each in every)


def changed(templates: Path, folder: Path, change: Any) -> Path:
    """The templates with the service's changed by a function of its resources."""
    folder.mkdir()
    for file in templates.iterdir():
        text = file.read_text(encoding="utf-8")
        if file.name == "kennel-service.template.json":
            document = json.loads(text)
            change(document["Resources"])
            text = json.dumps(document)
        (folder / file.name).write_text(text, encoding="utf-8")
    return folder


def test_a_function_without_its_permission_fails_the_deployment(
    tmp_path: Path, templates: Path
) -> None:
    def public_by_half(resources: dict[str, Any]) -> None:
        resources["Url"]["Properties"]["AuthType"] = "NONE"
        for name in [name for name, each in resources.items() if name.startswith("MayRun")]:
            del resources[name]

    half = changed(templates, tmp_path / "templates", public_by_half)
    with stage(tmp_path, half) as set_up, pytest.raises(KennelError, match="answers 403"):
        played(set_up, "deploy")


def test_a_property_that_nobody_plays_is_refused_and_named(tmp_path: Path, templates: Path) -> None:
    def unknown(resources: dict[str, Any]) -> None:
        resources["Serve"]["Properties"]["FileSystemConfigs"] = []

    words = "does not play FileSystemConfigs of AWS::Lambda"
    more = changed(templates, tmp_path / "templates", unknown)
    with stage(tmp_path, more) as set_up, pytest.raises(KennelError, match=words):
        played(set_up, "deploy")


def test_a_function_that_answers_otherwise_ends_the_play(tmp_path: Path, templates: Path) -> None:
    """Its image has another bundle in it than was meant."""
    with stage(tmp_path, templates) as set_up:
        one, two = (set_up.function.runnables[each.digest] for each in set_up.images)
        set_up.function.runnables = {set_up.images[0].digest: two, set_up.images[1].digest: one}
        done = play(set_up)
    assert not done.ok
    assert done.steps[-1].name == "deploy"
    assert "answers with the bundle tiny-two" in done.steps[-1].said


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM], ids=lambda each: each.name)
def test_stopped_in_the_middle_it_leaves_no_process_and_no_folder(
    tmp_path: Path, templates: Path, signum: signal.Signals
) -> None:
    bundle = tiny_bundle(tmp_path / "tiny").path
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    words = ["--bundle", str(bundle), "--templates", str(templates)]
    running = subprocess.Popen(
        [sys.executable, "-m", "kennel", "cloud", "rehearse", *words],
        env={**os.environ, "TMPDIR": str(scratch)},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    assert running.stderr is not None
    for line in running.stderr:
        if line.startswith("ok     status"):  # a sandbox waits, frozen; DVC works
            break
    time.sleep(1.0)
    running.send_signal(signum)
    said = running.stderr.read()
    assert running.wait(LONGEST_S) == 128 + signum, said
    assert "Traceback" not in said
    assert not list(scratch.iterdir())
    assert not processes_with(str(scratch))


def processes_with(text: str) -> list[str]:
    """Command lines and environments of this machine's processes that have it in them."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            said = (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()
        except OSError:
            continue
        if text.encode() in said and int(folder.name) != os.getpid():
            found.append(folder.name)
    return found


def test_the_verb_prints_one_document_and_ends_with_1_where_an_act_fails(
    tmp_path: Path, templates: Path
) -> None:
    def slower(resources: dict[str, Any]) -> None:
        resources["Serve"]["Properties"]["MemorySize"] = 64  # its data has no room in that

    bundle = tiny_bundle(tmp_path / "tiny").path
    small = changed(templates, tmp_path / "templates", slower)
    words = ["--bundle", str(bundle), "--templates", str(small), "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "kennel", "cloud", "rehearse", *words],
        env={**os.environ, "TMPDIR": tempfile.mkdtemp(dir=tmp_path)},
        capture_output=True,
        text=True,
        timeout=LONGEST_S,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    document = json.loads(done.stdout)
    assert document["ok"] is False
    assert document["steps"][-1]["ok"] is False
    assert document["steps"][-1]["name"] == "deploy"
    assert "error: deploy: " in done.stderr
    assert "fix: " in done.stderr
