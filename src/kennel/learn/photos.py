"""Photos as the trainer reads them: 8-bit batches, which are varied and normalised on the device.

N photos, K labels, H x W pixels that the network sees, S x S pixels kept (`kennel.learn.canvas`).
The test split is never read here.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import lightning as L
import numpy as np
import torch
from lightning.pytorch.accelerators import CPUAccelerator
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, get_worker_info

from kennel.bundle import Preprocess
from kennel.dataset import Dataset as Photos
from kennel.dataset import Photo
from kennel.errors import KennelError
from kennel.images import normalise
from kennel.learn.augment import Augmentation, Draw, RandomResizedCrop, vary_all
from kennel.learn.canvas import Form, PhotoRows, fill_caches
from kennel.learn.order import Shuffled, step_seed
from kennel.learn.progressive import Sides
from kennel.learn.resample import placed
from kennel.learn.schedule import total_epochs
from kennel.machine import usable_cores

MOST_WORKERS = 8


class RawBatch(NamedTuple):
    """A batch as it is read. What is no tensor stays with the processor.

    Attributes:
        pixels: UInt8[N, S, S, 3].
        truth: Int64[N], indexes of labels.
        sizes: Int64[N, 2], true widths and heights.
        seeds: Int64[N], of the augmentation; None where there is none.
    """

    pixels: Tensor
    truth: Tensor
    sizes: NDArray[np.int64]
    seeds: NDArray[np.int64] | None


class Unread(NamedTuple):
    """Why a batch was not read. Errors of Kennel do not travel between torch's processes."""

    kind: type[KennelError]
    message: str
    fix: str


