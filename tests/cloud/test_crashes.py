"""Twenty random crashes: no machine of Kennel's outlives its time, and the count can tell."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow  # forty jobs, a dozen of them real commands that are killed
ROOT = Path(__file__).parents[2]


def test_no_machine_outlives_its_time_where_the_usual_flow_leaves_some(tmp_path: Path) -> None:
    lives = tmp_path / "lives.json"
    done = subprocess.run(
        [
            *(sys.executable, str(ROOT / "benchmarks" / "cloud" / "crashes.py")),
            *("--crashes", "20", "--seed", "1", "--to", str(lives)),
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(lives.read_text(encoding="utf-8"))
    ours = [each for found in told["kennel"] for each in found]
    usual = [each for found in told["usual"] for each in found]
    assert len(ours) > 5
    assert [each for each in ours if each["end_s"] is None] == []
    assert [each for each in ours if each["end_s"] > each["until_s"] + 60] == []
    assert [each for each in usual if each["end_s"] is None]  # the same crashes, and it is counted
