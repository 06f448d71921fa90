"""`make check` finds what it is there to find: for each linter a violation, and its mended twin."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
TOOLS = Path(sys.prefix) / "tools" / "bin"
NOBODY = "http://127.0.0.1:1/"
CHECKOUT = "actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1"
WORKFLOW = """\
name: check
on: push
permissions: {{}}
concurrency: {{group: "${{{{ github.ref }}}}", cancel-in-progress: true}}
jobs:
  check:
    name: check
    runs-on: {machine}
    timeout-minutes: 5
    steps:
      - uses: {checkout}
        with: {{persist-credentials: false}}
      - run: make check
"""
TEMPLATE = {
    "AWSTemplateFormatVersion": "2010-09-09",
    "Resources": {"Photos": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "photos"}}},
}
LOCKED = f"--require-hashes\nleash==1.0 \\\n    --hash=sha256:{'0' * 64}\n"
# linter -> file, what it objects to, and the same without that, and words of the objection
PLANTED = {
    "zizmor": (
        ".github/workflows/check.yml",
        WORKFLOW.format(machine="ubuntu-24.04", checkout="actions/checkout@v7"),
        WORKFLOW.format(machine="ubuntu-24.04", checkout=CHECKOUT),
        "unpinned-uses",
    ),
    "actionlint": (
        ".github/workflows/check.yml",
        WORKFLOW.format(machine="ubuntu-24.40", checkout=CHECKOUT),
        WORKFLOW.format(machine="ubuntu-24.04", checkout=CHECKOUT),
        "ubuntu-24.40",
    ),
    "hadolint": (
        "docker/serve.Dockerfile",
        "FROM python:latest\nRUN cd /work\n",
        "FROM python:3.12-slim\nWORKDIR /work\n",
        "DL3007",
    ),
    "compose": (
        "compose.yml",
        "services: {serve: {image: kennel-serve, profiles: [gpu], prots: ['8080']}}\n",
        "services: {serve: {image: kennel-serve, profiles: [gpu], ports: ['8080']}}\n",
        "prots",
    ),
    "shellcheck": (
        "tools/clean",
        "#!/bin/sh\nrm -r $1/photos\n",
        '#!/bin/sh\nrm -r "${1:?}/photos"\n',
        "SC2086",
    ),
    "cfn-lint": (
        "deploy/kennel.template.json",
        json.dumps(TEMPLATE).replace("BucketName", "BuketName"),
        json.dumps(TEMPLATE),
        "BuketName",
    ),
}


@pytest.fixture(autouse=True)
def _tools() -> None:
    if not (TOOLS / "zizmor").exists():
        pytest.skip(f"there are no linters in {TOOLS}: make check brings them")


def lint(root: Path, *linters: str, osv: str = NOBODY) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "tools/lint.py"), "--root", str(root)]
    return subprocess.run(
        [*command, "--tools", str(TOOLS), "--osv", osv, *linters],
        capture_output=True,
        text=True,
        check=False,
    )


def plant(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


@pytest.mark.parametrize("linter", PLANTED)
def test_a_violation_is_found(linter: str, tmp_path: Path) -> None:
    name, bad, _, words = PLANTED[linter]
    plant(tmp_path, name, bad)
    done = lint(tmp_path, linter)
    assert done.returncode == 1
    assert done.stdout.split()[:3] == [linter, "failed", name]
    assert words in done.stderr


@pytest.mark.parametrize("linter", PLANTED)
def test_the_same_without_the_violation_is_good(linter: str, tmp_path: Path) -> None:
    name, _, good, _ = PLANTED[linter]
    plant(tmp_path, name, good)
    done = lint(tmp_path, linter)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [linter, "good", name]


def test_a_linter_that_does_not_start_is_named_with_the_mend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And without git on the path, as a project may be begun."""
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    monkeypatch.setattr(sys.modules[__name__], "TOOLS", tmp_path / "nothing")
    name, _, good, _ = PLANTED["hadolint"]
    plant(tmp_path, name, good)
    done = lint(tmp_path, "hadolint")
    assert done.returncode == 1
    assert done.stdout.split()[:3] == ["hadolint", "failed", name]
    assert done.stderr.splitlines() == [
        "error: hadolint does not start.",
        "fix: rm -rf .venv/tools && make check",
    ]


def test_settings_of_actionlint_are_found_where_there_is_no_git(tmp_path: Path) -> None:
    name, _, good, _ = PLANTED["actionlint"]
    plant(tmp_path, name, re.sub(r"runs-on: [\w.-]+", "runs-on: [self-hosted, gpu]", good))
    assert 'label "gpu" is unknown' in lint(tmp_path, "actionlint").stderr
    plant(tmp_path, ".github/actionlint.yaml", "self-hosted-runner: {labels: [gpu]}\n")
    assert lint(tmp_path, "actionlint").returncode == 0


def test_each_profile_of_compose_is_looked_at(tmp_path: Path) -> None:
    """Only a service of a profile needs what is not there."""
    text = (
        "services:\n"
        "  train: {image: kennel-train, profiles: [gpu], depends_on: [nobody]}\n"
        "  serve: {image: kennel-serve}\n"
    )
    plant(tmp_path, "compose.yml", text)
    done = lint(tmp_path, "compose")
    assert done.returncode == 1
    assert "--profile gpu" in done.stderr


