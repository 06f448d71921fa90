"""The line from photos to the registry, followed from either end, and with parts missing."""

from __future__ import annotations

import json
import shutil
import xml.etree.ElementTree as ET
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from lines import FIGURES, Line, write_registry

from kennel.bundle import write_bundle
from kennel.cli import main
from kennel.folders import SOURCE_JSON
from kennel.pedigree import pedigree_of
from kennel.pedigree.drawing import Node, graph_of, lines_of, write_svg
from kennel.run import write_run


def test_run_and_bundle_have_the_same_line(line: Line) -> None:
    of_bundle = pedigree_of(line.bundle, project=line.project)
    of_run = pedigree_of(line.run, project=line.project)
    assert replace(of_run, bundles=of_bundle.bundles, code=of_bundle.code) == of_bundle
    assert [each.bundle_id for each in of_run.bundles] == [line.bundle.bundle_id]
    photos, run = of_run.photos, of_run.run
    assert photos.here
    assert photos.folder == line.project / "photos"
    assert photos.counts is not None
    assert sum(photos.counts.values()) == 12
    assert (run.path, run.status, run.duration_s) == (line.run.path, "done", 12.5)
    assert of_run.code.overrides == ("experiment=quick", "seed=7")


def test_what_is_not_on_this_machine_is_left_out_and_no_error(line: Line) -> None:
    for gone in ("photos", "data", "runs"):
        shutil.rmtree(line.project / gone)
    found = pedigree_of(line.bundle, project=line.project)
    assert (found.photos.here, found.photos.folder) == (False, None)
    assert found.photos.counts == {  # as they were when it was exported
        split: sum(counts.values()) for split, counts in line.dataset.counts.items()
    }
    assert (found.run.path, found.run.status) == (None, None)
    assert found.run.run_id == "first"


def test_an_index_that_changed_is_not_taken_for_the_one_it_was_trained_on(line: Line) -> None:
    other = replace(line.run, dataset_id="0" * 64)
    found = pedigree_of(other, project=line.project).photos
    assert (found.here, found.folder, found.counts) == (False, None, None)


def test_a_bundle_of_another_training_of_the_same_run_id_is_not_its_bundle(line: Line) -> None:
    again = replace(line.run, weights_sha256="0" * 64)
    assert pedigree_of(again, project=line.project).bundles == ()
    damaged = line.bundle.path / "bundle.json"
    damaged.write_text("{", encoding="utf-8")
    assert pedigree_of(line.run, project=line.project).bundles == ()


def test_source_and_licence_that_fetch_wrote_down_are_in_the_line(line: Line) -> None:
    source = {"name": "pets", "homepage": "https://example.org", "licence": "CC BY-SA 4.0"}
    (line.project / "photos" / SOURCE_JSON).write_text(json.dumps(source), encoding="utf-8")
    origin = pedigree_of(line.run, project=line.project).photos.origin
    assert (origin.source, origin.licence) == ("pets, https://example.org", "CC BY-SA 4.0")


@pytest.mark.parametrize("document", ["", "[]", "{}", '{"licence": 4}', "null"])
def test_a_source_json_that_says_nothing_is_passed_over(line: Line, document: str) -> None:
    (line.project / "photos" / SOURCE_JSON).write_text(document, encoding="utf-8")
    origin = pedigree_of(line.run, project=line.project).photos.origin
    assert (origin.source, origin.licence) == (None, None)


# Where it is deployed


def test_the_newest_entry_of_the_registry_is_the_champion(line: Line) -> None:
    bundle_id = line.bundle.bundle_id
    registry = write_registry(line.project / "a", "old", bundle_id)
    found = pedigree_of(line.bundle, project=line.project, registry=registry)
    [deployed] = found.bundles[0].deployments
    assert (deployed.entry, deployed.champion) == (2, True)
    assert deployed.since_utc == "2026-12-02T08:00:00Z"

    replaced = write_registry(line.project / "b", bundle_id, "new")
    found = pedigree_of(line.bundle, project=line.project, registry=replaced)
    assert [each.champion for each in found.bundles[0].deployments] == [False]


def test_what_is_no_entry_of_a_registry_is_passed_over(line: Line) -> None:
    registry = write_registry(line.project / "registry", line.bundle.bundle_id)
    for name, said in (
        ("000002.json", "{"),
        ("000003.json", "[]"),
        ("x.json", '{"bundle_id":"y"}'),
    ):
        (registry / "history" / name).write_text(said, encoding="utf-8")
    found = pedigree_of(line.bundle, project=line.project, registry=registry)
    assert found.bundles[0].deployments[0].champion
    none = pedigree_of(line.bundle, project=line.project, registry=line.project / "gone")
    assert none.bundles[0].deployments == ()


