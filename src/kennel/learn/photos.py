"""Photos as the trainer reads them: the house's one preprocessing, with random augmentation before
it in training.

N photos, K labels, H x W pixels. The test split is never read here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.accelerators import CPUAccelerator
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler
from torchvision.transforms import v2

from kennel.bundle import Preprocess
from kennel.dataset import Dataset as Photos
from kennel.dataset import Photo
from kennel.images import fit, normalise, open_photo, working_short_side
from kennel.machine import usable_cores

MOST_WORKERS = 8


def epoch_seed(seed: int, epoch: int) -> int:
    """Seed of one epoch, 0 <= epoch < 2**20, of a run with `seed`."""
    return (seed << 20) + epoch


class Shuffled(Sampler[tuple[int, int]]):
    """Every photo once an epoch, as (index, seed of its augmentation).

    Order and seeds depend on the run's seed and the epoch alone: not on what was drawn before, nor
    on how many processes read.

    Args:
        n: photos.
        seed: of the run.
        epoch: tells the number of the epoch that begins.
    """

    def __init__(self, n: int, *, seed: int, epoch: Callable[[], int]) -> None:
        self.n, self.seed, self.epoch = n, seed, epoch

    def __len__(self) -> int:
        return self.n

    def __iter__(self) -> Iterator[tuple[int, int]]:
        generator = torch.Generator().manual_seed(epoch_seed(self.seed, self.epoch()))
        order = torch.randperm(self.n, generator=generator)
        seeds = torch.randint(2**62, (self.n,), generator=generator)
        yield from zip(order.tolist(), seeds.tolist(), strict=True)


class PhotoFiles(Dataset[tuple[Tensor, int]]):
    """Photo files as (Float32[3, H, W], index of the label).

    Args:
        photos: what to read, in this order.
        dataset: whose files and labels they are.
        preprocess: what the network sees.
        augment: torchvision transforms on the upright RGB picture, which draw from torch's random
            numbers; none gives exactly `kennel.images.read_photo`.
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

    def __getitem__(self, key: int | tuple[int, int]) -> tuple[Tensor, int]:
        if isinstance(key, int):
            index, pixels = key, self.pixels(key)
        else:
            index, seed = key
            with torch.random.fork_rng(devices=[]):
                torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed CUDA too
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

    def spread(self, n: int) -> np.ndarray:  # UInt8[N, H, W, 3]
        """n photos at even distances, or all where there are fewer."""
        every = max(len(self) // n, 1)
        return np.stack([self.pixels(index) for index in range(0, len(self), every)[:n]])


class PhotoData(L.LightningDataModule):
    """Loaders over the train and validation photos of a dataset.

    Construction opens no file.

    Args:
        dataset: index and split.
        preprocess: what the network sees.
        batch_size: >= 1.
        num_workers: processes that read photos; -1 takes one for each usable core, at most 8, or
            none where the processor itself trains: readers take a core from a step that waits for
            all of them (docs/log.md).
        augment: see PhotoFiles; for training only.
        mix: called as mix(num_classes=K), gives a transform of a batch such as torchvision's MixUp;
            or None.
        seed: of order and augmentation.
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
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.seed = seed
        self.training = PhotoFiles(dataset.split("train"), dataset, preprocess, augment=augment)
        self.validation = PhotoFiles(dataset.split("validation"), dataset, preprocess)
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.mix = mix(num_classes=len(dataset.labels)) if mix is not None else None

    def steps_per_epoch(self, processes: int) -> int:
        """Batches of one training epoch in each of `processes`: a last, smaller one counts, unless
        it is dropped.
        """
        batches = -(-self._share(processes) // self.batch_size)
        return batches - self._drops_last(processes)

    def train_dataloader(self) -> DataLoader[Any]:
        trainer: Any = self.trainer
        sampler = Shuffled(
            len(self.training),
            seed=self.seed,
            epoch=lambda: 0 if trainer is None else trainer.current_epoch,
        )
        drop_last = self._drops_last(1 if trainer is None else trainer.world_size)
        return self._loader(self.training, sampler=sampler, drop_last=drop_last)

    def val_dataloader(self) -> DataLoader[Any]:
        return self._loader(self.validation)

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Mixes a training batch: (Float32[N, 3, H, W], Int64[N]), whose truth becomes
        Float32[N, K].
        """
        trainer: Any = self.trainer
        mixes = self.mix is not None and trainer.training and len(batch[0]) > 1
        return self.mix(*batch) if mixes and self.mix is not None else batch

    def pictures(self, n: int) -> np.ndarray:  # UInt8[N, H, W, 3]
        """n training photos from all over the split, as training sees them: augmented."""
        return self.training.spread(n)

    def _share(self, processes: int) -> int:
        return -(-len(self.training) // processes)  # photos are repeated until all have as many

    def _drops_last(self, processes: int) -> bool:
        # A last batch of one photo would break batch normalisation.
        share = self._share(processes)
        return share > 1 and share % self.batch_size == 1

    def _readers(self) -> int:
        if self.num_workers >= 0:
            return self.num_workers
        trainer: Any = self.trainer
        trains_here = trainer is None or isinstance(trainer.accelerator, CPUAccelerator)
        return 0 if trains_here else min(usable_cores(), MOST_WORKERS)

    def _loader(self, photos: PhotoFiles, **more: Any) -> DataLoader[Any]:
        readers = self._readers()
        return DataLoader(
            photos,
            batch_size=self.batch_size,
            # Of its own: starting the readers must not shift the random numbers of the training.
            generator=torch.Generator().manual_seed(self.seed),
            num_workers=readers,
            persistent_workers=readers > 0,
            pin_memory=torch.cuda.is_available(),
            **more,
        )
