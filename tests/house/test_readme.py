"""README says what is true: its commands run, its verbs are all, its links lead somewhere."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from bash_blocks import Block, blocks

from kennel.cli import VERBS

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"


def test_blocks_are_found_in_order_and_excused_only_by_the_line_before_them() -> None:
    page = "a\n```bash\none\n```\n```\nx\n```\n<!-- not run: costs money -->\n\n```bash\ntwo\n```\n"
    page += "```bash\nthree\nfour\n```\n"
    assert blocks(page) == [
        Block(2, "one", None),
        Block(10, "two", "costs money"),
        Block(13, "three\nfour", None),
    ]


@pytest.mark.slow
@pytest.mark.usefixtures("unmeasured")
def test_every_block_of_the_readme_runs(tmp_path: Path) -> None:
    run = [block for block in blocks(README.read_text(encoding="utf-8")) if block.reason is None]
    assert len(run) >= 3
    bash = shutil.which("bash")
    assert bash is not None
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for block in run:
        done = subprocess.run(
            [bash, "-euo", "pipefail", "-c", block.text],
            cwd=tmp_path,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (
            f"README.md:{block.line} ends with {done.returncode}\n{block.text}\n{done.stderr}"
        )
        assert "Traceback" not in done.stderr
    # What the text around the blocks says is there then.
    for made in (
        "data/dataset.csv",
        "runs/first/run.json",
        "runs/seeds/1/run.json",
        "bundles/first/bundle.json",
        "bundles/first/report/report.json",
        "bundles/first/report/confusion_test.png",
        "answers/beagle_0001.png",
    ):
        assert (tmp_path / made).is_file(), made


def test_only_what_cannot_run_in_a_test_is_left_out() -> None:
    left_out = [b for b in blocks(README.read_text(encoding="utf-8")) if b.reason is not None]
    for block in left_out:
        commands = {line.split()[0] for line in block.text.splitlines() if line.strip()}
        assert commands <= {"make", "docker", "git", "pip"}, f"README.md:{block.line}"


def test_the_table_of_verbs_is_the_list_of_verbs() -> None:
    text = README.read_text(encoding="utf-8")
    assert re.findall(r"^\| `kennel ([a-z]+)", text, re.MULTILINE) == list(VERBS)


def test_every_make_verb_that_is_named_exists() -> None:
    rules = re.findall(
        r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE
    )
    named = re.findall(r"\bmake ([a-z-]+)", README.read_text(encoding="utf-8"))
    assert named
    code = re.findall(r"`make ([a-z-]+)|^make ([a-z-]+)", README.read_text("utf-8"), re.MULTILINE)
    assert {one or other for one, other in code} <= set(rules)


def test_every_link_into_the_repository_leads_somewhere() -> None:
    pages = [README, *ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    broken = []
    for page in set(pages):
        text = page.read_text(encoding="utf-8")
        targets = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|href)="([^"]+)"', text)
        for target in targets:
            path = target.partition("#")[0]
            if re.match(r"[a-z]+:", target) or not path:
                continue
            if not (page.parent / path).exists():
                broken.append(f"{page.relative_to(ROOT)}: {target}")
    assert broken == []
