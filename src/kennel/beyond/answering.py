"""Answers for very many photos by the workers of a cluster, with Ray Data.

What travels through Ray are names of photos, a file's worth at a time, and what became of them:
photos are read where they are answered, a few batches at a time, and answers go from there straight
into their file. So neither the object store nor a worker ever holds more than that, whatever the
number of photos. A worker that is lost takes one unfinished file with it, which another does.
"""

from __future__ import annotations

import logging
import platform
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, cast

import kennel.errors
from kennel.answers_table import Row
from kennel.answers_table.files import Place, Share, Written, write_share
from kennel.beyond.cluster import Cluster
from kennel.bucket import Address, is_address, look_at
from kennel.bundle import BUNDLE_JSON, MODEL_ONNX, Bundle, read_bundle
from kennel.errors import KennelError, PhotoError, RunError

PACKAGES = ("ray", "numpy", "pillow", "onnxruntime", "pyarrow")
CPUS = 1.0  # of an actor
WAIT_S = 600.0  # for room in a full cluster
SOME = 3  # photos that every node must have
# Photos that are read side by side while one batch is answered: from a disk that takes processor
# time, from a bucket mostly waiting.
READERS_NEAR, READERS_FAR = 1, 4


@dataclass(frozen=True)
class Task:
    """What each worker is told. Travels to other machines as it is.

    Attributes:
        files: of the bundle, by name: no machine needs to see its folder.
        place: where answers go. top: labels a row. batch: photos a call of the model.
    """

    files: Mapping[str, bytes]
    place: Place
    top: int
    batch: int


def task_of(bundle: Bundle, *, place: Place, top: int, batch: int) -> Task:
    """The task to answer photos by a bundle."""
    names = [MODEL_ONNX]
    if bundle.rejection is not None and bundle.rejection.bank is not None:
        names.append(bundle.rejection.bank.file)
    files = {name: bundle.read(name) for name in names}
    files[BUNDLE_JSON] = (bundle.path / BUNDLE_JSON).read_bytes()
    return Task(files, place, top, batch)


