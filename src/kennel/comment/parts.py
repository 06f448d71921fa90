"""The parts of a comment's text, each a piece of Markdown; "" where there is nothing to say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import islice

from kennel.card import figure
from kennel.comment.changes import NOT_SET
from kennel.comment.markup import code, folded, table, words
from kennel.comment.pairs import Pairs
from kennel.comment.side import Side
from kennel.comment.told import JUDGING, Comment
from kennel.compare.document import FIGURES
from kennel.look import in_words
from kennel.measured import LabelFigures, Measured

MOST_LABELS = 10
MOST_SETTINGS = 40
NOTHING = "–"
Figure = tuple[float | None, tuple[float, float] | None]
ROWS: dict[str, Callable[[Measured], Figure]] = {
    "top1": lambda of: (of.top1, of.top1_interval),
    "macro_f1": lambda of: (of.macro_f1, of.macro_f1_interval),
    "log_loss": lambda of: (of.log_loss, of.log_loss_interval),
    "ece": lambda of: (of.ece, of.ece_interval),
    "refused": lambda of: (
        (of.rejection.refused, of.rejection.refused_interval) if of.rejection else (None, None)
    ),
}
TITLES = {**FIGURES, "ece": "calibration error", "refused": "refused, of known labels"}


def difference(value: float, interval: tuple[float, float]) -> str:
    return _unbroken(f"{value:+.3f} ({interval[0]:+.3f} to {interval[1]:+.3f})")


def figures(comment: Comment, split: str) -> str:
    """A split's figures, side by side."""
    now = comment.second.figures.get(split)
    before = comment.first.figures.get(split) if comment.first is not None else None
    if now is None and before is None:
        return ""
    pairs = comment.pairs.get(split)
    paired = None if isinstance(pairs, str) else pairs
    head = [f"{split} photos", "this"]
    rows = [["n", f"{now.n:,}" if now else NOTHING]]
    if comment.first is not None:
        head += ["the other", "difference"]
        both = f"{paired.comparison.test.n:,} answered by both" if paired else "unpaired"
        rows[0] += [f"{before.n:,}" if before else NOTHING, both]
    for name, read in ROWS.items():
        here, there = (read(of) if of else (None, None) for of in (now, before))
        if here[0] is None and there[0] is None:
            continue
        row = [TITLES[name], figure_of(here)]
        if comment.first is not None:
            row += [figure_of(there), _difference(name, here, there, paired)]
        rows.append(row)
    if paired:
        rows.append(["exact McNemar p of top1", "", "", f"{paired.comparison.test.p:.2g}"])
    said = table(head, rows)
    for each in paired.left_out if paired else ():
        said += f"\n\nDifferences are without {each.n:,} {split} photos: {each.why}."
    return said


