"""Whether a candidate may be champion: shown not to be worse than who is, or, where nobody is, to
be better than an answer that needs no model.

The margin is how much of top1 may be lost unseen. "No difference was found" would let any loss pass
that the photos are too few to show; docs/decisions/0015 has the figures.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from kennel.bundle import Bundle
from kennel.compare.duel import Duel, Reply, ask, heard, readable
from kennel.compare.subject import Subject
from kennel.paired import Comparison, Said, compare_answers, photos_needed
from kennel.registry.entry import Figure, Gate

# Share of photos more than the champion's that the candidate must not be shown to refuse. Wide, as
# two thresholds set for one rate on some hundred validation photos differ by some points anyway.
REFUSED_MORE = 0.05


def gate_against(fought: Duel, margin: float) -> Gate:
    """What a comparison with the champion, the first of the two, says.

    Args:
        margin: of top1, 0 <= margin < 1.
    """
    passed, why = _judged(fought, margin)
    gate = _gate(fought.comparison, fought.subject, len(fought.skipped))
    return replace(
        gate,
        champion=fought.first.bundle_id,
        passed=passed,
        why=why,
        margin=margin,
        same_model=fought.same,
    )


def gate_alone(
    bundle: Bundle,
    subject: Subject,
    *,
    threads: int,
    on_photo: Callable[[Path], None] | None = None,
) -> Gate:
    """What the candidate says of photos beside the most frequent of their labels, said each time.

    Args:
        threads: that read photos, >= 1.
    Raises:
        BundleError: it is not what was exported.
        DatasetError: none of the photos can be read.
    """
    replies = ask(bundle, subject, threads=threads, on_photo=on_photo)
    places, skipped = readable(subject, replies)
    said = [each for at in places if isinstance(each := replies[at], Reply)]
    number = {label: at for at, label in enumerate(subject.labels)}
    truth = np.array([number[subject.photos[at].label] for at in places], dtype=np.int64)
    label, count = Counter(truth.tolist()).most_common(1)[0]
    n = truth.size
    # Its probabilities are the labels' shares among these photos: the best that needs no photo.
    share = np.bincount(truth, minlength=len(number))[truth] / n
    constant = Said(np.full(n, label), -np.log(share), np.zeros(n, dtype=np.bool_))
    comparison = compare_answers(
        truth, constant, heard(said, subject.labels), labels=len(subject.labels)
    )
    top1 = comparison.figures["top1"]
    passed = comparison.verdict == "better"
    beside = (
        f"always answering {subject.labels[label]}, which is right on {count} of {n} photos: top1 "
        f"{top1.second:.3f} against {top1.first:.3f}, p {comparison.test.p:.2g}"
    )
    return replace(
        _gate(comparison, subject, len(skipped)),
        passed=passed,
        why=f"{'better' if passed else 'not shown to be better'} than {beside}",
    )


def _judged(fought: Duel, margin: float) -> tuple[bool, str]:
    if fought.same:
        return True, "it is the same model as the champion"
    test, figures = fought.comparison.test, fought.comparison.figures
    low, high = test.difference_interval
    interval = f"[{low:+.3f}, {high:+.3f}]"
    more = figures["refused"]
    if more.interval[0] > REFUSED_MORE:
        return False, (
            f'it says "not one I know" to {more.second:.1%} of these photos and the champion to '
            f"{more.first:.1%}: shown to be over {REFUSED_MORE:.0%} more"
        )
    if fought.not_worse(margin):
        return True, (
            f"not worse: the difference of top1, {test.difference:+.3f} {interval}, lies above "
            f"{-margin:+.3f}"
        )
    if fought.comparison.verdict == "worse":
        return False, f"worse: top1 differs by {test.difference:+.3f} {interval}, p {test.p:.2g}"
    both = round(figures["top1"].first * test.n)
    needed = photos_needed(test, both, margin)
    enough = f"; about {needed:,} photos could, if it went on like this" if needed else ""
    return False, (
        f"not shown not to be worse: the difference of top1, {test.difference:+.3f} {interval}, "
        f"may be under {-margin:+.3f}, and {test.n} photos cannot rule that out{enough}"
    )


def _gate(comparison: Comparison, subject: Subject, skipped: int) -> Gate:
    left_out = {each.why: each.n for each in subject.left_out}
    if skipped:
        left_out["cannot be read"] = skipped
    return Gate(
        champion=None,
        passed=False,
        why="",
        margin=None,
        same_model=False,
        dataset_id=subject.dataset.dataset_id,
        split=subject.split,
        n=comparison.test.n,
        left_out=left_out,
        remarks=subject.remarks,
        only_champion=comparison.test.only_a,
        only_candidate=comparison.test.only_b,
        p=comparison.test.p,
        figures={
            name: Figure(each.first, each.second, each.difference, each.interval)
            for name, each in comparison.figures.items()
        },
        seed=comparison.seed,
        resamples=comparison.resamples,
    )
