"""`kennel serve bundles`: the last bundle in a folder, and after SIGHUP the one that came since."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
from bundles import tiny_bundle

from kennel.bundle import write_bundle

pytest.importorskip("uvicorn")

from running import Running, start


def export(folder: Path, exported_utc: str) -> None:
    bundle = tiny_bundle(folder, bundle_id=folder.name)
    write_bundle(replace(bundle, lineage=replace(bundle.lineage, created_utc=exported_utc)))


def answers_with(server: Running, bundle_id: str, *, within_s: float = 60.0) -> bool:
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        if server.ask("GET", "/bundle").json["bundle_id"] == bundle_id:
            return True
        time.sleep(0.1)
    return False


def test_a_folder_of_bundles_is_served_by_its_last_and_reloaded_to_a_later_one(
    tmp_path: Path,
) -> None:
    bundles = tmp_path / "bundles"
    export(bundles / "second", "2026-11-23T08:00:00Z")
    export(bundles / "third", "2026-11-22T08:00:00Z")
    server = start(bundles, "--workers", "1", cwd=tmp_path)
    try:
        assert server.said["bundle"] == "second"
        export(bundles / "first", "2026-11-24T08:00:00Z")
        assert server.ask("GET", "/bundle").json["bundle_id"] == "second"
        os.kill(server.process.pid, signal.SIGHUP)
        assert answers_with(server, "first")
        assert "kennel 0 exported" in server.said["note"]
    finally:
        server.stop()
