"""The model card: the bundle's README.md, written by export and completed by evaluate."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from kennel.bundle import (
    BUNDLE_JSON,
    MODEL_ONNX,
    Bundle,
    FileEntry,
    SplitFigures,
    file_sha256,
    replacing,
    write_bundle,
)
from kennel.evaluate import SplitReport
from kennel.front_matter import front_matter
from kennel.images import describe
from kennel.measured import Evaluation, evaluation_of
from kennel.metrics import Figures
from kennel.splits import SPLITS

CARD = "README.md"
THIN = 50  # training photos of a label, as in docs/decisions/0008
SCARCE = 10  # test photos of a label: nine of ten right is anything from 60 to 98 %
MANY = 1000  # test photos, from which on an interval is about a point to either side
MARKDOWN = re.compile(r"[\\`*_\[\]<>|#&]")


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
    """Writes README.md into the bundle's folder: what bundle.json says, and the report beside it
    where it has one of this bundle on its own photos.
    """
    with replacing(bundle.path / CARD) as file:
        file.write(card_of(bundle))


def card_of(bundle: Bundle) -> str:
    """The card as text."""
    evaluation = evaluation_of(bundle)
    sections = [
        front_matter(bundle, evaluation),
        _title(bundle),
        _figures(bundle, evaluation),
        _uses(bundle),
        _sight(bundle),
        _answers(bundle, evaluation),
        _training(bundle),
        _limits(bundle, evaluation),
        _licences(bundle),
        _usage(bundle),
    ]
    return "\n".join(
        ["\n".join(lines) if not isinstance(lines, str) else lines for lines in sections]
    )


def _title(bundle: Bundle) -> Iterable[str]:
    yield f"# {_text(bundle.bundle_id)}"
    yield ""
    yield (
        f"Tells {len(bundle.labels)} labels apart in photos: "
        f"{', '.join(map(_text, bundle.labels))}."
    )
    yield ""


def _figures(bundle: Bundle, evaluation: Evaluation | None) -> Iterable[str]:
    yield from ("## Figures", "")
    if not bundle.metrics:
        yield from ("Nothing was measured yet: `kennel evaluate` does.", "")
        return
    yield (
        "With 95 % intervals: what the draw of these n photos alone may do. The temperature and "
        "the refusal threshold were fitted on the validation split, and the best epoch was chosen "
        "on it: its figures flatter. Only the test split counts."
    )
    yield from ("", "| split | n | top1 | macro F1 | log loss |", "|---|---|---|---|---|")
    for split, f in bundle.metrics.items():
        yield (
            f"| {split} | {f.n} | {figure(f.top1, f.top1_interval)} | "
            f"{figure(f.macro_f1, f.macro_f1_interval)} | "
            f"{figure(f.log_loss, f.log_loss_interval)} |"
        )
    yield ""
    if "test" not in bundle.metrics:
        yield from ("The test split was not measured: nothing here says what new photos get.", "")
    if evaluation is None:
        return
    picture = evaluation.path.with_name("confusion_test.png")
    if "test" in evaluation.splits and picture.is_file():
        link = picture.relative_to(bundle.path).as_posix()
        yield from (
            f"![Confusion matrix of the test split: rows truth, columns answer]({link})",
            "",
        )
    yield from _labels(evaluation)


def _labels(evaluation: Evaluation) -> Iterable[str]:
    split = next((name for name in ("test", "validation") if name in evaluation.splits), None)
    if split is None or not evaluation.splits[split].per_label:
        return
    yield f"Label by label, on the {split} split:"
    yield from ("", "| label | photos | recall | precision | F1 |", "|---|---|---|---|---|")
    for of in evaluation.splits[split].per_label:
        figures = (
            (of.recall, of.recall_interval),
            (of.precision, of.precision_interval),
            (of.f1, of.f1_interval),
        )
        cells = " | ".join(figure(*each) for each in figures)
        yield f"| {_text(of.label)} | {of.support} | {cells} |"
    yield ""


def _uses(bundle: Bundle) -> Iterable[str]:
    yield from ("## What it is for", "")
    yield (
        "Naming which of its labels a photo shows, where a person can look again. It gives one "
        'label a photo, with a probability, or "not one I know".'
    )
    yield ""
    yield (
        "It is not for photos that show several of its labels or none, for finding where in a "
        "photo something is, for telling individuals apart, or for any decision about people, "
        "health, safety or law. It was measured on photos like those that it was trained on; how "
        "good it is on others, nobody knows until somebody measures it."
    )
    yield ""


def _sight(bundle: Bundle) -> Iterable[str]:
    yield from ("## What it sees", "", describe(bundle.preprocess), "")


def _answers(bundle: Bundle, evaluation: Evaluation | None) -> Iterable[str]:
    calibration, rejection = bundle.calibration, bundle.rejection
    yield from ("## What it says", "")
    yield (
        f"- probabilities: softmax of the logits divided by {calibration.temperature:.3f} (fitted "
        f"on {calibration.n} {calibration.split} photos)"
        if calibration
        else "- probabilities: softmax of the logits, not calibrated"
    )
    for split, f in evaluation.splits.items() if evaluation else ():
        if split == "test" and f.ece is not None:
            said = figure(f.ece, f.ece_interval)
            yield f"- expected calibration error on the test split: {said}, n {f.n}"
    yield (
        f'- "not one I know": {rejection.in_words()}'
        if rejection
        else '- "not one I know": never said'
    )
    if evaluation is not None:
        yield from _refused(evaluation)
    if bundle.conformal:
        yield f"- prediction sets: {bundle.conformal.in_words()}"
    for row in bundle.parity:
        yield (
            f"- {row.format}: largest difference of a probability from the trained network "
            f"{row.max_abs_diff:.1e} (allowed {row.tolerance:.0e}), {row.label_flips} other "
            f"labels, on {row.photos} photo files"
        )
    yield from (f"- {_text(note)}" for note in bundle.notes)
    yield ""


def _refused(evaluation: Evaluation) -> Iterable[str]:
    test = evaluation.splits.get("test")
    if test is not None and test.rejection is not None:
        said = figure(test.rejection.refused, test.rejection.refused_interval)
        yield f"- of the {test.n} test photos, all of known labels, it refuses {said}"
    for group in evaluation.strangers.groups if evaluation.strangers else ():
        if group.rejection is not None:
            told = group.rejection
            auroc = (
                "" if told.auroc is None else f"; AUROC {figure(told.auroc, told.auroc_interval)}"
            )
            said = figure(told.refused, told.refused_interval)
            yield f"- of {group.n} strangers ({_text(group.name)}) it refuses {said}{auroc}"


def _training(bundle: Bundle) -> Iterable[str]:
    lineage, backbone = bundle.lineage, bundle.lineage.backbone
    yield from ("## Where it comes from", "")
    yield (
        f"- run {_text(lineage.run_id)}, commit {lineage.git_commit or 'unknown'}"
        + (" with uncommitted changes" if lineage.dirty else "")
        + (f", which repeats run {_text(lineage.from_run)}" if lineage.from_run else "")
    )
    yield f"- settings: config.yaml with sha256 {lineage.config_sha256}"
    # Paths of the machine that trained it are nobody else's business.
    words = [
        w for w in lineage.overrides if not w.startswith(("data.csv=", "data.photos=", "paths."))
    ]
    if words:
        yield f"- of these the command named: {_text(' '.join(words))}"
    yield f"- photos: dataset {lineage.dataset_id}"
    if lineage.counts:
        counts = {split: sum(of_label.values()) for split, of_label in lineage.counts.items()}
        yield f"- split into {', '.join(f'{n} {split}' for split, n in counts.items())}"
    yield f"- backbone: {_text(backbone.name)}, weights: {_text(backbone.weights)}"
    yield (
        f"- trained with seed {lineage.seed} on "
        f"{_text(lineage.hardware.get('gpu', lineage.hardware.get('cpu', 'unknown')))}"
        + (f" in {lineage.duration_s:.0f} s" if lineage.duration_s is not None else "")
        + (f", {lineage.trained_utc}" if lineage.trained_utc else "")
    )
    yield f"- versions: {', '.join(f'{k} {_text(v)}' for k, v in lineage.versions.items())}"
    yield f"- exported {lineage.created_utc}"
    yield ""


def _limits(bundle: Bundle, evaluation: Evaluation | None) -> Iterable[str]:
    yield from ("## Limits", "")
    yield (
        f"- It knows these {len(bundle.labels)} labels and nothing else. Whatever else it is shown "
        'it calls one of them, or "not one I know"; it does not always notice.'
    )
    source = bundle.lineage.data_source
    yield (
        f"- Its photos are {_text(source)}. "
        if source
        else "- Where its photos come from was not written down. "
    ) + "Other cameras, places and habits of taking photos were not measured."
    trained = bundle.lineage.counts.get("train", {})
    few = {label: n for label, n in trained.items() if n < THIN}
    if few:
        said = ", ".join(f"{_text(label)} ({n})" for label, n in sorted(few.items()))
        yield f"- Under {THIN} training photos: {said}."
    measured = evaluation.splits.get("test") if evaluation else None
    scarce = [of.label for of in measured.per_label if of.support < SCARCE] if measured else []
    if scarce:
        said = ", ".join(map(_text, scarce))
        yield f"- Under {SCARCE} test photos, so that figures of the label say little: {said}."
    n = bundle.metrics["test"].n if "test" in bundle.metrics else 0
    if 0 < n < MANY:
        yield (
            f"- {n} test photos do not carry three digits: a model that differs by less than the "
            "intervals is not shown to be better or worse."
        )
    if bundle.lineage.backbone.weights != "random":
        yield (
            "- Its backbone was trained on other photos before. Where some of the test photos were "
            "among them, the figures flatter, and that cannot be seen from here."
        )
    yield ""


def _licences(bundle: Bundle) -> Iterable[str]:
    backbone, data = bundle.lineage.backbone, bundle.lineage.data_licence
    yield from ("## Licences", "")
    yield f"- licence of the backbone and its weights: {_text(backbone.licence)}, {backbone.source}"
    yield (
        f"- licence of the photos: {_text(data)}"
        if data
        else "- licence of the photos: not written down beside them"
    )
    yield from (
        "- what a licence of photos allows for a model that learned from them, ask its text",
        "",
    )


def _usage(bundle: Bundle) -> Iterable[str]:
    size, name = bundle.preprocess.size, bundle.input.name
    yield from ("## How to use it", "", "```bash")
    yield from ("pip install kennel-ml", "kennel predict . photo.jpg --top 3", "```", "")
    yield (
        f"Without Kennel, any runtime for ONNX will do: give `{MODEL_ONNX}` a batch of photos as "
        f'"What it sees" says, Float32[N, 3, {size}, {size}], as `{name}`. Divide the output '
        f"`{bundle.outputs[0].name}` by the temperature; its softmax is the probability of each "
        f"label, in the order of `labels` in `{BUNDLE_JSON}`, where all other numbers stand too."
    )
    yield ""


def figure(value: float | None, interval: tuple[float, float] | None) -> str:
    if value is None:
        return "-"
    between = f" ({interval[0]:.3f} to {interval[1]:.3f})" if interval else ""
    return f"{value:.3f}{between}"


def _text(said: str) -> str:
    """As plain text of one line, whatever letters it has that mean something to Markdown."""
    return MARKDOWN.sub(r"\\\g<0>", " ".join(said.split()))
