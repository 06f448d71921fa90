"""How many different pictures the files show: equal bytes, and near copies. N photos."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from kennel.audit.measures import Measures
from kennel.copies import Copy, clusters, find_copies


@dataclass(frozen=True)
class Pictures:
    """Which photos show one picture.

    Attributes:
        of: N; the first row that shows the same picture, -1 where the photo could not be read.
        contents: how many different files there are among those that could be read.
        near: pairs of rows with different bytes that show one picture, enough to join them.
    """

    of: tuple[int, ...]
    contents: int
    near: tuple[Copy, ...]

    @cached_property
    def rows(self) -> dict[int, list[int]]:
        """Rows of each picture, both in order."""
        rows: dict[int, list[int]] = defaultdict(list)
        for at, picture in enumerate(self.of):
            if picture >= 0:
                rows[picture].append(at)
        return dict(rows)

    @cached_property
    def closest(self) -> dict[int, Copy]:
        """The most similar pair of each picture that has one."""
        best: dict[int, Copy] = {}
        for pair in self.near:
            picture = self.of[pair.first]
            if picture not in best or pair.similarity > best[picture].similarity:
                best[picture] = pair
        return best

    def leaking_share(self, train: float) -> float:
        """Share of files that a random split of the files puts beside a copy in train, 0..1.

        Of n files of a picture, each other one lies in train with probability `train`.
        """
        files = sum(map(len, self.rows.values()))
        leaking = sum(
            len(rows) * (1 - (1 - train) ** (len(rows) - 1)) for rows in self.rows.values()
        )
        return leaking / files if files else 0.0


def find_pictures(
    measures: Measures, *, on_compared: Callable[[int, int], None] | None = None
) -> Pictures:
    """Joins photos of equal bytes, and those whose sketches show one picture.

    Args:
        on_compared: called with how many of how many different files were compared.
    """

    def share(done: float) -> None:
        if on_compared:
            on_compared(int(done * len(distinct)), len(distinct))

    first: dict[str, int] = {}
    readable = measures.readable
    for at, sha256 in enumerate(measures.sha256):
        if readable[at]:
            first.setdefault(sha256, at)
    distinct = list(first.values())
    found = find_copies(measures.sketches[distinct], on_share=share)
    near = tuple(
        Copy(distinct[copy.first], distinct[copy.second], copy.similarity, copy.mirrored)
        for copy in found
    )
    same = [(first[sha256], at) for at, sha256 in enumerate(measures.sha256) if sha256 in first]
    # A file that could not be read has no bytes in common with one that could.
    joined = clusters(len(measures.sha256), [*same, *((copy.first, copy.second) for copy in near)])
    of = tuple(root if readable[at] else -1 for at, root in enumerate(joined))
    return Pictures(of, len(distinct), near)
