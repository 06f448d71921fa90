"""The model card: what a bundle says of itself to a reader."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from bundles import CALIBRATION, COLOURS, LABELS, tiny_bundle
from huggingface_hub import ModelCard
from hypothesis import given, settings
from hypothesis import strategies as st

from kennel.bundle import MODEL_ONNX, Bundle, SplitFigures, read_bundle
from kennel.card import CARD, headline, note_figures, write_card
from kennel.errors import BundleError
from kennel.evaluate import SplitReport
from kennel.front_matter import SAFETENSORS, yaml_lines
from kennel.images import describe
from kennel.metrics import measure
from kennel.report import Birth, Judged, write_report


def report_of(split: str, *, right: int = 3) -> SplitReport:
    """Four photos, of which `right` are answered right."""
    truth = np.array([0, 1, 2, 0])
    answers = [*truth[:right], *((truth[right:] + 1) % 3)]
    logits = 4 * np.eye(3, dtype=np.float32)[answers]
    return SplitReport(
        split=split,
        labels=LABELS,
        figures=measure(logits, truth, resamples=20),
        paths=("a.png", "b.png", "c.png", "d.png"),
        truth=truth,
        logits=logits,
        skipped=(),
        images_per_s=10.0,
    )


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return tiny_bundle(tmp_path / "tiny")


def card_of(bundle: Bundle) -> str:
    write_card(bundle)
    return (bundle.path / CARD).read_text(encoding="utf-8")


def test_every_figure_of_the_card_has_its_n_and_its_interval(bundle: Bundle) -> None:
    figures = report_of("test").figures
    card = card_of(note_figures(bundle, [report_of("test")]))
    low, high = figures.top1_interval
    assert f"| test | 4 | 0.750 ({low:.3f} to {high:.3f}) |" in card
    for name in ("macro_f1", "log_loss"):
        low, high = getattr(figures, f"{name}_interval")
        assert f"| {getattr(figures, name):.3f} ({low:.3f} to {high:.3f}) |" in card


def test_the_card_says_that_validation_figures_flatter(bundle: Bundle) -> None:
    assert "Only the test split counts" in card_of(note_figures(bundle, [report_of("validation")]))


def test_the_card_names_labels_preprocessing_and_origin(bundle: Bundle) -> None:
    card = card_of(bundle)
    lineage = bundle.lineage
    for said in (
        bundle.bundle_id,
        ", ".join(COLOURS),
        describe(bundle.preprocess),
        f"run {lineage.run_id}, commit {lineage.git_commit}\n",
        f"dataset {lineage.dataset_id}",
        f"licence of the backbone and its weights: {lineage.backbone.licence}",
        f"config.yaml with sha256 {lineage.config_sha256}",
        f"seed {lineage.seed}",
        "1.0e-07",
        "on 30 photo files",
    ):
        assert said in card


def test_the_card_says_how_probabilities_came_about_and_what_is_refused(bundle: Bundle) -> None:
    card = card_of(bundle)
    assert "divided by 2.000 (fitted on 30 validation photos)" in card
    assert "energy under 5.000, set to refuse 5% of 30 validation photos" in card
    bare = card_of(replace(bundle, calibration=None, rejection=None))
    assert "not calibrated" in bare
    assert "never said" in bare


def test_uncommitted_changes_and_an_unknown_commit_are_admitted(bundle: Bundle) -> None:
    dirty = replace(bundle, lineage=replace(bundle.lineage, dirty=True))
    assert "with uncommitted changes" in card_of(dirty)
    unknown = replace(bundle, lineage=replace(bundle.lineage, git_commit=None, dirty=None))
    assert "commit unknown\n" in card_of(unknown)


def test_a_graphics_processor_is_named_before_the_processor(bundle: Bundle) -> None:
    hardware = {"cpu": "a processor", "gpu": "a graphics processor"}
    card = card_of(replace(bundle, lineage=replace(bundle.lineage, hardware=hardware)))
    assert "on a graphics processor\n" in card


def test_noted_figures_stand_in_a_bundle_that_is_still_whole(bundle: Bundle) -> None:
    noted = note_figures(bundle, [report_of("test"), report_of("train", right=4)])
    found = read_bundle(bundle.path)
    assert found == noted
    assert found.metrics == {
        "train": headline(report_of("train", right=4).figures),
        "test": headline(report_of("test").figures),
    }
    assert found.file(CARD).is_file()
    assert found.file(MODEL_ONNX).is_file()
    assert list(found.metrics) == ["train", "test"]  # in the order of the splits


def test_measuring_again_replaces_figures_of_that_split_alone(bundle: Bundle) -> None:
    first = note_figures(bundle, [report_of("validation", right=4), report_of("test", right=2)])
    again = note_figures(read_bundle(first.path), [report_of("test", right=4)])
    assert again.metrics["validation"] == first.metrics["validation"]
    assert (first.metrics["test"].top1, again.metrics["test"].top1) == (0.5, 1.0)
    assert (bundle.path / CARD).read_text(encoding="utf-8").count("| test |") == 1


def test_noting_figures_changes_nothing_else_of_the_bundle(bundle: Bundle) -> None:
    noted = note_figures(bundle, [report_of("test")])
    assert replace(noted, metrics={}, files=bundle.files) == bundle
    assert noted.calibration == CALIBRATION
    assert noted.files[MODEL_ONNX] == bundle.files[MODEL_ONNX]


def test_a_card_that_was_edited_is_refused(bundle: Bundle) -> None:
    noted = note_figures(bundle, [report_of("test")])
    card = noted.path / CARD
    card.write_text(card.read_text(encoding="utf-8").replace("0.750", "0.999"), encoding="utf-8")
    with pytest.raises(BundleError, match=r"README\.md is not the file that was exported"):
        read_bundle(noted.path).file(CARD)


def test_a_card_of_what_was_not_measured_says_so(bundle: Bundle) -> None:
    assert "Nothing was measured yet" in card_of(bundle)
    validated = card_of(note_figures(bundle, [report_of("validation")]))
    assert "The test split was not measured" in validated


# With a report beside it


def reported(bundle: Bundle, *splits: str, **more: Any) -> Bundle:
    """The bundle with figures, and with a report.json that also has `more`."""
    reports = [report_of(split) for split in splits]
    born = "2026-11-23T09:00:00Z"
    path = write_report(
        bundle.path / "report",
        [Judged(report) for report in reports],
        Birth(bundle.bundle_id, bundle.lineage.dataset_id, born, versions={}, hardware={}, seed=0),
        file=Path,
        preprocess=bundle.preprocess,
    )
    document = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**document, **more}), encoding="utf-8")
    return note_figures(bundle, reports)


def test_the_card_shows_the_matrix_and_every_label_of_the_report(bundle: Bundle) -> None:
    card = card_of(reported(bundle, "test"))
    link = "(report/confusion_test.png)"
    assert link in card
    assert (bundle.path / link.strip("()")).is_file()
    figures = report_of("test").figures
    for label, of in zip(LABELS, figures.per_label, strict=True):
        low, high = of.recall_interval
        assert f"| {label} | {of.support} | {of.recall:.3f} ({low:.3f} to {high:.3f}) |" in card
    assert "expected calibration error on the test split: " in card


def test_a_report_of_another_bundle_or_of_other_photos_is_in_no_card(bundle: Bundle) -> None:
    bare = card_of(note_figures(bundle, [report_of("test")]))
    for other in ({"bundle_id": "another"}, {"dataset_id": "e" * 64}, {"splits": [1]}):
        assert card_of(reported(bundle, "test", **other)) == bare


def test_measured_refusals_stand_beside_the_rate_they_were_set_for(bundle: Bundle) -> None:
    told = {"refused": 0.95, "refused_interval": [0.9, 0.98], "auroc": 0.99}
    groups = [{"name": "cats", "n": 120, "rejection": told}, {"name": "x", "n": 3}]
    card = card_of(reported(bundle, "test", strangers={"groups": groups}))
    assert "- of 120 strangers (cats) it refuses 0.950 (0.900 to 0.980); AUROC 0.990" in card
    assert "set to refuse 5% of 30 validation photos" in card


# Limits and licences


def test_labels_on_few_photos_are_named(bundle: Bundle) -> None:
    counts = {"train": {"red": 49, "green": 50, "blue": 3}, "test": {"red": 2}}
    known = replace(bundle, lineage=replace(bundle.lineage, counts=counts))
    card = card_of(reported(known, "test"))
    assert "Under 50 training photos: blue (3), red (49)." in card
    assert (
        "Under 10 test photos, so that figures of the label say little: red, green, blue." in card
    )
    assert "split into 102 train, 2 test" in card
    assert "4 test photos do not carry three digits" in card


def test_the_licence_of_the_photos_is_carried_to_the_card(bundle: Bundle) -> None:
    fetched = {"data_source": "oxford-pets, https://example.org", "data_licence": "CC BY-SA 4.0"}
    card = card_of(replace(bundle, lineage=replace(bundle.lineage, **fetched)))
    assert "licence of the photos: CC BY-SA 4.0" in card
    assert "Its photos are oxford-pets, https://example.org." in card
    assert "not written down beside them" in card_of(bundle)


def test_no_path_of_the_machine_that_trained_it_is_in_the_card(bundle: Bundle) -> None:
    words = ("experiment=quick", "data.csv=/home/me/x.csv", "paths.output_dir=/home/me/runs/a")
    lineage = replace(bundle.lineage, overrides=words, dataset_csv="/home/me/x.csv")
    card = card_of(replace(bundle, lineage=lineage))
    assert "experiment=quick" in card
    assert "/home/me" not in card


# What the Hub reads


def matter_of(bundle: Bundle) -> dict[str, Any]:
    _, matter, _ = card_of(bundle).split("---\n", 2)
    document: dict[str, Any] = yaml.safe_load(matter)
    return document


def test_the_hub_finds_every_figure_in_the_card(bundle: Bundle) -> None:
    noted = reported(bundle, "validation", "test", "train")
    card = ModelCard.load(noted.path / CARD)
    assert card.data.pipeline_tag == "image-classification"
    assert card.data.model_name == bundle.bundle_id
    results = card.data.eval_results
    found = {(r.dataset_split, r.metric_type): r for r in results}
    figures = report_of("test").figures
    assert {split for split, _ in found} == {"test", "validation"}  # train is no result
    top1 = found["test", "accuracy"]
    low, high = figures.top1_interval
    assert top1.metric_value == figures.top1
    assert top1.metric_args == {"n": 4, "level": 0.95, "low": low, "high": high}
    assert top1.metric_name == f"top1, n 4, 95 % interval {low:.3f} to {high:.3f}"
    assert top1.dataset_revision == bundle.lineage.dataset_id
    assert found["test", "f1"].metric_value == figures.macro_f1
    assert found["test", "ece"].metric_value == figures.ece
    assert {r.task_type for r in results} == {"image-classification"}


@pytest.mark.parametrize(
    ("licence", "expected"),
    [
        ("Apache-2.0", {"license": "apache-2.0"}),
        ("CC BY-NC 4.0", {"license": "cc-by-nc-4.0"}),
        ("not stated", {"license": "unknown"}),
        ("research: only!", {"license": "other", "license_name": "research-only"}),
        ("犬", {"license": "other", "license_name": "see-the-text"}),
    ],
)
def test_a_licence_is_named_as_the_hub_names_it(
    bundle: Bundle, licence: str, expected: dict[str, str]
) -> None:
    backbone = replace(bundle.lineage.backbone, licence=licence)
    matter = matter_of(replace(bundle, lineage=replace(bundle.lineage, backbone=backbone)))
    assert {k: v for k, v in matter.items() if k.startswith("license")} == expected


def test_the_library_is_timm_where_timm_can_load_it(bundle: Bundle) -> None:
    assert matter_of(bundle)["library_name"] == "onnx"
    (bundle.path / SAFETENSORS).write_bytes(b"")
    matter = matter_of(bundle)
    assert matter["library_name"] == "timm"
    assert "timm" in matter["tags"]


def test_a_backbone_of_the_hub_is_named_as_the_base(bundle: Bundle) -> None:
    backbone = replace(bundle.lineage.backbone, source="https://huggingface.co/timm/x.in1k")
    matter = matter_of(replace(bundle, lineage=replace(bundle.lineage, backbone=backbone)))
    assert matter["base_model"] == "timm/x.in1k"


NASTY = [
    'a "quoted": name',
    "it's: - # & * ! | > % @ `",
    "---\n...\nnext",
    "line\u2028line\u0085line\r\n\x7f\x9f\ufeff",
    "ü 犬 🐕 \ud83d",
    "",
    "null",
    "1e5",
    "| cell | <b>",
]


@pytest.mark.parametrize("name", NASTY)
def test_front_matter_is_valid_whatever_things_are_called(bundle: Bundle, name: str) -> None:
    lineage = replace(bundle.lineage, data_source=name or None)
    figures = SplitFigures(40, 0.9, (0.8, 1.0), 0.9, (0.8, 1.0), 1e-07, (1e-09, 0.1))
    odd = replace(bundle, bundle_id=name, lineage=lineage, metrics={"test": figures})
    body = card_of(replace(odd, bundle_id="x", lineage=bundle.lineage, labels=("a", "b")))
    matter = yaml.safe_load("\n".join(yaml_lines({"model-index": [{"name": name, "n": [1e-07]}]})))
    assert matter == {"model-index": [{"name": name, "n": [1e-07]}]}
    assert "log_loss" in body
    if "\ud83d" not in name:  # which no file name and no file can have
        [index] = matter_of(odd)["model-index"]
        assert index["name"] == name
        assert index["results"][0]["metrics"][2]["value"] == 1e-07
        assert ModelCard.load(odd.path / CARD).data.eval_results


PLAIN = st.none() | st.booleans() | st.integers() | st.text()
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
NESTED = st.recursive(
    PLAIN | NUMBERS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.from_regex("[a-z][a-z_-]{1,8}", fullmatch=True), inner, max_size=4)
    ),
    max_leaves=12,
)
YAML_WORDS = {"yes", "no", "on", "off", "true", "false", "null"}


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.from_regex("k[a-z_]{1,8}", fullmatch=True), NESTED, min_size=1))
def test_what_is_written_as_yaml_is_read_back(document: dict[str, Any]) -> None:
    def keys(value: Any) -> set[str]:
        if isinstance(value, dict):
            return set(value).union(*map(keys, value.values()))
        return set().union(*map(keys, value)) if isinstance(value, list) else set()

    if not keys(document) & YAML_WORDS:  # keys are ours, and none of these
        assert yaml.safe_load("\n".join(yaml_lines(document))) == document


def test_a_number_that_is_none_is_never_written() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        list(yaml_lines({"x": math.nan}))


def test_a_label_that_looks_like_markdown_stays_a_label(bundle: Bundle) -> None:
    odd = replace(bundle, labels=("a|b", "<i>*c*</i>", "[d](e)\nf"))
    card = card_of(odd)
    assert r"a\|b, \<i\>\*c\*\</i\>, \[d\](e) f." in card
