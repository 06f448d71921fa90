"""One loader, measured in a process of its own; benchmarks/input.py runs them in turns.

    PYTHON benchmarks/input_loaders.py LOADER PHOTOS WORK SECONDS SIDE

Prints one JSON document: `images`, `seconds`, `batch` (what was delivered), `versions`. One thread,
no worker processes, batches of 32. The first batch of every epoch is left out: what starts an epoch
belongs to nobody's rate. PHOTOS holds a folder a label; WORK holds what loaders made of them:
`litdata, tensors` and `litdata, JPEGs` write chunks, `kennel, cold` an index and a cache.
"""

from __future__ import annotations

import io
import json
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

BATCH, SIZE = 32, 224
# LitData unpacks windows of many items and keeps few of them: photos of 200 KB in random order are
# unpacked tens of times for each use. One at a time is the fastest of its settings here.
TUNED = {"batch_decode": 1}
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
Loader = Callable[[Path, Path, int], Iterable[Any]]  # photos, work, side -> batches of an epoch


def main() -> None:
    name, photos, work, seconds, side = sys.argv[1:]
    from kennel.learn import torchvision_gate
    from kennel.learn.memory import keep_freed_memory

    torchvision_gate.stand_by()
    keep_freed_memory()  # for all alike: batches are large, and the kernel would zero each anew
    import torch

    torch.set_num_threads(1)
    job = (Path(photos), Path(work), int(side))
    if name in ONCE:
        images, taken_s = ONCE[name](*job)
        result = {"images": images, "seconds": taken_s, "batch": ""}
    else:
        result = _rate(LOADERS[name](*job), float(seconds))
    library = name.split(",")[0].split()[0]
    library = {"plain": "torchvision", "kennel": "kennel-ml"}.get(library, library)
    used = {"torch": torch.__version__, "pillow": version("pillow"), library: version(library)}
    json.dump({**result, "versions": used}, sys.stdout)


def _rate(batches: Iterable[Any], least_s: float) -> dict[str, Any]:
    """Epoch after epoch until the time is over; an epoch before that warms up, but no longer."""
    images, spent_s, began_s = 0, 0.0, time.perf_counter()
    for _ in batches:
        if time.perf_counter() - began_s > least_s / 2:
            break
    while spent_s < least_s:
        left_s = None
        for batch in batches:
            now_s = time.perf_counter()
            if left_s is not None:
                images += len(batch[0])
                spent_s += now_s - left_s
            left_s = time.perf_counter()
            if spent_s >= least_s:
                break
    pixels = batch[0]
    return {"images": images, "seconds": spent_s, "batch": f"{pixels.dtype} {list(pixels.shape)}"}


# ---- The plain way: torchvision's ImageFolder, Pillow, transforms photo by photo


def plain_uint8(photos: Path, work: Path, side: int) -> Iterable[Any]:
    from torchvision import transforms

    return _folder(photos, [transforms.PILToTensor()])


def plain_float32(photos: Path, work: Path, side: int) -> Iterable[Any]:
    from torchvision import transforms

    return _folder(photos, [transforms.ToTensor(), transforms.Normalize(MEAN, STD)])


def _folder(photos: Path, last: list[Any]) -> Iterable[Any]:
    from torch.utils.data import DataLoader
    from torchvision import datasets, transforms

    steps = [transforms.RandomResizedCrop(SIZE), transforms.RandomHorizontalFlip(), *last]
    folder = datasets.ImageFolder(str(photos), transforms.Compose(steps))
    return DataLoader(folder, batch_size=BATCH, shuffle=True, drop_last=True)


# ---- LitData: chunks of decoded photos, and of small JPEG files


def litdata_tensors(photos: Path, work: Path, side: int) -> tuple[int, float]:
    return _chunks(photos, work / "tensors", side, _decoded)


def litdata_jpegs(photos: Path, work: Path, side: int) -> tuple[int, float]:
    return _chunks(photos, work / "jpegs", side, _small_jpeg)


def _chunks(photos: Path, to: Path, side: int, make: Callable[..., Any]) -> tuple[int, float]:
    """Writes chunks by one worker, LitData's fewest; gives photos and seconds."""
    import litdata  # type: ignore[import-not-found]

    files = sorted(str(file) for file in photos.glob("*/*.jpg"))
    labels = sorted({Path(file).parent.name for file in files})
    inputs = [(file, labels.index(Path(file).parent.name), side) for file in files]
    began_s = time.perf_counter()
    litdata.optimize(make, inputs, str(to), chunk_bytes="64MB", num_workers=1, verbose=False)
    return len(files), time.perf_counter() - began_s


def _decoded(job: tuple[str, int, int]) -> tuple[Any, int]:  # UInt8[3, S, S]
    import torch

    file, label, side = job
    with Image.open(file) as picture:
        picture.draft("RGB", (side, side))
        pixels = np.asarray(picture.convert("RGB").resize((side, side), Image.Resampling.BICUBIC))
    # A tensor is read back without a copy, an array with one.
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous(), label