@pytest.mark.parametrize("place", ["registry", "elsewhere"])
def test_show_says_where_a_bundle_is_deployed(
    line: Line, place: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["show", "bundles/first"]) == 0
    assert "deployed      nowhere that is known here" in capsys.readouterr().out
    write_registry(line.project / place, line.bundle.bundle_id)
    if place != "registry":
        monkeypatch.setenv("KENNEL_REGISTRY", place)
    for path in ("bundles/first", "runs/first"):
        assert main(["show", path]) == 0
        said = f"deployed      champion, entry 1 of {place}, 2026-12-01T08:00:00Z"
        assert said in capsys.readouterr().out


# Printed and drawn


def test_show_prints_settings_counts_and_bundles(
    line: Line, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["show", "runs/first"]) == 0
    shown = capsys.readouterr().out
    assert f"settings      config.yaml, sha256 {(line.run.config_sha256 or '')[:16]}" in shown
    assert "experiment=quick seed=7" in shown
    assert " train, " in shown
    assert f"bundle        {line.bundle.bundle_id}, " in shown


def test_json_has_the_whole_line(line: Line, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "bundles/first", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    expected = pedigree_of(line.bundle, project=line.project, registry=Path("registry"))
    expected = replace(
        expected, bundles=(replace(expected.bundles[0], path=Path("bundles/first")),)
    )
    assert document["pedigree"] == json.loads(json.dumps(asdict(expected), default=str))
    assert document["bundle_id"] == line.bundle.bundle_id


def test_the_graph_leads_from_the_photos_to_the_registry_in_80_columns(
    line: Line, capsys: pytest.CaptureFixture[str]
) -> None:
    write_registry(line.project / "registry", line.bundle.bundle_id)
    for path in ("bundles/first", "runs/first"):
        assert main(["show", path, "--graph"]) == 0
        lines = capsys.readouterr().out.splitlines()
        kinds = [row.lstrip("| +-").partition(" ")[0] for row in lines if row.strip("| ")]
        assert kinds == [
            *("photos", "index", "commit", "settings", "seed", "backbone", "hardware"),
            *("run", "bundle", "test", "champion"),
        ]
        assert all(len(row) <= 80 and row.isascii() and row.isprintable() for row in lines)


def test_a_graph_with_long_and_odd_names_stays_within_its_columns() -> None:
    leaf = Node("x", "\x1b[31m" + "long " * 50)
    rows = lines_of(Node("photos", "a\nb", leads_to=(leaf, replace(leaf, leads_to=(leaf, leaf)))))
    assert all(len(row) <= 80 and row.isprintable() for row in rows)
    assert rows[0] == "photos      a b"
    assert rows[-1].startswith("    +-- x")
    assert rows[-1].endswith("...")


def test_the_drawn_graph_is_whole_whatever_things_are_called(line: Line) -> None:
    named = replace(line.run, run_id='<a> & "b"\x00\x1b')
    svg = line.project / "line.svg"
    write_svg(graph_of(pedigree_of(named, project=line.project)), svg, title="<&>")
    root = ET.fromstring(svg.read_text(encoding="utf-8"))
    said = ["".join(node.itertext()) for node in root.iter("{http://www.w3.org/2000/svg}text")]
    assert any('<a> & "b"' in text for text in said)
    circles = list(root.iter("{http://www.w3.org/2000/svg}circle"))
    assert len(circles) == len(said) == 8  # a run that no bundle was made of
    places = [(circle.get("cx"), circle.get("cy")) for circle in circles]
    assert len(set(places)) == len(places)


def test_show_draws_the_graph_into_a_file(line: Line, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "bundles/first", "--graph", "--to", "out/line.svg"]) == 0
    assert "drawn: out/line.svg" in capsys.readouterr().err
    assert (line.project / "out" / "line.svg").read_text(encoding="utf-8").startswith("<svg")


def test_figures_of_the_line_are_those_of_the_bundle(line: Line) -> None:
    [bundle] = pedigree_of(line.bundle, project=line.project).bundles
    assert [(f.split, f.n, f.top1) for f in bundle.figures] == [("test", FIGURES.n, FIGURES.top1)]
    assert bundle.report is None


def test_documents_of_the_first_days_are_still_shown(
    line: Line, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = replace(
        line.bundle.lineage,
        counts={},
        weights_sha256=None,
        overrides=(),
        trained_utc=None,
        duration_s=None,
    )
    write_bundle(replace(line.bundle, lineage=bare))
    write_run(replace(line.run, config_sha256=None, weights_sha256=None, overrides=()))
    for path in ("bundles/first", "runs/first"):
        for words in ([], ["--graph"], ["--json"], ["--verify"]):
            assert main(["show", path, *words]) == 0
    assert "nobody wrote its sha256 down" in capsys.readouterr().out
