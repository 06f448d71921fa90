"""settings.yaml: what may stand in it, and what is said of what may not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import APP, changed

from settings import Settings, SettingsError, read_settings
from synth import main


def refused(tmp_path: Path, changes: dict[str, Any]) -> str:
    path = tmp_path / "settings.yaml"
    path.write_text(yaml.safe_dump(changed(changes)), encoding="utf-8")
    with pytest.raises(SettingsError) as told:
        read_settings(path)
    return str(told.value)


def test_what_ships_is_read_and_says_every_setting_there_is() -> None:
    path = APP / "settings.yaml"
    given = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert read_settings(path).model_dump(mode="json") == given


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"service": {"memory": 2048}}, "there is no service.memory"),
        ({"identity": {"environments": {"test": ["a"]}}}, "no identity.environments.test"),
        ({"servce": {}}, "there is no servce"),
        ({"service": {"memory_mb": 100}}, "service.memory_mb: Input should be greater"),
        ({"service": {"memory_mb": "2048"}}, "service.memory_mb: Input should be a valid integer"),
        ({"service": {"public": "yes"}}, "service.public: Input should be a valid boolean"),
        ({"service": {"concurrency": 0}}, "service.concurrency: "),
        ({"service": {"concurrency": "all"}}, "service.concurrency: "),
        ({"service": {"start": "warm"}}, "service.start: "),
        ({"service": {"log_days": 15}}, "service.log_days: "),
        ({"service": {"cors_origins": ["*"]}}, "service.cors_origins.0: "),
        ({"service": {"callers": ["*"]}}, "service.callers.0: "),
        ({"storage": {"on_delete": "delete"}}, "storage.on_delete: "),
        ({"runner": {"types": []}}, "runner.types: "),
        ({"runner": {"hours": 48}}, "runner.hours: "),
        ({"identity": {"repository": "dogs"}}, "identity.repository: "),
        ({"identity": {"environments": {"deploy": ["*"]}}}, "identity.environments.deploy.0: "),
        ({"identity": {"environments": {"deploy": []}}}, "identity.environments.deploy: "),
        ({"budget": {"email": "anna"}}, "budget.email: "),
        ({"name": "Kennel"}, "name: "),
        ({"region": "frankfurt"}, "region: "),
    ],
)
def test_a_wrong_key_or_value_is_refused_by_its_path(
    tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    told = refused(tmp_path, changes)
    assert said in told
    assert "literal[" not in told.split("Input")[0]  # a path of settings.yaml, and no other


@pytest.mark.parametrize(
    ("service", "said"),
    [
        ({"public": True, "requests_per_minute": None}, "needs requests_per_minute"),
        ({"public": True, "callers": ["arn:aws:iam::123456789012:role/a"]}, "callers are those"),
        ({"start": "snapstart", "temporary_mb": 1024}, "temporary_mb of 512 at most"),
        ({"start": "provisioned", "provisioned": 6}, "more than concurrency"),
        ({"start": "provisioned", "concurrency": "account"}, "a concurrency of its own"),
    ],
)
def test_choices_that_do_not_go_together_are_refused(
    tmp_path: Path, service: dict[str, Any], said: str
) -> None:
    told = refused(tmp_path, {"service": service})
    assert "settings.yaml: service: " in told
    assert said in told


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    told = refused(tmp_path, {"name": "-", "budget": {"usd": 0}})
    assert len(told.splitlines()) == 2


def test_a_file_that_is_none_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "settings.yaml"
    out = tmp_path / "out"
    for text in ("a: [", "", "[]"):
        path.write_text(text, encoding="utf-8")
        assert main(["--settings", str(path), "--to", str(out)]) == 2
        assert f"error: {path}" in capsys.readouterr().err
    assert not out.exists()


def test_settings_cannot_be_changed_afterwards() -> None:
    settings = Settings.model_validate(changed({}))
    with pytest.raises(Exception, match="frozen"):
        settings.service.public = True
