"""A port that another listens at is said before a bundle is loaded, with the way to another."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from bundles import tiny_bundle

pytest.importorskip("uvicorn")

from kennel.cli import main


def test_a_port_in_use_is_said_with_its_mend(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = tiny_bundle(tmp_path / "tiny")
    with socket.create_server(("127.0.0.1", 0)) as door:
        port = door.getsockname()[1]
        assert main(["serve", str(bundle.path), "--port", str(port), "--workers", "1"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"error: cannot listen at 127.0.0.1:{port}: Address already in use")
    assert "fix: stop what listens there, or name another --port" in said.err
