"""Archives that others made: what is read of them, and what refuses them."""

from __future__ import annotations

import bz2
import gzip
import lzma
import random
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from archives import DOGS, PHOTO, Compression, link, tarred, zipped

from kennel.sources import FetchError
from kennel.sources.archive import DamagedError, Limits, read_archive

SMALL = Limits(small_bytes=1 << 20, growth=10, file_bytes=1 << 19, files=50)
BLOCK = 512


def content_of(path: Path, limits: Limits = SMALL) -> dict[str, bytes]:
    """Path -> content of the regular files."""
    return {
        "/".join(entry.parts): b"".join(entry.pieces())
        for entry in read_archive(path, limits)
        if entry.regular
    }


@pytest.fixture
def stored(tmp_path: Path) -> Callable[[bytes], Path]:
    def store(archive: bytes) -> Path:
        (tmp_path / "archive").write_bytes(archive)
        return tmp_path / "archive"

    return store


Stored = Callable[[bytes], Path]


# what is read


@pytest.mark.parametrize("compression", ["", "gz", "bz2", "xz"])
def test_every_kind_of_tar_is_known_by_its_bytes(stored: Stored, compression: Compression) -> None:
    assert content_of(stored(tarred(DOGS, compression))) == DOGS


def test_a_zip_is_known_by_its_bytes(stored: Stored) -> None:
    assert content_of(stored(zipped(DOGS))) == DOGS


def test_a_tar_from_before_there_was_a_magic_is_known_by_its_checksum(stored: Stored) -> None:
    made = bytearray(tarred({"Beagle/1.jpg": PHOTO}, ""))
    made[257:265] = bytes(8)
    total = sum(made[:148]) + 8 * ord(" ") + sum(made[156:BLOCK])
    made[148:156] = b"%06o\0 " % total
    assert content_of(stored(bytes(made))) == {"Beagle/1.jpg": PHOTO}


def test_folders_and_dots_are_left_out_of_paths(stored: Stored) -> None:
    assert content_of(stored(zipped({"./a/": b"", "./a//b/./1.jpg": PHOTO}))) == {
        "a/b/1.jpg": PHOTO
    }


def test_backslashes_are_read_as_windows_means_them(stored: Stored) -> None:
    assert content_of(stored(tarred({"Beagle\\1.jpg": PHOTO}))) == {"Beagle/1.jpg": PHOTO}


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE]
)
def test_links_and_devices_are_named_and_are_no_files(stored: Stored, kind: bytes) -> None:
    archive = stored(tarred({}, "gz", link("a/1.jpg", "/etc/passwd", kind)))
    entries = list(read_archive(archive, SMALL))
    assert [(entry.parts, entry.regular) for entry in entries] == [(("a", "1.jpg"), False)]


def test_a_link_in_a_zip_is_no_file(stored: Stored) -> None:
    info = zipfile.ZipInfo("a/1.jpg")
    info.create_system, info.external_attr = 3, 0o120777 << 16
    path = stored(b"")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(info, "/etc/passwd")
    (entry,) = read_archive(path, SMALL)
    assert not entry.regular


# what leads out


@pytest.mark.parametrize(
    "name",
    [
        "../1.jpg",
        "a/../../1.jpg",
        "a/..",
        "/etc/1.jpg",
        "//host/1.jpg",
        "..\\1.jpg",
        "\\1.jpg",
        "C:\\1.jpg",
        "c:1.jpg",
    ],
)
@pytest.mark.parametrize("make", [zipped, tarred])
def test_a_path_that_leads_out_refuses_the_archive(
    stored: Stored, make: Callable[[dict[str, bytes]], bytes], name: str
) -> None:
    with pytest.raises(FetchError, match="outside of its folder") as refused:
        content_of(stored(make({name: PHOTO})))
    assert "do not trust it" in refused.value.fix


# what is too much


