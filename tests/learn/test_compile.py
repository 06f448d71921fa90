"""torch.compile as a choice: it is reached, and what a run writes is what it always is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pictures import NO_LOGGER, TINY, train_with
from safetensors.torch import load_file

from kennel.dataset import Dataset
from kennel.errors import RunError, UsageError
from kennel.learn.export import export
from kennel.run import BEST_WEIGHTS, Run

pytestmark = pytest.mark.slow


def words(dataset: Dataset, out: Path, *more: str) -> list[str]:
    asked = [*TINY, *NO_LOGGER, f"data.csv={dataset.csv}", f"paths.output_dir={out}"]
    return [*asked, "trainer.max_epochs=1", "recipe.compile=true", *more]


def register(name: str, compiled: Any) -> str:
    """The name of a backend that did not exist before."""
    from torch._dynamo import register_backend

    register_backend(compiled, name=name)
    return name


def test_the_network_goes_through_the_backend_and_weights_keep_their_names(
    dataset: Dataset, tiny_run: Run, tmp_path: Path
) -> None:
    graphs: list[Any] = []

    def noting(graph: Any, inputs: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    backend = register("noting", noting)
    run = train_with(words(dataset, tmp_path / "run", f"recipe.compile_backend={backend}"))
    assert graphs
    names = load_file(run.path / BEST_WEIGHTS).keys()
    assert names == load_file(tiny_run.path / BEST_WEIGHTS).keys()
    assert export(run, to=tmp_path / "bundle").labels == dataset.labels


def test_a_backend_that_fails_is_said_in_words(dataset: Dataset, tmp_path: Path) -> None:
    def failing(graph: Any, inputs: Any) -> Any:
        raise RuntimeError("no compiler here")

    backend = register("failing", failing)
    with pytest.raises(RunError, match=r"torch\.compile failed") as raised:
        train_with(words(dataset, tmp_path / "run", f"recipe.compile_backend={backend}"))
    assert "recipe.compile=false" in raised.value.fix


def test_a_backend_that_torch_does_not_have_is_refused(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="inducktor") as raised:
        train_with(words(dataset, tmp_path / "run", "recipe.compile_backend=inducktor"))
    assert "inductor" in raised.value.fix
    assert not (tmp_path / "run").exists()
    assert torch.compiler.list_backends()
