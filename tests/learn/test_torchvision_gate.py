"""torchvision can be imported beside a CPU build of torch, whoever imports it first."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow


def in_a_fresh_process(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("first", ["timm", "lightning"])
def test_torchvision_can_be_imported_whoever_comes_first(first: str) -> None:
    done = in_a_fresh_process(
        f"import kennel.learn, {first}, sys\n"
        "from torchvision.transforms import v2\n"
        "assert not [f for f in sys.meta_path if type(f).__name__ == '_Gate']\n"
        "print(v2.Resize(4))"
    )
    assert done.returncode == 0, done.stderr
    assert "Resize" in done.stdout


def test_importing_the_room_loads_none_of_its_libraries() -> None:
    done = in_a_fresh_process(
        "import sys, kennel.learn\n"
        "print([m for m in ('torch', 'torchvision', 'timm', 'lightning', 'hydra') "
        "if m in sys.modules])"
    )
    assert done.stdout.strip() == "[]", done.stderr
