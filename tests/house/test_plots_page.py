"""The page of `dvc plots`: curves as DVC describes them, drawn without asking any network."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

browser = pytest.importorskip("browser")

ROOT = Path(__file__).parents[2]
PAGE = ROOT / ".dvc" / "plots" / "page.html"
# What DVC writes for each plot (dvc-render 1.0.2).
DIV = """
<div id="{id}"><script type="text/javascript">
var spec = {spec}; vegaEmbed('#{id}', spec);
</script></div>"""
ROWS = [
    {"epoch": "0", "validation/top1": "0.5", "rev": "HEAD"},
    {"epoch": "", "validation/top1": "", "rev": "HEAD"},
    {"epoch": "1", "validation/top1": "", "rev": "HEAD"},
    {"epoch": "1", "validation/top1": "0.75", "rev": "HEAD"},
    {"epoch": "0", "validation/top1": "0.25", "rev": "workspace"},
]


def spec(mark: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """As of `.dvc/plots/epochs.json`, filled in."""
    text = (ROOT / ".dvc" / "plots" / "epochs.json").read_text(encoding="utf-8")
    document: dict[str, Any] = json.loads(text)
    document["data"]["values"] = rows
    document["title"]["text"] = "validation top1"
    document["mark"]["type"] = mark
    for axis, field in (("x", "epoch"), ("y", "validation/top1")):
        escaped = field.replace("/", r"\/")  # as DVC writes names for Vega
        document["encoding"][axis] |= {"field": escaped, "title": field}
    return document


def page(folder: Path, *specs: dict[str, Any]) -> str:
    text = PAGE.read_text(encoding="utf-8")
    divs = "\n".join(DIV.format(id=f"plot_{i}", spec=json.dumps(s)) for i, s in enumerate(specs))
    for place, value in (("plot_divs", divs), ("refresh_tag", ""), ("scripts", "")):
        text = text.replace("{" + place + "}", value)
    (folder / "index.html").write_text(text, encoding="utf-8")
    return (folder / "index.html").as_uri()


def test_the_page_names_no_address() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert "{plot_divs}" in text
    assert "{scripts}" not in text  # where DVC would put its CDN
    addresses = re.findall(r"https?://[^\"'`\s]+", text)
    assert addresses == ["http://www.w3.org/2000/svg"]  # a name, which nobody asks


@pytest.mark.slow
@pytest.mark.skipif(not browser.CHROMIUM, reason="there is no chromium on this machine")
def test_curves_are_drawn_and_other_kinds_are_shown_as_values(tmp_path: Path) -> None:
    (tmp_path / "profile").mkdir()
    url = page(tmp_path, spec("line", ROWS), spec("rect", ROWS), spec("line", ROWS[1:3]))
    with browser.started(tmp_path / "profile") as opened, opened.page() as seen:
        seen.go(url)
        assert seen.js("document.querySelectorAll('#plot_0 path').length") == 2
        points = (
            "[...document.querySelectorAll('#plot_0 circle title')].map(each => each.textContent)"
        )
        assert sorted(seen.js(points)) == [
            "HEAD: epoch 0, validation/top1 0.5",
            "HEAD: epoch 1, validation/top1 0.75",
            "workspace: epoch 0, validation/top1 0.25",
        ]
        assert seen.js("document.querySelector('#plot_0 h2').textContent") == "validation top1"
        assert seen.js("document.querySelectorAll('#plot_1 tr').length") == 1 + len(ROWS)
        assert "not drawn without a network" in seen.js(
            "document.querySelector('#plot_1').textContent"
        )
        assert seen.js("document.querySelectorAll('#plot_2 svg').length") == 0
        assert seen.errors == []
        assert seen.requests == [url]
