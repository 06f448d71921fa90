"""Photos and requests that are made to hurt a server, by name, with what must be answered."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image
from running import JPEG, Reply, Running, form, head, replies

from kennel.awkward import png_chunk, saved

PNG = b"\x89PNG\r\n\x1a\n"
RED = Image.new("RGB", (50, 40), "red")


@dataclass(frozen=True)
class Attack:
    """`run` sends it and returns what was answered; `status` is what must be, the last or only."""

    name: str
    run: Callable[[Running], list[Reply]]
    status: tuple[int, ...]


def png_of(width: int, height: int, *, before: bytes = b"", after: bytes = b"") -> bytes:
    """An all black PNG, its rows compressed one by one: its size in memory is that of a row."""
    squeeze = zlib.compressobj(9)
    row = bytes(1 + (width + 7) // 8)
    rows = b"".join(squeeze.compress(row) for _ in range(height)) + squeeze.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"".join(
        (
            PNG,
            before,
            png_chunk(b"IHDR", header),
            after,
            png_chunk(b"IDAT", rows),
            png_chunk(b"IEND", b""),
        )
    )


def photos() -> dict[str, tuple[bytes, tuple[int, ...]]]:
    """Files, and the statuses of which one must be answered."""
    jpeg, png = saved(RED, "JPEG"), saved(RED, "PNG")
    gif, webp = saved(RED, "GIF"), saved(RED, "WEBP")
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (500, 500, 3), np.uint8))
    progressive = saved(noise, "JPEG", progressive=True)
    scan = progressive[progressive.rindex(b"\xff\xda") : -2]
    at = 13 + (3 << (gif[10] & 7) + 1)  # behind the colours
    text = png_chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(10**6), 9))
    profile = png_chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(10**6), 9))
    small = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 1, 0, 0, 0, 0))
    later = [Image.new("RGB", RED.size, colour) for colour in ("lime", "blue")]
    frames = {"save_all": True, "append_images": later}
    script = b"<script>alert(1)</script><?php system('id'); ?>"
    broken_exif = saved(RED, "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff\0\1")
    huge = saved(Image.new("L", (12_000, 12_000)), "GIF")
    return {
        "empty": (b"", (400,)),
        "text": (b"This is not a photo.\n" * 50, (415,)),
        "html": (b"<!doctype html><title>404</title>", (415,)),
        "svg": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', (415,)),
        "pdf": (b"%PDF-1.7\n", (415,)),
        "zip": (b"PK\3\4" + bytes(100), (415,)),
        "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", (415,)),
        "tiff": (saved(RED, "TIFF"), (415,)),
        "bmp": (saved(RED, "BMP"), (415,)),
        "truncated jpeg": (progressive[: len(progressive) // 2], (422,)),
        "truncated png": (png[: len(png) // 2], (422,)),
        "truncated webp": (webp[: len(webp) // 2], (422,)),
        "truncated gif": (gif[: len(gif) // 2], (422,)),
        "only a beginning": (jpeg[:3], (422,)),
        "polyglot jpeg and page": (jpeg + script, (200,)),
        "polyglot gif and script": (gif[:at] + b"!\xfe\x08alert(1)\0" + gif[at:] + script, (200,)),
        "polyglot jpeg and zip": (jpeg + b"PK\3\4" + bytes(3000) + b"PK\5\6" + bytes(18), (200,)),
        "corrupt exif": (broken_exif, (200,)),
        "cmyk": (saved(RED.convert("CMYK"), "JPEG"), (200,)),
        "1x1": (saved(Image.new("RGB", (1, 1), "red"), "PNG"), (200,)),
        "animated gif": (saved(RED, "GIF", **frames), (200,)),
        "animated webp": (saved(RED, "WEBP", **frames), (200,)),
        "144 megapixels in 17 KB": (png_of(12_000, 12_000), (413,)),
        "60 megapixels in 7 KB": (png_of(8000, 7500), (200, 503)),
        "no pixels": (png_of(0, 0), (422,)),
        "two billion rows": (
            PNG + png_chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 2**31 - 1, 8, 0, 0, 0, 0)),
            (413, 422),
        ),
        "size hidden behind another": (png_of(8000, 7500, before=small), (200, 422, 503)),
        "png of 100,000 chunks": (
            png_of(8, 8, after=png_chunk(b"tEXt", b"a\0b") * 100_000),
            (422,),
        ),
        "png with a bomb of text": (
            png_of(8, 8, after=png_chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(10**8), 9))),
            (200, 422),
        ),
        "png with sixty texts": (png_of(8, 8, after=text * 60), (200, 422, 503)),
        "png with a thousand profiles": (png_of(8, 8, after=profile * 1000), (422,)),
        "jpeg of 3,000 scans": (progressive[:-2] + scan[:40] * 3000 + progressive[-2:], (422,)),
        "jpeg of 90 scans": (progressive[:-2] + scan[:40] * 80 + progressive[-2:], (200, 422, 503)),
        "jpeg of a million segments": (jpeg[:2] + b"\xff\xe5\0\2" * 1_000_000 + jpeg[2:], (422,)),
        "jpeg with megabytes of nothing": (
            jpeg[:2] + b"\xff\0" + bytes(7 * 2**20) + jpeg[2:],
            (200, 415, 422, 503),
        ),
        "gif bomb": (huge, (413,)),
        "gif larger than its screen": (
            huge[:6] + struct.pack("<HH", 1, 1) + huge[10:],
            (413, 422),
        ),
        "gif of comments": (gif[:at] + b"!\xfe\1c\0" * 800_000 + gif[at:], (422,)),
        "gif of one comment": (
            gif[:at] + b"!\xfe" + (b"\xff" + b"c" * 255) * 32_000 + b"\0" + gif[at:],
            (422,),
        ),
    }


def attacks() -> list[Attack]:
    """All of them, in the order of the issue: files, forms, requests, connections."""
    jpeg = saved(RED, "JPEG")
    size = f"content-length: {len(jpeg)}"
    kind = "content-type: image/jpeg"
    close = "connection: close"
    chunked = "transfer-encoding: chunked"
    found = [Attack(name, _upload(data), statuses) for name, (data, statuses) in photos().items()]

    def sent(*fields: tuple[str, bytes], **more: str) -> Callable[[Running], list[Reply]]:
        body, headers = form(*fields, **more)
        return lambda server: [server.ask("POST", "/predict", body, headers)]

    def said(*pieces: bytes, pause_s: float = 0.0) -> Callable[[Running], list[Reply]]:
        return lambda server: replies(server.raw(*pieces, pause_s=pause_s))

    def typed(content_type: str, body: bytes = jpeg) -> Callable[[Running], list[Reply]]:
        headers = {"content-type": content_type} if content_type else {}
        return lambda server: [server.ask("POST", "/predict", body, headers)]

    whole, headers = form(("image", jpeg))
    multipart = headers["content-type"]
    megabyte = bytes(10**6)
    post = head("POST", "/predict", kind, chunked)
    found += [
        Attack("10,000 parts", sent(*[(f"a{i}", b"v") for i in range(10_000)]), (400,)),
        Attack("two images", sent(("image", jpeg), ("image", jpeg)), (400,)),
        Attack("missing field", sent(("photo", jpeg)), (400,)),
        Attack("empty field", sent(("image", b"")), (400,)),
        Attack("no field", sent(), (400,)),
        Attack("zero-length name", sent(("", jpeg)), (400,)),
        Attack("form cut off", typed(multipart, whole[:-9]), (400,)),
        Attack("form of another boundary", typed("multipart/form-data; boundary=b", whole), (400,)),
        Attack("form without boundary", typed("multipart/form-data", whole), (400,)),
        Attack("form of boundaries", typed(multipart, b"\r\n--a-boundar" * 700_000), (400,)),
        Attack(
            "part with an endless header",
            typed(multipart, b"--a-boundary\r\nx: " + b"y" * 10**6),
            (400,),
        ),
        Attack("type with no end", typed(f"multipart/form-data{';' * 60_000}", whole), (415,)),
        Attack("wrong content type", typed("text/plain"), (415,)),
        Attack("json", typed("application/json", b"{}"), (415,)),
        Attack("no content type", typed(""), (415,)),
        Attack("type of another image", typed("image/png"), (200,)),
        Attack(
            "100 MB with a length",
            said(head("POST", "/predict", kind, "content-length: 100000000"), *[megabyte] * 100),
            (413,),
        ),
        Attack("100 MB in chunks", said(post, *[b"f4240\r\n" + megabyte + b"\r\n"] * 100), (413,)),
        Attack("100 MB, asked before", said(_expecting(kind, "content-length: 100000000")), (413,)),
        Attack("a photo, asked before", said(_expecting(kind, size, close), jpeg), (200,)),
        Attack("head byte by byte", said(*_bytes(head("GET", "/live")), pause_s=0.15), (408,)),
        Attack(
            "body byte by byte",
            said(head("POST", "/predict", kind, size), *_bytes(jpeg), pause_s=0.15),
            (408,),
        ),
        Attack("HTTP/1.0", said(_old(jpeg, kind, size)), (200,)),
        Attack("HEAD", said(head("HEAD", "/predict", close)), (405,)),
        Attack("no host", said(head("GET", "/live", close, host=())), (400,)),
        Attack("two hosts", said(head("GET", "/live", close, "host: other")), (400,)),
        Attack("huge header", said(head("GET", "/live", close, "x: " + "y" * 10**6)), (431,)),
        Attack(
            "long header in one piece", said(head("GET", "/live", "x: " + "y" * 70_000)), (431,)
        ),
        Attack("many headers", said(head("GET", "/live", close, *["x: y"] * 5000)), (431,)),
        Attack("long path", said(head("GET", "/" + "a" * 70_000, close)), (431,)),
        Attack(
            "negative length", said(head("POST", "/predict", kind, "content-length: -1")), (400,)
        ),
        Attack(
            "two lengths", said(head("POST", "/predict", kind, size, "content-length: 5")), (400,)
        ),
        Attack("length and chunks", said(head("POST", "/predict", kind, size, chunked)), (400,)),
        Attack(
            "length of no number", said(head("POST", "/predict", kind, "content-length: x")), (400,)
        ),
        Attack(
            "huge length",
            said(head("POST", "/predict", kind, f"content-length: {'9' * 40}")),
            (400,),
        ),
        Attack("garbage in chunks", said(post + b"zzz\r\nabc\r\n0\r\n\r\n"), (400,)),
        Attack("chunk of endless size", said(post + b"f" * 40 + b"\r\nabc\r\n"), (400,)),
        Attack("chunks of a byte", said(post, *[b"1\r\nx\r\n" * 10_000] * 20), (400,)),
        Attack("trailers with no end", said(post + b"0\r\n", *[b"x: y\r\n" * 10_000] * 20), (431,)),
        Attack(
            "unknown coding",
            said(head("POST", "/predict", kind, "transfer-encoding: gzip")),
            (400,),
        ),
        Attack("TLS", said(bytes.fromhex("16030100c8010000c40303") + bytes(100)), (400,)),
        Attack("HTTP/2", said(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), (400,)),
        Attack("another protocol offered", said(_offering(kind, size) + jpeg), (200,)),
        Attack(
            "pipelined requests",
            said((head("POST", "/predict", kind, size) + jpeg) * 20 + head("GET", "/live", close)),
            (200,),
        ),
        Attack(
            "pipelined, then garbage", said(head("GET", "/live") + b"\0garbage\r\n\r\n"), (200, 400)
        ),
    ]
    return found


def half_closed(server: Running) -> None:
    """Who shuts his side has left: nothing need be answered, and nothing may break."""
    jpeg = saved(RED, "JPEG")
    for n in (0, 10, len(jpeg)):
        with server.connect() as line:
            line.sendall(
                head("POST", "/predict", "content-type: image/jpeg", f"content-length: {len(jpeg)}")
            )
            line.sendall(jpeg[:n])
            line.shutdown(1)
            line.settimeout(10)
            for reply in replies(line.recv(65_536)):
                assert reply.status == 200


def _upload(data: bytes) -> Callable[[Running], list[Reply]]:
    return lambda server: [server.ask("POST", "/predict", data, JPEG)]


def _bytes(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(min(len(data), 30))]


def _expecting(*headers: str) -> bytes:
    return head("POST", "/predict", *headers, "expect: 100-continue")


def _offering(*headers: str) -> bytes:
    return head("POST", "/predict", *headers, "connection: upgrade", "upgrade: h2c")


def _old(jpeg: bytes, *headers: str) -> bytes:
    return "\r\n".join(("POST /predict HTTP/1.0", *headers, "", "")).encode() + jpeg


def mutants(seed: int, n: int) -> list[tuple[bytes, dict[str, str]]]:
    """Uploads that were good once: bytes flipped, cut, doubled, moved, of every kind of photo and
    of forms; the same seed gives the same ones.
    """
    rng = np.random.default_rng(seed)
    noise = Image.fromarray(rng.integers(0, 255, (64, 48, 3), np.uint8))
    kinds: list[bytes] = []
    for image in (RED, noise, noise.convert("P"), noise.convert("L"), noise.convert("CMYK")):
        for kind, options in (
            ("JPEG", {}),
            ("JPEG", {"progressive": True}),
            ("PNG", {}),
            ("WEBP", {}),
            ("WEBP", {"lossless": True}),
            ("GIF", {}),
        ):
            try:
                kinds.append(saved(image, kind, **options))
            except (OSError, ValueError):  # not every mode goes into every kind
                continue
    found: list[tuple[bytes, dict[str, str]]] = []
    for _ in range(n):
        data = bytearray(kinds[rng.integers(len(kinds))])
        as_form = rng.random() < 0.25
        headers = dict(JPEG)
        if as_form:
            body, headers = form(("image", bytes(data)))
            data = bytearray(body)
        for _ in range(int(rng.integers(1, 9))):
            _mutate(data, rng)
        found.append((bytes(data), headers))
    return found


def _mutate(data: bytearray, rng: np.random.Generator) -> None:
    if not data:
        return
    at = int(rng.integers(len(data)))
    span = int(rng.integers(1, 1 + min(64, len(data))))
    match int(rng.integers(7)):
        case 0:
            data[at] ^= 1 << int(rng.integers(8))
        case 1:
            data[at] = int(rng.choice([0, 1, 0x7F, 0x80, 0xFF]))
        case 2:
            del data[at : at + span]
        case 3:
            data[at:at] = data[at : at + span] * int(rng.integers(1, 20))
        case 4:
            data[at : at + span] = rng.integers(0, 255, span, np.uint8).tobytes()
        case 5:
            del data[at:]
        case 6:
            early = int(rng.integers(min(64, len(data))))  # heads matter most
            data[early] = int(rng.integers(256))
