"""A GPU that is asked for where there is none is refused, in words, and nothing is left behind."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from pictures import NO_LOGGER, TINY

from kennel.cli import main
from kennel.dataset import Dataset

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU on this machine"),
]


def test_a_gpu_that_is_not_there_is_said_with_its_mend(
    dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [word for word in TINY if not word.startswith("trainer.accelerator")]
    out = tmp_path / "run"
    given = [*words, *NO_LOGGER, f"data.csv={dataset.csv}", f"paths.output_dir={out}"]
    assert main(["train", *given, "trainer=gpu"]) == 1
    said = capsys.readouterr().err
    assert "error: the trainer cannot be set up: " in said
    assert "fix: kennel doctor says what this machine has; trainer.accelerator=cpu works" in said
    assert "Traceback" not in said
    assert not out.exists()
