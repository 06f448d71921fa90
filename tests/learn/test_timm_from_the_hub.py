"""timm loads from the Hub what kennel hub push sent, and answers as the bundle does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from loopback_hub import TOKEN, loopback_hub

from kennel.bundle import read_bundle
from kennel.infer import OnnxClassifier
from kennel.learn.export import export
from kennel.run import Run

pytestmark = pytest.mark.slow
THEIRS = """\
import kennel.learn  # torchvision beside a CPU torch
import sys, numpy, timm, torch
network = timm.create_model("hf-hub:anna/dogs", pretrained=True).eval()
with torch.inference_mode():
    logits = network(torch.from_numpy(numpy.load(sys.argv[1]))).numpy()
numpy.save(sys.argv[2], logits)
print("|".join(network.pretrained_cfg["label_names"]))
"""


def test_timm_answers_from_the_hub_as_the_bundle_does(tiny_run: Run, tmp_path: Path) -> None:
    bundle = export(tiny_run, to=tmp_path / "tiny", formats=("onnx", "safetensors"))
    size = bundle.preprocess.size
    batch = np.random.default_rng(0).normal(size=(4, 3, size, size)).astype(np.float32)
    np.save(tmp_path / "batch.npy", batch)
    with loopback_hub() as hub:
        env = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "GITHUB_"))} | {
            "HF_ENDPOINT": hub.address,
            "HF_HOME": str(tmp_path / "home"),
            "HF_TOKEN": TOKEN,
            "HF_HUB_DISABLE_XET": "1",
            "NO_PROXY": "127.0.0.1",
        }

        def run(*words: str) -> str:
            done = subprocess.run(
                [sys.executable, *words], env=env, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stderr
            return done.stdout

        run("-m", "kennel", "hub", "push", str(bundle.path), "anna/dogs")
        files = [str(tmp_path / name) for name in ("batch.npy", "theirs.npy")]
        labels = run("-c", THEIRS, *files).strip().split("|")
        run("-m", "kennel", "hub", "pull", "anna/dogs", "--to", str(tmp_path / "pulled"))
    assert tuple(labels) == bundle.labels
    pulled = read_bundle(tmp_path / "pulled" / bundle.bundle_id)
    ours = OnnxClassifier(pulled, threads=1).outputs(batch).logits
    assert np.ptp(ours) > 0.1
    [row] = [each for each in bundle.parity if each.format == "safetensors"]
    np.testing.assert_allclose(np.load(tmp_path / "theirs.npy"), ours, atol=row.tolerance)
