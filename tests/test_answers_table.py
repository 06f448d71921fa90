"""Tables of answers: what is in them, what a name can do to them, and going on after a kill."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlparse

import pytest

from kennel.answers_table import FORMATS, Begun, Row, growing, part_of
from kennel.errors import KennelError, UsageError

pq = pytest.importorskip("pyarrow.parquet")

BATCH = 4
BEGUN = Begun(bundle="b-1", answers_sha256="0" * 64, kennel="0", top=2, batch=BATCH)
STRANGE = [
    "=cmd|' /C calc'!A0.jpg",
    "+1.jpg",
    "-1.jpg",
    "@x.jpg",
    " =1.jpg",
    "\t=1.jpg",
    "＝1.jpg",
    'a "quoted", one.jpg',
    "two\nlines.jpg",
    "carriage\rreturn.jpg",
    " spaces .jpg ",
    "köter 犬 🐕.jpg",
    os.fsdecode(b"latin-1-\xfc-\xff.jpg"),
    "file:relative.jpg",
    "back\\slash.jpg",
]


def row(path: str, n: int = 0) -> Row:
    """An answer that depends on n, each seventh of them an error."""
    if n % 7 == 3:
        return Row(path, "b-1", error=f'{path} cannot be decoded: =cut off, at "{n}".')
    share = 0.5 + (n % 50) / 101
    among = ("Beagle", "=Boxer") if n % 5 == 0 else None
    return Row(path, "b-1", (("Beagle", share), ("=Boxer", 1 - share)), n % 3 > 0, among)


def rows(names: Sequence[str]) -> list[Row]:
    return [row(name, n) for n, name in enumerate(names)]


def make(
    table: Path, names: Sequence[str], *, begun: Begun = BEGUN, overwrite: bool = False
) -> int:
    """Makes the table, or what is left of it; the number of rows that were kept."""
    left = iter(names)
    with growing(table, begun, left, overwrite=overwrite) as grown:
        kept = grown.rows
        batch: list[Row] = []
        for n, name in enumerate(left, kept):
            batch.append(row(name, n))
            if len(batch) == BATCH:
                grown.add(batch)
                batch = []
        grown.add(batch)
        grown.finish()
    return kept


def content_of_part(table: Path, names: Sequence[str]) -> bytes:
    """The part of all rows, as it lies there before the table is written."""
    with growing(table, BEGUN, iter(())) as grown:
        every = rows(names)
        for at in range(0, len(every), BATCH):
            grown.add(every[at : at + BATCH])
    content = part_of(table).read_bytes()
    part_of(table).unlink()
    return content


def read_back(table: Path) -> list[dict[str, object]]:
    """Rows of a table by an ordinary reader of its format."""
    if table.suffix == ".parquet":
        return pq.read_table(table).to_pylist()
    with table.open(encoding="utf-8", newline="") as file:
        if table.suffix == ".csv":
            return list(csv.DictReader(file))
        return [json.loads(line) for line in file.read().split("\n")[:-1]]


def named(path: str) -> bytes:
    """Bytes of the file's name that a table's path means, below the working directory."""
    if path.startswith("file:"):
        return os.path.relpath(unquote_to_bytes(urlparse(path).path), os.fsencode(Path.cwd()))
    return os.path.normpath(os.fsencode(path))


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_format_says_the_same_of_each_photo(suffix: str, tmp_path: Path) -> None:
    table = tmp_path / f"answers{suffix}"
    names = [f"{n}.jpg" for n in range(23)]
    make(table, names)
    found = read_back(table)
    assert [each["path"] for each in found] == names
    for each, expected in zip(found, rows(names), strict=True):
        if expected.error is not None:
            assert str(each["error"]).endswith(f'at "{names.index(expected.path)}".')
            assert not each.get("label")
            assert each.get("probability") in (None, "")
            continue
        assert not each.get("error")
        assert each["label"] == "Beagle"
        assert float(str(each["probability"])) == float(f"{expected.top[0][1]:.6g}")
        assert str(each["known"]).lower() == str(expected.known).lower()
        assert each["bundle"] == "b-1"
        among = each.get("among")
        assert (json.loads(among) if among and isinstance(among, str) else among or None) == (
            None if expected.among is None else list(expected.among)
        )
        second = (
            (each["label_2"], float(str(each["probability_2"])))
            if suffix == ".csv"
            else tuple(each["top"][1].values())
        )
        assert second == (
            "'=Boxer" if suffix == ".csv" else "=Boxer",
            pytest.approx(expected.top[1][1], rel=1e-5),
        )


@pytest.mark.parametrize("suffix", FORMATS)
def test_any_file_name_comes_back_byte_for_byte(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    table = Path(f"answers{suffix}")
    make(table, STRANGE)
    assert [named(str(each["path"])) for each in read_back(table)] == list(
        map(os.fsencode, STRANGE)
    )


def test_no_cell_of_a_csv_can_be_taken_for_a_formula(tmp_path: Path) -> None:
    table = tmp_path / "answers.csv"
    make(table, STRANGE)
    with table.open(encoding="utf-8", newline="") as file:
        cells = [cell for line in csv.reader(file) for cell in line]
    assert sum("=" in cell for cell in cells) > 5
    assert [cell for cell in cells if cell.strip().startswith(tuple("=+-@＝"))] == []


@pytest.mark.parametrize("suffix", FORMATS)
def test_cut_off_anywhere_it_goes_on_to_the_same_bytes(suffix: str, tmp_path: Path) -> None:
    table = tmp_path / f"answers{suffix}"
    names = [*STRANGE, *(f"{n}.jpg" for n in range(4))]
    whole = content_of_part(table, names)
    make(table, names)
    expected = table.read_bytes()
    kept = set()
    for cut in range(0, len(whole) + 1, 17):
        table.unlink()
        part_of(table).write_bytes(whole[:cut])
        kept.add(make(table, names))
        assert table.read_bytes() == expected, cut
        assert not part_of(table).exists()
    assert kept == {0, 4, 8, 12, 16}


def test_what_comes_after_a_whole_batch_is_answered_anew_in_that_batch(tmp_path: Path) -> None:
    """So that the model sees the same photos together, and gives the same bits."""
    table, names = tmp_path / "answers.csv", [f"{n}.jpg" for n in range(10)]
    lines = content_of_part(table, names).splitlines(keepends=True)
    part_of(table).write_bytes(b"".join(lines[: 1 + 7]))
    assert make(table, names) == 4


def test_zeros_that_a_power_cut_left_are_not_taken_for_answers(tmp_path: Path) -> None:
    table, names = tmp_path / "answers.csv", [f"{n}.jpg" for n in range(10)]
    whole = content_of_part(table, names)
    make(table, names)
    expected = table.read_bytes()
    table.unlink()
    part_of(table).write_bytes(whole[:900] + bytes(400) + whole[1300:])
    make(table, names)
    assert table.read_bytes() == expected


def test_photos_may_be_added_at_the_end_of_the_list(tmp_path: Path) -> None:
    table, names = tmp_path / "answers.csv", [f"{n}.jpg" for n in range(10)]
    part_of(table).write_bytes(content_of_part(table, names[:8]))
    assert make(table, names) == 8
    assert [each["path"] for each in read_back(table)] == names


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (["0.jpg", "other.jpg", "2.jpg", "3.jpg"], "number 2 was '1.jpg', now it is 'other.jpg'"),
        (["0.jpg", "1.jpg", "2.jpg"], "number 4 was '3.jpg', now it is none"),
    ],
)
def test_a_part_of_other_photos_is_refused_and_stays(
    now: list[str], said: str, tmp_path: Path
) -> None:
    table = tmp_path / "answers.csv"
    whole = content_of_part(table, [f"{n}.jpg" for n in range(6)])
    part_of(table).write_bytes(whole)
    with pytest.raises(UsageError, match=said) as refused:
        make(table, now)
    assert f"rm {part_of(table)}" in refused.value.fix
    assert part_of(table).read_bytes() == whole


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"bundle": "b-2"}, "begun with bundle b-1; now it is b-2"),
        ({"answers_sha256": "1" * 64}, "begun with answers sha256 0000"),
        ({"top": 3}, "begun with top 2; now it is 3"),
        ({"kennel": "1"}, "begun with kennel 0; now it is 1"),
        ({"batch": 8}, "begun with batch 4; now it is 8"),
    ],
)
def test_a_part_of_another_bundle_or_setting_is_refused_and_stays(
    other: dict[str, object], said: str, tmp_path: Path
) -> None:
    table, names = tmp_path / "answers.csv", [f"{n}.jpg" for n in range(6)]
    whole = content_of_part(table, names)
    part_of(table).write_bytes(whole)
    with pytest.raises(UsageError, match=said):
        make(table, names, begun=Begun(**{**BEGUN.__dict__, **other}))
    assert part_of(table).read_bytes() == whole


def test_a_file_of_somebody_else_that_is_called_like_the_part_is_left_alone(tmp_path: Path) -> None:
    table = tmp_path / "answers.csv"
    part_of(table).write_text("my own notes")
    with pytest.raises(UsageError, match="kennel predict did not write it"):
        make(table, ["a.jpg"])
    assert part_of(table).read_text() == "my own notes"


def test_a_finished_table_is_written_over_only_when_that_is_said(tmp_path: Path) -> None:
    table = tmp_path / "answers.csv"
    make(table, ["a.jpg"])
    before = table.read_bytes()
    with pytest.raises(UsageError, match="is there already") as refused:
        make(table, ["b.jpg"])
    assert "--overwrite" in refused.value.fix
    assert table.read_bytes() == before
    make(table, ["b.jpg"], overwrite=True)
    assert [each["path"] for each in read_back(table)] == ["b.jpg"]


def test_an_interrupted_overwriting_goes_on_and_the_old_table_stays_until_then(
    tmp_path: Path,
) -> None:
    table, names = tmp_path / "answers.csv", [f"{n}.jpg" for n in range(10)]
    whole = content_of_part(table, names)
    make(table, ["old.jpg"])
    os.utime(table, ns=(0, 0))
    part_of(table).write_bytes(whole[: len(whole) // 2])
    with growing(table, BEGUN, iter(names), overwrite=True) as grown:
        assert grown.kept == 4
        assert [each["path"] for each in read_back(table)] == ["old.jpg"]
    assert make(table, names, overwrite=True) == 4


def test_the_part_of_a_finished_table_is_not_gone_on_with(tmp_path: Path) -> None:
    """A kill between the table's rename and the part's removal leaves both."""
    table, names = tmp_path / "answers.csv", [f"{n}.jpg" for n in range(8)]
    whole = content_of_part(table, names)
    part_of(table).write_bytes(whole)
    os.utime(part_of(table), ns=(1, 1))
    table.write_text("finished")
    assert make(table, names, overwrite=True) == 0


def test_two_processes_do_not_write_one_table(tmp_path: Path) -> None:
    table = tmp_path / "answers.csv"
    busy = pytest.raises(KennelError, match="another process is at work on")
    with growing(table, BEGUN, iter(["a.jpg"])), busy:
        make(table, ["a.jpg"])
    assert not part_of(table).exists(), "nothing was answered: nothing is left"


def test_a_full_disk_is_said_and_what_was_answered_stays(tmp_path: Path) -> None:
    names, table = [f"{n}.jpg" for n in range(40)], tmp_path / "answers.csv"
    make(table, names)
    expected = table.read_bytes()
    table.unlink()
    script = f"""
