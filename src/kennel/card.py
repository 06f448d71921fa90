"""The model card: the bundle's README.md, written by export and completed by evaluate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from kennel.bundle import Bundle, FileEntry, SplitFigures, file_sha256, replacing, write_bundle
from kennel.evaluate import SplitReport
from kennel.images import describe
from kennel.metrics import Figures
from kennel.splits import SPLITS

CARD = "README.md"


def headline(figures: Figures) -> SplitFigures:
    """What bundle.json keeps of a split's figures."""
    return SplitFigures(
        n=figures.n,
        top1=figures.top1,
        top1_interval=figures.top1_interval,
        macro_f1=figures.macro_f1,
        macro_f1_interval=figures.macro_f1_interval,
        log_loss=figures.log_loss,
        log_loss_interval=figures.log_loss_interval,
    )


def note_figures(bundle: Bundle, reports: Sequence[SplitReport]) -> Bundle:
    """Puts what was measured on the bundle's own photos into its card and its bundle.json.

    Returns:
        the bundle as it is on disk then.
    """
    known = {**bundle.metrics, **{report.split: headline(report.figures) for report in reports}}
    measured = replace(bundle, metrics={split: known[split] for split in SPLITS if split in known})
    write_card(measured)
    card = bundle.path / CARD
    entry = FileEntry(sha256=file_sha256(card), bytes=card.stat().st_size)
    measured = replace(measured, files={**bundle.files, CARD: entry})
    write_bundle(measured)
    return measured


def write_card(bundle: Bundle) -> None:
    """Writes README.md into the bundle's folder."""
    with replacing(bundle.path / CARD) as file:
        file.write(_card(bundle))


def _card(bundle: Bundle) -> str:
    lineage, backbone = bundle.lineage, bundle.lineage.backbone
    rows = [
        f"| {split} | {f.n} | {_figure(f.top1, f.top1_interval)} | "
        f"{_figure(f.macro_f1, f.macro_f1_interval)} "
        f"| {_figure(f.log_loss, f.log_loss_interval)} |"
        for split, f in bundle.metrics.items()
    ]
    parity = [
        f"- {row.format}: largest difference of a probability from the trained network "
        f"{row.max_abs_diff:.1e} "
        f"(allowed {row.tolerance:.0e}), {row.label_flips} other labels, on {row.photos} "
        "photo files"
        for row in bundle.parity
    ]
    calibration, rejection = bundle.calibration, bundle.rejection
    return "\n".join(
        [
            f"# {bundle.bundle_id}",
            "",
            f"Tells {len(bundle.labels)} labels apart: {', '.join(bundle.labels)}.",
            "",
            "## Figures",
            "",
            "With 95 % intervals. The temperature and the refusal threshold were fitted on "
            "the validation split, and the "
            "best epoch was chosen on it: its figures flatter. Only the test split counts.",
            "",
            "| split | n | top1 | macro F1 | log loss |",
            "|---|---|---|---|---|",
            *rows,
            "",
            "## What it sees",
            "",
            f"{describe(bundle.preprocess)}",
            "",
            "## What it says",
            "",
            f"- probabilities: softmax of the logits divided by {calibration.temperature:.3f} "
            f"(fitted on {calibration.n} {calibration.split} photos)"
            if calibration
            else "- probabilities: softmax of the logits, not calibrated",
            f'- "not one I know": {rejection.in_words()}'
            if rejection
            else '- "not one I know": never said',
            *([f"- prediction sets: {bundle.conformal.in_words()}"] if bundle.conformal else []),
            *parity,
            *(f"- {note}" for note in bundle.notes),
            "",
            "## Where it comes from",
            "",
            f"- run {lineage.run_id}, commit {lineage.git_commit or 'unknown'}"
            + (" with uncommitted changes" if lineage.dirty else ""),
            f"- photos: dataset {lineage.dataset_id}",
            f"- backbone: {backbone.name}, weights: {backbone.weights}, licence: "
            f"{backbone.licence}, {backbone.source}",
            f"- trained with seed {lineage.seed} on "
            f"{lineage.hardware.get('gpu', lineage.hardware.get('cpu', 'unknown'))}",
            f"- exported {lineage.created_utc}",
            "",
        ]
    )


def _figure(value: float, interval: tuple[float, float]) -> str:
    return f"{value:.3f} ({interval[0]:.3f} to {interval[1]:.3f})"
