"""Frozen features: what they equal, and what the cache remembers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pictures import draw_dataset
from torch import nn
from torch.nn import functional as F

from kennel.bundle import Preprocess
from kennel.dataset import Dataset
from kennel.errors import DatasetError, PhotoError
from kennel.images import read_photo
from kennel.learn.features import Extracted, FeatureData, extract_features
from kennel.learn.learner import fit_head, head_penalty
from kennel.learn.models import MambaOut, Network
from kennel.learn.onnx import write_onnx

pytestmark = pytest.mark.slow

SEES = Preprocess(size=32, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(0)
    return MambaOut(dims=[4, 8], depths=[1, 1]).build(["a", "b", "c"]).network


@pytest.fixture(scope="module")
def shelf(
    network: Network, dataset: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Extracted]:
    """A cache with the training photos in it, and what the first look gave."""
    folder = tmp_path_factory.mktemp("features")
    return folder, extract(network, dataset, folder)


def extract(network: Network, dataset: Dataset, cache: Path, **more: Any) -> Extracted:
    asked: dict[str, Any] = {"preprocess": SEES, "cache_dir": cache, **more}
    return extract_features(network, dataset, dataset.split("train"), **asked)


def test_features_are_those_of_the_network(
    shelf: tuple[Path, Extracted], network: Network, dataset: Dataset
) -> None:
    photos = [read_photo(dataset.file(photo), SEES) for photo in dataset.split("train")]
    with torch.inference_mode():
        expected = network.eval().features(torch.from_numpy(np.stack(photos))).numpy()
    assert shelf[1].features.dtype == np.float32
    np.testing.assert_allclose(shelf[1].features, expected, atol=1e-4)


def test_the_second_time_nothing_is_extracted(
    shelf: tuple[Path, Extracted], network: Network, dataset: Dataset
) -> None:
    folder, first = shelf
    asked: list[Path] = []
    again = extract(network, dataset, folder, on_photo=asked.append)
    assert (first.new, again.new, again.seconds, asked) == (27, 0, 0.0, [])
    np.testing.assert_array_equal(again.features, first.features)


def test_another_head_finds_the_same_features(
    shelf: tuple[Path, Extracted], network: Network, dataset: Dataset
) -> None:
    with torch.no_grad():
        before = network.head.weight.clone()
        network.head.weight += 1
        assert extract(network, dataset, shelf[0]).new == 0
        network.head.weight.copy_(before)


@pytest.mark.parametrize("rest", [b"", b"something else", None], ids=["empty", "other", "torn"])
@pytest.mark.parametrize("suffix", [".rows", ".onnx"])
def test_a_damaged_cache_is_made_again(
    suffix: str,
    rest: bytes | None,
    shelf: tuple[Path, Extracted],
    network: Network,
    dataset: Dataset,
) -> None:
    folder, first = shelf
    (path,) = folder.rglob(f"*{suffix}")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if rest is None else rest)
    if suffix == ".onnx":
        next(folder.rglob("*.rows")).unlink()
    again = extract(network, dataset, folder)
    assert again.new == 27
    np.testing.assert_array_equal(again.features, first.features)
    assert extract(network, dataset, folder).new == 0


def test_a_flipped_bit_is_found_before_use_and_only_its_photo_is_extracted_again(
    network: Network, dataset: Dataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = extract(network, dataset, tmp_path)
    (path,) = tmp_path.rglob("*.rows")
    whole = bytearray(path.read_bytes())
    whole[first.features.shape[1] * 4 * 10 + 3] ^= 1  # of the eleventh photo
    path.write_bytes(whole)
    again = extract(network, dataset, tmp_path)
    assert again.new == 1
    # Alone, the photo takes other kernels than in a batch of eight.
    np.testing.assert_allclose(again.features, first.features, atol=1e-5)
    assert "is damaged and is made again" in caplog.text


def test_who_is_stopped_keeps_the_photos_that_were_written_by_then(
    network: Network, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kennel.cache.FEWEST_ROWS", 10)
    monkeypatch.setattr("kennel.cache.MOST_FILES", 2)
    seen: list[Path] = []

    def stop(path: Path) -> None:
        seen.append(path)
        if len(seen) == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract(network, dataset, tmp_path, on_photo=stop)
    found: list[int] = []
    again = extract(network, dataset, tmp_path, on_found=found.append)
    assert (found, again.new) == ([13], 13)  # 14 were in the first file
    np.testing.assert_array_equal(
        again.features, extract(network, dataset, tmp_path / "other").features
    )


def test_features_are_mapped_from_the_disk_and_copies_have_the_same(
    network: Network, dataset: Dataset, tmp_path: Path
) -> None:
    first, second = dataset.split("train")[:2]
    asked = [second, first, second]
    extracted = extract_features(network, dataset, asked, SEES, cache_dir=tmp_path)
    assert extracted.new == 2
    assert isinstance(extracted.features, np.memmap)
    np.testing.assert_array_equal(extracted.features[0], extracted.features[2])
    assert not np.array_equal(extracted.features[0], extracted.features[1])
    assert extract_features(network, dataset, [], SEES, cache_dir=tmp_path).features.shape[0] == 0


def key_of(network: Network, dataset: Dataset, folder: Path, preprocess: Preprocess) -> str:
    extract_features(
        network, dataset, dataset.split("validation")[:1], preprocess, cache_dir=folder
    )
    (path,) = folder.iterdir()
    return path.name


def test_preprocessing_weights_and_architecture_are_in_the_key(
    network: Network, dataset: Dataset, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    act = MambaOut(dims=[4, 8], depths=[1, 1], act_layer="relu").build(["a", "b", "c"]).network
    assert [t.shape for t in act.state_dict().values()] == [
        t.shape for t in network.state_dict().values()
    ]
    act.load_state_dict(network.state_dict())  # the same tensors, other activations
    torch.manual_seed(1)
    other = MambaOut(dims=[4, 8], depths=[1, 1]).build(["a", "b", "c"]).network
    keys = [
        key_of(network, dataset, tmp_path / "a", SEES),
        key_of(network, dataset, tmp_path / "b", replace(SEES, resize="letterbox")),
        key_of(act, dataset, tmp_path / "c", SEES),
        key_of(other, dataset, tmp_path / "d", SEES),
    ]
    assert len(set(keys)) == 4


def test_a_photo_that_changed_since_it_was_indexed_is_not_remembered(
    network: Network, tmp_path: Path
) -> None:
    dataset = draw_dataset(tmp_path)
    first, second = dataset.split("train")[:2]
    dataset.file(first).write_bytes(dataset.file(second).read_bytes())
    with pytest.raises(DatasetError, match=r"0\.png changed since it was indexed"):
        extract(network, dataset, tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("*.rows"))


def test_a_photo_that_is_gone_is_named(network: Network, tmp_path: Path) -> None:
    dataset = draw_dataset(tmp_path)
    dataset.file(dataset.split("train")[3]).unlink()
    with pytest.raises(PhotoError, match=r"3\.png does not exist"):
        extract(network, dataset, tmp_path / "cache")


def test_data_of_features_has_both_splits_and_never_the_test_split(
    network: Network, dataset: Dataset, tmp_path: Path
) -> None:
    data = FeatureData(dataset, SEES)
    data.extract(network, cache_dir=tmp_path)
    features, truth = data.tensors("validation")
    assert (features.shape[0], truth.tolist()) == (9, [0] * 3 + [1] * 3 + [2] * 3)
    assert [len(batch) for batch, _ in data.train_dataloader()] == [27]


def test_writing_onnx_leaves_the_network_as_it_was(tmp_path: Path) -> None:
    network = MambaOut(dims=[4], depths=[1]).build(["a", "b"]).network
    network.body.stem.eval()  # type: ignore[operator, union-attr]
    before = [module.training for module in network.modules()]
    write_onnx(network, tmp_path / "model.onnx", size=32, outputs=("features",))
    assert [module.training for module in network.modules()] == before
    assert True in before
    assert False in before


def test_a_fitted_head_has_no_slope_left() -> None:
    torch.manual_seed(0)
    features, truth = torch.randn(60, 5), torch.arange(60) % 3
    head = nn.Linear(5, 3)
    loss = fit_head(head, features, truth, l2=0.1)
    fitted = F.cross_entropy(head(features), truth)
    assert loss == pytest.approx(float(fitted))
    head.zero_grad()
    (fitted + head_penalty(head, 0.1)).backward()
    assert head.weight.grad is not None
    assert float(head.weight.grad.abs().max()) < 1e-3
