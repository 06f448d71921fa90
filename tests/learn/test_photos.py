"""What training sees: the one preprocessing, augmentation before it, mixed batches."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from pictures import NOTICING, TINY, Noticing, draw_dataset, train_with
from torch.nn import functional as F

from kennel.bundle import Preprocess
from kennel.dataset import Dataset
from kennel.errors import PhotoError, UsageError
from kennel.images import normalise, read_photo
from kennel.learn.augment import ColorJitter, RandomHorizontalFlip, RandomResizedCrop
from kennel.learn.learner import Learner, balanced_weights
from kennel.learn.models import MambaOut
from kennel.learn.order import Shuffled, step_seed
from kennel.learn.photos import PhotoData, PhotoSplit, looked_up, normalised
from kennel.learn.settings import RecipeSettings

pytestmark = pytest.mark.slow

SEES = [
    Preprocess(size=24, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4), resize="crop"),
    Preprocess(size=24, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), resize="letterbox"),
    Preprocess(size=24, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), resize="squash"),
]
CROP = [RandomResizedCrop(), RandomHorizontalFlip(), ColorJitter(0.2, 0.2, 0.2)]


def data_of(dataset: Dataset, cache: Path | None = None, **more: Any) -> PhotoData:
    asked: dict[str, Any] = {"preprocess": SEES[0], "batch_size": 4, "num_workers": 0, **more}
    data = PhotoData(dataset, **asked)
    if cache is not None:
        data.prepare(cache_dir=cache, max_gib=1)
    return data


def batches(data: PhotoData, loader: Any) -> tuple[np.ndarray, np.ndarray]:
    """All photos as the network gets them, and their labels."""
    seen = [data.on_after_batch_transfer(batch, 0) for batch in loader]
    photos, truth = zip(*seen, strict=True)
    return torch.cat(photos).numpy(), torch.cat(truth).numpy()


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize("preprocess", SEES, ids=lambda p: p.resize)
def test_validation_sees_exactly_what_every_door_reads(
    dataset: Dataset, preprocess: Preprocess, cached: bool, tmp_path: Path
) -> None:
    cache = tmp_path if cached else None
    data = data_of(dataset, cache, preprocess=preprocess, augment=CROP)
    seen, _ = batches(data, data.val_dataloader())
    expected = [read_photo(dataset.file(p), preprocess) for p in dataset.split("validation")]
    np.testing.assert_array_equal(seen, np.stack(expected))


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize("preprocess", SEES, ids=lambda p: p.resize)
def test_training_without_augmentation_sees_exactly_what_every_door_reads(
    dataset: Dataset, preprocess: Preprocess, cached: bool, tmp_path: Path
) -> None:
    data = data_of(dataset, tmp_path if cached else None, preprocess=preprocess)
    seen, truth = batches(data, data.train_dataloader())
    order = [index for index, _ in Shuffled(27, seed=0, epoch=lambda: 0)]
    for pixels, label, index in zip(seen, truth, order, strict=True):
        photo = dataset.split("train")[index]
        np.testing.assert_array_equal(pixels, read_photo(dataset.file(photo), preprocess))
        assert dataset.labels[label] == photo.label


@pytest.mark.parametrize("augment", [CROP, CROP[1:]], ids=["crop", "no crop"])
def test_training_sees_the_same_with_and_without_a_cache(
    dataset: Dataset, augment: list[Any], tmp_path: Path
) -> None:
    seen = [
        batches(data, data.train_dataloader())
        for data in (data_of(dataset, cache, augment=augment) for cache in (None, tmp_path))
    ]
    np.testing.assert_array_equal(seen[0][0], seen[1][0])
    np.testing.assert_array_equal(seen[0][1], seen[1][1])


@pytest.mark.parametrize("preprocess", SEES, ids=lambda p: p.resize)
def test_normalisation_is_the_one_of_the_house_on_every_device(preprocess: Preprocess) -> None:
    photos = torch.randint(0, 256, (5, 3, 16, 16), dtype=torch.uint8)
    expected = normalise(photos.permute(0, 2, 3, 1).numpy(), preprocess)
    np.testing.assert_array_equal(normalised(photos, preprocess), expected)
    np.testing.assert_array_equal(looked_up(photos, preprocess), expected)  # of accelerators


@pytest.mark.parametrize("precision", ["bf16-true", "64-true", "bf16-mixed"])
@pytest.mark.parametrize("mix", ["default", "cutmix"])
def test_every_precision_of_the_network_gets_photos_of_its_own(
    precision: str, mix: str, dataset: Dataset, tmp_path: Path
) -> None:
    words = [*TINY, "logger=none", f"data.csv={dataset.csv}", f"paths.output_dir={tmp_path / 'r'}"]
    more = (f"data={mix}", f"trainer.precision={precision}", "trainer.max_epochs=1")
    assert train_with([*words, *more]).status == "done"


@pytest.mark.parametrize("readers", [0, 1])
def test_a_photo_that_broke_is_named_whoever_reads_it(readers: int, tmp_path: Path) -> None:
    drawn = draw_dataset(tmp_path)
    drawn.file(drawn.split("train")[3]).write_bytes(b"")
    words = [*TINY, "logger=none", f"data.csv={drawn.csv}", f"paths.output_dir={tmp_path / 'r'}"]
    with pytest.raises(PhotoError, match=drawn.split("train")[3].path) as refused:
        train_with([*words, f"data.num_workers={readers}"])
    assert refused.value.fix
    assert "Traceback" not in refused.value.message


def test_augmentation_is_followed_by_the_one_normalisation(dataset: Dataset) -> None:
    split = PhotoSplit(dataset.split("train"), dataset, SEES[0], augment=CROP)
    data = data_of(dataset, augment=CROP)
    batch = split.__getitems__([(0, 7), (5, 8)])
    pixels = split.seen(batch).permute(0, 2, 3, 1).numpy()
    seen, _ = data.on_after_batch_transfer(batch, 0)
    np.testing.assert_array_equal(seen.numpy(), normalise(pixels, SEES[0]))


def test_batches_travel_as_8_bits_and_crops_have_room(dataset: Dataset) -> None:
    train = next(iter(data_of(dataset, augment=CROP, room=1.5).train_dataloader()))
    assert (train.pixels.dtype, tuple(train.pixels.shape)) == (torch.uint8, (4, 36, 36, 3))
    assert train.sizes.tolist() == [[52, 40]] * 4
    for loader in (data_of(dataset).val_dataloader(), data_of(dataset).train_dataloader()):
        assert tuple(next(iter(loader)).pixels.shape) == (4, 24, 24, 3)


def test_construction_opens_no_file(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a photo was opened")

    monkeypatch.setattr("kennel.learn.canvas.open_photo", refuse)
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


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_an_epoch_goes_on_where_it_was_left(processes: int) -> None:
    """Each process with the rest of its own share, and all shares together with every photo."""

    def share(process: int, first: int = 0) -> list[tuple[int, int]]:
        sampler = Shuffled(
            28,
            seed=3,
            epoch=lambda: 5,
            first=lambda: first,
            processes=processes,
            process=process,
        )
        assert len(sampler) == -(-28 // processes)  # whole, wherever it begins
        return list(sampler)

    shares = [share(process) for process in range(processes)]
    assert [share(process, 8) for process in range(processes)] == [each[8:] for each in shares]
    assert {index for each in shares for index, _ in each} == set(range(28))
    assert sum(len(each) for each in shares) == -(-28 // processes) * processes


def test_what_a_step_draws_depends_on_seed_epoch_step_and_process() -> None:
    seeds = [
        step_seed(seed, epoch, batch, process=process)
        for seed in (0, 1)
        for epoch in (0, 1)
        for batch in (0, 1)
        for process in (0, 1)
    ]
    assert len(set(seeds)) == 16
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert step_seed(1, 1, 1, process=1) == seeds[-1]


def test_augmentation_depends_on_the_seed_of_the_photo_alone(dataset: Dataset) -> None:
    split = PhotoSplit(dataset.split("train"), dataset, SEES[0], augment=CROP)

    def look(*keys: tuple[int, int]) -> torch.Tensor:
        return split.seen(split.__getitems__(keys))

    one = look((5, 11))[0]
    before = torch.get_rng_state()
    assert torch.equal(look((3, 4), (5, 11), (5, 11))[1], one)
    assert torch.equal(look((3, 4), (5, 11), (5, 11))[2], one)
    assert not torch.equal(look((5, 12))[0], one)
    assert torch.equal(torch.get_rng_state(), before)


def test_pictures_to_look_at_are_what_training_sees(dataset: Dataset) -> None:
    pictures = data_of(dataset, augment=CROP).pictures(9)
    assert (pictures.dtype, pictures.shape) == (np.uint8, (9, 24, 24, 3))
    split = PhotoSplit(dataset.split("train"), dataset, SEES[0], augment=CROP)
    expected = split.seen(split.__getitems__([(index, index) for index in range(0, 27, 3)]))
    np.testing.assert_array_equal(pictures, expected.permute(0, 2, 3, 1))


@pytest.mark.parametrize(
    ("part", "named"),
    [
        ("{_target_: torchvision.transforms.v2.RandomGrayscale}", "RandomGrayscale"),
        ("{_target_: builtins.dict}", "builtins.dict"),
        ("3", "3"),
    ],
)
def test_what_does_not_vary_batches_is_refused_by_its_place(
    part: str, named: str, dataset: Dataset, tmp_path: Path
) -> None:
    words = [*TINY, "logger=none", f"data.csv={dataset.csv}", f"paths.output_dir={tmp_path / 'r'}"]
    flip = "{_target_: kennel.learn.augment.RandomHorizontalFlip}"
    with pytest.raises(UsageError, match=r"data\.augment\[1\]: .*varies batches") as refused:
        train_with([*words, f"data.augment=[{flip}, {part}]"])
    assert named in refused.value.message
    assert "kennel.learn.augment" in refused.value.fix
    assert not (tmp_path / "r").exists()


class Darker:
    """An augmentation of somebody else."""

    def vary(self, photos: torch.Tensor, draw: Any) -> torch.Tensor:
        return photos // 2


def test_augmentations_of_ones_own_can_be_named(dataset: Dataset, tmp_path: Path) -> None:
    words = [*TINY, "logger=none", f"data.csv={dataset.csv}", "trainer.max_epochs=1", NOTICING]
    own = "data.augment=[{_target_: test_photos.Darker}]"
    train_with([*words, own, f"paths.output_dir={tmp_path / 'run'}"])
    photos, _ = Noticing.last.batch
    mean, std = 0.485, 0.229
    assert float(photos[:, 0].max()) == pytest.approx((127 / 255 - mean) / std, abs=0.02)


@pytest.mark.parametrize(("photos", "size", "batches"), [(27, 13, [13, 13]), (27, 8, [8, 8, 8, 3])])
def test_a_last_batch_of_one_photo_is_left_out(
    photos: int, size: int, batches: list[int], dataset: Dataset
) -> None:
    data = PhotoData(dataset, SEES[0], batch_size=size, num_workers=0)
    assert len(data.training) == photos
    assert [len(batch.truth) for batch in data.train_dataloader()] == batches
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


def test_a_step_on_an_accelerator_asks_for_no_number(
    dataset: Dataset, logged: dict[str, float]
) -> None:
    # "meta" has no numbers to give: `if loss` and `.item()` fail on it.
    data = data_of(dataset, augment=CROP)
    batch = next(iter(data.train_dataloader()))
    photos, truth = data.on_after_batch_transfer(
        batch._replace(pixels=batch.pixels.to("meta"), truth=batch.truth.to("meta")), 0
    )
    made = learner(logged, l2=0.1).to("meta")
    made.log = lambda *_, **__: None  # type: ignore[assignment]
    trainer: Any = SimpleNamespace(log_every_n_steps=20, is_last_batch=False)
    made._trainer = trainer
    made.training_step((photos, truth), 0).backward()
    for look in (19, 20):  # where it is logged, and at the end of an epoch
        trainer.is_last_batch = look == 20
        with pytest.raises(RuntimeError, match="meta"):
            made.training_step((photos, truth), look)
