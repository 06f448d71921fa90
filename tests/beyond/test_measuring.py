"""`kennel audit --engine ray`: what workers measure is what one machine measures, bit for bit."""

from __future__ import annotations

import json
import shutil
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from ray_nodes import nodes_here

from kennel.audit import measure_photos
from kennel.beyond.measuring import read_files
from kennel.cli import main


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two labels, with a copy, a broken file, and an empty one."""
    folder, rng = tmp_path / "photos", np.random.default_rng(0)
    for n in range(24):
        photo = folder / ("red", "blue")[n % 2] / f"{n}.png"
        photo.parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (60, 80, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((160, 120)).save(photo)
    shutil.copy(folder / "red" / "0.png", folder / "red" / "copy.png")
    (folder / "red" / "cut.png").write_bytes((folder / "red" / "2.png").read_bytes()[:900])
    (folder / "blue" / "empty.png").write_bytes(b"")
    return folder


def test_what_others_read_gives_the_same_measures(photos: Path) -> None:
    files = [*sorted(photos.rglob("*.png")), photos / "gone.png"]
    alone, together = measure_photos(files), measure_photos(files, reads=read_files(files))
    for field in fields(alone):
        one, other = getattr(alone, field.name), getattr(together, field.name)
        assert np.array_equal(one, other) if isinstance(one, np.ndarray) else one == other
    assert list(alone.missing) == [len(files) - 1]
    assert len(alone.unreadable) == 2


@pytest.mark.slow
@pytest.mark.cluster
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_an_audit_by_a_cluster_finds_the_same_as_alone(
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("ray", reason="the extra ray is not installed")
    words = ["audit", str(photos), "--no-labels", "--json"]
    monkeypatch.chdir(tmp_path)
    code = main(words)
    alone = json.loads(capsys.readouterr().out)
    with nodes_here() as nodes:
        monkeypatch.setenv("RAY_ADDRESS", nodes.address)
        assert main([*words, "--engine", "ray"]) == code
    assert json.loads(capsys.readouterr().out) == alone


def test_an_engine_for_what_it_does_not_do_is_refused(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["audit", str(photos), "--verify", "--engine", "ray"]) == 2
    assert "--engine ray is for the measuring of photos" in capsys.readouterr().err
