"""`kennel show URL`: which bundle a server answers with."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bundles import tiny_bundle
from serving import File, Server, serving

from kennel.cli import main
from kennel.serve.loaded import public


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as started:
        yield started


def said(folder: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(public(tiny_bundle(folder), limits={}, keys=False))
    return document


def test_a_server_shows_its_bundle_and_where_a_copy_lies(
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    document = said(tmp_path / "bundles" / "one")
    server.put("/bundle", File(json.dumps(document).encode()))
    assert main(["show", server.url("")]) == 0
    out = capsys.readouterr().out
    assert "tiny-0a1b2c3d" in out
    assert "3: red, green, blue" in out
    assert "bundles/one" in out
    assert main(["show", server.url(""), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["labels"] == ["red", "green", "blue"]
    assert shown["copies"] == ["bundles/one"]


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{}", b'"x"', b"[" * 100_000, b"<html>", b'{"bundle_id": 3}'],
    ids=["empty", "list", "nothing", "text", "deep", "page", "number"],
)
def test_what_is_no_bundle_is_refused(
    server: Server, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    server.put("/bundle", File(content))
    assert main(["show", server.url("")]) == 1
    assert "fix:" in capsys.readouterr().err


def test_a_name_that_moves_the_cursor_is_not_printed(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = said(tmp_path / "b")
    document["labels"][0] = "\x1b[2Jred"
    server.put("/bundle", File(json.dumps(document).encode()))
    assert main(["show", server.url("")]) == 1
    captured = capsys.readouterr()
    assert "\x1b" not in captured.out + captured.err


def test_a_server_has_no_files_to_verify(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "http://127.0.0.1:1", "--verify"]) == 2
    assert "shows no files" in capsys.readouterr().err
