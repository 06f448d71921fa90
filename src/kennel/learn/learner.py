"""The lesson: loss, optimiser, schedule and figures of one run, as a LightningModule.

N photos, D features, K labels, H x W pixels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import deepcopy
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from kennel.errors import UsageError
from kennel.learn.averaging import follow, warmed_up
from kennel.learn.divergence import LossWatch, diverged
from kennel.learn.groups import parameter_groups
from kennel.learn.models import Network
from kennel.learn.order import epoch_seed
from kennel.learn.settings import RecipeSettings


class Learner(L.LightningModule):
    """Trains a network, or its head alone on features that were extracted before.

    Args:
        network: what learns.
        recipe: how.
        optimizer: called with parameter groups, gives a torch optimiser; its learning rate is the
            head's.
        schedule: called with (optimizer=..., total_steps=...), gives a torch scheduler, stepped
            once an optimiser step; or None.
        total_steps: optimiser steps of the whole run, >= 1.
        label_weights: Float32[K], what a photo of each label weighs in the loss; or None.
        seed: of what is drawn in an epoch of frozen features; PhotoData seeds each step.
    Attributes:
        network: whose weights the optimiser moves.
        average: their moving average; None where `recipe.ema` is 0.
    """

    def __init__(
        self,
        network: Network,
        recipe: RecipeSettings,
        *,
        optimizer: Any,
        schedule: Any = None,
        total_steps: int,
        label_weights: Tensor | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.seed = seed
        self.network = network
        self.recipe = recipe
        self.make_optimizer, self.make_schedule = optimizer, schedule
        self.total_steps = total_steps
        self.label_weights: Tensor | None
        self.register_buffer("label_weights", label_weights, persistent=False)
        if recipe.frozen:
            network.requires_grad_(False)
            network.head.requires_grad_(True)
        if recipe.channels_last:
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = deepcopy(network).requires_grad_(False) if recipe.ema else None
        if recipe.compile:
            compile_network(network, recipe.compile_backend)
        self.watch = LossWatch(network.head.out_features, patience=recipe.diverged_after)
        # Lightning asks nobody for training mode: a network that came here in evaluation mode, as
        # from an export, would stay in it.
        self.train()

    def train(self, mode: bool = True) -> Learner:
        """Training mode; the statistics of batch normalisation stay out of it where asked."""
        super().train(mode)
        if mode and self.recipe.keep_statistics:
            for module in self.network.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        if self.average is not None:
            self.average.eval()
        return self

    @property
    def answering(self) -> Network:
        """The network that is measured and kept: the average where there is one."""
        return self.network if self.average is None else self.average

    def forward(
        self, batch: Tensor
    ) -> Tensor:  # Float32[N, 3, H, W], or [N, D] where frozen -> Float32[N, K]
        return self._logits(self.network, batch)

    def _logits(self, network: Network, batch: Tensor) -> Tensor:
        if self.recipe.frozen:
            logits: Tensor = network.head(batch)
            return logits
        if self.recipe.channels_last:
            batch = batch.contiguous(memory_format=torch.channels_last)
        logits = network(batch)
        return logits

    def on_train_epoch_start(self) -> None:  # an epoch of frozen features is one step
        torch.manual_seed(epoch_seed(self.seed, self.current_epoch) + self.global_rank)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        photos, truth = batch  # truth: Int64[N], or Float32[N, K] where photos are mixed
        logits = self(photos)
        loss = F.cross_entropy(
            logits, truth, weight=self.label_weights, label_smoothing=self.recipe.label_smoothing
        )
        if self.recipe.l2:
            loss = loss + head_penalty(self.network.head, self.recipe.l2)
        if self._looks_at_loss(batch_idx) and (
            fault := self.watch.fault(loss.item(), self.global_step)
        ):
            at = f"in epoch {self.current_epoch}, step {self.global_step}"
            raise diverged(self.trainer, f"{fault} {at}")
        right = logits.argmax(1) == (truth if truth.ndim == 1 else truth.argmax(1))
        self._log("train/loss", loss, len(photos))
        self._log("train/top1", right.float().mean(), len(photos))
        return loss

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        step = self.global_step  # a number that is in the checkpoint: nothing else is counted
        super().optimizer_step(*args, **kwargs)
        if self.average is not None:
            follow(self.average, self.network, warmed_up(self.recipe.ema, step))

    def _looks_at_loss(self, batch_idx: int) -> bool:
        """Always where that costs nothing; on an accelerator, which is then waited for, where a
        loss is logged and at the end of an epoch: a loss that is no number does not recover.
        """
        if self.device.type == "cpu":
            return True
        trainer: Any = self.trainer
        every = trainer.log_every_n_steps
        return bool(trainer.is_last_batch or (every and (batch_idx + 1) % every == 0))

    def validation_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        """Float32[N, K], for callbacks that look at answers."""
        photos, truth = batch
        logits = self._logits(self.answering, photos)
        self._log("validation/loss", F.cross_entropy(logits, truth), len(photos))
        self._log("validation/top1", (logits.argmax(1) == truth).float().mean(), len(photos))
        return logits

    def configure_optimizers(self) -> Any:
        try:
            lr = self.make_optimizer.keywords.get("lr")
            optimizer = self.make_optimizer(parameter_groups(self.network, self.recipe, lr=lr))
            if self.make_schedule is None:
                return optimizer
            scheduler = self.make_schedule(optimizer=optimizer, total_steps=self.total_steps)
        except (ValueError, TypeError) as error:
            raise UsageError(
                f"the optimizer or its schedule refused its settings: {error}.",
                fix="kennel train --cfg job shows them; optimizer=lbfgs is for recipe.frozen=true",
            ) from error
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }

    def _log(self, name: str, value: Tensor, n: int) -> None:
        train = name.startswith("train/")
        self.log(
            name,
            value,
            batch_size=n,
            on_step=train and name.endswith("loss"),
            on_epoch=True,
            prog_bar=not train,
            sync_dist=not train,
        )


def compile_network(network: Network, backend: str) -> None:
    """torch.compile in place: the names of the weights stay what they are.

    Raises:
        UsageError: torch has no such backend.
    """
    known = torch.compiler.list_backends(exclude_tags=("experimental",))
    if backend not in known:
        raise UsageError(
            f"recipe.compile_backend is {backend!r}, which torch does not have.",
            fix=f"one of {', '.join(sorted(known))}",
        )
    network.compile(backend=backend)


def head_penalty(head: nn.Linear, l2: float) -> Tensor:
    """l2 / 2 times the squared norm of the head's weights; the bias is free."""
    return 0.5 * l2 * head.weight.square().sum()


def fit_head(
    head: nn.Linear, features: Tensor, truth: Tensor, *, l2: float, steps: int = 200
) -> float:
    """Multinomial logistic regression in place, by L-BFGS.

    Args:
        head: D features to K labels.
        features: Float32[N, D].
        truth: Int64[N], 0 <= truth < K.
        l2: see head_penalty, >= 0.
        steps: at most.
    Returns:
        the loss reached.
    """
    optimizer: Any = torch.optim.LBFGS(
        head.parameters(), max_iter=steps, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(head(features), truth) + head_penalty(head, l2)
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(loss)
    with torch.no_grad():
        return float(F.cross_entropy(head(features), truth))


def balanced_weights(truth: Iterable[int], labels: Sequence[str]) -> Tensor:
    """What a photo of each label weighs so that every label counts the same: n / (K * n_label).

    Returns:
        Float32[K]; 0 for a label without photos.
    """
    counts = torch.bincount(torch.tensor(list(truth)), minlength=len(labels)).float()
    return torch.where(counts > 0, counts.sum() / (len(labels) * counts), torch.zeros_like(counts))
