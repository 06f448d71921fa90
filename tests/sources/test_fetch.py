"""Fetching: photos appear whole or not at all, with where they come from beside them."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from archives import DOGS, PHOTO, link, tarred, zipped
from serving import File, Server

import kennel
from kennel.hold import is_locked
from kennel.sources import FetchError
from kennel.sources.catalogue import cache_name, source_of_url
from kennel.sources.download import Patience
from kennel.sources.fetch import Fetched, fetch, read_record

BODY = zipped(DOGS)


class Desk:
    """Where one fetches: `photos` and the cache beside it."""

    def __init__(self, folder: Path) -> None:
        self.to, self.downloads = folder / "photos", folder / "downloads"
        self.said: list[str] = []
        self.unpacked = 0

    def __call__(
        self, url: str, *, sha256: str | None = None, keep: bool = False, to: Path | None = None
    ) -> Fetched:
        return fetch(
            source_of_url(url, sha256=sha256),
            to=to or self.to,
            downloads=self.downloads,
            keep=keep,
            patience=Patience(tries=2, pause=lambda _: None),
            on_photo=self.count,
            say=self.said.append,
        )

    def count(self) -> None:
        self.unpacked += 1

    def kept(self) -> list[str]:
        """What lies in the cache, without the lock, which is empty."""
        return sorted(p.name for p in self.downloads.iterdir() if not p.name.endswith(".lock"))

    def around(self) -> list[str]:
        return sorted(path.name for path in self.to.parent.iterdir())


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def files_in(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_photos_lie_in_a_folder_a_label_with_where_they_come_from(
    server: Server, desk: Desk
) -> None:
    url = server.put("/dogs.zip", File(BODY))
    fetched = desk(f"{url}?key=secret")
    assert files_in(desk.to) == [
        "Beagle/1.jpg",
        "Beagle/2.JPEG",
        "Boxer/1.png",
        "LICENSE.txt",
        "source.json",
    ]
    assert (desk.to / "Beagle" / "1.jpg").read_bytes() == PHOTO + b"1"
    document = json.loads((desk.to / "source.json").read_text(encoding="utf-8"))
    assert document.pop("fetched_utc").startswith("20")
    assert document == {
        "name": "dogs",
        "url": url,
        "homepage": "",
        "licence": "not known",
        "terms": "see where the archive comes from",
        "citation": "",
        "sha256": hashlib.sha256(BODY).hexdigest(),
        "bytes": len(BODY),
        "checked": "nothing",
        "photos": {"Beagle": 2, "Boxer": 1},
        "left_out": {},
        "kennel": kennel.__version__,
    }
    assert fetched.record == read_record(desk.to)
    assert (fetched.there, desk.unpacked) == (False, 3)
    assert desk.around() == ["downloads", "photos"]
    assert any(document["sha256"] in sentence for sentence in desk.said)


def test_the_archive_goes_when_its_photos_lie_unless_it_is_kept(
    server: Server, desk: Desk, tmp_path: Path
) -> None:
    url = server.put("/dogs.zip", File(BODY))
    assert desk(url).archive is None
    assert desk.kept() == []
    kept = desk(url, keep=True, to=tmp_path / "again").archive
    assert kept is not None
    assert kept.read_bytes() == BODY
    server.files.clear()
    desk(url, to=tmp_path / "third")  # without network
    assert files_in(tmp_path / "third") == files_in(desk.to)


def test_the_same_fetch_again_finds_it_there(server: Server, desk: Desk) -> None:
    url = server.put("/dogs.zip", File(BODY))
    first = desk(url)
    again = desk(url)
    assert again.there
    assert again.record == first.record
    assert len(server.asked) == 1
    assert desk(url, sha256=hashlib.sha256(BODY).hexdigest().upper()).there


@pytest.mark.parametrize("change", ["photo added", "photo gone"])
def test_photos_that_were_changed_since_are_not_called_there(
    server: Server, desk: Desk, change: str
) -> None:
    url = server.put("/dogs.zip", File(BODY))
    desk(url)
    photo = desk.to / "Beagle" / "1.jpg"
    photo.rename(photo.with_name("1.txt" if change == "photo gone" else "9.jpg"))
    if change == "photo added":
        photo.write_bytes(PHOTO)
    with pytest.raises(FetchError, match=r"had 3 photos when .* has [24] now"):
        desk(url)


def test_a_folder_with_something_else_is_refused_before_anything_is_asked(
    server: Server, desk: Desk
) -> None:
    url = server.put("/dogs.zip", File(BODY))
    desk.to.mkdir()
    (desk.to / "mine.txt").write_text("keep")
    with pytest.raises(FetchError, match="holds something already"):
        desk(url)
    assert files_in(desk.to) == ["mine.txt"]
    assert server.asked == []


def test_a_folder_with_another_set_is_refused(server: Server, desk: Desk) -> None:
    desk(server.put("/dogs.zip", File(BODY)))
    with pytest.raises(FetchError, match=r"holds dogs, fetched from .*dogs\.zip"):
        desk(server.put("/cats.zip", File(BODY)))
    with pytest.raises(FetchError, match="holds dogs"):
        desk(server.url("/dogs.zip"), sha256="0" * 64)
    assert len(files_in(desk.to)) == 5


def test_a_file_in_the_way_is_refused(server: Server, desk: Desk) -> None:
    desk.to.write_text("mine")
    with pytest.raises(FetchError, match="is a file"):
        desk(server.put("/dogs.zip", File(BODY)))
    assert desk.to.read_text() == "mine"


def test_an_empty_folder_and_a_link_to_one_are_filled(
    server: Server, desk: Desk, tmp_path: Path
) -> None:
    url = server.put("/dogs.zip", File(BODY))
    desk.to.mkdir()
    desk(url)
    disk = tmp_path / "big-disk"
    disk.mkdir()
    (tmp_path / "link").symlink_to(disk)
    desk(url, to=tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert files_in(disk) == files_in(desk.to)


def test_the_folder_one_is_in_is_refused_with_one_inside_it(
    server: Server, desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    with pytest.raises(FetchError, match="which nothing can replace") as refused:
        desk(server.put("/dogs.zip", File(BODY)), to=Path())
    assert refused.value.fix == "name a folder in it: --to dogs"
    assert server.asked == []


def test_others_may_read_what_is_fetched_as_they_may_what_is_made(
    server: Server, desk: Desk, tmp_path: Path
) -> None:
    desk(server.put("/dogs.zip", File(BODY)))
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "file").touch()
    assert desk.to.stat().st_mode == (tmp_path / "made").stat().st_mode
    modes = {(desk.to / name).stat().st_mode for name in files_in(desk.to)}
    assert modes == {(tmp_path / "made" / "file").stat().st_mode}


@pytest.mark.parametrize(
    ("archive", "said"),
    [
        (zipped({"../out.jpg": PHOTO}), "outside of its folder"),
        (zipped(DOGS | {"dogs/../../out.jpg": PHOTO}), "outside of its folder"),
        (zipped({"a.txt": b""}), "no photos"),
        (zipped(DOGS | {"dogs/beagle/1.jpg": PHOTO}), "one name, on some disks"),
        (tarred(DOGS, "gz")[:-20], "damaged or cut off"),
        (b"no archive", "no archive"),
        (tarred({}, "gz", link("a/1.jpg", "../../out.jpg")), "no photos, but 1 links"),
    ],
    ids=["out", "out later", "no photo", "one name twice", "cut off", "no archive", "a link"],
)
def test_an_archive_that_is_refused_leaves_nothing_beside_its_cache(
    server: Server, desk: Desk, archive: bytes, said: str
) -> None:
    with pytest.raises(FetchError, match=said) as refused:
        desk(server.put("/dogs.zip", File(archive)))
    assert desk.around() == ["downloads"]
    if kept := [name for name in desk.kept() if not name.endswith(".json")]:
        assert str(desk.downloads / kept[0]) in refused.value.message
    assert bool(kept) == (said not in ("damaged or cut off", "no archive"))


def test_a_damaged_archive_is_fetched_again_the_next_time(server: Server, desk: Desk) -> None:
    url = server.put("/dogs.zip", File(BODY[: len(BODY) // 2]))
    with pytest.raises(FetchError, match="damaged"):
        desk(url)
    server.put("/dogs.zip", File(BODY))
    assert not desk(url).there


def test_a_disk_that_refuses_leaves_the_target_as_it_was(server: Server, desk: Desk) -> None:
    url = server.put("/dogs.zip", File(BODY))
    target = desk.to / "there" / "photos"
    desk.to.write_text("a file where a folder must be")
    with pytest.raises(OSError, match="there"):
        desk(url, to=target)
    assert desk.to.read_text() == "a file where a folder must be"


def test_two_fetches_at_once_follow_each_other_and_download_once(
    server: Server, desk: Desk
) -> None:
    second_waits = threading.Event()
    url = server.put("/dogs.zip", File(BODY, hold=second_waits))

    def bring(_: int) -> Fetched:
        def say(sentence: str) -> None:
            if "another fetch of dogs is under way" in sentence:
                second_waits.set()

        return fetch(source_of_url(url), to=desk.to, downloads=desk.downloads, say=say)

    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(bring, range(2)))
    assert sorted(each.there for each in done) == [False, True]
    assert done[0].record == done[1].record
    assert len(server.asked) == 1
    assert second_waits.is_set()
    assert desk.around() == ["downloads", "photos"]


def test_a_fetch_that_waited_for_clean_locks_where_others_look(server: Server, desk: Desk) -> None:
    url = server.put("/dogs.zip", File(BODY))
    source = source_of_url(url)
    lock = desk.downloads / f"{cache_name(source)}.lock"
    desk.downloads.mkdir()
    cleaning = lock.open("w")
    fcntl.flock(cleaning, fcntl.LOCK_EX)
    locked_in_place: list[bool] = []

    def say(sentence: str) -> None:
        if "under way" in sentence:  # kennel clean removes the folder, and then lets go
            shutil.rmtree(desk.downloads)
            cleaning.close()

    def unpacking() -> None:
        locked_in_place.append(lock.exists() and is_locked(lock))

    fetch(source, to=desk.to, downloads=desk.downloads, on_photo=unpacking, say=say)
    assert locked_in_place == [True] * 3


def test_two_fetches_into_one_folder_from_two_caches_leave_one_of_them_whole(
    server: Server, desk: Desk, tmp_path: Path
) -> None:
    both = threading.Barrier(2, timeout=30)
    url = server.put("/dogs.zip", File(BODY))

    def bring(downloads: str) -> str:
        def meet() -> None:
            nonlocal met
            if not met:
                met = True
                both.wait()  # both have begun to unpack

        met = False
        try:
            fetch(source_of_url(url), to=desk.to, downloads=tmp_path / downloads, on_photo=meet)
        except FetchError as error:
            return error.message
        return "done"

    with ThreadPoolExecutor(2) as pool:
        outcomes = sorted(pool.map(bring, ["one", "two"]))
    assert outcomes[1] == "done"
    assert "was filled by somebody else meanwhile" in outcomes[0]
    assert len(files_in(desk.to)) == 5
    assert desk.around() == ["one", "photos", "two"]


def test_what_a_killed_fetch_left_is_swept_and_what_a_living_one_has_is_not(
    server: Server, desk: Desk
) -> None:
    left, living, other = (
        desk.to.parent / f".{name}.part"
        for name in ("photos.aaaaaaaa", "photos.bbbbbbbb", "cats.aaaaaaaa")
    )
    own = desk.to.parent / ".photos.mine.part"  # somebody's, and not named as fetch names
    for folder in (left, living, other, own):
        (folder / "photos").mkdir(parents=True)
    held = os.open(living, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    try:
        desk(server.put("/dogs.zip", File(BODY)))
    finally:
        os.close(held)
    assert desk.around() == [other.name, living.name, own.name, "downloads", "photos"]


def test_a_record_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    assert read_record(tmp_path) is None
    (tmp_path / "source.json").write_text("{")
    assert read_record(tmp_path) is None
    (tmp_path / "source.json").write_text("[1]")
    assert read_record(tmp_path) is None


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://a.com/b/dogs.tar.gz?x=1", "dogs"),
        ("https://a.com/dogs.v2.zip", "dogs.v2"),
        ("https://a.com/my%20dogs.tgz", "my-dogs"),
        ("https://a.com/..%2F..%2Fetc.zip", "etc"),
        ("https://a.com/", "archive"),
        ("https://a.com/.zip", "archive"),
        (f"https://a.com/{'é' * 300}.zip", "é" * 48),
        ("https://[a/b.zip", "archive"),
    ],
)
def test_an_archive_gets_a_name_that_is_a_folder_and_leads_nowhere(url: str, name: str) -> None:
    assert source_of_url(url).name == name
