"""Who learns how fast: head, backbone, layer by layer, and which optimiser moves what."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from pictures import NO_LOGGER, TINY, column, train_with
from safetensors.torch import load_file
from timm.optim import Muon
from torch import nn

from kennel.dataset import Dataset
from kennel.errors import UsageError
from kennel.learn.groups import parameter_groups
from kennel.learn.models import ImageSettings, MambaOut, Network
from kennel.learn.settings import RecipeSettings
from kennel.run import BEST_WEIGHTS, Run

pytestmark = pytest.mark.slow


@pytest.fixture
def network() -> Network:
    image = ImageSettings(size=32)
    return MambaOut(dims=[4, 8], depths=[1, 2], image=image).build(("Beagle", "Boxer")).network


def groups_of(network: Network, **recipe: Any) -> dict[str, dict[str, Any]]:
    found = parameter_groups(network, RecipeSettings(**recipe), lr=1.0)
    return {group["name"]: group for group in found}


def run_of(dataset: Dataset, out: Path, *more: str) -> Run:
    return train_with([*TINY, f"data.csv={dataset.csv}", f"paths.output_dir={out}", *more])


@pytest.mark.parametrize("layer_decay", [1.0, 0.5])
def test_every_parameter_is_in_one_group_and_flat_ones_have_no_weight_decay(
    layer_decay: float, network: Network
) -> None:
    groups = groups_of(network, layer_decay=layer_decay)
    found = [p for group in groups.values() for p in group["params"]]
    assert len(found) == len({id(p) for p in found}) == len(list(network.parameters()))
    for group in groups.values():
        flat = group.get("weight_decay") == 0.0
        assert all((p.ndim <= 1) == flat for p in group["params"])


def test_the_backbone_learns_at_its_share() -> None:
    network = MambaOut(dims=[4, 8], depths=[1, 1]).build(("Beagle", "Boxer")).network
    rates = {name: group["lr"] for name, group in groups_of(network, backbone_lr=0.25).items()}
    assert rates.pop("head") == rates.pop("head_no_decay") == 1.0
    assert rates == {"backbone": 0.25, "backbone_no_decay": 0.25}


def test_each_layer_learns_at_its_share_of_the_one_above_it(network: Network) -> None:
    groups = groups_of(network, backbone_lr=0.5, layer_decay=0.8)
    layers = sorted(
        {int(name.split("_")[1]) for name in groups if name.startswith("backbone")}, reverse=True
    )
    assert len(layers) > 3
    assert groups["head"]["lr"] == 1.0
    assert groups[f"backbone_{layers[0]}_no_decay"]["lr"] == pytest.approx(0.5)
    for upper, lower in pairwise(layers):
        above, below = (groups[f"backbone_{layer}_no_decay"]["lr"] for layer in (upper, lower))
        assert below == pytest.approx(0.8 * above)
    stem = {id(p) for p in network.body.stem.parameters()}  # type: ignore[union-attr]
    lowest = {id(p) for p in groups[f"backbone_{layers[-1]}"]["params"]}
    assert lowest <= stem


def test_layers_keep_their_rates_in_a_run(dataset: Dataset, tmp_path: Path) -> None:
    run = run_of(dataset, tmp_path / "run", "logger=csv", "recipe.layer_decay=0.5")
    head, stem = column(run, "lr-AdamW/head"), column(run, "lr-AdamW/backbone_0")
    deepest = min(stem[i] / head[i] for i in range(len(head)))
    assert all(a / b == pytest.approx(deepest) for a, b in zip(stem, head, strict=True))
    assert deepest < 0.3


def test_a_network_that_does_not_say_how_deep_its_layers_lie_is_refused(network: Network) -> None:
    class Foreign(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, 2)

        def get_classifier(self) -> nn.Module:
            return self.fc

    with pytest.raises(UsageError, match=r"recipe\.layer_decay .* Foreign"):
        groups_of(Network(Foreign()), layer_decay=0.9)


@pytest.mark.parametrize("value", ["0", "1.1", "some"])
def test_a_layer_decay_out_of_range_is_refused(
    value: str, dataset: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"recipe\.layer_decay"):
        run_of(dataset, tmp_path / "run", f"recipe.layer_decay={value}")


# Muon


def test_muon_moves_matrices_of_the_backbone_and_adamw_the_rest(network: Network) -> None:
    optimizer = Muon(parameter_groups(network, RecipeSettings(), lr=1e-3), lr=1e-3)
    for parameter in network.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimizer.step()
    moved = {
        name for name, p in network.named_parameters() if optimizer.state[p].get("use_muon") is True
    }
    head = {f"head.{name}" for name, _ in network.head.named_parameters()}
    assert moved
    assert not any(name.endswith(tuple(head)) or "head.fc" in name for name in moved)
    sizes = dict(network.named_parameters())
    assert all(sizes[name].ndim > 1 for name in moved)
    assert all(sizes[name].shape[1] > 1 for name in moved)  # depthwise kernels are no matrices
    assert any(sizes[name].ndim == 4 and sizes[name].shape[2] > 1 for name in moved)


def test_a_run_with_muon_learns_and_goes_on_as_if_it_had_not_been_stopped(
    dataset: Dataset, tmp_path: Path
) -> None:
    more = ("optimizer=muon", "optimizer.lr=5e-3", "recipe.layer_decay=0.9", "logger=csv")
    whole = run_of(dataset, tmp_path / "whole", *more)
    losses = column(whole, "train/loss_step")
    assert losses[-1] < losses[0]
    stop = "+callbacks.stop={_target_: pictures.Interrupting, epoch: 1}"
    with pytest.raises(KeyboardInterrupt):
        run_of(dataset, tmp_path / "parts", *more, stop)
    parts = run_of(dataset, tmp_path / "parts", *more, "ckpt_path=last")
    ours, theirs = (load_file(run.path / BEST_WEIGHTS) for run in (whole, parts))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_schedule_moves_the_rates_of_both_halves_of_muon(
    dataset: Dataset, tmp_path: Path
) -> None:
    words = ("optimizer=muon", "schedule=flat_cosine", "logger=csv")
    rates = column(run_of(dataset, tmp_path / "run", *words), "lr-Muon/backbone")
    assert rates[0] > rates[-1]


def test_muon_refuses_what_it_cannot_read(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="spatial"):
        run_of(
            dataset, tmp_path / "run", *NO_LOGGER, "optimizer=muon", "+optimizer.conv_mode=spatial"
        )
