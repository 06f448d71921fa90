"""What is counted over several processes."""

from __future__ import annotations

import os

from kennel.serve import tally
from kennel.serve.exposition import exposition


def counted(label: str, seconds: float) -> dict[str, object]:
    found = tally.empty()
    tally.count(found["requests"], "POST /predict 200")
    tally.count(found["answers"], label)
    tally.observe(found["stages"], "decode", seconds)
    return found


def test_tallies_add_up_by_name() -> None:
    total = tally.added(counted("Beagle", 0.003), counted("Pug", 0.3))
    total = tally.added(total, counted("Pug", 60.0))
    assert total["requests"] == {"POST /predict 200": 3}
    assert total["answers"] == {"Beagle": 1, "Pug": 2}
    histogram = total["stages"]["decode"]
    assert sum(histogram[:-1]) == 3
    assert histogram[len(tally.BOUNDS)] == 1  # beyond the last bound
    assert abs(histogram[-1] - 60.303) < 1e-9


def test_a_slot_is_read_by_another_process() -> None:
    slots = tally.Slots(2)
    pid = os.fork()
    if pid == 0:
        slots.write(1, counted("Pug", 0.1))  # type: ignore[arg-type]
        os._exit(0)
    os.waitpid(pid, 0)
    assert slots.read(0) == tally.empty()
    assert slots.read(1)["answers"] == {"Pug": 1}


def test_who_is_killed_while_he_writes_leaves_the_last_tally() -> None:
    slots = tally.Slots(1)
    for n in range(3):
        written = counted(f"label {n}", 0.1)
        assert slots.write(0, written)  # type: ignore[arg-type]
        turn = slots._memory[0]
        half = (tally.SLOT - 16) // 2
        other = 16 + (1 - turn) * half
        slots._memory[other : other + 20] = b"\xff" * 20  # the half that was being written
        assert slots.read(0) == written


def test_a_tally_too_large_for_its_slot_is_not_half_written() -> None:
    slots = tally.Slots(1)
    small = counted("Pug", 0.1)
    slots.write(0, small)  # type: ignore[arg-type]
    large = {**tally.empty(), "answers": {"x" * tally.SLOT: 1}}
    assert not slots.write(0, large)
    assert slots.read(0) == small


def test_metrics_escape_what_labels_hold() -> None:
    found = tally.added(tally.empty(), counted('a "b"\n\\c', 0.1))
    text = exposition(found, gauges={"workers": 2.0}, bundle={"bundle_id": "x"}).decode()
    assert r'kennel_answers_total{label="a \"b\"\n\\c"} 1' in text.splitlines()
    buckets = [line for line in text.splitlines() if line.startswith("kennel_stage_seconds_bucket")]
    counts = [float(line.rpartition(" ")[2]) for line in buckets]
    assert counts == sorted(counts)
    assert 'le="+Inf"' in buckets[-1]
    assert counts[-1] == 1
