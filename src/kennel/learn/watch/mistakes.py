"""Where a run is wrong: the confusion matrix of its validation photos, and the worst of them.

N photos, K labels, H x W pixels.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from kennel.annotate import sheet
from kennel.confusion import draw_matrix
from kennel.errors import KennelError
from kennel.intervals import wilson
from kennel.learn.watch.boards import boards, has_boards, show
from kennel.look import in_words

log = logging.getLogger(__name__)
MOST_LABELS = 40  # in a matrix that is drawn while training goes on; 60 take two seconds


@dataclass(eq=False)
class Mistakes(Callback):
    """Shows a confusion matrix of the validation photos, and the wrong ones with the largest loss
    as the network sees them, label and answer under each.

    Looks at what validation answers anyway; of each photo three numbers are kept.

    Attributes:
        every_epochs: how often, 1 or more; 0 only when training is over, which is always shown.
        photos: at most so many wrong ones, 1..64.
    """

    every_epochs: int = 5
    photos: int = 16

    def __post_init__(self) -> None:
        if self.every_epochs < 0:
            raise ValueError(f"every_epochs is {self.every_epochs}; it must be 0 or more")
        if not 1 <= self.photos <= 64:
            raise ValueError(f"photos is {self.photos}; it must be in 1..64")
        self._answers: list[Tensor] = []  # Float32[3, N] each: loss, answer, its probability
        self._shown = True

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._answers, self._shown = [], trainer.sanity_checking

    def on_validation_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        *_: Any,
    ) -> None:
        if has_boards(trainer) and isinstance(outputs, Tensor):
            logits = outputs.detach().float()
            probability, answer = logits.softmax(1).max(1)
            loss = F.cross_entropy(logits, batch[1], reduction="none")
            self._answers.append(torch.stack([loss, answer.float(), probability]))

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self.every_epochs and (trainer.current_epoch + 1) % self.every_epochs == 0:
            self._show(trainer, pl_module)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._show(trainer, pl_module)

    def _show(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        if self._shown or not self._answers:
            return
        self._shown = True
        mine = torch.cat(self._answers, dim=1)
        if trainer.world_size > 1:
            # Photos go to the processes in turn, the first ones again at the end of the last turn.
            every: Any = module.all_gather(mine)  # [processes, 3, N]
            mine = every.permute(1, 2, 0).flatten(1)
        if not boards(trainer):
            return
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        split = data.validation
        loss, answer, probability = mine.cpu().numpy()[:, : len(split)]
        answer = answer.astype(np.int64)
        truth = np.asarray(split.truth[: len(answer)], np.int64)
        show(trainer, "validation/confusion", [matrix(truth, answer, split.labels)])
        shown = worst(truth, answer, loss, most=self.photos)
        if not shown:
            return
        wrong = int((answer != truth).sum())
        title = (
            f"{wrong} of {len(truth)} validation photos {'is' if wrong == 1 else 'are'} wrong"
            + (f"; the worst {len(shown)}" if wrong > len(shown) else "")
        )
        words = [
            (
                in_words(split.labels[truth[at]]),
                f"taken for {in_words(split.labels[answer[at]])}, {100 * probability[at]:.0f} %",
            )
            for at in shown
        ]
        try:
            pixels = split.shown(shown)
        except KennelError as error:  # pictures are no reason to lose a run
            log.warning("the wrong validation photos are not shown: %s", error)
            return
        drawn = sheet(title, [Image.fromarray(photo) for photo in pixels], words)
        show(trainer, "validation/mistakes", [np.asarray(drawn)])


def worst(
    truth: NDArray[np.int64], answer: NDArray[np.int64], loss: NDArray[np.float32], *, most: int
) -> list[int]:
    """Indexes of the wrong photos, at most so many, the largest loss first."""
    wrong = np.flatnonzero(truth != answer)
    order = np.argsort(-loss[wrong], kind="stable")
    found: list[int] = wrong[order][:most].tolist()
    return found


def matrix(
    truth: NDArray[np.int64], answer: NDArray[np.int64], labels: Sequence[str]
) -> NDArray[np.uint8]:
    """The confusion matrix of N photos as a picture; of many labels those with the most mistakes.

    Args:
        truth, answer: Int64[N], indexes of labels, N >= 1.
        labels: length K.
    Returns:
        UInt8[H, W, 3].
    """
    right = int((truth == answer).sum())
    low, high = wilson(right, len(truth))
    caption = (
        f"Validation split while training, {len(truth):,} photos: {100 * right / len(truth):.1f} % "
        f"answered right, 95 % interval {100 * low:.1f} to {100 * high:.1f} %."
    )
    chosen = np.arange(len(labels))
    if len(labels) > MOST_LABELS:
        wrong = truth != answer
        mistakes = np.bincount(truth[wrong], minlength=len(labels))
        mistakes += np.bincount(answer[wrong], minlength=len(labels))
        chosen = np.sort(np.argsort(-mistakes, kind="stable")[:MOST_LABELS])
        caption += (
            f" Of {len(labels):,} labels the {MOST_LABELS} with the most mistakes, and answers "
            "among them."
        )
    place = np.full(len(labels), -1)
    place[chosen] = np.arange(len(chosen))
    rows, columns = place[truth], place[answer]
    seen = (rows >= 0) & (columns >= 0)
    confusion = np.zeros((len(chosen), len(chosen)), np.int64)
    np.add.at(confusion, (rows[seen], columns[seen]), 1)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "confusion.png"
        draw_matrix(confusion, [labels[at] for at in chosen.tolist()], path, caption=caption)
        with Image.open(path) as picture:
            return np.asarray(picture.convert("RGB"))
