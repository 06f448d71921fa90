"""`kennel predict --engine ray`: answers by the workers of a Ray cluster, as a folder of Parquet
files. What a killed run wrote stays; the same command does the rest.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from kennel.errors import Stopped, UsageError, need

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kennel.answers_table.files import Place, Written
    from kennel.beyond.answering import Task
    from kennel.beyond.cluster import Cluster
    from kennel.bundle import Bundle
    from kennel.photo_paths import Photos

NAMES_AT_ONCE = 4096  # of photos, packed together
READERS = 16  # of files that an earlier run wrote


def answer_beyond(args: argparse.Namespace, bundle: Bundle, photos: Photos, *, batch: int) -> int:
    """Answers the photos that `args` and its lists name; the exit code.

    Raises:
        KennelError: the cluster or the place of the answers cannot do it.
    """
    from kennel.answers_table import Begun, files
    from kennel.beyond.answering import look_before, task_of
    from kennel.beyond.cluster import joined

    need("pyarrow.parquet", extra="parquet")
    place = files.place_of(args.to)
    top = min(args.top, len(bundle.labels))
    begun = Begun.by(bundle, top=top, batch=batch)
    rows = files.begun_with(place, begun)
    if rows is not None and args.rows_a_file not in (None, rows):
        raise UsageError(
            f"the answers in {args.to} were begun with {rows} photos a file, now it is "
            f"{args.rows_a_file}.",
            fix=f"--rows-a-file {rows}, or leave it out",
        )
    listed = _Listed(photos)
    if not listed.total:
        raise UsageError(f"{args.files_from} names no photo.", fix="give it a path a line")
    task = task_of(bundle, place=place, top=top, batch=batch)
    with contextlib.redirect_stdout(sys.stderr), joined() as cluster:  # Ray prints what it loses
        folder = place.path if isinstance(place, files.Folder) else None
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        look_before(cluster, task, photos=listed.some, folder=folder)
        workers = args.workers or max(int(sum(node.cpus for node in cluster.nodes())), 1)
        if rows is None:
            rows = args.rows_a_file or files.rows_a_file(listed.total, workers=workers, batch=batch)
            files.begin(place, begun, rows=rows)
        todo, kept = _todo(place, listed, rows)
        written = _written(place, kept)
        written += _answer(
            args, cluster, task, todo, kept=written, total=listed.total, workers=workers
        )
    document = files.complete(place, begun, written, files=len(todo) + len(kept))
    if args.json:
        print(json.dumps({"answers": args.to, **document}, ensure_ascii=False))
    else:
        print(f"answers     {args.to}: {document['files']} Parquet files")
        print(f"photos      {written.rows}")
        print(f"not known   {written.unknown}")
        print(f"no answer   {written.failed}{': see error' if written.failed else ''}")
    return 1 if written.failed == written.rows else 0


class _Listed:
    """Names of photos, gone through once and kept packed: eight bytes each or so, where paths are
    alike.
    """

    def __init__(self, photos: Photos) -> None:
        from kennel.answers_table.files import shares
        from kennel.beyond.answering import SOME, packed

        self.total, self.some, self._packed = 0, [], list[bytes]()
        for share in shares((photo.name for photo in photos), rows=NAMES_AT_ONCE):
            if not self.total:
                self.some = list(share.names[:SOME])
            self.total += len(share.names)
            self._packed.append(packed(share.names))

    def __iter__(self) -> Iterator[str]:
        from kennel.beyond.answering import unpacked

        for some in self._packed:
            yield from unpacked(some)


def _todo(
    place: Place, listed: _Listed, rows: int
) -> tuple[list[tuple[int, bytes]], Sequence[str]]:
    """Shares whose files are not there yet, packed, and the names of the files that are."""
    from kennel.answers_table import files
    from kennel.beyond.answering import packed

    there, todo, kept = files.finished(place), [], []
    for share in files.shares(iter(listed), rows=rows):
        if files.is_finished(share, there, place):
            kept.append(share.file)
        else:
            todo.append((share.number, packed(share.names)))
    if beyond := sorted(set(there) - set(range(len(todo) + len(kept)))):
        raise UsageError(
            f"the answers in {place.address} were begun with more photos: {there[beyond[0]]} is "
            "of none that is named now.",
            fix="go on with the same photos, or name another folder",
        )
    return todo, kept


def _written(place: Place, kept: Sequence[str]) -> Written:
    """The figures of files that an earlier run wrote."""
    from kennel.answers_table.files import Written, figures_of

    with ThreadPoolExecutor(READERS) as pool:
        figures = list(pool.map(lambda name: figures_of(place, name), kept))
    return sum(figures, Written())


def _answer(
    args: argparse.Namespace,
    cluster: Cluster,
    task: Task,
    todo: Sequence[tuple[int, bytes]],
    *,
    kept: Written,
    total: int,
    workers: int,
) -> Written:
    """Answers what is left to do; the figures of that."""
    from kennel.answers_table.files import Written
    from kennel.beyond.answering import answer
    from kennel.cli.progress import Counter

    new = Written()
    if not todo:
        return new
    counter = Counter(total, "photos answered", kept=kept.rows)
    try:
        for written in answer(cluster, task, todo, workers=workers, say=_say):
            new += written
            counter.reach(kept.rows + new.rows)
    except KeyboardInterrupt:
        stop = Stopped("Ctrl-C", signal.SIGINT)
        done = kept.rows + new.rows
        stop.message = f"{done} of {total} answers are in whole files in {args.to}."
        stop.fix = "type the same again: it goes on after them"
        raise stop from None
    counter.close()
    return new


def _say(words: str) -> None:
    sys.stderr.write(f"{words}\n")