import resource, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from kennel.errors import KennelError
from test_answers_table import make
resource.setrlimit(resource.RLIMIT_FSIZE, (1500, resource.RLIM_INFINITY))
try:
    make(Path({str(table)!r}), {names!r})
except KennelError as error:
    print(error.message, error.fix)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(f"no room is left for {table}: File too large. ")
    assert (
        f"answers are kept in {part_of(table)}. make room, then type the same again" in done.stdout
    )
    assert not table.exists()
    assert make(table, names) > 0
    assert table.read_bytes() == expected


@pytest.mark.slow
def test_memory_does_not_grow_with_the_table(tmp_path: Path) -> None:
    """Twenty thousand rows more, through the part and into Parquet, cost next to nothing."""
    script = f"""
import resource, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from test_answers_table import BATCH, BEGUN, growing, row
def names(n):
    return (f"photos/{{i:08d}}.jpg" for i in range(n))
def fill(table, n):
    with growing(Path({str(tmp_path)!r}) / table, BEGUN, names(0)) as grown:
        for at in range(0, n, BATCH):
            grown.add([row(f"photos/{{i:08d}}.jpg", i) for i in range(at, at + BATCH)])
        grown.finish()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before = fill("a.parquet", 12_000)
print(fill("b.parquet", 60_000) - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert float(done.stdout) < 12, "MiB"