def test_what_git_ignores_is_not_looked_at(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    plant(tmp_path, ".gitignore", "out/\n")
    plant(tmp_path, "out/script", PLANTED["shellcheck"][1])
    assert lint(tmp_path, "shellcheck").returncode == 0
    plant(tmp_path, "tools/script", PLANTED["shellcheck"][1])
    assert lint(tmp_path, "shellcheck").returncode == 1


def test_templates_that_were_synthesised_are_looked_at_though_git_ignores_them(
    tmp_path: Path,
) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    plant(tmp_path, ".gitignore", "cdk.out/\n")
    _, bad, good, words = PLANTED["cfn-lint"]
    name = "deploy/aws/cdk.out/kennel-storage.template.json"
    plant(tmp_path, name, bad)
    done = lint(tmp_path, "cfn-lint")
    assert done.stdout.split() == ["cfn-lint", "failed", name]
    assert words in done.stderr
    plant(tmp_path, name, good)
    assert lint(tmp_path, "cfn-lint").stdout.split() == ["cfn-lint", "good", name]


def test_an_environment_beside_the_source_is_not_looked_at_without_git(tmp_path: Path) -> None:
    plant(tmp_path, ".venv/bin/script", PLANTED["shellcheck"][1])
    plant(tmp_path, "tools/script", PLANTED["shellcheck"][2])
    done = lint(tmp_path, "shellcheck")
    assert done.stdout.split() == ["shellcheck", "good", "tools/script"]


def test_nothing_to_look_at_is_said(tmp_path: Path) -> None:
    done = lint(tmp_path)
    assert done.returncode == 0
    rows = [line.split(maxsplit=2) for line in done.stdout.splitlines()]
    assert {name for name, *_ in rows} == {*PLANTED, "pip-audit"}
    assert all(rest == ["skipped", "nothing here to look at"] for _, *rest in rows)


def test_a_linter_that_is_not_there_is_wrong_usage(tmp_path: Path) -> None:
    done = lint(tmp_path, "lnit")
    assert done.returncode == 2
    assert "lnit" in done.stderr


@pytest.fixture
def osv() -> Iterator[str]:
    """Who knows that leash 1.0 has a hole, on the loopback."""
    hole = {
        "id": "MAL-2026-1",
        "summary": "it bites",
        "modified": "2026-01-01T00:00:00Z",
        "published": "2026-01-01T00:00:00Z",
        "affected": [
            {
                "package": {"ecosystem": "PyPI", "name": "leash"},
                "ranges": [
                    {
                        "type": "ECOSYSTEM",
                        "events": [{"introduced": "0"}, {"fixed": "1.1"}],
                    }
                ],
            }
        ],
    }

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(405)

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            name = asked["package"]["name"]
            said = json.dumps({"vulns": [hole]} if name == "leash" else {}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1/query"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_locked_version_with_a_known_hole_is_found(tmp_path: Path, osv: str) -> None:
    plant(tmp_path, "requirements.lock", LOCKED)
    done = lint(tmp_path, "pip-audit", osv=osv)
    assert done.returncode == 1
    assert "leash 1.0: MAL-2026-1, mended in ['1.1']" in done.stderr
    assert 'make lock ARGS="--upgrade-package NAME"' in done.stderr


def test_a_hole_that_is_accepted_passes(tmp_path: Path, osv: str) -> None:
    plant(tmp_path, "requirements.lock", LOCKED)
    plant(tmp_path, "locks/accepted.txt", "# none\nMAL-2026-1  it bites nobody here\n")
    done = lint(tmp_path, "pip-audit", osv=osv)
    assert done.returncode == 0, done.stderr
    assert "good" in done.stdout


def test_a_lock_without_holes_is_good(tmp_path: Path, osv: str) -> None:
    plant(tmp_path, "requirements.lock", LOCKED.replace("leash", "collar"))
    done = lint(tmp_path, "pip-audit", osv=osv)
    assert done.returncode == 0, done.stderr
    assert "good" in done.stdout


def test_a_lock_that_cannot_be_read_is_no_good_one(tmp_path: Path, osv: str) -> None:
    plant(tmp_path, "requirements.lock", "leash==1.0\n")
    done = lint(tmp_path, "pip-audit", osv=osv)
    assert done.returncode == 1
    assert "does not contain a hash" in done.stderr


def test_without_network_it_is_said_that_nobody_was_asked_for_holes(tmp_path: Path) -> None:
    plant(tmp_path, "requirements.lock", LOCKED)
    done = lint(tmp_path, "pip-audit")
    assert done.returncode == 0
    assert re.match(r"pip-audit +skipped +http://127.0.0.1:1/ is out of reach", done.stdout)


def test_make_check_asks_every_linter() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    recipe = re.findall(r"^check:.*\n((?:\t.*\n)+)", text, re.MULTILINE)[0]
    assert re.search(r"tools/lint\.py --tools \$\(TOOLS\)/bin$", recipe, re.MULTILINE)


def test_make_check_synthesises_before_it_looks() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(r"^check: .*\bdeploy/aws/cdk\.out/deployment\.json\b", text, re.MULTILINE)
