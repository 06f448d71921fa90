"""Lets torchvision be imported beside a CPU build of torch.

PyPI's torchvision is linked against CUDA torch. Beside a CPU torch its compiled operators do not
load, and the import dies with "operator torchvision::nms does not exist"; timm, torchmetrics and
lightning import torchvision and die with it. Kennel uses none of those operators (transforms are
plain torch), so their two schemas are declared where the library does not load; one without a
kernel still raises when somebody calls it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

_declared: list[
    Any
] = []  # a torch.library.Library takes its operators with it when it is collected


class _Gate(MetaPathFinder):
    """Opens the gate just before torchvision's first import, and is gone."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname == "torchvision":
            sys.meta_path.remove(self)
            _declare_operators()
        return None


def stand_by() -> None:
    """Sees to it that `import torchvision` works, whoever does it and whenever."""
    if "torchvision" not in sys.modules and not any(isinstance(f, _Gate) for f in sys.meta_path):
        sys.meta_path.insert(0, _Gate())


def _declare_operators() -> None:
    import torch

    library: Any = torch.library  # untyped in torch
    operators: Any = torch.ops
    spec = PathFinder.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return
    try:
        for compiled in sorted(Path(spec.origin).parent.glob("_C*.so")):
            operators.load_library(str(compiled))
    except OSError:
        fragment = library.Library("torchvision", "FRAGMENT")
        for name in ("nms", "qnms"):
            fragment.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _declared.append(fragment)
