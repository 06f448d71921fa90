"""Who may import whom: the contracts hold, and can fail; importing has no effect."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "kennel"
LINT = Path(sys.executable).with_name("lint-imports")
WORKSHOP = ("torch", "torchvision", "timm", "lightning", "hydra", "omegaconf")
HEAVY = (*WORKSHOP, "onnxruntime", "matplotlib")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The package in a project of its own, where violations may be planted."""
    shutil.copytree(SOURCE, tmp_path / "src" / "kennel", ignore=shutil.ignore_patterns("__pyc*"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def lint(project: Path) -> subprocess.CompletedProcess[str]:
    """lint-imports on the package below `project`, whatever is installed."""
    return subprocess.run(
        [sys.executable, LINT, "--no-cache"],
        cwd=project,
        env={"PYTHONPATH": str(project / "src"), "PYTHONUTF8": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_import_contracts_hold(copy: Path) -> None:
    done = lint(copy)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


@pytest.mark.parametrize(
    ("file", "planted", "broken"),
    [
        ("metrics.py", "import torch", "Photos, splits and figures need neither torch"),
        ("metrics.py", "import kennel.infer", "Imports go down the stairs"),
        ("images.py", "from kennel import splits", "Imports go down the stairs"),
        ("errors.py", "import numpy", "The ground floor is the standard library"),
        ("evaluate.py", "import onnxruntime", "Only infer knows onnxruntime"),
        ("infer.py", "import omegaconf", "Only the workshop knows torch"),
        ("ui/answers.py", "import torch", "The window knows Gradio and no torch"),
        ("ui/app.py", "from kennel.serve import app", "Imports go down the stairs"),
        ("registry/store.py", "import numpy", "The ground floor is the standard library"),
        ("registry/history.py", "from kennel.sources import s3", "Imports go down the stairs"),
        (
            "report/__init__.py",
            "def later():\n    from kennel.learn import models",
            "Imports go down the stairs",
        ),
    ],
)
def test_a_planted_import_breaks_its_contract(
    copy: Path, file: str, planted: str, broken: str
) -> None:
    path = copy / "src" / "kennel" / file
    with path.open("a", encoding="utf-8") as module:
        module.write(f"\n\n{planted}\n")
    done = lint(copy)
    assert done.returncode == 1, done.stdout + done.stderr
    assert any(line.startswith(broken) and "BROKEN" in line for line in done.stdout.splitlines())


def modules() -> list[str]:
    """Every module of the package."""
    paths = sorted(SOURCE.rglob("*.py"))
    names = [path.relative_to(SOURCE.parent).with_suffix("").parts for path in paths]
    return [".".join(parts).removesuffix(".__init__") for parts in names]


def imported(path: Path) -> set[str]:
    """Top-level packages that a file imports, at module level or inside a function."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


def test_only_the_workshop_and_the_doctor_import_torch_anywhere() -> None:
    strangers = {
        path.relative_to(SOURCE).as_posix(): sorted(imported(path) & set(WORKSHOP))
        for path in SOURCE.rglob("*.py")
        if path.relative_to(SOURCE).parts[0] != "learn" and imported(path) & set(WORKSHOP)
    }
    assert strangers == {"cli/doctor.py": ["torch"]}
    assert imported(SOURCE / "learn" / "models.py") >= {"torch", "timm"}  # the scan finds imports


def test_only_infer_and_the_quantiser_import_onnxruntime_anywhere() -> None:
    knowing = {path for path in SOURCE.rglob("*.py") if "onnxruntime" in imported(path)}
    assert knowing == {SOURCE / "infer.py", SOURCE / "learn" / "int8.py"}


def test_only_the_window_imports_gradio_anywhere() -> None:
    knowing = {path for path in SOURCE.rglob("*.py") if "gradio" in imported(path)}
    assert knowing == {SOURCE / "ui" / name for name in ("app.py", "dress.py", "inputs.py")}


def test_verbs_import_nothing_but_the_standard_library_at_module_level() -> None:
    # `kennel.errors` and `kennel.cli.progress` are standard library themselves.
    for path in (SOURCE / "cli").glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in tree.body:
            names = [node.module] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                own = name in ("kennel", "kennel.errors", "kennel.cli.progress")
                top = str(name).partition(".")[0]
                assert own or top in sys.stdlib_module_names, f"{path.name} imports {name}"


def test_importing_has_no_effect_and_loads_only_what_the_room_is_for(tmp_path: Path) -> None:
    rooms = [
        name
        for name in modules()
        if not name.startswith(("kennel.learn.", "kennel.ui.")) and name != "kennel.__main__"
    ]
    # Last: it alone loads onnxruntime, for itself and for those who answer photos by it.
    answering = ("kennel.serve", "kennel.drift.photos")
    rooms.sort(key=lambda name: (name.startswith(answering), name == "kennel.infer"))
    script = f"""
import importlib, json, logging, os, signal, sys
def state():
    return [len(logging.root.handlers), logging.root.level, signal.getsignal(signal.SIGINT),
            dict(os.environ), list(sys.argv), os.getcwd()]
before = state()
loaded = {{}}
for name in {rooms!r}:
    known = set(sys.modules)
    importlib.import_module(name)
    heavy = sorted(set({HEAVY!r}) & (set(sys.modules) - known))
    if heavy:
        loaded[name] = heavy
changed = [i for i, (a, b) in enumerate(zip(before, state())) if a != b]
print(json.dumps([loaded, changed]))
"""
    env = {**os.environ, "ORT_DISABLE_TELEMETRY": "1"}  # else kennel.infer sets it, as it must
    command = [sys.executable, "-c", script]
    done = subprocess.run(
        command, cwd=tmp_path, env=env, capture_output=True, text=True, check=True
    )
    assert "kennel.infer" in rooms
    assert json.loads(done.stdout) == [{"kennel.infer": ["onnxruntime"]}, []]
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_importing_the_workshop_has_no_effect_either(tmp_path: Path) -> None:
    rooms = [name for name in modules() if name.startswith("kennel.learn")]
    script = f"""
import importlib, json, logging, os
handlers = len(logging.root.handlers)
for name in {rooms!r}:
    importlib.import_module(name)
print(json.dumps([len(logging.root.handlers) - handlers]))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == [0]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_importing_the_window_writes_nothing_and_tells_nobody(tmp_path: Path) -> None:
    rooms = [name for name in modules() if name.startswith("kennel.ui")]
    script = f"""
import importlib, json, logging, os, socket, sys
def refuse(*_):
    raise AssertionError("somebody was asked")
socket.socket.connect = refuse
before = dict(os.environ)
handlers = len(logging.root.handlers)
for name in {rooms!r}:
    importlib.import_module(name)
heavy = sorted(set({HEAVY!r}) & set(sys.modules))
print(json.dumps([heavy, len(logging.root.handlers) - handlers,
                  os.environ["GRADIO_ANALYTICS_ENABLED"]]))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == [["onnxruntime"], 0, "False"]
    assert list(tmp_path.iterdir()) == []
    assert not list(SOURCE.rglob("*.pyi"))  # as Gradio writes them beside components of others
