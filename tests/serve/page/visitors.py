"""What tests of the page share: a real server, and what its visitors see."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from browser import CHROMIUM, Page

from kennel.bundle import Bundle

IN_A_BROWSER = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM, reason="there is no chromium on this machine"),
]
PHONE = {"width": 360, "height": 740, "touch": True}
PREDICT = "*/predict*"


@contextmanager
def served(bundle: Bundle, **environment: str) -> Iterator[str]:
    """The address of `kennel serve BUNDLE` while the block runs."""
    words = [sys.executable, "-m", "kennel", "serve", str(bundle.path), "--port", "0", "--json"]
    process = subprocess.Popen(
        [*words, "--workers", "1"],
        env={**os.environ, "KENNEL_SERVE_LOG": "none", **environment},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield json.loads(process.stdout.readline())["url"] + "/"
    finally:
        process.terminate()
        process.wait(timeout=30)
        process.stdout.close()


def assert_kept_to_itself(page: Page, url: str) -> None:
    """Refusals of the server are printed by the browser as errors; anything else is one of ours."""
    assert page.requests
    assert [each for each in page.requests if not each.startswith(url)] == []
    ours = [each for each in page.errors if not each.startswith("Failed to load resource")]
    assert ours == []


def seen(page: Page, n: int) -> None:
    """Waits until n photos were answered on this visit, and nothing is under way."""
    page.wait(f"document.querySelectorAll('#seen li').length === {n}")
    page.wait("!document.body.classList.contains('at-work')")


def stage(page: Page, state: str) -> None:
    page.wait(f"document.querySelector('#main').dataset.state === {json.dumps(state)}")


def heading(page: Page) -> str:
    return page.text("#answer .label")


def visit(page: Page) -> list[str]:
    """What stands under the thumbnails, newest first."""
    found: list[str] = page.js(
        "[...document.querySelectorAll('#seen .what')].map((each) => each.innerText)"
    )
    return found
