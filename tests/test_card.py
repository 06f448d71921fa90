"""The model card: what a bundle says of itself to a reader."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bundles import CALIBRATION, COLOURS, LABELS, tiny_bundle

from kennel.bundle import MODEL_ONNX, Bundle, read_bundle
from kennel.card import CARD, headline, note_figures, write_card
from kennel.errors import BundleError
from kennel.evaluate import SplitReport
from kennel.images import describe
from kennel.metrics import measure


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
    assert "Only the test split counts" in card_of(bundle)


def test_the_card_names_labels_preprocessing_and_origin(bundle: Bundle) -> None:
    card = card_of(bundle)
    lineage = bundle.lineage
    for said in (
        bundle.bundle_id,
        ", ".join(COLOURS),
        describe(bundle.preprocess),
        f"run {lineage.run_id}, commit {lineage.git_commit}\n",
        f"dataset {lineage.dataset_id}",
        f"licence: {lineage.backbone.licence}",
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
