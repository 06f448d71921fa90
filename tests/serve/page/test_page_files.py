"""The page's files keep what the page promises before any browser has seen them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from itertools import product

import pytest

from kennel import look
from kennel.page import DARK, LIGHT
from kennel.serve.assets import PAGE_POLICY, assets

PAGE = {path: asset.body.decode() for path, asset in assets().items()}
SCRIPTS = {path: text for path, text in PAGE.items() if path.endswith(".js")}
GROUND = 0.45  # of the line's colour, behind photos


class Elements(HTMLParser):
    """Every element of a page with its attributes, and the text inside scripts and styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.inline: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.cdata_elem in ("script", "style") and data.strip():
            self.inline.append(data)


HTML = Elements(PAGE["/"])


def palettes(css: str) -> tuple[dict[str, str], dict[str, str]]:
    """The colours by name that the stylesheet gives in the light, and in the dark."""
    light, dark = re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    return tuple(dict(re.findall(r"--(\w+): (#\w+);", part)) for part in (light, dark))


def test_every_file_of_the_page_is_handed_out_as_what_it_is() -> None:
    given = assets()
    assert set(given) >= {"/", "/page.css", "/page.js", "/icon.svg"}
    assert given["/"].content_type == "text/html; charset=utf-8"
    assert given["/page.css"].content_type == "text/css; charset=utf-8"
    assert {given[path].content_type for path in SCRIPTS} == {"text/javascript; charset=utf-8"}
    assert given["/icon.svg"].content_type == "image/svg+xml"


def test_an_etag_is_quoted_and_each_file_has_its_own() -> None:
    tags = [asset.etag for asset in assets().values()]
    assert all(re.fullmatch(r'"[0-9a-f]{20}"', tag) for tag in tags)
    assert len(set(tags)) == len(tags)
    assert tags == [asset.etag for asset in assets().values()]


def test_handing_files_out_imports_nothing_heavy() -> None:
    script = (
        "import __future__, sys, dataclasses, json, pathlib; before = set(sys.modules);"
        "import kennel.serve.assets; print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == ["kennel", "kennel.serve", "kennel.serve.assets"]


def test_the_policy_allows_our_own_files_and_nothing_else() -> None:
    rules = {rule.split()[0]: rule.split()[1:] for rule in PAGE_POLICY.split("; ")}
    assert rules["default-src"] == ["'none'"]
    assert rules["script-src"] == rules["style-src"] == rules["connect-src"] == ["'self'"]
    assert rules["img-src"] == ["'self'", "blob:", "data:"]
    assert rules["frame-ancestors"] == rules["base-uri"] == rules["form-action"] == ["'none'"]
    assert rules["require-trusted-types-for"] == ["'script'"]
    assert "unsafe" not in PAGE_POLICY


def test_nothing_in_the_page_is_inline() -> None:
    assert HTML.inline == []
    names = {name for _, attributes in HTML.found for name in attributes}
    assert not {name for name in names if name == "style" or name.startswith("on")}


def test_every_address_is_relative_and_leads_to_a_file_of_the_page() -> None:
    addresses = [
        value
        for _, attributes in HTML.found
        for name, value in attributes.items()
        if name in ("href", "src", "action") and value is not None
    ]
    for path, text in SCRIPTS.items():
        addresses += re.findall(r'from "(.+?)"', text)
        assert "http" not in text.replace("HTTP", ""), path
    assert len(addresses) > 12
    for address in addresses:
        name = address.removeprefix("./")
        assert not re.match(r"[a-z]+:|/", name), address
        assert f"/{name}" in PAGE, address
    assert "url(" not in PAGE["/page.css"]
    assert "@import" not in PAGE["/page.css"]


def test_scripts_that_are_needed_are_asked_for_at_once() -> None:
    preloaded = {a["href"] for _, a in HTML.found if a.get("rel") == "modulepreload"}
    assert {f"/{name}" for name in preloaded} | {"/page.js"} == set(SCRIPTS)


def test_no_script_makes_markup_of_a_string() -> None:
    for path, text in SCRIPTS.items():
        found = re.findall(
            r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|Function\(", text
        )
        assert found == [], path


def test_the_colours_are_those_of_every_page_of_kennel() -> None:
    light, dark = palettes(PAGE["/page.css"])
    assert set(light) == set(dark) == {"paper", "ink", "quiet", "line", "accent", "bad"}
    assert light == {name: LIGHT[name] for name in light}
    assert dark == {name: DARK[name] for name in dark}
    everywhere = re.findall(r"#[0-9A-Fa-f]{6}\b", "".join(PAGE.values()))
    assert set(everywhere) == {*light.values(), *dark.values()}


@pytest.mark.parametrize("palette", palettes(PAGE["/page.css"]), ids=("light", "dark"))
def test_all_words_can_be_read_on_their_ground(palette: dict[str, str]) -> None:
    paper, accent = palette["paper"], palette["accent"]
    ground = look.mix(paper, palette["line"], GROUND)
    assert f"color-mix(in srgb, var(--line) {GROUND:.0%}, var(--paper))" in PAGE["/page.css"]
    pairs = [
        *product(("ink", "quiet", "bad"), (paper, ground)),
        ("accent", paper),
        ("paper", accent),
    ]
    for name, behind in pairs:
        assert look.contrast(palette[name], behind) >= look.READABLE, (name, behind)
    edge = look.mix(paper, palette["quiet"], 0.8)
    assert "--edge: color-mix(in srgb, var(--quiet) 80%, var(--paper))" in PAGE["/page.css"]
    assert look.contrast(edge, paper) >= 3  # of what is no text, WCAG 2.2, 1.4.11


def test_the_page_stays_small() -> None:
    assert sum(map(len, PAGE.values())) < 60_000
    for path, text in PAGE.items():
        assert text.count("\n") < 400, path
