"""Photos as the trainer reads them: the house's one preprocessing, with random augmentation before
it in training.

N photos, K labels, H x W pixels. The test split is never read here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import lightning as L
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate
from torchvision.transforms import v2

from kennel.bundle import Preprocess
from kennel.dataset import Dataset as Photos
from kennel.dataset import Photo
from kennel.images import fit, normalise, open_photo, working_short_side
from kennel.machine import usable_cores

MOST_WORKERS = 8


class PhotoFiles(Dataset[tuple[Tensor, int]]):
    """Photo files as (Float32[3, H, W], index of the label).

    Args:
        photos: what to read, in this order.
        dataset: whose files and labels they are.
        preprocess: what the network sees.
        augment: torchvision transforms on the upright RGB picture; none gives exactly
            `kennel.images.read_photo`.
    """

    def __init__(
        self,
        photos: Sequence[Photo],
        dataset: Photos,
        preprocess: Preprocess,
        *,
        augment: Sequence[Any] = (),
    ) -> None:
        self.files = [dataset.file(photo) for photo in photos]
        self.truth = [dataset.labels.index(photo.label) for photo in photos]
        self.preprocess = preprocess
        self.augment = v2.Compose(list(augment)) if augment else None

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        pixels = self.pixels(index)
        return torch.from_numpy(normalise(pixels, self.preprocess)), self.truth[index]

    def pixels(self, index: int) -> np.ndarray:  # UInt8[H, W, 3]
        """The photo as the network sees it, before normalisation."""
        size = self.preprocess.size
        fill = self.preprocess.fill
        if self.augment is None:
            at_least = working_short_side(self.preprocess)
            return fit(open_photo(self.files[index], at_least=at_least, fill=fill), self.preprocess)
        # 2: a random crop may use as little as half of each side and still be shrunk, not blown up.
        picture = self.augment(open_photo(self.files[index], at_least=2 * size, fill=fill))
        return (
            np.asarray(picture) if picture.size == (size, size) else fit(picture, self.preprocess)
        )


class PhotoData(L.LightningDataModule):
    """Loaders over the train and validation photos of a dataset.

    Construction opens no file.

    Args:
        dataset: index and split.
        preprocess: what the network sees.
        batch_size: >= 1.
        num_workers: processes that read photos; -1 takes one for each usable core, at most 8.
        augment: see PhotoFiles; for training only.
        mix: called as mix(num_classes=K), gives a transform of a batch such as torchvision's MixUp;
            or None.
    """

    def __init__(
        self,
        dataset: Photos,
        preprocess: Preprocess,
        *,
        batch_size: int,
        num_workers: int = -1,
        augment: Sequence[Any] = (),
        mix: Any = None,
    ) -> None:
        super().__init__()
        self.training = PhotoFiles(dataset.split("train"), dataset, preprocess, augment=augment)
        self.validation = PhotoFiles(dataset.split("validation"), dataset, preprocess)
        self.batch_size = batch_size
        self.num_workers = min(usable_cores(), MOST_WORKERS) if num_workers < 0 else num_workers
        self.mix = mix(num_classes=len(dataset.labels)) if mix is not None else None

    @property
    def steps_per_epoch(self) -> int:
        """Batches of one training epoch in one process; the last, smaller one counts."""
        return -(-len(self.training) // self.batch_size)

    def train_dataloader(self) -> DataLoader[Any]:
        # A last batch of one photo would break batch normalisation.
        ragged = len(self.training) % self.batch_size == 1 and len(self.training) > 1
        return self._loader(self.training, shuffle=True, drop_last=ragged, collate_fn=self._collate)

    def val_dataloader(self) -> DataLoader[Any]:
        return self._loader(self.validation, shuffle=False)

    def pictures(self, n: int) -> np.ndarray:  # UInt8[N, H, W, 3]
        """The first n training photos as training sees them, augmented."""
        return np.stack([self.training.pixels(i) for i in range(min(n, len(self.training)))])

    def _collate(self, samples: list[tuple[Tensor, int]]) -> Any:
        batch = default_collate(samples)
        return self.mix(*batch) if self.mix is not None and len(samples) > 1 else batch

    def _loader(self, photos: PhotoFiles, *, shuffle: bool, **more: Any) -> DataLoader[Any]:
        return DataLoader(
            photos,
            batch_size=self.batch_size,
            shuffle=shuffle,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            pin_memory=torch.cuda.is_available(),
            **more,
        )