def labels(comment: Comment) -> str:
    """Labels whose photos are answered otherwise: those that lost most, then those that won."""
    pairs = comment.pairs.get(JUDGING)
    if comment.first is None:
        return ""
    if pairs is None or isinstance(pairs, str):
        return _labels_unpaired(comment.first, comment.second)
    moved = [each for each in pairs.labels if each.test.only_a or each.test.only_b]
    if not moved:
        return "No label has a photo that only one of both has right."
    shown = moved
    if len(moved) > MOST_LABELS:  # sorted: the worst stand first, the best last
        shown = moved[: MOST_LABELS * 7 // 10] + moved[-(MOST_LABELS * 3 // 10) :]
    rows = [
        [
            words(in_words(each.label)),
            f"{each.test.n:,}",
            f"{each.second:.3f}",
            f"{each.first:.3f}",
            difference(each.test.difference, each.test.difference_interval),
            f"{each.test.only_a:,}, {each.test.only_b:,}",
        ]
        for each in shown
    ]
    head = ["found (recall)", "n", "this", "the other", "difference", "photos lost, won"]
    rest = len(moved) - len(shown)
    said = table(head, rows, right=(1,))
    more = f" {rest} more labels moved less." if rest else ""
    return (
        f"{said}\n\nOf a few photos each, and several labels at once: an interval that leaves out "
        f"0 is a hint here, not a proof.{more}"
    )


def settings(comment: Comment) -> str:
    """What was set otherwise."""
    found = comment.settings
    if found is None:
        return ""
    remark = f"\n\n{found.remark}" if found.remark else ""
    if not found.changed:
        return f"No setting differs, of {found.compared} that were compared.{remark}"
    rows = [
        [code(each.key), _value(each.before), _value(each.now)]
        for each in found.changed[:MOST_SETTINGS]
    ]
    more = len(found.changed) - len(rows)
    rest = f"\n\n{more:,} more settings differ." if more else ""
    return table(["setting", "the other", "this"], rows) + rest + remark


def dataset(comment: Comment) -> str:
    """What changed in the photos."""
    found, first, second = comment.photos, comment.first, comment.second
    if found is None or first is None:
        return ""
    if found.same:
        n = f", {sum(found.now.values()):,} photos" if found.now else ""
        return (
            f"Both are made from the same photos: dataset {code(second.said.dataset_id[:16])}{n}."
        )
    said = [
        f"The photos changed, from dataset {code(first.said.dataset_id[:16])} to "
        f"{code(second.said.dataset_id[:16])}."
    ]
    before, now = found.before, found.now
    if before and now:
        rows = [
            [split, f"{before.get(split, 0):,}", f"{now.get(split, 0):,}"]
            for split in dict.fromkeys([*now, *before])
        ]
        said.append(table(["photos", "the other", "this"], rows, right=(1, 2)))
    else:
        said.append("How many there are of each is not written down.")
    for title, some in (("New labels", found.added), ("Labels no more", found.gone)):
        if some:
            said.append(f"{title}: {_named(some)}.")
    if found.labels and not (found.added or found.gone):
        changed = [
            f"{words(in_words(label))} {was:,} to {there:,}"
            for label, was, there in found.labels[:MOST_LABELS]
        ]
        more = len(found.labels) - len(changed)
        said.append("By label: " + ", ".join(changed) + (f" and {more} more." if more else "."))
    return "\n\n".join(said)


def flattering(comment: Comment) -> str:
    """Splits that the model was made on, folded."""
    said = [figures(comment, split) for split in ("validation", "train")]
    if comment.second.bundle is None:
        said.append(_metrics(comment))
    shown = [each for each in said if each]
    if not shown:
        return ""
    why = (
        "Validation flatters: the best epoch, the temperature and the refusals were chosen on it. "
        "Train flatters more: the model has learned these photos."
    )
    return folded("Validation and train", "\n\n".join([why, *shown]))


def figure_of(of: Figure) -> str:
    return NOTHING if of[0] is None else _unbroken(figure(*of))


def _unbroken(said: str) -> str:
    """A figure whose interval stays on one line."""
    return said.replace(" to ", "\u00a0to\u00a0")


def _difference(name: str, here: Figure, there: Figure, paired: Pairs | None) -> str:
    if paired is not None and name in paired.comparison.figures:
        found = paired.comparison.figures[name]
        return difference(found.difference, found.interval)
    if here[0] is None or there[0] is None:
        return NOTHING
    return f"{here[0] - there[0]:+.3f}, unpaired"


def _labels_unpaired(first: Side, second: Side) -> str:
    def rows_of(side: Side) -> Mapping[str, LabelFigures]:
        measured = side.figures.get(JUDGING)
        return {of.label: of for of in measured.per_label} if measured else {}

    before, now = rows_of(first), rows_of(second)
    moved = [
        (now[label].recall - before[label].recall, label)  # type: ignore[operator]
        for label in now
        if label in before
        and now[label].recall is not None
        and before[label].recall is not None
        and now[label].recall != before[label].recall
    ]
    if not moved:
        return ""
    rows = [
        [
            words(in_words(label)),
            f"{now[label].support:,}, {before[label].support:,}",
            figure_of((now[label].recall, now[label].recall_interval)),
            figure_of((before[label].recall, before[label].recall_interval)),
            f"{by:+.3f}, unpaired",
        ]
        for by, label in sorted(moved)[:MOST_LABELS]
    ]
    return table(["found (recall)", "n", "this", "the other", "difference"], rows)


def _metrics(comment: Comment) -> str:
    """What a run's trainer noted of its best epoch."""
    runs = [side.run for side in (comment.second, comment.first) if side is not None]
    metrics = [run.metrics if run is not None else {} for run in runs]
    names = list(islice(dict.fromkeys(n for each in metrics for n in sorted(each)), MOST_SETTINGS))
    rows = [
        [code(name), *(f"{each[name]:.4g}" if name in each else NOTHING for each in metrics)]
        for name in names
    ]
    head = ["of the best epoch", "this", "the other"][: 1 + len(runs)]
    return table(head, rows, right=(1, 2)) if rows else ""


def _named(some: tuple[str, ...]) -> str:
    shown = [words(in_words(label)) for label in some[:MOST_LABELS]]
    more = len(some) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _value(value: str) -> str:
    return "not there" if value == NOT_SET else code(value)
