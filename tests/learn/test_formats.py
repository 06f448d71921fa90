"""Each format as strangers open it: timm, torch without Kennel, torch.export; by its own words."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from bundles import entry, tiny_bundle

from kennel.bundle import MODEL_ONNX, Bundle, Preprocess, read_bundle
from kennel.cli import main
from kennel.dataset import Dataset
from kennel.errors import BundleError
from kennel.formats import FILES, formats_in
from kennel.images import read_photo
from kennel.infer import OnnxFunction
from kennel.learn.export import export
from kennel.learn.formats import OPENERS, WRITERS, open_safetensors, write_safetensors
from kennel.learn.models import EfficientNetLite0, ImageSettings, MambaOut, Model, Timm
from kennel.run import Run

pytestmark = pytest.mark.slow

LABELS = ("red", "green", "blue")


def photos_of(dataset: Dataset, bundle: Bundle) -> np.ndarray:
    """Float32[N, 3, H, W] of the validation photos."""
    files = [dataset.file(photo) for photo in dataset.split("validation")]
    return np.stack([read_photo(file, bundle.preprocess) for file in files])


def listed(bundle: Bundle, name: str) -> Bundle:
    """The bundle, with the files of a format that were written into its folder."""
    files = {file: entry(bundle.path / file) for file in FILES[name]}
    return replace(bundle, files={**bundle.files, **files})


def onnx_logits(bundle: Bundle, batch: np.ndarray) -> np.ndarray:
    return OnnxFunction(bundle.path / MODEL_ONNX)(batch)["logits"]


@pytest.fixture(params=["mambaout", "efficientnet_lite0"])
def exported(request: pytest.FixtureRequest) -> Bundle:
    """A bundle with every format, of either network."""
    name = {"mambaout": "every_format", "efficientnet_lite0": "frozen_bundle"}[request.param]
    bundle: Bundle = request.getfixturevalue(name)
    return bundle


# timm


def test_timm_loads_the_exported_folder_and_gives_the_same_logits(
    exported: Bundle, dataset: Dataset
) -> None:
    batch = photos_of(dataset, exported)
    network: Any = timm.create_model(f"local-dir:{exported.path}", pretrained=True).eval()
    with torch.inference_mode():
        theirs = network(torch.from_numpy(batch)).numpy()
    ours = onnx_logits(exported, batch)
    assert np.ptp(ours) > 0.1
    np.testing.assert_allclose(theirs, ours, atol=1e-4)


def test_timm_knows_the_labels_in_order_and_what_the_network_sees(exported: Bundle) -> None:
    network: Any = timm.create_model(f"local-dir:{exported.path}", pretrained=True)
    assert tuple(network.pretrained_cfg["label_names"]) == exported.labels
    assert network.num_classes == len(exported.labels)
    seen = timm.data.resolve_model_data_config(network)
    pre = exported.preprocess
    assert (tuple(seen["mean"]), tuple(seen["std"])) == (pre.mean, pre.std)
    assert tuple(seen["input_size"]) == (3, pre.size, pre.size)
    assert (seen["interpolation"], seen["crop_mode"]) == (
        pre.filter,
        {"crop": "center", "letterbox": "border"}[pre.resize],
    )


def test_timm_puts_another_head_on_the_exported_folder(exported: Bundle) -> None:
    network: Any = timm.create_model(f"local-dir:{exported.path}", pretrained=True, num_classes=7)
    network.eval()
    assert network(torch.zeros(1, 3, 32, 32)).shape == (1, 7)


def test_what_timm_has_no_word_for_is_said_in_words(frozen_bundle: Bundle) -> None:
    config = json.loads((frozen_bundle.path / "config.json").read_text(encoding="utf-8"))
    assert frozen_bundle.calibration is not None
    assert config["kennel"]["temperature"] == frozen_bundle.calibration.temperature
    notes = " ".join(config["kennel"]["notes"])
    assert "divided by temperature" in notes
    assert "rgb(127, 127, 127); the network was trained with rgb(128, 128, 128)" in notes


def small(**settings: Any) -> Model:
    return MambaOut(dims=[4, 8], depths=[1, 1], **settings).build(LABELS)


@pytest.mark.parametrize(
    "model",
    [
        lambda: MambaOut(dims=[4, 6, 8], depths=[1, 2, 1], image=ImageSettings(size=32)),
        lambda: MambaOut(
            dims=[4, 8, 8, 8],
            depths=[1, 1, 1, 1],
            head_fn="norm_mlp",
            conv_ratio=1.5,
            act_layer="silu",
            drop_rate=0.5,
            image=ImageSettings(size=32),
        ),
        lambda: EfficientNetLite0(pretrained=False, drop_rate=0.2, image=ImageSettings(size=33)),
        lambda: Timm(name="test_resnet.r160_in1k", pretrained=False, image=ImageSettings(size=40)),
    ],
    ids=["three stages", "every argument", "odd size, so that padding shows", "by its tagged name"],
)
def test_a_network_with_arguments_of_its_own_is_built_again(model: Any, tmp_path: Path) -> None:
    torch.manual_seed(1)
    built: Model = model().build(LABELS)
    size = built.preprocess.size
    batch = torch.randn(2, 3, size, size)
    bundle = replace(tiny_bundle(tmp_path / "tiny"), preprocess=built.preprocess)
    write_safetensors(built, bundle)
    opened = open_safetensors(listed(bundle, "safetensors"))
    with torch.inference_mode():
        ours = built.network.eval()(batch).numpy()
    np.testing.assert_allclose(opened.logits(batch.numpy()), ours, atol=1e-5)
    assert opened.preprocess == built.preprocess
    assert opened.labels == LABELS


@pytest.mark.parametrize("rule", ["crop", "letterbox", "squash"])
@pytest.mark.parametrize("kernel", ["bilinear", "bicubic", "lanczos"])
@pytest.mark.parametrize("name", list(WRITERS))
def test_the_preprocessing_is_read_back_from_what_was_written(
    name: str, rule: Any, kernel: Any, tmp_path: Path
) -> None:
    if name == "pt2" and (rule, kernel) != ("crop", "bilinear"):
        pytest.skip("pt2 keeps it as torchscript does, and takes a second")
    pre = Preprocess(
        size=32,
        mean=(0.1, 0.2, 1 / 3),
        std=(0.3, 0.4, 0.5),
        resize=rule,
        filter=kernel,
        crop=0.9,
        fill=(1, 2, 3),
    )
    bundle = replace(tiny_bundle(tmp_path / "tiny"), preprocess=pre)
    WRITERS[name](small(), bundle)
    assert OPENERS[name](listed(bundle, name)).preprocess == pre


@pytest.mark.parametrize("name", list(WRITERS))
def test_a_file_with_another_byte_is_not_opened(name: str, tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "tiny")
    if name == "pt2":  # a second to write, and never read: any file does
        (bundle.path / "model.pt2").write_bytes(b"not what was exported")
    else:
        WRITERS[name](small(), bundle)
    whole = listed(bundle, name)
    spoilt = bundle.path / FILES[name][0]
    content = bytearray(spoilt.read_bytes())
    content[len(content) // 2] ^= 1
    spoilt.write_bytes(content)
    with pytest.raises(BundleError, match="is not the file that was exported"):
        OPENERS[name](whole)


# torch alone

TORCH_ALONE = """
import json, sys
import torch
torch.set_num_threads(1)
model = torch.jit.load(sys.argv[1], map_location="cpu")
extra = {"labels.json": "", "preprocess.json": "", "calibration.json": ""}
torch.jit.load(sys.argv[1], _extra_files=extra)
batch = torch.load(sys.argv[2], weights_only=True)
with torch.no_grad():
    together, alone = model(batch), torch.cat([model(photo[None]) for photo in batch])
