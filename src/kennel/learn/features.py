"""Frozen features: every photo goes through the backbone once, by onnxruntime, and is remembered.

N photos, D features, H x W pixels.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import lightning as L
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from kennel.bundle import Preprocess, file_sha256
from kennel.cache import DamagedRowError, Shelf, by_file
from kennel.dataset import Dataset as Photos
from kennel.dataset import Photo
from kennel.errors import BundleError
from kennel.images import read_photo
from kennel.infer import OnnxFunction
from kennel.learn.canvas import changed, pixel_source
from kennel.learn.models import Network
from kennel.learn.onnx import write_onnx
from kennel.learn.photos import PhotoSplit
from kennel.machine import usable_cores

log = logging.getLogger(__name__)
# Small batches are fastest: 240 photos a second by 4, 174 by 32 (two cores).
BATCH = 8


@dataclass(frozen=True, eq=False)
class Extracted:
    """Features Float32[N, D] of N photos, `new` of which were extracted in `seconds`; the cache
    had the others.
    """

    features: np.ndarray
    new: int
    seconds: float


def extract_features(
    network: Network,
    dataset: Photos,
    photos: Sequence[Photo],
    preprocess: Preprocess,
    *,
    cache_dir: Path,
    on_found: Callable[[int], None] | None = None,
    on_photo: Callable[[Path], None] | None = None,
) -> Extracted:
    """Features of photos, from the cache where it has them.

    The cache holds a row a photo, keyed by the backbone, its weights, the preprocessing and the
    photo's sha256: it can be deleted at any time and is never wrong about a photo that changed.
    Whoever is killed loses a few hundred photos' work (see kennel.cache).

    Args:
        on_found: called with the number of photos that are not in the cache, where there are any.
        on_photo: called with the file of each.
    Raises:
        PhotoError: a photo cannot be read.
        DatasetError: a photo that is not in the cache changed since it was indexed.
        KennelError: the cache cannot be written.
    """
    about = {"backbone": _key(network, preprocess), **pixel_source()}
    shelf = Shelf(cache_dir, "features", about)
    wanted = [photo.sha256 for photo in photos]
    new, started_s = 0, time.monotonic()
    while True:
        if missing := shelf.missing(wanted):
            if on_found is not None:
                on_found(len(missing))
            _extract(network, dataset, photos, missing, preprocess, to=shelf, on_photo=on_photo)
            new += len(missing)
        seconds = time.monotonic() - started_s if new else 0.0
        try:
            return Extracted(_gathered(shelf, wanted), new=new, seconds=seconds)
        except DamagedRowError as error:
            log.warning("%s and is made again", error)


def _extract(
    network: Network,
    dataset: Photos,
    photos: Sequence[Photo],
    missing: Sequence[str],
    preprocess: Preprocess,
    *,
    to: Shelf,
    on_photo: Callable[[Path], None] | None,
) -> None:
    """Puts the features of the photos with those sha256 on the shelf."""
    by_sha = {photo.sha256: photo for photo in photos}
    function = _onnx_backbone(network, preprocess, to.folder / "backbone.onnx")

    def read(photo: Photo) -> np.ndarray:
        file = dataset.file(photo)
        pixels = read_photo(file, preprocess)
        if file_sha256(file) != photo.sha256:
            raise changed(file, dataset)
        return pixels

    def rows(some: Sequence[str], pool: ThreadPoolExecutor) -> Iterator[bytes]:
        for start in range(0, len(some), BATCH):
            batch = [by_sha[sha] for sha in some[start : start + BATCH]]
            features = function(np.stack(list(pool.map(read, batch))))["features"]
            for photo, row in zip(batch, features, strict=True):
                yield row.astype(np.float32).tobytes()
                if on_photo is not None:
                    on_photo(dataset.file(photo))

    with ThreadPoolExecutor(usable_cores()) as pool:
        for some in by_file(missing):
            to.add(some, rows(some, pool))


def _gathered(shelf: Shelf, sha256s: Sequence[str]) -> np.ndarray:  # Float32[N, D]
    """Rows in that order, in memory that the system may take back: mapped from a file that has no
    name.
    """
    width = shelf.length(sha256s[0]) // 4 if sha256s else 0
    if not width:
        return np.zeros((len(sha256s), width), np.float32)
    with TemporaryFile(dir=shelf.folder) as file:
        features = np.memmap(file, np.float32, mode="w+", shape=(len(sha256s), width))
    for at, sha in enumerate(sha256s):
        features[at] = np.frombuffer(shelf.row(sha), np.float32)
    return features


class FeatureData(L.LightningDataModule):
    """One full batch of frozen features for training, one for validation.

    Construction has no effect; `extract` reads the photos.
    """

    def __init__(self, dataset: Photos, preprocess: Preprocess) -> None:
        super().__init__()
        self.dataset, self.preprocess = dataset, preprocess
        self.training = PhotoSplit(dataset.split("train"), dataset, preprocess)
        self.validation = PhotoSplit(dataset.split("validation"), dataset, preprocess)
        self._features: dict[str, np.ndarray] = {}
        self.images_per_s = 0.0  # of the extraction; 0 where the cache had all

    def steps_per_epoch(self, processes: int) -> int:
        """One: every step sees all photos, or its process's share of them."""
        return 1

    def extract(
        self,
        network: Network,
        *,
        cache_dir: Path,
        on_found: Callable[[int], None] | None = None,
        on_photo: Callable[[Path], None] | None = None,
    ) -> None:
        """Fills in the features of both splits."""
        photos = [*self.dataset.split("train"), *self.dataset.split("validation")]
        extracted = extract_features(
            network,
            self.dataset,
            photos,
            self.preprocess,
            cache_dir=cache_dir,
            on_found=on_found,
            on_photo=on_photo,
        )
        n = len(self.training)
        self._features = {"train": extracted.features[:n], "validation": extracted.features[n:]}
        self.images_per_s = extracted.new / extracted.seconds if extracted.new else 0.0

    def train_dataloader(self) -> DataLoader[Any]:
        return self._loader("train", self.training)

    def val_dataloader(self) -> DataLoader[Any]:
        return self._loader("validation", self.validation)

    def tensors(self, split: str) -> tuple[Tensor, Tensor]:  # Float32[N, D], Int64[N]
        """Features and truth of a split."""
        files = self.training if split == "train" else self.validation
        return torch.from_numpy(self._features[split]), torch.tensor(files.truth)

    def pictures(self, n: int) -> np.ndarray:  # UInt8[N, H, W, 3]
        """n training photos from all over the split, as the backbone saw them."""
        return self.training.spread(n)

    def _loader(self, split: str, files: PhotoSplit) -> DataLoader[Any]:
        return DataLoader(TensorDataset(*self.tensors(split)), batch_size=max(len(files), 1))


def _onnx_backbone(network: Network, preprocess: Preprocess, path: Path) -> OnnxFunction:
    if path.is_file():
        try:
            return OnnxFunction(path)
        except BundleError:
            log.warning("the cached backbone %s cannot be loaded and is made again", path)
    write_onnx(network, path, size=preprocess.size, outputs=("features",))
    return OnnxFunction(path)


def _key(network: Network, preprocess: Preprocess) -> str:
    """Names the backbone, its weights and the preprocessing; the head does not count."""
    digest = hashlib.sha256(json.dumps(asdict(preprocess), sort_keys=True).encode())
    for name, module in network.named_modules():
        if module is not network.head:  # padding and activations stand in no tensor
            digest.update(f"{name}:{type(module).__qualname__}({module.extra_repr()})".encode())
    head = {id(p) for p in network.head.parameters()}
    for name, tensor in [*network.named_parameters(), *network.named_buffers()]:
        if id(tensor) not in head:
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
