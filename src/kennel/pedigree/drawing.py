"""A pedigree as a small graph: lines for the terminal, and the same as an SVG."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from kennel.bundle import replacing
from kennel.look import ACCENT, INK, PAPER, QUIET_INK, mix
from kennel.pedigree import BundleStep, Pedigree

COLUMN = 12
WIDTH = 80  # letters of a terminal
SVG_WIDTH, SVG_LETTERS, SVG_COLUMN = 960, 100, 112  # pixels; what fits there; pixels
ROW, DEPTH, DOT = 32, 24, 6  # pixels
WAY = mix(PAPER, QUIET_INK, 0.75)  # from step to step: 3:1 on paper


@dataclass(frozen=True)
class Node:
    """A step of the line: what came into it from the side, and what it led to."""

    kind: str
    said: str
    given: tuple[tuple[str, str], ...] = ()
    leads_to: tuple[Node, ...] = ()


def graph_of(pedigree: Pedigree) -> Node:
    """The line as a tree that begins with the photos."""
    photos, code, run = pedigree.photos, pedigree.code, pedigree.run
    commit = code.git_commit[:12] if code.git_commit else "not in a git repository"
    settings = f"sha256 {code.config_sha256[:16]}" if code.config_sha256 else "no sha256 known"
    chosen = [word for word in code.overrides if not word.startswith(("data.", "paths."))]
    took = f", {run.duration_s:.1f} s" if run.duration_s is not None else ""
    again = f", repeats {run.from_run}" if run.from_run else ""
    counts = ", ".join(f"{n:,} {split}" for split, n in (photos.counts or {}).items())
    trained = Node(
        "run",
        f"{run.run_id}, {run.trained_utc or 'date not known'}{took}{again}",
        given=(
            ("commit", f"{commit}, with uncommitted changes" if code.dirty else commit),
            ("settings", ", ".join([settings, *chosen])),
            ("seed", str(code.seed)),
            ("backbone", code.backbone),
            ("hardware", code.hardware.get("gpu", code.hardware.get("cpu", "not known"))),
        ),
        leads_to=tuple(_bundle(bundle) for bundle in pedigree.bundles),
    )
    index = Node(
        "index",
        f"dataset {photos.dataset_id[:16]}" + (f"; {counts}" if counts else ""),
        given=tuple(("dvc", f"{p.file.name}, md5 {p.md5}") for p in photos.dvc),
        leads_to=(trained,),
    )
    known = [str(photos.folder) if photos.folder else "", photos.origin.source or ""]
    said = "; ".join(each for each in known if each) or "not on this machine"
    return Node("photos", said, leads_to=(index,))


def lines_of(root: Node, *, width: int = WIDTH) -> list[str]:
    """The graph in ASCII, no line longer than `width`."""
    return [_shortened(line, width) for line in _lines(root, "", "")]


def write_svg(root: Node, path: Path, *, title: str) -> None:
    """Draws the graph."""
    rows = list(_rows(root, 0, None))
    height = ROW * (len(rows) + 1)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{SVG_WIDTH}" height="{height}" '
        f'viewBox="0 0 {SVG_WIDTH} {height}" font-family="system-ui, sans-serif" font-size="14">',
        f"<title>{_xml(title)}</title>",
        f'<rect width="100%" height="100%" fill="{PAPER}"/>',
    ]
    for at, row in enumerate(rows):
        if row.parent is not None:
            (x, y), (x0, y0) = _place(at, row.depth), _place(row.parent, rows[row.parent].depth)
            parts.append(
                f'<path d="M{x0} {y0} V{y} H{x}" fill="none" stroke="{WAY}" stroke-width="2"/>'
            )
    for at, row in enumerate(rows):
        x, y = _place(at, row.depth)
        fill, ink = (PAPER, QUIET_INK) if row.given else (ACCENT, INK)
        said = _shortened(row.said, SVG_LETTERS)
        parts.append(
            f'<circle cx="{x}" cy="{y}" r="{DOT}" fill="{fill}" stroke="{ACCENT}" '
            f'stroke-width="2"/><text x="{x + 16}" y="{y + 5}" fill="{ink}">'
            f'<tspan font-weight="600">{_xml(row.kind)}</tspan> '
            f'<tspan x="{x + SVG_COLUMN}">{_xml(said)}</tspan>'
            f"<title>{_xml(row.said)}</title></text>"
        )
    with replacing(path) as file:
        file.write("\n".join([*parts, "</svg>", ""]))


@dataclass(frozen=True)
class _Row:
    depth: int
    parent: int | None  # its row
    kind: str
    said: str
    given: bool


def _bundle(bundle: BundleStep) -> Node:
    figures = [
        Node(f.split, f"top1 {f.top1:.3f} [{f.interval[0]:.3f}, {f.interval[1]:.3f}], n {f.n:,}")
        for f in bundle.figures
    ]
    deployed = [
        Node(
            "champion" if each.champion else "earlier",
            f"entry {each.entry} of {each.registry}"
            + (f", {each.since_utc}" * bool(each.since_utc)),
        )
        for each in bundle.deployments
    ]
    said = f"{bundle.bundle_id}, {bundle.created_utc}, {bundle.files} files"
    return Node("bundle", said, leads_to=(*figures, *deployed))


def _lines(node: Node, first: str, rest: str) -> Iterator[str]:
    """The node and all it led to. `first` stands before its own line, `rest` before those below."""
    yield f"{first}{node.kind:<{COLUMN}}{node.said}"
    only = len(node.leads_to) == 1
    for at, child in enumerate(node.leads_to):
        last = at == len(node.leads_to) - 1
        bar = f"{rest}|"
        if only:
            yield bar
        for kind, said in child.given:
            yield f"{bar}   {kind:<{COLUMN}}{said}"
        if only and child.given:
            yield bar
        if only:
            yield from _lines(child, rest, rest)
        else:
            yield from _lines(child, f"{rest}+-- ", f"{rest}    " if last else f"{bar}   ")


def _rows(node: Node, depth: int, parent: int | None, at: int = 0) -> Iterator[_Row]:
    """The same as rows: what is given stands below the step that it came into."""
    yield _Row(depth, parent, node.kind, node.said, given=False)
    own, below = at, at + 1
    for kind, said in node.given:
        yield _Row(depth + 1, own, kind, said, given=True)
        below += 1
    deeper = depth + (len(node.leads_to) > 1)
    for child in node.leads_to:
        for row in _rows(child, deeper, own, below):
            yield row
            below += 1


def _place(at: int, depth: int) -> tuple[int, int]:
    return ROW + depth * DEPTH, ROW * (at + 1)


def _shortened(line: str, letters: int) -> str:
    """One line of printable letters, its end left out where it is too long."""
    line = "".join(letter if letter.isprintable() else " " for letter in line).rstrip()
    return line if len(line) <= letters else f"{line[: letters - 3]}..."


def _xml(text: str) -> str:
    return escape("".join(letter if letter.isprintable() else " " for letter in text))
