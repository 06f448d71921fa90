"""Two bundles by the answers that evaluations of both kept: the paired test of `kennel compare`,
without asking a model again.

A photo judges where both met it in the same split under the same label. So where photos were added
between the two, those that were there before still do, and none that either learned from.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kennel.comment.side import Side
from kennel.compare.subject import LeftOut
from kennel.paired import Comparison, PairedTest, Said, compare_answers, paired_test
from kennel.report.answers import Answered

Key = tuple[str, int]  # sha256 of a photo, and its number among photos with the same


@dataclass(frozen=True)
class LabelChange:
    """The photos of one label; `test` is of the first against the second: a is the first."""

    label: str
    test: PairedTest
    first: float
    second: float


@dataclass(frozen=True)
class Pairs:
    """The photos of one split that both answered; the second is the one that is judged."""

    split: str
    comparison: Comparison
    left_out: tuple[LeftOut, ...]
    labels: tuple[LabelChange, ...]


def pairs_of(first: Side, second: Side, split: str) -> Pairs | str:
    """The second beside the first.

    Returns:
        the pairs; or, in words of our own, why there are none.
    """
    for which, side in (("this", second), ("the other", first)):
        if not side.answers:
            return f"{which} has no answers photo by photo: {side.why_no_answers}"
        if split not in side.answers:
            return f"{which} was not measured on {split} photos"
    known = set(first.labels)
    labels = [label for label in second.labels if label in known]
    if len(labels) < 2:
        return f"they have {len(labels)} of their labels in common"
    one, other = (_by_photo(side.answers[split]) for side in (first, second))
    if "" in (key for key, _ in one.keys() | other.keys()):
        return "one of the reports does not say which photos it is of"
    reasons: Counter[str] = Counter()
    keys = []
    for key in sorted(one.keys() | other.keys(), key=lambda key: _order(key, one, other)):
        if key not in one or key not in other:
            reasons[f"only {'the other' if key in one else 'this'} was measured on them"] += 1
        elif (label := _label(first, one[key])) != _label(second, other[key]):
            reasons["they have another label now"] += 1
        elif label not in labels:
            reasons["one of both does not know their label"] += 1
        else:
            keys.append(key)
    if not keys:
        return f"they have no {split} photo in common"
    number = {label: at for at, label in enumerate(labels)}
    truth = np.array([number[_label(first, one[key])] for key in keys], np.int64)
    said = [
        _said([answers[key] for key in keys], side, number)
        for side, answers in ((first, one), (second, other))
    ]
    return Pairs(
        split,
        compare_answers(truth, said[0], said[1], labels=len(labels)),
        tuple(LeftOut(n, why) for why, n in reasons.items()),
        tuple(_by_label(labels, truth, *said)),
    )


def _by_photo(answers: Sequence[Answered]) -> dict[Key, Answered]:
    seen: dict[str, int] = defaultdict(int)
    found = {}
    for each in sorted(answers, key=lambda each: each.path):
        found[each.sha256, seen[each.sha256]] = each
        seen[each.sha256] += 1
    return found


def _order(key: Key, one: dict[Key, Answered], other: dict[Key, Answered]) -> tuple[str, Key]:
    """By path, as `kennel compare` has them: the same photos give the same resamples."""
    return (other.get(key) or one[key]).path, key


def _label(side: Side, answer: Answered) -> str:
    return side.labels[answer.truth]


def _said(answers: Sequence[Answered], side: Side, number: dict[str, int]) -> Said:
    return Said(
        answers=np.array([number.get(side.labels[a.answer], len(number)) for a in answers]),
        loss=np.array([each.loss for each in answers]),
        refused=np.array([each.known is False for each in answers]),
    )


def _by_label(
    labels: Sequence[str], truth: np.ndarray, first: Said, second: Said
) -> list[LabelChange]:
    """Those that lost most first."""
    found = []
    for at, label in enumerate(labels):
        there = truth == at
        if there.any():
            right = [(said.answers == truth)[there] for said in (first, second)]
            test = paired_test(right[0], right[1])
            found.append(LabelChange(label, test, float(right[0].mean()), float(right[1].mean())))
    return sorted(found, key=lambda each: (each.test.difference, each.label))