class Answerer:
    """An actor with a classifier of one thread, which writes the file of each share it is given."""

    def __init__(self, task: Task | list[Any]) -> None:
        """Args: task: or a list of its reference in the cluster."""
        from kennel.infer import OnnxClassifier

        if isinstance(task, list):
            import ray

            task = cast(Task, ray.get(task[0]))
        self._task, self._folder = task, tempfile.TemporaryDirectory(prefix="kennel-bundle-")
        for name, content in task.files.items():
            path = Path(self._folder.name, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        self._classifier = OnnxClassifier(read_bundle(Path(self._folder.name)), threads=1)

    def __call__(self, given: Mapping[str, Any]) -> dict[str, list[Any]]:
        """One share in, its figures out; errors of Kennel's as words, as they do not travel."""
        [number], [packed] = given["number"], given["names"]
        share = Share(int(number), unpacked(packed))
        written, fault = Written(), ("", "", "")
        try:
            written = write_share(self._task.place, share, list(self._rows(share.names)))
        except KennelError as error:
            fault = type(error).__name__, f"{platform.node()}: {error.message}", error.fix
        except OSError as error:
            said = f"{platform.node()}: {share.file} cannot be written: {error.strerror or error}."
            fault = "RunError", said, "see that every node may write there and has room"
        figures = {"rows": written.rows, "failed": written.failed, "unknown": written.unknown}
        return {name: [value] for name, value in figures.items()} | {
            "number": [number],
            "fault": [list(fault)],
        }

    def _rows(self, names: Sequence[str]) -> Iterator[Row]:
        from kennel.evaluate import classify_all
        from kennel.reach import read_named

        classifier, bundle = self._classifier, self._classifier.bundle
        answers = classify_all(
            classifier,
            names,
            lambda name: read_named(name, bundle.preprocess),
            batch_size=self._task.batch,
            threads=READERS_FAR if is_address(names[0]) else READERS_NEAR,
        )
        for name, outputs in answers:
            if isinstance(outputs, PhotoError):
                yield Row(name, bundle.bundle_id, error=outputs.message)
            else:
                said = classifier.answer(outputs, top=self._task.top)
                yield Row(name, bundle.bundle_id, said.top, said.known, said.among)


def answer(
    cluster: Cluster,
    task: Task,
    shares: Sequence[tuple[int, bytes]],
    *,
    workers: int,
    say: Callable[[str], None],
) -> Iterator[Written]:
    """Answers shares of photos, and gives the figures of each file as it is there.

    Args:
        shares: number of the file and `packed` names.
        workers: actors, >= 1; fewer work while the cluster has not room for all.
        say: told where the cluster is full.
    Raises:
        KennelError: what a worker cannot do, in its words; or a worker that died again and again.
    """
    cluster.refuse_without_room(1, cpus=CPUS, gpus=0)
    cluster.wait_for_room(cpus=CPUS, say=say, most_s=WAIT_S)
    ray = cluster.ray
    from ray import data

    _quiet(data)
    several = min(workers, len(shares))
    items = [{"number": number, "names": names} for number, names in shares]
    answered = data.from_items(items, override_num_blocks=len(items)).map_batches(
        Answerer,
        fn_constructor_args=([ray.put(task)],),  # in a list: as it is, Ray warns of restarts
        batch_size=1,
        num_cpus=CPUS,
        compute=data.ActorPoolStrategy(min_size=1, max_size=several, initial_size=several),
    )
    try:
        for row in answered.iter_rows():
            _raise(row["fault"])
            yield Written(int(row["rows"]), int(row["failed"]), int(row["unknown"]))
    except ray.exceptions.RayError as error:
        last = (str(error).strip().splitlines() or [type(error).__name__])[-1]
        raise RunError(
            f"the workers cannot go on: {last.rstrip('.')}.",
            fix="type the same again: it goes on after the files that are there",
        ) from error


def look_before(
    cluster: Cluster, task: Task, *, photos: Sequence[str], folder: Path | None
) -> None:
    """Refuses a cluster that cannot do the task, before any photo is read.

    Args:
        photos: names of some, of which those that are files here must be on every node.
        folder: for answers, where they go onto a disk: all nodes must see it.
    Raises:
        RunError: other packages on a node; or it lacks the photos or the folder; or it cannot
            reach the bucket.
    """
    near = [Path(name).absolute() for name in photos if not is_address(name)]
    cluster.refuse_unlike(
        PACKAGES,
        paths={} if folder is None else {"the folder of answers": folder},
        files=[path for path in near if path.exists()],
    )
    far = {_address(name) for name in photos if is_address(name)}
    for address in sorted(far, key=str):
        for node, trouble in cluster.on_each_node(reaches, address).items():
            if trouble is not None:
                message, fix = trouble
                raise RunError(f"node {node.name}: {message}", fix=fix)


def reaches(address: Address) -> tuple[str, str] | None:
    """What keeps this machine from a bucket, and what to do; None where it can list it."""
    try:
        look_at(address)
    except KennelError as error:
        return error.message, error.fix
    return None


def packed(names: Sequence[str]) -> bytes:
    """Names of photos, small: neighbours have most of their path in common."""
    return zlib.compress(b"\0".join(name.encode(errors="surrogateescape") for name in names), 1)


def unpacked(names: bytes) -> tuple[str, ...]:
    """What was packed."""
    each = zlib.decompress(names).split(b"\0")
    return tuple(name.decode(errors="surrogateescape") for name in each)


def some_of(names: Iterator[str]) -> list[str]:
    """The first few."""
    return list(islice(names, SOME))


def _address(name: str) -> Address:
    bucket, _, key = name.removeprefix("s3://").partition("/")
    return Address(bucket, key.rpartition("/")[0])


def _quiet(data: Any) -> None:
    """Ray Data draws bars and writes of its plans; Kennel counts photos."""
    context = data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    for name in ("ray.data", "ray.data._internal"):
        logging.getLogger(name).setLevel(logging.ERROR)


def _raise(fault: Sequence[str]) -> None:
    kind, message, fix = fault
    if kind:
        known = getattr(kennel.errors, kind, RunError)
        raise (known if issubclass(known, KennelError) else RunError)(message, fix=fix)