@pytest.mark.parametrize("opener", [gzip.compress, bz2.compress, lzma.compress])
def test_a_bomb_in_a_file_that_would_be_skipped_is_refused_before_it_is_unpacked(
    stored: Stored, opener: Callable[[bytes], bytes]
) -> None:
    archive = opener(tarred({f"{n}.bin": bytes(400_000) for n in range(10)}, ""))
    with pytest.raises(FetchError, match=r"unpacks to more than 1,048,576"):
        for _ in read_archive(stored(archive), SMALL):
            pass


def test_a_bomb_in_a_zip_is_refused_before_it_is_unpacked(stored: Stored) -> None:
    archive = zipped({f"{n}.jpg": bytes(400_000) for n in range(10)})
    with pytest.raises(FetchError, match=r"unpacks to more than 1,048,576"):
        next(read_archive(stored(archive), SMALL))


def test_a_zip_that_claims_less_than_it_holds_gives_no_more_than_it_claims(
    stored: Stored,
) -> None:
    made = zipped({"a/1.jpg": bytes(400_000)})
    claim = (400_000).to_bytes(4, "little")
    lying = made.replace(claim, (100).to_bytes(4, "little"))
    with pytest.raises(DamagedError):
        content_of(stored(lying))


def test_a_header_of_megabytes_is_not_read_into_memory(stored: Stored) -> None:
    long = tarfile.TarInfo("././@LongLink")
    long.type, long.size = tarfile.GNUTYPE_LONGNAME, 3 << 20
    with pytest.raises(FetchError, match="a name or header of 3,1"):
        content_of(stored(gzip.compress(long.tobuf() + bytes(3 << 20))), Limits())


def test_a_file_that_is_too_large_is_refused(stored: Stored) -> None:
    huge = tarfile.TarInfo("a/1.jpg")
    huge.size = 1 << 40
    for archive in (gzip.compress(huge.tobuf()), zipped({"a/1.jpg": bytes(600_000)})):
        with pytest.raises(FetchError, match=r"'a/1.jpg' in the archive has [\d,]+ bytes; at most"):
            content_of(stored(archive))


@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.LNKTYPE])
def test_an_entry_that_leads_back_in_the_archive_is_refused(stored: Stored, kind: bytes) -> None:
    back = tarfile.TarInfo("a/1.jpg")
    back.type = kind
    header = bytearray(back.tobuf(tarfile.GNU_FORMAT))
    header[124:136] = (256**12 - BLOCK).to_bytes(12, "big")  # -512 bytes, as GNU tar writes it
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    before = tarfile.TarInfo("a/0.jpg").tobuf(tarfile.GNU_FORMAT)
    with pytest.raises(FetchError, match="-512 bytes"):
        content_of(stored(before + bytes(header) + bytes(2 * BLOCK)), Limits(files=1000))


@pytest.mark.parametrize("make", [zipped, tarred])
def test_too_many_files_are_refused(
    stored: Stored, make: Callable[[dict[str, bytes]], bytes]
) -> None:
    with pytest.raises(FetchError, match="more than 50 entries"):
        content_of(stored(make({f"a/{n}.txt": b"" for n in range(51)})))


@pytest.mark.parametrize("name", ["a/" + "x" * 300 + ".jpg", "a/" * 40 + "1.jpg", "é" * 121])
def test_names_that_no_disk_takes_are_refused(stored: Stored, name: str) -> None:
    with pytest.raises(FetchError, match="are unpacked"):
        content_of(stored(tarred({name: PHOTO})))


# what is broken


@pytest.mark.parametrize("archive", [b"", b"dog", b"\x7fELF" + bytes(600), bytes(1024)])
def test_what_is_no_archive_is_said_with_how_it_begins(stored: Stored, archive: bytes) -> None:
    with pytest.raises(DamagedError, match="no archive: it begins with"):
        content_of(stored(archive))


@pytest.mark.parametrize("compression", ["", "gz", "bz2", "xz"])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_a_tar_that_is_cut_off_is_never_taken_for_whole(
    stored: Stored, compression: Compression, share: float
) -> None:
    photos = {f"a/{n}.jpg": bytes([n]) * 700 + PHOTO for n in range(20)}
    archive = tarred(photos, compression)
    content = len(archive) - (10_000 if compression == "" else 0)
    with pytest.raises(DamagedError):
        content_of(stored(archive[: int(content * share)]))


