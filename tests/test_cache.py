"""The shelf of rows: what it gives back, what it survives, and what it never gives back."""

from __future__ import annotations

import json
import logging
import os
import pickle
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from kennel.cache import (
    ABANDONED_S,
    ABOUT_JSON,
    DamagedRowError,
    Shelf,
    by_file,
    refuse_full_disk,
)
from kennel.errors import KennelError, PhotoError

SHAS = [sha256(bytes([n])).hexdigest() for n in range(6)]
ROWS = [bytes([n]) * (7 * n + 1) for n in range(6)]


def shelf_in(folder: Path, **about: object) -> Shelf:
    return Shelf(folder, "things", {"format": 1, **about})


@pytest.fixture
def filled(tmp_path: Path) -> Shelf:
    shelf = shelf_in(tmp_path)
    shelf.add(SHAS[:4], ROWS[:4])
    shelf.add(SHAS[4:], ROWS[4:])
    return shelf


def left_in(shelf: Shelf) -> list[str]:
    return sorted(path.name for path in shelf.folder.iterdir())


def rows_files(shelf: Shelf) -> list[Path]:
    return sorted(shelf.folder.glob("*.rows"))


# what it gives back


def test_rows_come_back_as_they_were_also_later(filled: Shelf, tmp_path: Path) -> None:
    for shelf in (filled, shelf_in(tmp_path)):
        assert [bytes(shelf.row(sha)) for sha in SHAS] == ROWS
        assert [shelf.length(sha) for sha in SHAS] == [len(row) for row in ROWS]


def test_what_is_missing_is_named_once_and_in_order(filled: Shelf) -> None:
    others = [sha256(bytes([n])).hexdigest() for n in (8, 7)]
    assert filled.missing([others[0], SHAS[0], others[1], others[0]]) == others
    assert SHAS[0] in filled
    assert others[0] not in filled
    with pytest.raises(KeyError):
        filled.row(others[0])


def test_rows_that_another_process_added_are_found(filled: Shelf, tmp_path: Path) -> None:
    other = sha256(b"other").hexdigest()
    assert filled.missing([other]) == [other]
    shelf_in(tmp_path).add([other], [b"row"])
    assert filled.missing([other]) == []
    assert bytes(filled.row(other)) == b"row"


def test_rows_are_mapped_and_cannot_be_written(filled: Shelf) -> None:
    row = filled.row(SHAS[3])
    assert row.readonly
    assert not np.frombuffer(row, np.uint8).flags.writeable


def test_what_rows_depend_on_names_their_folder(tmp_path: Path) -> None:
    one, other = shelf_in(tmp_path, size=1), shelf_in(tmp_path, size=2)
    one.add(SHAS[:1], ROWS[:1])
    assert other.missing(SHAS[:1]) == SHAS[:1]
    assert json.loads((one.folder / ABOUT_JSON).read_text(encoding="utf-8")) == one.about


def test_a_shelf_travels_to_another_process_without_its_rows(filled: Shelf) -> None:
    filled.row(SHAS[0])
    packed = pickle.dumps(filled)
    assert len(packed) < 500
    assert bytes(pickle.loads(packed).row(SHAS[5])) == ROWS[5]


def test_construction_opens_no_file(tmp_path: Path) -> None:
    shelf_in(tmp_path / "none")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("count", [0, 1, 256, 257, 100_000])
def test_portions_hold_everything_once_and_are_few(count: int) -> None:
    missing = [f"{n:x}" for n in range(count)]
    portions = list(by_file(missing))
    assert [sha for portion in portions for sha in portion] == missing
    assert len(portions) <= 64
    assert all(len(portion) >= 256 for portion in portions[:-1])


# what it survives


def test_a_row_that_cannot_be_made_leaves_nothing_of_its_file(filled: Shelf) -> None:
    before = left_in(filled)

    def rows() -> Iterator[bytes]:
        yield b"one"
        raise PhotoError("broken.jpg is cut off.", fix="leave it out")

    others = [sha256(bytes([n])).hexdigest() for n in (8, 9)]
    with pytest.raises(PhotoError, match=r"broken\.jpg"):
        filled.add(others, rows())
    assert left_in(filled) == before
    assert filled.missing([*SHAS, *others]) == others


