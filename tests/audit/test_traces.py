"""Metadata that gives away place and person: found in every format, and never by mistake."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest
from awkward import awkward_photos
from PIL import ExifTags, Image, TiffImagePlugin, TiffTags
from scenes import scene

from kennel.audit.traces import read_traces
from kennel.errors import PhotoError
from kennel.images import open_photo

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF")
BERLIN = {1: "N", 2: (52.0, 31.0, 12.0), 3: "E", 4: (13.0, 24.0, 18.0)}


def saved(kind: str, exif: Image.Exif | None = None, *, xmp: bytes | None = None) -> bytes:
    file = io.BytesIO()
    options: dict[str, object] = {}
    if exif is not None and kind == "TIFF":
        tags = TiffImagePlugin.ImageFileDirectory_v2()
        for tag in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
            if inner := dict(exif.get_ifd(tag)):
                tags[tag], tags.tagtype[tag] = inner, TiffTags.LONG
        options["tiffinfo"] = tags
    elif exif is not None:
        exif[ExifTags.Base.Make] = "A maker"  # Pillow writes no EXIF that has nothing but others
        options["exif"] = exif
    if xmp is not None:
        options["xmp"] = xmp
    scene(1, (40, 30)).save(file, kind, **options)
    return file.getvalue()


def with_gps(gps: dict[int, object]) -> Image.Exif:
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.GPSInfo).update(gps)
    return exif


@pytest.mark.parametrize("kind", FORMATS)
def test_a_position_is_found(kind: str) -> None:
    traces = read_traces(saved(kind, with_gps(BERLIN)))
    assert (traces.place, traces.serial, traces.size) == (True, False, (40, 30))


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("tag", [0xA431, 0xA435])
def test_a_serial_number_is_found(kind: str, tag: int) -> None:
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[tag] = "0420731"
    traces = read_traces(saved(kind, exif))
    assert (traces.place, traces.serial) == (False, True)


@pytest.mark.parametrize("kind", [*FORMATS, "GIF", "BMP"])
def test_a_photo_without_metadata_gives_nothing_away(kind: str) -> None:
    traces = read_traces(saved(kind))
    assert (traces.place, traces.serial) == (False, False)


def test_a_gps_directory_without_a_position_is_none() -> None:
    assert not read_traces(saved("JPEG", with_gps({0: b"\2\3\0\0", 29: "2026:11:23"}))).place
    assert not read_traces(saved("JPEG", with_gps({2: (52.0, 31.0, 12.0)}))).place


@pytest.mark.parametrize("blank", ["", "0000000", "   ", "\0\0", "N-0"[1:]])
def test_a_blank_serial_number_is_none(blank: str) -> None:
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[0xA431] = blank
    assert not read_traces(saved("JPEG", exif)).serial


def xmp(inside: str) -> bytes:
    text = (
        '<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        f"<rdf:RDF><rdf:Description {inside}</rdf:RDF></x:xmpmeta>"
    )
    return text.encode()


@pytest.mark.parametrize(
    ("inside", "place", "serial"),
    [
        ('exif:GPSLatitude="52,31.2N" exif:GPSLongitude="13,24.3E"/>', True, False),
        ("><exif:GPSLatitude>52,31.2N</exif:GPSLatitude></rdf:Description>", True, False),
        ('exif:GPSLatitude="" exif:GPSVersionID="2.3.0.0"/>', False, False),
        ('aux:SerialNumber="0420731"/>', False, True),
        ("><exifEX:LensSerialNumber>77</exifEX:LensSerialNumber></rdf:Description>", False, True),
        ('aux:SerialNumber="0"/>', False, False),
        ('aux:Lens="50mm"/>', False, False),
    ],
)
def test_xmp_is_read_too(inside: str, place: bool, serial: bool) -> None:
    for kind in ("JPEG", "WEBP"):
        traces = read_traces(saved(kind, xmp=xmp(inside)))
        assert (traces.place, traces.serial) == (place, serial)


def test_the_size_is_that_of_the_upright_photo() -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    assert read_traces(saved("JPEG", exif)).size == (30, 40)


def test_damaged_metadata_counts_as_none() -> None:
    content = saved("JPEG", with_gps(BERLIN))
    at = content.index(b"Exif\0\0") + 6
    for junk in (b"MM\0*\xff\xff\xff\xff", b"\0" * 8, b"II*\0\x08\0\0\0\xff\xff"):
        broken = content[:at] + junk + content[at + len(junk) :]
        traces = read_traces(broken)
        assert traces.size == (40, 30)


def test_every_awkward_photo_has_the_size_it_opens_with(tmp_path: Path) -> None:
    for name, file in awkward_photos(tmp_path).items():
        content = file.read_bytes()
        try:
            size = open_photo(content).size
        except PhotoError:
            continue
        assert read_traces(content).size == size, name


def test_the_first_photo_of_a_process_is_read_whatever_its_kind(tmp_path: Path) -> None:
    """Where all photos are PNG, no decoder of JPEG has been loaded by then."""
    (tmp_path / "photo.png").write_bytes(saved("PNG"))
    code = (
        "import pathlib, sys; from kennel.audit.traces import read_traces; "
        "print(read_traces(pathlib.Path(sys.argv[1]).read_bytes()).size)"
    )
    words = [sys.executable, "-c", code, str(tmp_path / "photo.png")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("(")