def _small_jpeg(job: tuple[str, int, int]) -> tuple[bytes, int]:
    """The short side at `side` pixels: how ImageNet is usually made small."""
    file, label, side = job
    with Image.open(file) as picture:
        scale = side / min(picture.size)
        size = round(picture.width * scale), round(picture.height * scale)
        out = io.BytesIO()
        small = picture.convert("RGB").resize(size, Image.Resampling.BICUBIC)
        small.save(out, "JPEG", quality=90)
    return out.getvalue(), label


def litdata_uint8(photos: Path, work: Path, side: int) -> Iterable[Any]:
    return _stream(work / "tensors", None)


def litdata_tuned_uint8(photos: Path, work: Path, side: int) -> Iterable[Any]:
    return _stream(work / "tensors", None, **TUNED)


def litdata_tuned_float32(photos: Path, work: Path, side: int) -> Iterable[Any]:
    """Decoded photos, varied and normalised one by one as tensors."""
    import torch
    from torchvision.transforms import v2

    steps = v2.Compose(
        [
            v2.RandomResizedCrop(SIZE, antialias=True),
            v2.RandomHorizontalFlip(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(MEAN, STD),
        ]
    )
    return _stream(work / "tensors", lambda item: (steps(item[0]), item[1]), **TUNED)


def litdata_jpeg_float32(photos: Path, work: Path, side: int) -> Iterable[Any]:
    """Small JPEG files, decoded by Pillow, then as the plain way."""
    from torchvision import transforms

    steps = transforms.Compose(
        [
            transforms.RandomResizedCrop(SIZE),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    )

    def varied(item: tuple[bytes, int]) -> tuple[Any, int]:
        with Image.open(io.BytesIO(item[0])) as picture:
            return steps(picture.convert("RGB")), item[1]

    return _stream(work / "jpegs", varied)


def _stream(chunks: Path, transform: Callable[[Any], Any] | None, **settings: Any) -> Iterable[Any]:
    from litdata import StreamingDataLoader, StreamingDataset

    class Photos(StreamingDataset):  # type: ignore[misc]
        def __getitem__(self, index: Any) -> Any:
            item = super().__getitem__(index)
            return item if transform is None else transform(item)

    dataset = Photos(str(chunks), shuffle=True, drop_last=True, **settings)
    loader: Iterable[Any] = StreamingDataLoader(
        dataset, batch_size=BATCH, num_workers=0, drop_last=True
    )
    return loader


# ---- Kennel: `kennel train` with data.num_workers=0


def kennel_cold(photos: Path, work: Path, side: int) -> tuple[int, float]:
    """From files to the batches of one epoch, the cache made on the way. Indexing is not timed:
    every command after it finds the index.
    """
    csv = work / "dataset.csv"
    if not csv.is_file():
        from kennel.index import index_photos

        index_photos(photos, to=csv, fractions=(1, 0, 0))
    shutil.rmtree(work / "cache", ignore_errors=True)
    data = _photo_data(work)
    began_s = time.perf_counter()
    data.prepare(cache_dir=work / "cache", max_gib=8.0)
    images = sum(len(batch.pixels) for batch in data.train_dataloader())
    return images, time.perf_counter() - began_s


def kennel_uint8(photos: Path, work: Path, side: int) -> Iterable[Any]:
    """What the processor does where an accelerator varies and normalises."""
    data = _photo_data(work)
    data.prepare(cache_dir=work / "cache", max_gib=8.0)
    loader: Iterable[Any] = data.train_dataloader()
    return loader


def kennel_float32(photos: Path, work: Path, side: int) -> Iterable[Any]:
    data = _photo_data(work)
    data.prepare(cache_dir=work / "cache", max_gib=8.0)
    loader = data.train_dataloader()

    class Varied:
        def __iter__(self) -> Iterator[Any]:
            return (data.on_after_batch_transfer(batch, 0) for batch in loader)

    return Varied()


def _photo_data(work: Path) -> Any:
    from kennel.bundle import Preprocess
    from kennel.dataset import read_dataset
    from kennel.learn.augment import RandomHorizontalFlip, RandomResizedCrop
    from kennel.learn.photos import PhotoData

    return PhotoData(
        read_dataset(work / "dataset.csv"),
        Preprocess(size=SIZE, mean=MEAN, std=STD),
        batch_size=BATCH,
        num_workers=0,
        augment=[RandomResizedCrop(), RandomHorizontalFlip()],
    )


LOADERS: dict[str, Loader] = {
    "plain, uint8": plain_uint8,
    "plain, float32": plain_float32,
    "litdata, uint8": litdata_uint8,
    "litdata tuned, uint8": litdata_tuned_uint8,
    "litdata tuned, float32": litdata_tuned_float32,
    "litdata, JPEG, float32": litdata_jpeg_float32,
    "kennel, uint8": kennel_uint8,
    "kennel, float32": kennel_float32,
}
ONCE: dict[str, Callable[[Path, Path, int], tuple[int, float]]] = {
    "litdata, tensors": litdata_tensors,
    "litdata, JPEGs": litdata_jpegs,
    "kennel, cold": kennel_cold,
}

if __name__ == "__main__":
    main()
