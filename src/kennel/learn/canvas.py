"""Photos decoded once: what is kept of a photo for training, how it is kept, and reading it back.

N photos, S x S pixels kept. A photo is kept in one of two forms, both UInt8[S, S, 3]:

    exact   what the network sees before normalisation: `fit(open_photo(...))`, S = size
    room    the whole photo squashed to S = round(room * size), for random crops; with its true
            width and height (those of the scale it was decoded at), so that a crop has the shape
            it would have in the photo

What is read is the same with and without the cache.
"""

from __future__ import annotations

import hashlib
import io
import logging
import struct
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image

from kennel import decoding, images, resizing
from kennel.bundle import Preprocess, file_sha256
from kennel.cache import Buffer, DamagedRowError, Shelf, by_file, refuse_full_disk
from kennel.dataset import Dataset, Photo
from kennel.errors import DatasetError
from kennel.images import fit, open_photo, working_short_side
from kennel.machine import usable_cores
from kennel.resizing import resize

log = logging.getLogger(__name__)

JPEG_QUALITY = 95
# Of the raw bytes, at most, on photos (60 photos of dogs at 224 and 280 px: PNG 0.76, JPEG 0.27).
SHARES = {"raw": 1.0, "png": 0.8, "jpeg": 0.3}
TRUE_SIZE = struct.Struct("<II")  # in front of a row's pixels

UInt8 = NDArray[np.uint8]
Int64 = NDArray[np.int64]


@dataclass(frozen=True)
class Form:
    """How photos are kept.

    Attributes:
        preprocess: what the network sees.
        room: S / size; None keeps the exact form.
        packing: of a row's bytes. JPEG is for the room form alone: it is not lossless.
    """

    preprocess: Preprocess
    room: float | None = None
    packing: Literal["raw", "png", "jpeg"] = "raw"

    @property
    def side(self) -> int:
        """S."""
        return round(self.preprocess.size * (self.room or 1.0))

    @property
    def raw_bytes(self) -> int:
        """Of a row that is not packed."""
        return TRUE_SIZE.size + self.side**2 * 3

    @property
    def row_bytes(self) -> int:
        """Of a row, at most, on photos: exact where it is not packed."""
        return int(self.raw_bytes * SHARES[self.packing])

    def about(self) -> dict[str, Any]:
        """All that rows of this form depend on but the photo."""
        seen = asdict(self.preprocess)
        exact = ("size", "resize", "filter", "crop", "fill")
        return {
            "form": "exact" if self.room is None else "room",
            "side": self.side,
            "packing": self.packing,
            "preprocess": {
                name: seen[name] for name in (exact if self.room is None else ("fill",))
            },
            **pixel_source(),
        }


def pixel_source() -> dict[str, str]:
    """What a photo's pixels depend on besides the photo and the settings: who decodes, and how."""
    code = hashlib.sha256()
    for file in (decoding.__file__, images.__file__, resizing.__file__, __file__):
        code.update(Path(file).read_bytes())
    return {"pillow": PIL.__version__, "code": code.hexdigest()}


class PhotoRows:
    """Photos of a dataset in one form: from the cache where it has them, else from their files.

    Construction opens no file. Can be used by several threads, and travels to other processes.

    Args:
        dataset: whose photos they are.
        photos: which, in this order.
        form: how they are kept.
    """

    def __init__(self, dataset: Dataset, photos: Sequence[Photo], form: Form) -> None:
        self.dataset, self.photos, self.form = dataset, tuple(photos), form
        self.shelf: Shelf | None = None

    def __len__(self) -> int:
        return len(self.photos)

    def read(
        self, indices: Sequence[int], *, threads: int = 1
    ) -> tuple[UInt8, Int64]:  # UInt8[N, S, S, 3], Int64[N, 2]
        """Pixels, and true widths and heights.

        Raises:
            PhotoError: a photo that is not in the cache cannot be read.
            DatasetError: it changed since it was indexed.
        """
        side = self.form.side
        pixels = np.empty((len(indices), side, side, 3), np.uint8)
        sizes = np.empty((len(indices), 2), np.int64)

        def place(job: tuple[int, int]) -> None:
            at, index = job
            row = self._row(self.photos[index])
            sizes[at] = TRUE_SIZE.unpack_from(row)
            pixels[at] = _unpacked(memoryview(row)[TRUE_SIZE.size :], self.form)

        jobs = list(enumerate(indices))
        # Copying a raw row takes less time than handing it to a thread.
        slow = [job for job in jobs if not self._is_raw(self.photos[job[1]])]
        if threads > 1 and len(slow) > 1:
            quick = [job for job in jobs if self._is_raw(self.photos[job[1]])]
            with ThreadPoolExecutor(threads) as pool:
                deque(pool.map(place, slow), maxlen=0)
            jobs = quick
        for job in jobs:
            place(job)
        return pixels, sizes

    def _is_raw(self, photo: Photo) -> bool:
        return self.form.packing == "raw" and self.shelf is not None and photo.sha256 in self.shelf

    def _row(self, photo: Photo) -> Buffer:
        if self.shelf is not None and photo.sha256 in self.shelf:
            try:
                return self.shelf.row(photo.sha256)
            except (DamagedRowError, KeyError):  # KeyError: another thread met the damage first
                log.warning(
                    "the cached form of %s is damaged: it is read from the photo now, and the next "
                    "run makes that part of the cache again",
                    photo.path,
                )
        return make_row(self.dataset, photo, self.form)


