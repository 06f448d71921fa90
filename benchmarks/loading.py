"""How much of a training step is waiting for photos: the loader beside data already in memory.

    python benchmarks/loading.py data/dataset.csv [--rounds 5] [--batches 10]

The same network, optimiser and batches, rounds interleaved (files, memory, files, memory); medians.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import warnings
from functools import partial
from pathlib import Path
from typing import Any

from kennel.dataset import read_dataset
from kennel.learn.callbacks import Speed
from kennel.learn.learner import Learner
from kennel.learn.memory import keep_freed_memory
from kennel.learn.models import EfficientNetLite0, MambaOut
from kennel.learn.photos import PhotoData
from kennel.learn.settings import RecipeSettings
from kennel.machine import hardware, versions

MODELS = {"mambaout": MambaOut, "efficientnet_lite0": EfficientNetLite0}


def main() -> None:
    # After kennel.learn, which sees to it that torchvision can be imported.
    import lightning as L
    import torch
    from torch.utils.data import DataLoader
    from torchvision.transforms import v2

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
    crops = [v2.RandomResizedCrop(size, scale=(0.35, 1.0)), v2.RandomHorizontalFlip()]
    data = PhotoData(
        dataset, model.preprocess, batch_size=32, num_workers=args.workers, augment=crops
    )
    files = data.train_dataloader()
    memory = DataLoader([batch for batch, _ in zip(files, range(args.batches), strict=False)],
                        batch_size=None)  # fmt: skip

    def images_per_s(loader: Any) -> tuple[float, float]:
        learner = Learner(
            model.network,
            RecipeSettings(),
            optimizer=partial(torch.optim.AdamW, lr=1e-3),
            total_steps=args.batches,
        )
        speed = Speed()
        L.Trainer(
            accelerator="cpu",
            max_epochs=1,
            limit_train_batches=args.batches,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=[speed],
        ).fit(learner, train_dataloaders=loader)
        return speed.images_per_s, speed.wait_s / (speed.wait_s + speed.busy_s)

    rounds = [(images_per_s(files), images_per_s(memory)) for _ in range(args.rounds)]
    print(f"{args.model}, {size} px, batch 32, {args.batches} batches, {args.rounds} rounds")
    for name, index in (("from files", 0), ("in memory", 1)):
        rate = statistics.median(r[index][0] for r in rounds)
        wait = statistics.median(r[index][1] for r in rounds)
        print(f"{name:<12}{rate:8.1f} images/s   waiting {wait:6.1%}")
    shares = [r[0][0] / r[1][0] for r in rounds]
    print(f"{'share':<12}{statistics.median(shares):8.3f} of the rate in memory")
    print(", ".join(f"{k} {v}" for k, v in hardware().items()))
    print(", ".join(f"{k} {v}" for k, v in versions(("torch", "lightning", "timm")).items()))


if __name__ == "__main__":
    main()
