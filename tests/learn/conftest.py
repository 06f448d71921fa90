"""Runs that several files look at; each is trained once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import kennel.learn  # noqa: F401 - before any test imports lightning: see torchvision_gate

if TYPE_CHECKING:
    from kennel.bundle import Bundle
    from kennel.dataset import Dataset
    from kennel.run import Run

# Test processes with as many threads each as there are cores wait for each other most of the time.
os.environ.setdefault("OMP_NUM_THREADS", "1")
WITHOUT_TORCH = ("conftest.py", "test_canvas.py", "test_settings.py", "test_space.py")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """`-m "not slow"` does not wait eight seconds for torch only to leave the tests out."""
    leaves_out = config.getoption("markexpr") == "not slow"
    return True if leaves_out and collection_path.name not in WITHOUT_TORCH else None


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Three labels; the test photos are in the index and not on disk: nobody here may need them."""
    from pictures import draw_dataset

    drawn = draw_dataset(tmp_path_factory.mktemp("photos"))
    for photo in drawn.split("test"):
        drawn.file(photo).unlink()
    return drawn


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def tiny_run(dataset: Dataset, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A small network from random weights, two epochs, with all loggers, from the cache."""
    from pictures import TINY, cached, train_with

    out = tmp_path_factory.mktemp("runs") / "tiny"
    words = [*TINY, *cached(cache), f"data.csv={dataset.csv}", f"paths.output_dir={out}"]
    return train_with(words)


@pytest.fixture(scope="session")
def frozen_run(dataset: Dataset, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """EfficientNet-Lite0 with its real weights, frozen, and a head on its features."""
    from pictures import FROZEN, train_with

    out = tmp_path_factory.mktemp("runs") / "frozen"
    return train_with(
        [
            *FROZEN,
            f"data.csv={dataset.csv}",
            f"paths.output_dir={out}",
            f"paths.cache_dir={cache}",
        ]
    )


@pytest.fixture(scope="session")
def bundle(tiny_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    from kennel.learn.export import export

    return export(tiny_run, to=tmp_path_factory.mktemp("bundles") / "tiny")


@pytest.fixture(scope="session")
def every_format(tiny_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    from kennel.formats import FILES
    from kennel.learn.export import export

    home = tmp_path_factory.mktemp("bundles") / "every"
    return export(tiny_run, to=home, formats=tuple(FILES))


@pytest.fixture(scope="session")
def frozen_bundle(frozen_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    from kennel.learn.export import export

    home = tmp_path_factory.mktemp("bundles") / "frozen"
    return export(frozen_run, to=home, formats=("onnx", "safetensors", "torchscript", "pt2"))