def fill_caches(
    rows: Sequence[PhotoRows],
    *,
    cache_dir: Path,
    max_bytes: int,
    on_found: Callable[[int], None] | None = None,
    on_photo: Callable[[Path], None] | None = None,
) -> None:
    """Puts photos into the cache, in as many threads as there are cores; from then on they are
    read from it.

    Rows stay raw where they fit into `max_bytes`; else they are packed: JPEG for the room form, PNG
    for the exact one. Where packed rows do not fit either, the rest is read from the photos.

    Args:
        rows: which; the first are served first. Their form's packing is set here.
        max_bytes: of the cache for these photos.
        on_found: called with the number of photos that are not in the cache, where there are any
            and they may come in.
        on_photo: called with the file of each that came in.
    Raises:
        PhotoError: a photo cannot be read.
        DatasetError: it changed since it was indexed.
        KennelError: the disk is full, or the cache cannot be written.
    """
    left = max_bytes
    for some in rows:
        distinct = len({photo.sha256 for photo in some.photos})
        if distinct * some.form.raw_bytes > left:
            lossy = some.form.room is not None
            some.form = replace(some.form, packing="jpeg" if lossy else "png")
        some.shelf = Shelf(cache_dir, "photos", some.form.about())
        left -= min(left, distinct * some.form.row_bytes)
    spent, missing = _taken_stock(rows)
    total = sum(len(photos) for _, photos in missing)
    counted = False
    pool = ThreadPoolExecutor(usable_cores())  # Pillow decodes without the interpreter's lock
    try:
        for some, photos in missing:
            if spent + len(photos) * some.form.row_bytes > max_bytes:
                log.warning(
                    "data.cache.max_gib is reached: the other photos are read from their files"
                )
                break
            if not counted:
                counted = True
                needed = sum(len(photos) * some.form.row_bytes for some, photos in missing)
                refuse_full_disk(cache_dir, min(needed, max_bytes - spent))
                if on_found is not None:
                    on_found(total)
            shas = [photo.sha256 for photo in photos]
            _shelf(some).add(shas, _made(some, photos, pool, on_photo))
            spent += sum(map(_shelf(some).length, shas))
    finally:
        pool.shutdown(cancel_futures=True)  # on Ctrl-C the rest is not waited for


def _taken_stock(rows: Sequence[PhotoRows]) -> tuple[int, list[tuple[PhotoRows, list[Photo]]]]:
    """Bytes that the cache has of these photos, and the others, in portions of a file each."""
    spent = 0
    missing: list[tuple[PhotoRows, list[Photo]]] = []
    for some in rows:
        photos, shelf = {photo.sha256: photo for photo in some.photos}, _shelf(some)
        left = shelf.missing(photos)
        spent += sum(map(shelf.length, photos.keys() - set(left)))
        missing += [(some, [photos[sha] for sha in portion]) for portion in by_file(left)]
    return spent, missing


def _made(
    rows: PhotoRows,
    photos: Sequence[Photo],
    pool: ThreadPoolExecutor,
    on_photo: Callable[[Path], None] | None,
) -> Iterator[bytes]:
    made = _in_order(pool, lambda photo: make_row(rows.dataset, photo, rows.form), photos)
    for photo, row in zip(photos, made, strict=True):
        yield row
        if on_photo is not None:
            on_photo(rows.dataset.file(photo))


def make_row(dataset: Dataset, photo: Photo, form: Form) -> bytes:
    """A photo in that form: its true size and its packed pixels.

    Raises:
        PhotoError: it cannot be read.
        DatasetError: it changed since it was indexed.
    """
    file = dataset.file(photo)
    preprocess, side = form.preprocess, form.side
    at_least = working_short_side(preprocess) if form.room is None else side
    picture = open_photo(file, at_least=at_least, fill=preprocess.fill)
    if file_sha256(file) != photo.sha256:
        raise changed(file, dataset)
    if form.room is None:
        pixels = fit(picture, preprocess)
    else:
        # A JPEG was decoded at the smallest scale that has them: nobody must see just these again.
        pixels = resize(picture, (side, side), (0, 0, *picture.size), "bicubic")
    return TRUE_SIZE.pack(*picture.size) + _packed(pixels, form)


def changed(file: Path, dataset: Dataset) -> DatasetError:
    """What to say of a photo whose bytes are not those of the index."""
    return DatasetError(
        f"{file} changed since it was indexed.",
        fix=f"index the photos again: kennel index {dataset.photos_dir} --to {dataset.csv}",
    )


def _packed(pixels: UInt8, form: Form) -> bytes:  # UInt8[S, S, 3]
    if form.packing == "raw":
        return pixels.tobytes()
    file = io.BytesIO()
    picture = Image.fromarray(pixels)
    if form.packing == "jpeg":
        picture.save(file, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    else:
        picture.save(file, "PNG", compress_level=1)
    return file.getvalue()


def _unpacked(row: memoryview, form: Form) -> UInt8:  # UInt8[S, S, 3]
    if form.packing == "raw":
        return np.frombuffer(row, np.uint8).reshape(form.side, form.side, 3)
    with Image.open(io.BytesIO(row), formats=(form.packing,)) as picture:
        return np.asarray(picture)


def _shelf(rows: PhotoRows) -> Shelf:
    assert rows.shelf is not None
    return rows.shelf


def _in_order(
    pool: ThreadPoolExecutor, make: Callable[[Photo], bytes], photos: Iterable[Photo]
) -> Iterator[bytes]:
    """`make` of each, in order, a few ahead: where the disk is slow, rows do not pile up."""
    ahead: deque[Future[bytes]] = deque()
    for photo in photos:
        ahead.append(pool.submit(make, photo))
        if len(ahead) > 4 * usable_cores():
            yield ahead.popleft().result()
    while ahead:
        yield ahead.popleft().result()
