"""The page in a real browser, over a bundle whose maker means no good."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bundles import entry, tiny_bundle
from served_app import Served, serving_app

from kennel.bundle import write_bundle

browser = pytest.importorskip("browser")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not browser.CHROMIUM, reason="there is no chromium on this machine"),
]
EVIL = "<img src=x onerror=alert(1)>${document.title='evil'}{{evil}}`"
CARD = """---
licence: evil
---
# Evil
![spy](https://elsewhere.invalid/spy.png) <img src="https://elsewhere.invalid/spy2.png">
<script>document.title = "evil"</script> [click](javascript:document.title='evil')
"""
TAB = "[...document.querySelectorAll('button[role=tab]')].find((b) => b.innerText.trim() === '{}')"
BUTTON = "[...document.querySelectorAll('button')].find((b) => b.innerText.trim() === '{}')"


@pytest.fixture(scope="module")
def evil(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    bundle = tiny_bundle(tmp_path_factory.mktemp("evil") / "b", labels=(EVIL, "green", "blue"))
    card = bundle.path / "README.md"
    card.write_text(CARD, encoding="utf-8")
    write_bundle(replace(bundle, files={**bundle.files, "README.md": entry(card)}))
    with serving_app(bundle.path, tmp_path_factory.mktemp("home")) as served:
        yield served


@pytest.fixture
def page(evil: Served, tmp_path: Path) -> Iterator[Any]:
    with browser.started(tmp_path) as chromium, chromium.page(width=390, height=844) as page:
        page.go(evil.url)
        page.wait("document.querySelector('.k-head')", timeout_s=60)
        # Gradio draws piece by piece: the tabs and what takes a photo come after the head.
        page.wait("document.querySelector('input[type=file]')", timeout_s=60)
        page.wait(f"Boolean({TAB.format('Model')})", timeout_s=60)
        yield page


def test_a_visit_to_every_tab_asks_nobody_else_and_runs_nothing_of_the_bundles(
    page: Any, evil: Served, photos: Path
) -> None:
    page.choose("input[type=file]", photos / "red" / "0.png")
    page.wait("document.querySelector('.k-bars')", timeout_s=60)
    assert "<img src=x onerror=alert(1)>${document.title='evil'}{{evil}}`" in page.text(".k-answer")

    page.js(TAB.format("Why") + ".click()")
    page.js(BUTTON.format("Show why") + ".click()")
    page.wait("document.querySelectorAll('.k-pair img').length === 2", timeout_s=60)
    page.wait("[...document.querySelectorAll('.k-pair img')].every((i) => i.naturalWidth >= 448)")

    page.js(TAB.format("Model") + ".click()")
    page.wait("document.querySelector('.k-card h1')")
    assert "licence" not in page.text(".k-card")
    assert "(picture: spy)" in page.text(".k-card")
    assert page.js("document.querySelectorAll('.k-card img, .k-card script').length") == 0
    links = "[...document.querySelectorAll('.k-card a')]"
    leads = page.js(f"{links}.map((a) => [new URL(a.href).host, a.innerText])")
    assert all(host and host in text for host, text in leads)  # bare addresses alone

    assert page.js("document.title") == "Kennel"
    assert page.js("document.querySelectorAll('img[src=x]').length") == 0
    assert {url for url in page.requests if not url.startswith(evil.url)} == set()
    assert [said for said in page.errors if "policy" in said.lower()] == []


def test_all_tabs_fit_a_phone(page: Any) -> None:
    for name in ("Photo", "Why", "Several", "Model"):
        assert page.js(f"Boolean({TAB.format(name)})"), name
        page.js(TAB.format(name) + ".click()")
        assert page.js("document.documentElement.scrollWidth <= window.innerWidth"), name