class PhotoSplit(Dataset[RawBatch | Unread]):
    """The photos of one split, read a batch at a time.

    Args:
        photos: what to read, in this order.
        dataset: whose files and labels they are.
        preprocess: what the network sees.
        augment: for training; none gives exactly `kennel.images.read_photo`.
        room: how many times the side that the network sees is kept for random crops, >= 1.
    """

    def __init__(
        self,
        photos: Sequence[Photo],
        dataset: Photos,
        preprocess: Preprocess,
        *,
        augment: Sequence[Augmentation] = (),
        room: float = 1.25,
    ) -> None:
        crops = any(isinstance(part, RandomResizedCrop) for part in augment)
        self.rows = PhotoRows(dataset, photos, Form(preprocess, room=room if crops else None))
        number = {label: index for index, label in enumerate(dataset.labels)}
        self.labels = dataset.labels
        self.truth = [number[photo.label] for photo in photos]
        self.preprocess = preprocess
        self.augment = tuple(augment)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitems__(self, keys: Sequence[int | tuple[int, int]]) -> RawBatch | Unread:
        """`read`; a reader that is a process of its own returns what it would raise."""
        try:
            return self.read(keys)
        except KennelError as error:
            if get_worker_info() is None:
                raise
            return Unread(type(error), error.message, error.fix)

    def read(self, keys: Sequence[int | tuple[int, int]]) -> RawBatch:
        """A batch of photos by index, or by (index, seed of its augmentation).

        Raises:
            PhotoError, DatasetError: see PhotoRows.read.
        """
        # Lightning asks by index alone where it overfits on purpose: then a photo always looks the
        # same.
        pairs = [(key, key) if isinstance(key, int) else key for key in keys]
        # A reader among others has a core to itself, as the others have.
        threads = usable_cores() if get_worker_info() is None else 1
        pixels, sizes = self.rows.read([index for index, _ in pairs], threads=threads)
        return RawBatch(
            torch.from_numpy(pixels),
            torch.tensor([self.truth[index] for index, _ in pairs]),
            sizes,
            np.array([seed for _, seed in pairs], np.int64) if self.augment else None,
        )

    def seen(self, batch: RawBatch, *, side: int | None = None) -> Tensor:  # UInt8[N, 3, H, W]
        """The batch as the network sees it, before normalisation.

        Args:
            side: of random crops; None: the one that the network is made for.
        """
        photos = batch.pixels.permute(0, 3, 1, 2)
        if batch.seeds is None:
            return photos
        size, fill = side or self.preprocess.size, self.preprocess.fill
        return vary_all(self.augment, photos, Draw(batch.seeds, batch.sizes, size, fill))

    def spread(self, n: int) -> NDArray[np.uint8]:  # UInt8[N, H, W, 3]
        """n photos at even distances, or all where there are fewer."""
        every = max(len(self) // n, 1)
        return self.shown(list(range(0, len(self), every)[:n]))

    def shown(self, indices: Sequence[int]) -> NDArray[np.uint8]:  # UInt8[N, H, W, 3]
        """Those photos as the network sees them, for people to look at.

        Raises:
            PhotoError, DatasetError: see PhotoRows.read.
        """
        batch = self.read(indices)
        return self.seen(batch).permute(0, 2, 3, 1).numpy()


class PhotoData(L.LightningDataModule):
    """Loaders over the train and validation photos of a dataset.

    Construction opens no file. Photos are read from their files until `prepare` put them into the
    cache; what is read is the same.

    Args:
        dataset: index and split.
        preprocess: what the network sees.
        batch_size: >= 1.
        num_workers: processes that read photos; -1 takes one for each usable core, at most 8, or
            none where the processor itself trains: readers take a core from a step that waits for
            all of them (docs/log.md).
        augment: see PhotoSplit; for training only.
        mix: called as mix(num_classes=K), gives a transform of a batch such as torchvision's MixUp;
            or None.
        seed: of order and augmentation, and of what torch draws in a step.
        room: see PhotoSplit.
        sides: of training crops by epoch; None: the one that the network is made for.
    Attributes:
        between_steps: called before each batch of training, when all that belongs to the step
            before is done: its figures are logged, and nothing of the next is drawn.
    """

    def __init__(
        self,
        dataset: Photos,
        preprocess: Preprocess,
        *,
        batch_size: int,
        num_workers: int = -1,
        augment: Sequence[Augmentation] = (),
        mix: Any = None,
        seed: int = 0,
        room: float = 1.25,
        sides: Sides | None = None,
    ) -> None:
        super().__init__()
        self.seed, self.sides = seed, sides
        self.training = PhotoSplit(
            dataset.split("train"), dataset, preprocess, augment=augment, room=room
        )
        self.validation = PhotoSplit(dataset.split("validation"), dataset, preprocess)
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.mix = mix(num_classes=len(dataset.labels)) if mix is not None else None
        self.between_steps: list[Callable[[], None]] = []
        self._resumed = (0, 0)  # epoch, and batches of it that were seen

    def prepare(
        self,
        *,
        cache_dir: Path,
        max_gib: float,
        on_found: Callable[[int], None] | None = None,
        on_photo: Callable[[Path], None] | None = None,
    ) -> None:
        """Decodes all photos once, into the cache. See kennel.learn.canvas.fill_caches."""
        fill_caches(
            [self.validation.rows, self.training.rows],
            cache_dir=cache_dir,
            max_bytes=int(max_gib * 2**30),
            on_found=on_found,
            on_photo=on_photo,
        )

    def steps_per_epoch(self, processes: int) -> int:
        """Batches of one training epoch in each of `processes`: a last, smaller one counts, unless
        it is dropped.
        """
        batches = -(-self._share(processes) // self.batch_size)
        return batches - self._drops_last(processes)

    def train_dataloader(self) -> DataLoader[Any]:
        trainer: Any = self.trainer
        processes = 1 if trainer is None else trainer.world_size
        sampler = Shuffled(
            len(self.training),
            seed=self.seed,
            epoch=self._epoch,
            first=lambda: self._seen_batches() * self.batch_size,
            processes=processes,
            process=0 if trainer is None else trainer.global_rank,
        )
        return self._loader(self.training, sampler=sampler, drop_last=self._drops_last(processes))

    def val_dataloader(self) -> DataLoader[Any]:
        return self._loader(self.validation)

    def state_dict(self) -> dict[str, Any]:
        """Where training stands: the epoch, and how many of its batches are done."""
        trainer: Any = self.trainer
        if trainer is None:
            return {}
        epochs, loop = trainer.fit_loop.epoch_progress.current, trainer.fit_loop.epoch_loop
        within = epochs.started > epochs.completed
        done = loop.batch_progress.current.completed if within else 0
        return {"epoch": self._epoch(), "batches": done}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._resumed = state_dict["epoch"], state_dict["batches"]

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """What torch draws in a step depends on the step alone."""
        trainer: Any = self.trainer
        if trainer is not None and trainer.training:
            for act in self.between_steps:
                act()
            at = trainer.fit_loop.epoch_loop.batch_progress.current.ready
            seed = step_seed(self.seed, self._epoch(), at, process=trainer.global_rank)
            torch.manual_seed(seed)
        return batch

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> tuple[Tensor, Tensor]:
        """A batch as the network gets it, made on the device where it is.

        RawBatch -> (Float32[N, 3, H, W], Int64[N]), or Float32[N, K] where photos are mixed; other
        floats where `trainer.precision` has the network in others.
        """
        if isinstance(batch, Unread):
            raise batch.kind(batch.message, fix=batch.fix)
        trainer: Any = self.trainer
        trains = trainer is not None and trainer.training
        split = self.training if batch.seeds is not None else self.validation
        photos = normalised(split.seen(batch, side=self._side()), split.preprocess)
        if trains and self.mix is not None and len(photos) > 1:
            seen: tuple[Tensor, Tensor] = self.mix(photos, batch.truth)
        else:
            seen = photos, batch.truth
        # Lightning asked its precision for 8-bit pixels, before there were floats.
        return seen if trainer is None else trainer.precision_plugin.convert_input(seen)

    def pictures(self, n: int) -> NDArray[np.uint8]:  # UInt8[N, H, W, 3]
        """n training photos from all over the split, as training sees them: augmented."""
        return self.training.spread(n)

    def _epoch(self) -> int:
        trainer: Any = self.trainer
        return 0 if trainer is None else int(trainer.current_epoch)

    def _seen_batches(self) -> int:
        epoch, batches = self._resumed
        return int(batches) if epoch == self._epoch() else 0

    def _side(self) -> int | None:
        trainer: Any = self.trainer
        if self.sides is None or trainer is None:
            return None
        epochs = total_epochs(trainer, self.steps_per_epoch(trainer.world_size))
        return self.sides.at(trainer.current_epoch, epochs)

    def _share(self, processes: int) -> int:
        return -(-len(self.training) // processes)  # photos are repeated until all have as many

    def _drops_last(self, processes: int) -> bool:
        # A last batch of one photo would break batch normalisation.
        share = self._share(processes)
        return share > 1 and share % self.batch_size == 1

    def readers(self) -> int:
        """Processes that read photos."""
        if self.num_workers >= 0:
            return self.num_workers
        return 0 if self._trains_here() else min(usable_cores(), MOST_WORKERS)

    def _trains_here(self) -> bool:
        trainer: Any = self.trainer
        return trainer is None or isinstance(trainer.accelerator, CPUAccelerator)

    def _loader(self, photos: PhotoSplit, **more: Any) -> DataLoader[Any]:
        readers = self.readers()
        return DataLoader(
            photos,
            batch_size=self.batch_size,
            collate_fn=as_read,
            # Of its own: starting the readers must not shift the random numbers of the training.
            generator=torch.Generator().manual_seed(self.seed),
            num_workers=readers,
            persistent_workers=readers > 0,
            worker_init_fn=_unmoved_by_ctrl_c,
            pin_memory=torch.cuda.is_available() and not self._trains_here(),
            **more,
        )


def _unmoved_by_ctrl_c(_: int) -> None:
    """A terminal sends Ctrl-C to the readers too, whom the step that is to be finished needs."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def as_read(batch: Any) -> Any:
    """Nothing is left to collate."""
    return batch


def normalised(photos: Tensor, preprocess: Preprocess) -> Tensor:
    """`kennel.images.normalise` where the photos are: equal arrays on every device.

    UInt8[N, 3, H, W] -> Float32[N, 3, H, W].
    """
    if photos.device.type == "cpu":
        return torch.from_numpy(normalise(photos.permute(0, 2, 3, 1).numpy(), preprocess))
    return looked_up(photos, preprocess)


def looked_up(photos: Tensor, preprocess: Preprocess) -> Tensor:
    """`normalised`, on any device, by the 256 values of each channel that `normalise` gives."""
    every = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    values = placed(normalise(every, preprocess)[:, 0], photos)
    return torch.stack([values[c][photos[:, c].int()] for c in range(3)], dim=1)
