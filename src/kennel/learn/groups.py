"""Which parameters learn how fast: the head, and the backbone by its depth.

Optimisers get groups of parameters, each with its learning rate; norms and biases have no weight
decay. `use_fallback` keeps the head from timm's Muon, which is for the matrices and kernels of the
backbone; other optimisers do not read it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from timm.models import group_parameters

from kennel.errors import UsageError
from kennel.learn.models import Network
from kennel.learn.settings import RecipeSettings


def parameter_groups(network: Network, recipe: RecipeSettings, *, lr: float | None) -> list[Any]:
    """The head; or head and backbone, the latter by depth where `recipe.layer_decay` is below 1.

    Args:
        lr: of the head; None leaves learning rates to the optimiser.
    Raises:
        UsageError: the network does not say how deep its layers lie.
    """
    if recipe.frozen:
        return [{"params": list(network.head.parameters()), "use_fallback": True}]
    head = {id(p) for p in network.head.parameters()}
    learning = {name: p for name, p in network.body.named_parameters() if p.requires_grad}
    parts: list[tuple[str, float, list[Any]]] = [
        ("head", 1.0, [p for p in learning.values() if id(p) in head])
    ]
    backbone = {name: p for name, p in learning.items() if id(p) not in head}
    if recipe.layer_decay == 1:
        parts.append(("backbone", recipe.backbone_lr, list(backbone.values())))
    else:
        depth = _depths(network, backbone)
        deepest = max(depth.values(), default=0)
        for layer in sorted(set(depth.values()), reverse=True):
            share = recipe.backbone_lr * recipe.layer_decay ** (deepest - layer)
            those = [p for name, p in backbone.items() if depth[name] == layer]
            parts.append((f"backbone_{layer}", share, those))
    groups: list[dict[str, Any]] = []
    for name, share, parameters in parts:
        own: dict[str, Any] = {} if lr is None else {"lr": lr * share}
        if name == "head":
            own["use_fallback"] = True
        many = [p for p in parameters if p.ndim > 1]
        few = [p for p in parameters if p.ndim <= 1]
        groups.append({"name": name, "params": many, **own})
        groups.append({"name": f"{name}_no_decay", "params": few, "weight_decay": 0.0, **own})
    return [group for group in groups if group["params"]]


def _depths(network: Network, backbone: Mapping[str, Any]) -> dict[str, int]:
    """Layer of each parameter of the backbone, 0 nearest to the photo: a block is a layer."""
    body: Any = network.body
    if not hasattr(body, "group_matcher"):
        raise UsageError(
            f"recipe.layer_decay needs to know which layer lies how deep, and "
            f"{type(body).__name__} does not say.",
            fix="recipe.layer_decay=1.0; recipe.backbone_lr gives the whole backbone one rate",
        )
    found = group_parameters(body, body.group_matcher(coarse=False), reverse=True)
    last = max((found[name] for name in backbone if name in found), default=0)
    return {name: found.get(name, last) for name in backbone}
