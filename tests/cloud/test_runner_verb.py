"""`kennel cloud runner` says what it did and what is missing."""

from __future__ import annotations

from pathlib import Path

import pytest
from github_server import Github
from rented import Cloud

from kennel.cli import main
from kennel.cloud.runner import run_name
from kennel.errors import KennelError

pytestmark = pytest.mark.slow  # a server of AWS's


def test_the_verb_tells_the_next_job_the_label_and_the_log_does_not(
    cloud: Cloud,
    hub: Github,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    workflow: dict[str, str],
) -> None:
    assert main(["cloud", "runner", "start", "--hours", "1"]) == 0
    out, err = capsys.readouterr()
    label = (tmp_path / "output").read_text(encoding="utf-8").removeprefix("label=").strip()
    assert label in hub.invited[0]["labels"]
    assert label not in out + err
    assert out.splitlines()[-1] == "next: kennel cloud runner stop --name kennel-777-1"


@pytest.mark.parametrize(
    "missing",
    [
        "KENNEL_RUNNER_TEMPLATE",
        "KENNEL_RUNNER_ENDER",
        "KENNEL_APP_ID",
        "GITHUB_RUN_ID",
        "AWS_REGION",
    ],
)
def test_a_setting_that_is_missing_is_named(
    missing: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    workflow: dict[str, str],
) -> None:
    monkeypatch.delenv(missing)
    if missing == "AWS_REGION":
        monkeypatch.delenv("AWS_DEFAULT_REGION")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    assert main(["cloud", "runner", "start"]) in (1, 2)
    err = capsys.readouterr().err
    assert missing in err
    assert "fix: " in err
    assert not (tmp_path / "output").exists()


def test_no_credentials_are_said_with_their_mend(
    cloud: Cloud,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    assert main(["cloud", "runner", "sweep"]) == 1
    assert "id-token: write" in capsys.readouterr().err


def test_names_follow_from_the_run() -> None:
    assert run_name("777", "2") == "kennel-777-2"
    assert run_name("777", "2", "2") == "kennel-777-2-2"  # the machine that goes on
    with pytest.raises(KennelError):
        run_name("../..", "1")
