"""What training sees: the one preprocessing, augmentation before it, mixed batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pictures import NOTICING, TINY, Noticing, train_with
from torch.nn import functional as F
from torchvision.transforms import v2

from kennel.bundle import Preprocess
from kennel.dataset import Dataset
from kennel.images import read_photo
from kennel.learn.learner import Learner, balanced_weights
from kennel.learn.models import MambaOut
from kennel.learn.photos import PhotoData, PhotoFiles, Shuffled
from kennel.learn.settings import RecipeSettings

pytestmark = pytest.mark.slow

SEES = [
    Preprocess(size=24, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4), resize="crop"),
    Preprocess(size=24, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), resize="letterbox"),
    Preprocess(size=24, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), resize="squash"),
]
CROP = [v2.RandomResizedCrop(24), v2.RandomHorizontalFlip()]


@pytest.mark.parametrize("preprocess", SEES, ids=lambda p: p.resize)
def test_validation_sees_exactly_what_every_door_reads(
    dataset: Dataset, preprocess: Preprocess
) -> None:
    data = PhotoData(dataset, preprocess, batch_size=4, num_workers=0, augment=CROP)
    seen = torch.cat([photos for photos, _ in data.val_dataloader()]).numpy()
    expected = [read_photo(dataset.file(p), preprocess) for p in dataset.split("validation")]
    np.testing.assert_array_equal(seen, np.stack(expected))


@pytest.mark.parametrize("preprocess", SEES, ids=lambda p: p.resize)
def test_training_without_augmentation_sees_exactly_what_every_door_reads(
    dataset: Dataset, preprocess: Preprocess
) -> None:
    files = PhotoFiles(dataset.split("train"), dataset, preprocess)
    for index, photo in enumerate(dataset.split("train")):
        pixels, truth = files[index, 7]
        np.testing.assert_array_equal(pixels, read_photo(dataset.file(photo), preprocess))
        assert dataset.labels[truth] == photo.label


def test_augmentation_is_followed_by_the_one_normalisation(dataset: Dataset) -> None:
    files = PhotoFiles(dataset.split("train"), dataset, SEES[0], augment=[v2.Resize((24, 24))])
    pixels = files.pixels(0)
    mean, std = np.array(SEES[0].mean), np.array(SEES[0].std)
    expected = ((pixels / 255 - mean) / std).transpose(2, 0, 1)
    np.testing.assert_allclose(files[0][0], expected, atol=1e-6)


def test_construction_opens_no_file(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a photo was opened")

    monkeypatch.setattr("kennel.learn.photos.open_photo", refuse)
    data = PhotoData(dataset, SEES[0], batch_size=4, num_workers=0)
    data.train_dataloader()
    with pytest.raises(AssertionError, match="a photo was opened"):
        next(iter(data.train_dataloader()))


def test_an_epoch_shows_every_photo_once_in_an_order_of_its_own(dataset: Dataset) -> None:
    epoch = 0
    sampler = Shuffled(27, seed=3, epoch=lambda: epoch)
    first = list(sampler)
    assert sorted(index for index, _ in first) == list(range(27))
    assert list(sampler) == first
    epoch = 1
    assert [index for index, _ in sampler] != [index for index, _ in first]
    assert list(Shuffled(27, seed=4, epoch=lambda: 0)) != first


def test_augmentation_depends_on_the_seed_of_the_photo_alone(dataset: Dataset) -> None:
    files = PhotoFiles(dataset.split("train"), dataset, SEES[0], augment=CROP)
    one = files[5, 11][0]
    before = torch.get_rng_state()
    assert torch.equal(files[5, 11][0], one)
    assert not torch.equal(files[5, 12][0], one)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(("photos", "size", "batches"), [(27, 13, [13, 13]), (27, 8, [8, 8, 8, 3])])
def test_a_last_batch_of_one_photo_is_left_out(
    photos: int, size: int, batches: list[int], dataset: Dataset
) -> None:
    data = PhotoData(dataset, SEES[0], batch_size=size, num_workers=0)
    assert len(data.training) == photos
    assert [len(truth) for _, truth in data.train_dataloader()] == batches
    assert data.steps_per_epoch(1) == len(batches)


def test_steps_are_those_of_one_process(dataset: Dataset) -> None:
    data = PhotoData(dataset, SEES[0], batch_size=4, num_workers=0)
    assert [data.steps_per_epoch(n) for n in (1, 2, 3)] == [7, 4, 2]  # of 27, 14 and 9 photos


@pytest.mark.parametrize("mix", ["mixup", "cutmix"])
def test_mixed_batches_have_soft_labels_that_sum_to_one(
    mix: str, dataset: Dataset, tmp_path: Path
) -> None:
    out = f"paths.output_dir={tmp_path / 'run'}"
    more = (f"data={mix}", "data.mix.alpha=1.0", "trainer.max_epochs=1", NOTICING)
    run = train_with([*TINY, "logger=none", f"data.csv={dataset.csv}", out, *more])
    photos, truth = Noticing.last.batch
    assert truth.shape == (len(photos), 3)
    assert torch.allclose(truth.sum(1), torch.ones(len(photos)))
    assert bool(((truth > 0.01) & (truth < 0.99)).any())
    assert run.metrics["validation/loss"] > 0  # where labels are whole


def test_class_weights_make_every_label_count_the_same() -> None:
    weights = balanced_weights([0] * 6 + [1] * 3 + [2], ["a", "b", "c"])
    assert weights.tolist() == pytest.approx([10 / 18, 10 / 9, 10 / 3])
    assert [float(w) * n for w, n in zip(weights, (6, 3, 1), strict=True)] == pytest.approx(
        [10 / 3] * 3
    )


@pytest.fixture
def logged() -> dict[str, float]:
    return {}


def learner(logged: dict[str, float], **recipe: Any) -> Learner:
    torch.manual_seed(0)
    network = MambaOut(dims=[4], depths=[1]).build(["a", "b", "c"]).network
    made = Learner(network, RecipeSettings(**recipe), optimizer=None, total_steps=1)
    made.log = lambda name, value, **_: logged.update({name: float(value)})  # type: ignore[assignment]
    return made


def test_label_smoothing_changes_the_loss_of_training_only(logged: dict[str, float]) -> None:
    batch = torch.randn(4, 3, 32, 32), torch.tensor([0, 1, 2, 0])
    plain, smooth = learner(logged), learner(logged, label_smoothing=0.2)
    logits = plain(batch[0])
    plain.validation_step(batch, 0)
    expected = logged["validation/loss"]
    smooth.validation_step(batch, 0)
    assert (
        logged["validation/loss"]
        == expected
        == pytest.approx(float(F.cross_entropy(logits, batch[1])), rel=1e-5)
    )
    loss = smooth.training_step(batch, 0)
    smoothed = F.cross_entropy(logits, batch[1], label_smoothing=0.2)
    assert float(loss) == pytest.approx(float(smoothed), rel=1e-5)
    assert float(loss) != pytest.approx(expected, rel=1e-4)


def test_penalty_is_on_the_weights_of_the_head_alone(logged: dict[str, float]) -> None:
    batch = torch.randn(4, 3, 32, 32), torch.tensor([0, 1, 2, 0])
    plain, heavy = learner(logged), learner(logged, l2=2.0)
    more = float(heavy.training_step(batch, 0) - plain.training_step(batch, 0))
    assert more == pytest.approx(float(heavy.network.head.weight.square().sum()), rel=1e-4)
