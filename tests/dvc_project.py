"""A DVC project of its own for tests: no file of the user's is read or written, nobody is told."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
# A network and photos so small that a run is all start-up.
SMALL = (
    "model=mambaout model.dims=[6,12] model.depths=[1,1] model.image.size=32 "
    "trainer.accelerator=cpu data.num_workers=0 data.batch_size=8"
)
PARAMS = f"""\
photos: data/sample
code: src/kennel
libraries: requirements.lock
sample: {{labels: 3, per_label: 10, seed: 0}}
index: {{fractions: "0.5,0.25,0.25", seed: 0}}
audit: {{settings: --no-labels}}
train: {{experiment: scratch, seed: 0, epochs: 1, settings: "{SMALL}"}}
"""


def environment(home: Path, **more: str) -> dict[str, str]:
    """What commands run under: `home` in the place of every file that is the user's, and uncounted
    by coverage: other tests see to the same verbs, and counting takes time.
    """
    others = ("AWS_", "COVERAGE_", "DVC_", "GIT_")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(others)}
    return {
        **kept,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / "config"),
        "XDG_CACHE_HOME": str(home / "cache"),
        "DVC_GLOBAL_CONFIG_DIR": str(home / "dvc-global"),
        "DVC_SYSTEM_CONFIG_DIR": str(home / "dvc-system"),
        "DVC_SITE_CACHE_DIR": str(home / "dvc-site"),
        "DVC_NO_ANALYTICS": "1",
        "OMP_NUM_THREADS": "1",  # quicker, for what is this small
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "A",
        "GIT_AUTHOR_EMAIL": "a@example.com",
        "GIT_COMMITTER_NAME": "A",
        "GIT_COMMITTER_EMAIL": "a@example.com",
        "AWS_ACCESS_KEY_ID": "for-the-server-of-the-test",
        "AWS_SECRET_ACCESS_KEY": "for-the-server-of-the-test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        **more,
    }


class Project:
    """A git repository with the pipeline of this one."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.folder, self.env = folder, environment(home)

    def run(self, *words: str, code: int = 0) -> str:
        """What a command says on stdout and stderr; it must end with `code`."""
        done = subprocess.run(
            words,
            cwd=self.folder,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == code, f"{' '.join(words)}: {done.returncode}\n{done.stdout}"
        return done.stdout

    def repro(self, *words: str) -> list[str]:
        """Names of the stages that `dvc repro` runs."""
        return re.findall(r"^Running stage '(.+)'", self.run("dvc", "repro", *words), re.MULTILINE)

    def change(self, old: str, new: str) -> None:
        """Edits params.yaml."""
        path = self.folder / "params.yaml"
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == 1
        path.write_text(text.replace(old, new), encoding="utf-8")


def reference_pipeline(folder: Path, home: Path) -> Project:
    """This repository's dvc.yaml in a repository of its own, with small parameters."""
    home.mkdir()
    (folder / "src").mkdir(parents=True)
    for name in (".dvcignore", ".gitignore", "dvc.yaml", "requirements.lock"):
        shutil.copy(ROOT / name, folder / name)
    (folder / ".dvc").mkdir()
    for name in ("config", ".gitignore"):
        shutil.copy(ROOT / ".dvc" / name, folder / ".dvc" / name)
    shutil.copytree(ROOT / ".dvc" / "plots", folder / ".dvc" / "plots")
    shutil.copytree(
        ROOT / "src" / "kennel", folder / "src" / "kennel", ignore=lambda *_: ["__pycache__"]
    )
    (folder / "params.yaml").write_text(PARAMS, encoding="utf-8")
    project = Project(folder, home)
    project.run("git", "init", "-q", "-b", "main")
    project.run("git", "add", ".")
    project.run("git", "commit", "-qm", "The pipeline")
    return project
