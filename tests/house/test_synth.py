"""`make synth` from a clean state: an environment of its own, and templates of the settings."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from kennel.project.templates import templates

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
UV = Path(sys.prefix) / "bin" / "uv"


def make(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Without Node, and without anything of Kennel's own environment."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("JSII", "PYTHON"))}
    tools = ["make", "sh", "touch", "rm", "uname", "dirname"]
    bare = folder.parent / "bin"
    if not bare.exists():
        bare.mkdir()
        for name in tools:
            (bare / name).symlink_to(str(shutil.which(name)))
    return subprocess.run(
        ["make", "--no-print-directory", f"PYTHON={sys.executable}", f"UV={UV}", *words],
        cwd=folder,
        env={**environment, "PATH": str(bare)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a project has of it, by the list of `kennel init`, and the Makefile."""
    folder = tmp_path_factory.mktemp("project") / "with space"
    for each in templates():
        if each.path.startswith("deploy/aws/"):
            (folder / each.path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(each.file, folder / each.path)
    shutil.copyfile(ROOT / "Makefile", folder / "Makefile")
    return folder


def test_make_synth_needs_neither_node_nor_anything_that_was_there(project: Path) -> None:
    done = make(project, "synth")
    assert done.returncode == 0, done.stdout + done.stderr
    out = project / "deploy/aws/cdk.out"
    told = json.loads((out / "deployment.json").read_text(encoding="utf-8"))
    assert {path.name for path in out.iterdir()} == {
        "deployment.json",
        *(each["template"] for each in told["stacks"]),
    }
    assert (project / ".venv/cdk/bin/python").exists()


def test_make_synth_writes_where_it_is_told(project: Path, tmp_path: Path) -> None:
    done = make(project, "synth", f"OUT={tmp_path / 'out'}")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "deployment.json").exists()
    assert "pip install" not in done.stdout  # the environment was there


def test_a_wrong_setting_ends_make_synth_with_its_path(project: Path, tmp_path: Path) -> None:
    settings = project / "deploy/aws/settings.yaml"
    kept = settings.read_text(encoding="utf-8")
    told = yaml.safe_load(kept)
    told["service"]["memroy_mb"] = 2048
    settings.write_text(yaml.safe_dump(told), encoding="utf-8")
    try:
        done = make(project, "synth", f"OUT={tmp_path / 'out'}")
    finally:
        settings.write_text(kept, encoding="utf-8")
    assert done.returncode == 2
    assert "there is no service.memroy_mb" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()