def test_a_tar_that_is_cut_off_between_two_files_is_never_taken_for_whole(stored: Stored) -> None:
    archive = tarred(DOGS, "")
    with pytest.raises(DamagedError, match="its end is missing"):
        content_of(stored(archive[: 4 * BLOCK]))


def test_a_tar_with_a_damaged_header_within_is_never_taken_for_whole(stored: Stored) -> None:
    archive = bytearray(tarred(DOGS, ""))
    archive[2 * BLOCK + 10] ^= 1
    with pytest.raises(DamagedError, match="its end is missing"):
        content_of(stored(bytes(archive)))


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_zip_that_is_cut_off_is_never_taken_for_whole(stored: Stored, share: float) -> None:
    archive = zipped(DOGS)
    with pytest.raises(DamagedError):
        content_of(stored(archive[: int(len(archive) * share)]))


def test_a_flipped_byte_in_what_is_compressed_is_found(stored: Stored) -> None:
    for archive in (tarred(DOGS, "gz"), tarred(DOGS, "bz2"), tarred(DOGS, "xz")):
        flipped = bytearray(archive)
        flipped[len(flipped) // 2] ^= 0xFF
        with pytest.raises(DamagedError):
            content_of(stored(bytes(flipped)))
    flipped = bytearray(zipped({"a/1.jpg": PHOTO}))
    flipped[30 + len("a/1.jpg") + 10] ^= 0xFF  # 30 bytes of header, the name, the content
    with pytest.raises(DamagedError):
        content_of(stored(bytes(flipped)))


def test_a_wrong_checksum_at_the_end_of_a_gzip_is_found(stored: Stored) -> None:
    archive = bytearray(tarred(DOGS, "gz"))
    archive[-8] ^= 1
    with pytest.raises(DamagedError):
        content_of(stored(bytes(archive)))


def test_an_encrypted_zip_is_refused(stored: Stored) -> None:
    archive = bytearray(zipped({"a/1.jpg": PHOTO}))
    archive[6] |= 1  # of the file's own header
    archive[archive.index(b"PK\x01\x02") + 8] |= 1  # and of the directory's
    with pytest.raises(FetchError, match="is encrypted") as refused:
        content_of(stored(bytes(archive)))
    assert not isinstance(refused.value, DamagedError)  # whose archive is thrown away


def test_a_zip_packed_in_a_way_that_is_not_read_says_so(stored: Stored) -> None:
    archive = bytearray(zipped({"a/1.jpg": PHOTO}))
    archive[8] = archive[archive.index(b"PK\x01\x02") + 10] = 9  # deflate64
    with pytest.raises(FetchError, match="in a way that is not read"):
        content_of(stored(bytes(archive)))


def test_a_sparse_file_is_no_photo(stored: Stored) -> None:
    sparse = tarfile.TarInfo("a/1.jpg")
    sparse.type = tarfile.GNUTYPE_SPARSE
    made = sparse.tobuf(tarfile.GNU_FORMAT) + bytes(2 * BLOCK)
    (entry,) = read_archive(stored(made), SMALL)
    assert not entry.regular


@pytest.mark.parametrize("kind", ["zip", "", "gz", "bz2", "xz"])
def test_flipped_and_missing_bytes_end_in_a_refusal_or_in_what_was_packed(
    stored: Stored, kind: str
) -> None:
    made = zipped(DOGS) if kind == "zip" else tarred(DOGS, kind)  # type: ignore[arg-type]
    chance = random.Random(kind)
    for _ in range(60):
        hurt = bytearray(made)
        hurt[chance.randrange(len(hurt))] = chance.randrange(256)
        if chance.random() < 0.2:
            del hurt[chance.randrange(len(hurt)) :]
        try:
            content = content_of(stored(bytes(hurt)))
        except FetchError:
            continue
        if kind:  # a plain tar has no checksum of what it holds
            assert set(content.values()) <= set(DOGS.values())
