"""How much of a training step goes into photos: from files, from the cache, and from memory.

    python benchmarks/loading.py data/dataset.csv [--rounds 5] [--batches 10]

The same network, optimiser and batches, rounds interleaved; medians. In memory lie batches as the
network gets them, varied and normalised; the others are varied and normalised in each step.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import warnings
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from kennel.dataset import read_dataset
from kennel.learn.augment import RandomHorizontalFlip, RandomResizedCrop
from kennel.learn.learner import Learner
from kennel.learn.memory import keep_freed_memory
from kennel.learn.models import EfficientNetLite0, MambaOut, Model
from kennel.learn.photos import PhotoData
from kennel.learn.settings import RecipeSettings
from kennel.learn.watch.speed import Speed
from kennel.machine import hardware, versions

MODELS = {"mambaout": MambaOut, "efficientnet_lite0": EfficientNetLite0}


def main() -> None:
    # After kennel.learn, which sees to it that torchvision can be imported.
    import lightning as L
    from torch.utils.data import DataLoader

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("csv", type=Path)
    parser.add_argument("--model", choices=MODELS, default="mambaout")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, default=10)
    parser.add_argument("--workers", type=int, default=-1, help="as data.num_workers")
    args = parser.parse_args()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    L.seed_everything(0, verbose=False)
    keep_freed_memory()

    dataset = read_dataset(args.csv)
    model = MODELS[args.model]().build(dataset.labels)
    size = model.preprocess.size
    augment = [RandomResizedCrop(scale=[0.35, 1.0]), RandomHorizontalFlip()]
    files, cached = (
        PhotoData(
            dataset, model.preprocess, batch_size=32, num_workers=args.workers, augment=augment
        )
        for _ in range(2)
    )
    with TemporaryDirectory() as cache:
        cached.prepare(cache_dir=Path(cache), max_gib=8)
        some = islice(cached.train_dataloader(), args.batches)
        memory = DataLoader([cached.on_after_batch_transfer(batch, 0) for batch in some],
                            batch_size=None)  # fmt: skip
        ways = {
            "from files": {"datamodule": files},
            "from the cache": {"datamodule": cached},
            "in memory": {"train_dataloaders": memory},
        }
        rounds = [
            {name: images_per_s(model, args.batches, **way) for name, way in ways.items()}
            for _ in range(args.rounds)
        ]
    print(f"{args.model}, {size} px, batch 32, {args.batches} batches, {args.rounds} rounds")
    for name in ways:
        rate, wait = (statistics.median(r[name][at] for r in rounds) for at in (0, 1))
        share = statistics.median(r[name][0] / r["in memory"][0] for r in rounds)
        print(f"{name:<16}{rate:8.1f} images/s   waiting {wait:6.1%}   {share:6.3f} of memory's")
    print(", ".join(f"{k} {v}" for k, v in hardware().items()))
    print(", ".join(f"{k} {v}" for k, v in versions(("torch", "lightning", "timm")).items()))


def images_per_s(model: Model, batches: int, **photos: Any) -> tuple[float, float]:
    """The rate, and the share of the time in which the optimiser waits for photos."""
    import lightning as L
    import torch

    learner = Learner(
        model.network,
        RecipeSettings(),
        optimizer=partial(torch.optim.AdamW, lr=1e-3),
        total_steps=batches,
    )
    speed = Speed()
    L.Trainer(
        accelerator="cpu",
        max_epochs=1,
        limit_train_batches=batches,
        limit_val_batches=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[speed],
    ).fit(learner, **photos)
    return speed.images_per_s, speed.wait_s / (speed.wait_s + speed.busy_s)


if __name__ == "__main__":
    main()