known = sorted({"kennel", "timm", "lightning", "torchvision"} & set(sys.modules))
print(json.dumps([together.tolist(), alone.tolist(), model.labels,
                  {name: json.loads(text) for name, text in extra.items()}, known]))
"""


def test_torch_alone_loads_the_traced_network_and_its_labels(
    exported: Bundle, dataset: Dataset, tmp_path: Path
) -> None:
    batch = photos_of(dataset, exported)[:3]
    torch.save(torch.from_numpy(batch), tmp_path / "batch.pt")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", TORCH_ALONE, exported.path / "model.pt",
         tmp_path / "batch.pt"],
        cwd=tmp_path, check=True, capture_output=True, text=True,
    )  # fmt: skip
    together, alone, labels, extra, known = json.loads(done.stdout)
    ours = onnx_logits(exported, batch)
    np.testing.assert_allclose(together, ours, atol=1e-4)
    np.testing.assert_allclose(alone, ours, atol=1e-4)
    assert tuple(labels) == tuple(extra["labels.json"]) == exported.labels
    assert extra["preprocess.json"]["mean"] == list(exported.preprocess.mean)
    assert exported.calibration is not None
    assert extra["calibration.json"]["temperature"] == exported.calibration.temperature
    assert known == []


@pytest.mark.parametrize("photos", [1, 5])
def test_torch_export_loads_the_program_for_a_batch_of_any_size(
    photos: int, exported: Bundle, dataset: Dataset
) -> None:
    batch = photos_of(dataset, exported)[:photos]
    program = torch.export.load(exported.path / "model.pt2").module()
    with torch.inference_mode():
        theirs = program(torch.from_numpy(batch)).numpy()
    np.testing.assert_allclose(theirs, onnx_logits(exported, batch), atol=1e-4)


# In the bundle


def test_every_format_is_named_compared_and_checked(exported: Bundle) -> None:
    kept = formats_in(exported)
    assert set(kept) >= {"onnx", "safetensors", "torchscript", "pt2"}
    assert [row.format for row in exported.parity] == list(kept)
    rest = set(exported.files) - {file for name in kept for file in FILES[name]}
    assert rest <= {"README.md", "bank.i8", "sketch.json"}
    on_disk = {path.name for path in exported.path.iterdir()}
    assert on_disk == set(exported.files) | {"bundle.json"}
    for name in exported.files:
        exported.file(name)
    for row in exported.parity:
        assert row.label_flips == 0
        assert row.max_abs_diff <= row.tolerance == (0.25 if row.format == "int8" else 1e-4)


def test_formats_that_a_bundle_lacks_are_added_to_it(
    tiny_run: Run, bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "tiny"
    words = ["export", str(tiny_run.path), "--to", str(home), "--json"]
    assert main(words) == 0
    (home / "report").mkdir()
    capsys.readouterr()
    assert main([*words, "--formats", "safetensors"]) == 0
    said = capsys.readouterr()
    document = json.loads(said.out)
    assert document["formats"] == ["onnx", "safetensors"]
    assert document["bundle_id"] == bundle.bundle_id
    assert [row["format"] for row in document["parity"]] == ["onnx", "safetensors"]
    assert document["parity_photos"] == {"seed": 0, "validation": 9, "train": 27, "awkward": 56}
    assert document["bytes"]["model.safetensors"] > 1000
    assert "arn" not in said.err  # neither warning nor Warning
    made = read_bundle(home)
    for name in made.files:
        made.file(name)
    assert (home / "report").is_dir()
    assert (made.metrics, made.calibration) == (bundle.metrics, bundle.calibration)
    assert "- safetensors: largest difference" in (home / "README.md").read_text(encoding="utf-8")
    # Fewer formats again: nothing is taken away.
    assert export(tiny_run, to=home) == made
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tiny"]
