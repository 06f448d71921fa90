"""The main line on real photographs, which KENNEL_PHOTOS names; without it there is no test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PHOTOS = Path(os.environ.get("KENNEL_PHOTOS", "nowhere"))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (PHOTOS / "dogs10").is_dir(), reason="KENNEL_PHOTOS names no folder with dogs10"
    ),
]
Kennel = Callable[..., Any]


@pytest.fixture(scope="module")
def kennel(tmp_path_factory: pytest.TempPathFactory) -> Kennel:
    folder = tmp_path_factory.mktemp("real")

    def run(*words: str) -> Any:
        command = [sys.executable, "-m", "kennel", *words, "--json"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


@pytest.fixture(scope="module")
def bundle(kennel: Kennel) -> str:
    kennel("index", str(PHOTOS / "dogs10"), "--to", "dogs.csv")
    kennel("train", "experiment=quick", "data.csv=dogs.csv", "paths.output_dir=run")
    return str(kennel("export", "run", "--to", "bundle")["bundle"])


def test_quick_tells_ten_breeds_apart_on_photos_it_has_not_seen(
    kennel: Kennel, bundle: str
) -> None:
    test = kennel("evaluate", bundle, "--split", "test")["splits"]["test"]
    assert test["n"] > 200
    assert test["top1_interval"][0] > 0.93


@pytest.mark.parametrize(("strangers", "least"), [("cats", 0.8), ("other_breeds", 0.4)])
def test_strangers_are_mostly_not_known(
    kennel: Kennel, bundle: str, strangers: str, least: float
) -> None:
    answers = kennel("predict", bundle, str(PHOTOS / "strangers" / strangers))
    refused = sum(not answer["known"] for answer in answers) / len(answers)
    assert refused > least


def test_known_breeds_are_mostly_known(kennel: Kennel, bundle: str) -> None:
    answers = kennel("predict", bundle, str(PHOTOS / "dogs10" / "Boxer"))
    assert sum(answer["known"] for answer in answers) / len(answers) > 0.85
