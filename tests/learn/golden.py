"""The losses of 20 seeded steps of each shipped recipe, kept in golden/: a change that should not
change numbers does not.

    python tests/learn/golden.py            writes them again, where numbers were meant to change
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

HERE = Path(__file__).parent
GOLDEN = HERE / "golden"
RECIPES = ("quick", "finetune", "scratch")
STEPS = 20
# Another processor adds in another order. One step differs in the seventh digit, and what it
# differs in grows by the steps that rest on it; a learning rate that is 5 % higher moves the last
# losses by far more (test_golden.py).
RELATIVE, GROWTH = 1e-4, 1e-4  # at step i, from 0: RELATIVE + i * GROWTH, of the loss
LEAST = 1e-5  # of a loss; less is lost in float32

WORDS = (
    *("trainer.accelerator=cpu", "trainer.max_epochs=20", f"trainer.max_steps={STEPS}"),
    *("data.num_workers=0", "data.cache=null", "data.batch_size=4"),
    *("model.image.size=64", "seed=0", "trainer.limit_val_batches=0", "logger=csv"),
    *("callbacks.progress=null", "callbacks.summary=null", "callbacks.pictures=null"),
    *("callbacks.graph=null", "callbacks.best_weights=null", "callbacks.checkpoints=null"),
)


def losses(recipe: str, folder: Path, *more: str) -> list[float]:
    """The losses of STEPS steps of experiment=`recipe` on 80 drawn pictures, on one thread."""
    import torch
    from pictures import column, train_with

    from kennel.index import index_photos
    from kennel.sample import draw_sample

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        csv = folder / "dataset.csv"
        if not csv.is_file():
            draw_sample(folder / "photos", labels=4, per_label=20, seed=0)
            index_photos(folder / "photos", to=csv)
        out = folder / "-".join([recipe, *more]).replace("=", "_")
        words = (f"data.csv={csv}", f"paths.output_dir={out}", f"paths.cache_dir={folder / 'c'}")
        run = train_with([f"experiment={recipe}", *WORDS, *words, *more])
    finally:
        torch.set_num_threads(threads)
    return column(run, "train/loss_step")


def kept(recipe: str) -> list[float]:
    written: list[float] = json.loads((GOLDEN / f"{recipe}.json").read_text("utf-8"))["losses"]
    return written


def differing(now: Sequence[float], then: Sequence[float]) -> list[int]:
    """Steps whose losses differ by more than another processor makes them."""
    allowed = LEAST + (RELATIVE + GROWTH * np.arange(len(then))) * np.abs(then)
    if len(now) != len(then):
        return list(range(min(len(now), len(then)), max(len(now), len(then))))
    return [int(i) for i in np.flatnonzero(~(np.abs(np.subtract(now, then)) <= allowed))]


def main() -> None:
    import torch

    import kennel.learn  # noqa: F401 - before lightning: see torchvision_gate
    from kennel.machine import hardware

    GOLDEN.mkdir(exist_ok=True)
    with TemporaryDirectory() as folder:
        for recipe in RECIPES:
            about = {"recipe": recipe, "steps": STEPS, "torch": torch.__version__}
            document = {
                **about,
                "cpu": hardware().get("cpu"),
                "losses": losses(recipe, Path(folder)),
            }
            text = json.dumps(document, indent=1) + "\n"
            (GOLDEN / f"{recipe}.json").write_text(text, encoding="utf-8")
            print(f"{recipe}: {document['losses'][0]:.6f} ... {document['losses'][-1]:.6f}")


if __name__ == "__main__":
    sys.path.insert(0, str(HERE))
    main()
