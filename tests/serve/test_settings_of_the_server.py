"""What the environment says of the server."""

from __future__ import annotations

import hashlib
import re
from dataclasses import fields
from pathlib import Path

import pytest

from kennel.errors import UsageError
from kennel.serve.settings import Settings, from_environment

KEY = hashlib.sha256(b"secret").hexdigest()


def test_every_kind_of_setting_is_read() -> None:
    found = from_environment(
        {
            "KENNEL_SERVE_HOST": "::1",
            "KENNEL_SERVE_PORT": "0",
            "KENNEL_SERVE_BODY_SECONDS": "2.5",
            "KENNEL_SERVE_RELOAD": "yes",
            "KENNEL_SERVE_CORS": "https://a.example, https://b.example",
            "KENNEL_SERVE_KEYS": KEY.upper(),
            "PATH": "/bin",
        }
    )
    assert (found.host, found.port, found.body_seconds, found.reload) == ("::1", 0, 2.5, True)
    assert found.cors == ("https://a.example", "https://b.example")
    assert found.keys == (KEY,)
    assert found.workers >= 1


def test_a_flag_wins_and_none_is_no_flag() -> None:
    environ = {"KENNEL_SERVE_PORT": "1234", "KENNEL_SERVE_WORKERS": "3"}
    found = from_environment(environ, port=4321, workers=None)
    assert (found.port, found.workers) == (4321, 3)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("PORT", "70000", "0 to 65535"),
        ("PORT", "http", "a whole number"),
        ("QUEUE", "0", "a number from 1"),
        ("BYTES", "1e6", "a whole number"),
        ("BODY_SECONDS", "nan", "a number from"),
        ("BODY_SECONDS", "-1", "a number from"),
        ("RELOAD", "perhaps", "1 or 0"),
        ("LOG", "xml", "json, text or none"),
        ("ROOT_PATH", "dogs/", "a path such as"),
        ("QEUE", "8", "no setting"),
    ],
)
def test_what_is_wrong_is_refused_with_its_name(name: str, value: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as refusal:
        from_environment({f"KENNEL_SERVE_{name}": value})
    assert f"KENNEL_SERVE_{name}" in refusal.value.message


def test_a_wrong_name_is_answered_with_the_nearest_one() -> None:
    with pytest.raises(UsageError) as refusal:
        from_environment({"KENNEL_SERVE_QEUE": "8"})
    assert "KENNEL_SERVE_QUEUE?" in refusal.value.fix


def test_a_key_in_the_place_of_its_hash_is_not_repeated() -> None:
    with pytest.raises(UsageError) as refusal:
        from_environment({"KENNEL_SERVE_KEYS": "my-secret-key"})
    assert "secret" not in refusal.value.message + refusal.value.fix


def test_keys_come_from_a_file_too(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(f"# who\n{KEY}  anna\n\n")
    assert from_environment({"KENNEL_SERVE_KEYS_FILE": str(tmp_path / "keys")}).keys == (KEY,)
    (tmp_path / "none").write_text("# nobody\n")
    for name in ("none", "missing"):
        with pytest.raises(UsageError):
            from_environment({"KENNEL_SERVE_KEYS_FILE": str(tmp_path / name)})


def test_the_guide_names_every_setting_and_its_default() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "guide" / "serve.md").read_text("utf-8")
    table = guide.partition("## Settings")[2].partition("##")[0]
    named = set(re.findall(r"`([A-Z_]+)`", table))
    assert named >= {field.name.upper() for field in fields(Settings)}
    for name in ("queue", "bytes", "pixels", "held_bytes", "connections"):
        assert f"`{name.upper()}` | {getattr(Settings(), name)} " in table