def test_an_error_of_the_photos_disk_is_not_taken_for_the_caches(filled: Shelf) -> None:
    def rows() -> Iterator[bytes]:
        yield from ()
        raise OSError("the photos' disk is gone")

    with pytest.raises(OSError, match="the photos' disk is gone"):
        filled.add([sha256(b"x").hexdigest()], rows())
    assert filled.missing(SHAS) == []


def script(body: str, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", f"import sys\nfrom kennel.cache import Shelf\n{body}", *words],
        stdout=subprocess.PIPE,
        text=True,
    )


def test_who_is_killed_loses_the_file_he_was_writing_and_no_other(
    filled: Shelf, tmp_path: Path
) -> None:
    writer = script(
        """
def rows():
    yield b"row" * 100000
    print("writing", flush=True)
    sys.stdin.readline()
    while True: pass
Shelf(__import__("pathlib").Path(sys.argv[1]), "things", {"format": 1}).add(sys.argv[2:], rows())
""",
        str(tmp_path),
        *(sha256(bytes([n])).hexdigest() for n in (8, 9)),
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == "writing\n"
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    [part] = filled.folder.glob(".*.part")
    after = shelf_in(tmp_path)
    assert after.missing(SHAS) == []
    after.add([sha256(b"new").hexdigest()], [b"new"])
    assert part.exists()  # somebody might still be writing it
    long_ago = part.stat().st_mtime - ABANDONED_S - 1
    os.utime(part, (long_ago, long_ago))
    after.add([sha256(b"newer").hexdigest()], [b"newer"])
    assert not part.exists()
    assert [bytes(after.row(sha)) for sha in SHAS] == ROWS


def test_a_file_that_cannot_be_opened_now_is_not_taken_for_damaged(filled: Shelf) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            """
import os, resource, sys
from pathlib import Path
from kennel.cache import Shelf
shelf = Shelf(Path(sys.argv[1]), "things", {"format": 1})
next_one = os.dup(0)
os.close(next_one)
# Enough to list the folder or to open a file, not to map one: that takes a second descriptor.
most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (next_one + 1, most))
print(len(shelf.missing(sys.argv[2:])))
resource.setrlimit(resource.RLIMIT_NOFILE, (next_one + 20, most))
print(len(shelf.missing(sys.argv[2:])))
""",
            str(filled.folder.parent),
            *SHAS,
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["6", "0"]
    assert done.stderr.count("is not used: Too many open files") == 2


def test_rows_stay_readable_when_the_cache_is_removed(filled: Shelf) -> None:
    assert filled.missing(SHAS) == []
    shutil.rmtree(filled.folder)
    assert [bytes(filled.row(sha)) for sha in SHAS] == ROWS
    filled.add([sha256(b"new").hexdigest()], [b"new"])
    assert json.loads((filled.folder / ABOUT_JSON).read_text(encoding="utf-8")) == filled.about


@pytest.mark.skipif(os.geteuid() == 0, reason="root may remove everything")
def test_a_damaged_row_in_a_cache_that_cannot_be_written_is_not_given_back(
    filled: Shelf, tmp_path: Path
) -> None:
    path = next(path for path in rows_files(filled) if ROWS[3] in path.read_bytes())
    path.write_bytes(path.read_bytes().replace(ROWS[3], b"?" * len(ROWS[3])))
    filled.folder.chmod(0o500)
    try:
        shelf = shelf_in(tmp_path)
        with pytest.raises(DamagedRowError):
            shelf.row(SHAS[3])
        assert shelf.missing(SHAS) == [SHAS[3]]
        assert bytes(shelf.row(SHAS[2])) == ROWS[2]
    finally:
        filled.folder.chmod(0o700)


def test_two_who_fill_a_shelf_at_once_write_the_same_files(tmp_path: Path) -> None:
    shelves = [shelf_in(tmp_path), shelf_in(tmp_path)]
    portions = [list(by_file(shelf.missing(SHAS))) for shelf in shelves]
    for some in portions[0]:
        for shelf in shelves:
            shelf.add(some, (ROWS[SHAS.index(sha)] for sha in some))
    assert portions[0] == portions[1]
    assert len(rows_files(shelves[0])) == len(portions[0])
    for shelf in (*shelves, shelf_in(tmp_path)):
        assert [bytes(shelf.row(sha)) for sha in SHAS] == ROWS


def test_a_full_disk_is_said_in_words_and_nothing_is_left(tmp_path: Path) -> None:
    # A limit on the size of files stands in for the end of the disk: writing fails half-way.
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            """
import resource, sys
from pathlib import Path
from kennel.cache import Shelf
from kennel.errors import KennelError
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
shelf = Shelf(Path(sys.argv[1]), "things", {"format": 1})
shelf.add(["00" * 32], [b"small"])
try:
    shelf.add(["01" * 32, "02" * 32], [b"row", bytes(200_000)])
except KennelError as error:
    print(error.message, "/", error.fix)
""",
            str(tmp_path),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    shelf = shelf_in(tmp_path)
    assert done.stdout.startswith(f"{shelf.folder} cannot be written: ")
    assert "kennel clean" in done.stdout
    assert left_in(shelf) == [ABOUT_JSON]


def test_too_little_room_is_said_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(KennelError, match=r"needs 1048576\.0 GiB .* are free") as refused:
        refuse_full_disk(tmp_path / "not" / "there", 2**50)
    assert "data.cache=null" in refused.value.fix
    refuse_full_disk(tmp_path / "not" / "there", 1)
    assert list(tmp_path.iterdir()) == []


# what it never gives back


def given(tmp_path: Path) -> dict[str, bytes | None]:
    """What a shelf gives for each row; None where it says that the row is damaged or missing."""
    shelf = shelf_in(tmp_path)
    found: dict[str, bytes | None] = {}
    for sha in SHAS:
        try:
            found[sha] = bytes(shelf.row(sha))
        except (DamagedRowError, KeyError):
            found[sha] = None
    return found


def test_a_flipped_bit_anywhere_is_found_before_use(
    filled: Shelf, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    path = next(path for path in rows_files(filled) if path.stat().st_size > 200)
    whole = path.read_bytes()
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << (position % 8)
        path.write_bytes(damaged)
        found = given(tmp_path)
        assert None in found.values(), position
        assert all(found[sha] in (None, row) for sha, row in zip(SHAS, ROWS, strict=True))
        assert not path.exists()  # the next filling makes its rows again


def test_a_file_that_is_cut_off_anywhere_is_found_before_use(
    filled: Shelf, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = rows_files(filled)[0]
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        found = given(tmp_path)
        assert None in found.values(), length
        assert all(found[sha] in (None, row) for sha, row in zip(SHAS, ROWS, strict=True))
    assert "its rows are made again" in caplog.text


def test_after_damage_the_other_rows_can_still_be_read_and_all_are_made_again(
    filled: Shelf, tmp_path: Path
) -> None:
    path = next(path for path in rows_files(filled) if ROWS[3] in path.read_bytes())
    path.write_bytes(path.read_bytes().replace(ROWS[3], b"?" * len(ROWS[3])))
    shelf = shelf_in(tmp_path)
    with pytest.raises(DamagedRowError, match=path.name):
        shelf.row(SHAS[3])
    assert SHAS[3] not in shelf
    assert bytes(shelf.row(SHAS[2])) == ROWS[2]
    assert shelf_in(tmp_path).missing(SHAS) == SHAS[:4]


def test_a_damaged_file_of_one_row_can_be_made_again_at_once(tmp_path: Path) -> None:
    shelf = shelf_in(tmp_path)
    shelf.add(SHAS[3:4], ROWS[3:4])
    [path] = rows_files(shelf)
    path.write_bytes(path.read_bytes().replace(ROWS[3], b"?" * len(ROWS[3])))
    with pytest.raises(DamagedRowError):
        shelf.row(SHAS[3])
    assert shelf.missing(SHAS[3:4]) == SHAS[3:4]
    shelf.add(SHAS[3:4], ROWS[3:4])  # under the same name
    assert bytes(shelf.row(SHAS[3])) == ROWS[3]
