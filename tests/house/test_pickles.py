"""Nothing that can run code is loaded: pickles, TorchScript, torch.export's archives."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "kennel"
PICKLERS = {
    "pickle",
    "cloudpickle",
    "dill",
    "joblib",
    "marshal",
    "shelve",
    "_pickle",
    "pickletools",
}
LOADERS = {
    "torch.load",
    "torch.jit.load",
    "torch.export.load",
    "torch.package.PackageImporter",
    "numpy.load",
    "np.load",
    "pandas.read_pickle",
    "lightning.LightningModule.load_from_checkpoint",
    "runpy.run_path",
}
ALLOWED = {
    # A checkpoint of the run that goes on, in its own folder: tensors alone.
    ("learn/resume.py", "torch.load"),
    # Weights that come with a package, after their sha256 matched: tensors alone.
    ("learn/models.py", "torch.load"),
    # What export wrote a moment ago in the same run, read back to see that it answers the same.
    ("learn/formats.py", "torch.jit.load"),
    ("learn/formats.py", "torch.export.load"),
}


def loads(source: str) -> set[str]:
    """What a module imports or calls that can run code from a file."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name in PICKLERS}
        elif isinstance(node, ast.ImportFrom):
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= names & LOADERS
            found |= {node.module} & PICKLERS if node.module else set()
        elif isinstance(node, ast.Attribute):
            name = ast.unparse(node)
            found |= {name} & LOADERS
            found |= {name} if node.attr == "load_from_checkpoint" else set()
        elif isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            found.add("allow_pickle")
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            found |= {node.func.id} & {"eval", "exec", "__import__"}
    return found


def test_no_module_loads_what_could_run_code() -> None:
    found = {
        (path.relative_to(SOURCE).as_posix(), name)
        for path in SOURCE.rglob("*.py")
        for name in loads(path.read_text(encoding="utf-8"))
    }
    assert found - ALLOWED == set()


def test_torch_is_told_to_read_tensors_alone() -> None:
    calls = [
        node
        for path in (SOURCE / "learn").glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load"
    ]
    assert len(calls) == 2
    for call in calls:
        assert {"weights_only=True"} <= {ast.unparse(keyword) for keyword in call.keywords}


@pytest.mark.parametrize(
    ("planted", "seen"),
    [
        ("import pickle", "pickle"),
        ("def later():\n    from joblib import load", "joblib"),
        ("import torch\ntorch.load('x')", "torch.load"),
        ("import torch\ntorch.jit.load('x')", "torch.jit.load"),
        ("from torch.export import load", "torch.export.load"),
        ("import numpy as np\nnp.load('x')", "np.load"),
        ("f(x, allow_pickle=True)", "allow_pickle"),
        ("Learner.load_from_checkpoint('x')", "Learner.load_from_checkpoint"),
        ("eval('1')", "eval"),
    ],
)
def test_a_planted_loader_would_be_seen(planted: str, seen: str) -> None:
    assert seen in loads(planted)
