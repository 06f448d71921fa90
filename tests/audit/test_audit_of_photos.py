"""The audit with its backbone, and on real photographs, which KENNEL_PHOTOS names."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kennel.sample import draw_sample

REAL = Path(os.environ.get("KENNEL_PHOTOS", "nowhere"))
real = pytest.mark.skipif(
    not (REAL / "dogs10").is_dir(), reason="KENNEL_PHOTOS names no folder with dogs10"
)
pytestmark = pytest.mark.slow


def audit(folder: Path, *words: str) -> tuple[int, Any]:
    command = [sys.executable, "-m", "kennel", "audit", *words, "--json"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_labels_are_checked_with_the_backbone(tmp_path: Path) -> None:
    draw_sample(tmp_path / "photos", labels=3, per_label=8)
    code, document = audit(tmp_path, "photos", "--labels")
    assert code == 0
    assert (document["wrong_labels"]["checked"], document["wrong_labels"]["n"]) == (True, 24)
    assert document["wrong_labels"]["agreement"] > 0.8
    assert "scikit-learn" in document["versions"]


@real
def test_kaggle10_cannot_be_misread(tmp_path: Path) -> None:
    code, document = audit(tmp_path, str(REAL / "kaggle10"), "--no-labels")
    assert code == 1
    assert (document["n"], document["distinct_files"]) == (967, 210)
    assert document["random_split_leaks"] > 0.97
    assert document["kinds"][0]["kind"] == "random_leak"
    page = (tmp_path / "audit" / "index.html").read_text(encoding="utf-8")
    assert "967 files, only 210 distinct" in page
    assert len(page) < 4_000_000


@real
def test_dogs10_has_no_error(tmp_path: Path) -> None:
    code, document = audit(tmp_path, str(REAL / "dogs10"), "--no-labels")
    assert code == 0
    assert (document["n"], document["distinct_files"]) == (1212, 1212)
    assert {kind["kind"] for kind in document["kinds"]} <= {"extreme_aspect", "near_copy"}


@real
def test_planted_wrong_labels_are_found(tmp_path: Path) -> None:
    rng = random.Random(0)
    files = sorted(p for p in (REAL / "dogs10").rglob("*.jpg"))
    labels = sorted({file.parent.name for file in files})
    flipped = set(rng.sample(files, len(files) // 20))
    wrong = set()
    for file in files:
        label = file.parent.name
        if file in flipped:
            label = rng.choice([other for other in labels if other != label])
            wrong.add(f"{label}/{file.parent.name}_{file.name}")
        place = tmp_path / "photos" / label / f"{file.parent.name}_{file.name}"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(file)
    _, document = audit(tmp_path, "photos")
    (kind,) = [kind for kind in document["kinds"] if kind["kind"] == "wrong_label"]
    found = {finding["paths"][0] for finding in kind["findings"]}
    assert len(found & wrong) / len(wrong) > 0.85
    assert len(found & wrong) / len(found) > 0.75
