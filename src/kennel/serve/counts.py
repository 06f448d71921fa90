"""What a worker counts, what all of them counted, and what that says of drift."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from kennel.serve import tally as counting
from kennel.serve.exposition import exposition, labelled
from kennel.serve.loaded import Loaded, Seen
from kennel.sketch import Reference, Sketch, scores

PUBLISH_SECONDS = 0.25


class Counts:
    """The tally of one worker, shown to the others some times a second.

    Args:
        slots: memory shared with the other workers, of which this is `worker`.
    """

    def __init__(self, loaded: Loaded, *, slots: counting.Slots, worker: int) -> None:
        self._slots, self._worker = slots, worker
        self._tally = slots.read(worker)  # of the worker whose place this one takes
        self._tally["now"] = {}
        self._since, self._dirty = slots.began, False
        self._loaded, self._sketch = loaded, self._sketch_of(loaded)

    def exchanged(self, loaded: Loaded) -> None:
        """Another bundle answers from now on."""
        if loaded.reference != self._loaded.reference:
            self._since = time.time()
        self._loaded, self._sketch = loaded, self._sketch_of(loaded)

    def request(self, method: str, route: str, status: int) -> None:
        known = method if method in ("GET", "POST", "HEAD", "OPTIONS") else "other"
        counting.count(self._tally["requests"], f"{known} {route} {status}")
        self._changed()

    def reload(self, result: str) -> None:
        counting.count(self._tally["reloads"], result)
        self._changed()

    def stages(self, seconds: Mapping[str, float]) -> None:
        for stage, took in seconds.items():
            counting.observe(self._tally["stages"], stage, took)

    def now(self, **gauges: float) -> None:
        """What this worker holds at the moment."""
        self._tally["now"] = gauges

    def answered(self, label: str | None, size: int) -> None:
        """Counts an answer; `label` is None where it was: not one I know."""
        if label is None:
            self._tally["unknown"] += 1
        else:
            counting.count(self._tally["answers"], label)
        self._tally["photo_bytes"] += size

    def seen(self, seen: Seen, loaded: Loaded) -> None:
        """Adds a photo to the sketch of the bundle that answered it, if that still answers."""
        if seen.figures is not None and loaded is self._loaded and self._sketch is not None:
            self._sketch.add(seen.figures, seen.answer.label)

    def metrics(self, *, queue: int) -> bytes:
        """All of it, as Prometheus reads it.

        Args:
            queue: photos that one worker lets in.
        """
        self.publish()  # else who asks another worker next would see less than was said here
        counted, bundle = self._all(), self._loaded.bundle
        gauges = {
            **counted["now"],
            "queue_limit": float(queue * self._slots.workers),
            "workers": float(self._slots.workers),
            "start_time_seconds": self._slots.began,
        }
        if (sketch := self._merged(counted)) is not None:
            gauges["drift_photos"] = float(sketch.n)
            for figure, score in scores(sketch.reference, sketch).items():
                gauges[labelled("drift_psi", figure=figure)] = score
        told = {"bundle_id": bundle.bundle_id, "run_id": bundle.lineage.run_id}
        return exposition(counted, gauges=gauges, bundle=told)

    def sketch(self) -> dict[str, Any] | None:
        """What `kennel drift` fetches; None where the bundle has no reference."""
        sketch = self._merged(self._all())
        if sketch is None:
            return None
        return {
            "bundle": sketch.reference.bundle,
            "since": datetime.fromtimestamp(self._since, UTC).isoformat(timespec="seconds"),
            "sketch": sketch.to_dict(),
        }

    def publish(self) -> None:
        """Shows the other workers what this one has counted."""
        if self._dirty:
            self._dirty = False
            self._slots.write(self._worker, self._tally)

    def _all(self) -> dict[str, Any]:
        """What all workers have counted; of the others, as they published it last."""
        total = self._tally
        for worker in range(self._slots.workers):
            if worker != self._worker:
                total = counting.added(total, self._slots.read(worker))
        return total

    def _sketch_of(self, loaded: Loaded) -> Sketch | None:
        """What goes on being counted in the tally, of one bundle at a time."""
        reference, sketches = loaded.reference, self._tally["sketches"]
        if reference is None:
            sketches.clear()
            return None
        kept = sketches.get(reference.digest, {"counts": {}, "labels": {}})
        sketch = _sketch(reference, kept)
        sketches.clear()
        sketches[reference.digest] = {"counts": sketch.counts, "labels": sketch.labels}
        return sketch

    def _merged(self, counted: dict[str, Any]) -> Sketch | None:
        """The sketch of all workers that answer with this worker's bundle."""
        reference = self._loaded.reference
        if reference is None:
            return None
        return _sketch(reference, counted["sketches"][reference.digest])

    def _changed(self) -> None:
        if not self._dirty:
            self._dirty = True
            asyncio.get_running_loop().call_later(PUBLISH_SECONDS, self.publish)


def _sketch(reference: Reference, kept: dict[str, Any]) -> Sketch:
    return Sketch(reference, sum(kept["labels"].values()), kept["counts"], kept["labels"])
