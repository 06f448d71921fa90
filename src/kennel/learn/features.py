"""Frozen features: every photo goes through the backbone once, by onnxruntime, and is remembered.

N photos, D features, H x W pixels.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
import zipfile
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from kennel.bundle import Preprocess, file_sha256, replacing
from kennel.dataset import Dataset as Photos
from kennel.dataset import Photo
from kennel.errors import BundleError, DatasetError
from kennel.images import read_photo
from kennel.infer import OnnxFunction
from kennel.learn.models import Network
from kennel.learn.onnx import write_onnx
from kennel.learn.photos import PhotoFiles
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

    Args:
        on_found: called with the number of photos that are not in the cache, where there are any.
        on_photo: called with the file of each.
    Raises:
        PhotoError: a photo cannot be read.
        DatasetError: a photo that is not in the cache changed since it was indexed.
    """
    shelf = cache_dir / f"features-{_key(network, preprocess)[:16]}"
    known = _read_shelf(shelf.with_suffix(".npz"))
    missing = [p for p in {p.sha256: p for p in photos}.values() if p.sha256 not in known]
    seconds = 0.0
    if missing:
        if on_found is not None:
            on_found(len(missing))
        function = _onnx_backbone(network, preprocess, shelf.with_suffix(".onnx"))

        def read(photo: Photo) -> np.ndarray:
            file = dataset.file(photo)
            pixels = read_photo(file, preprocess)
            if file_sha256(file) != photo.sha256:
                raise DatasetError(
                    f"{file} changed since it was indexed.",
                    fix=f"index the photos again: kennel index {dataset.photos_dir} "
                    f"--to {dataset.csv}",
                )
            return pixels

        started_s = time.monotonic()
        with ThreadPoolExecutor(usable_cores()) as pool:
            for start in range(0, len(missing), BATCH):
                some = missing[start : start + BATCH]
                rows = function(np.stack(list(pool.map(read, some))))
                for photo, row in zip(some, rows, strict=True):
                    known[photo.sha256] = row
                    if on_photo is not None:
                        on_photo(dataset.file(photo))
        seconds = time.monotonic() - started_s
        with replacing(shelf.with_suffix(".npz"), "wb") as file:
            np.savez(file, sha256=np.array(list(known)), features=np.stack(list(known.values())))
    features = np.stack([known[photo.sha256] for photo in photos]).astype(np.float32)
    return Extracted(features, new=len(missing), seconds=seconds)


class FeatureData(L.LightningDataModule):
    """One full batch of frozen features for training, one for validation.

    Construction has no effect; `extract` reads the photos.
    """

    def __init__(self, dataset: Photos, preprocess: Preprocess) -> None:
        super().__init__()
        self.dataset, self.preprocess = dataset, preprocess
        self.training = PhotoFiles(dataset.split("train"), dataset, preprocess)
        self.validation = PhotoFiles(dataset.split("validation"), dataset, preprocess)
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

    def _loader(self, split: str, files: PhotoFiles) -> DataLoader[Any]:
        return DataLoader(TensorDataset(*self.tensors(split)), batch_size=max(len(files), 1))


def _onnx_backbone(network: Network, preprocess: Preprocess, path: Path) -> OnnxFunction:
    if path.is_file():
        try:
            return OnnxFunction(path)
        except BundleError:
            log.warning("the cached backbone %s cannot be loaded and is made again", path)
    write_onnx(network, path, size=preprocess.size, output="features")
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


def _read_shelf(path: Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        return {}
    try:
        with np.load(path, allow_pickle=False) as shelf:
            return dict(zip(shelf["sha256"].tolist(), shelf["features"], strict=True))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        log.warning("the feature cache %s cannot be read (%s) and is made again", path, error)
        return {}
