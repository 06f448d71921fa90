"""What the locks promise: hashes, one resolution, every platform, no index, no known poison."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[2]
WHOLE = ROOT / "requirements.lock"
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"][
    "optional-dependencies"
]
OF_EXTRAS = {extra: ROOT / "locks" / f"{extra}.lock" for extra in ("base", *EXTRAS)}
TORCH = [ROOT / "locks" / name for name in ("torch.lock", "torch-cpu.lock")]
OTHERS = [ROOT / "locks" / name for name in ("build.lock", "tools.lock", "compose.lock")]
APP = ROOT / "deploy" / "aws" / "requirements.lock"
EVERY = [WHOLE, APP, *OF_EXTRAS.values(), *TORCH, *OTHERS]
BLOCK = re.compile(r"^([a-z0-9][a-z0-9._-]*)==([^ ;\\\n]+)(.*(?:\n +.*)*)", re.MULTILINE)
# Releases that were malware or let strangers in, and the first that does not.
BAD = {
    "gradio": "6.20",
    "lightning": "2.6.6",  # 2.6.2 and 2.6.3 were malware; up to 2.6.5 a checkpoint could run code
    "pytorch-lightning": "2.6.6",
    "onnx": "1.21",
    "pillow": "12.3",
    "python-multipart": "0.0.31",
    "starlette": "0.49.1",
    "torch": "2.10",
}
LINUX = {"sys_platform": "linux", "os_name": "posix", "platform_system": "Linux"}
MACOS = {"sys_platform": "darwin", "os_name": "posix", "platform_system": "Darwin"}
MACHINES = [
    {**LINUX, "platform_machine": "x86_64"},
    {**LINUX, "platform_machine": "aarch64"},
    {**MACOS, "platform_machine": "arm64"},
]


def lines(lock: Path) -> dict[tuple[str, str], str]:
    """(name, version) -> the rest: marker and hashes."""
    found = BLOCK.findall(lock.read_text(encoding="utf-8"))
    return {(name, version): rest for name, version, rest in found}


@pytest.mark.parametrize("lock", EVERY, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_library_has_a_version_and_hashes(lock: Path) -> None:
    text = lock.read_text(encoding="utf-8")
    written = [line for line in text.splitlines() if re.match(r"[A-Za-z0-9]", line)]
    assert len(written) == len(lines(lock)) > 0
    bare = [
        k for k, rest in lines(lock).items() if not re.search(r"--hash=sha256:[0-9a-f]{64}", rest)
    ]
    assert bare == []


@pytest.mark.parametrize("lock", EVERY, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_lock_asks_for_hashes_and_wheels_and_names_no_index(lock: Path) -> None:
    head, *rest = lock.read_text(encoding="utf-8").splitlines()
    assert head.startswith("# Written by 'make lock'")
    options = [line for line in rest if not re.match(r"[a-z0-9 ]", line)]
    assert options == [
        "--require-hashes",
        "--only-binary :all:",
        "--no-binary antlr4-python3-runtime",
    ]
    assert not re.search(r"://|--index|--find-links|file:|/opt/", "\n".join([head, *rest]))


@pytest.mark.parametrize("extra", OF_EXTRAS)
def test_the_lock_of_an_extra_is_a_part_of_the_whole(extra: str) -> None:
    whole, part = lines(WHOLE), lines(OF_EXTRAS[extra])
    assert {key: whole.get(key) for key in part} == part
    assert len(part) < len(whole)


@pytest.mark.parametrize("extra", OF_EXTRAS)
def test_the_lock_of_an_extra_has_all_that_the_extra_names(extra: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = [*project["dependencies"], *EXTRAS.get(extra, [])]
    held = {**lines(OF_EXTRAS[extra]), **(lines(TORCH[0]) if extra == "train" else {})}
    for line in wanted:
        requirement = Requirement(line)
        versions = [version for name, version in held if name == requirement.name]
        assert versions, line
        assert all(requirement.specifier.contains(version) for version in versions), line


def test_the_lock_of_the_cdk_app_has_all_that_it_names() -> None:
    told = tomllib.loads(APP.with_name("pyproject.toml").read_text("utf-8"))
    held = lines(APP)
    for line in [*told["project"]["dependencies"], *told["dependency-groups"]["test"]]:
        requirement = Requirement(line)
        versions = [version for name, version in held if name == requirement.name]
        assert versions, line
        assert all(requirement.specifier.contains(version) for version in versions), line


def test_the_whole_is_what_the_extras_need_and_nothing_else() -> None:
    parts = {key for lock in OF_EXTRAS.values() for key in lines(lock)}
    assert parts == set(lines(WHOLE))


def test_what_answers_brings_neither_torch_nor_what_trains() -> None:
    heavy = {"torch", "torchvision", "lightning", "timm", "hydra-core", "scipy", "matplotlib"}
    for extra in ("base", "serve"):
        assert not heavy & {name for name, _ in lines(OF_EXTRAS[extra])}, extra
    assert not {"torch", "lightning", "timm"} & {name for name, _ in lines(OF_EXTRAS["ui"])}


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
@pytest.mark.parametrize(
    "machine", MACHINES, ids=lambda m: f"{m['sys_platform']}-{m['platform_machine']}"
)
@pytest.mark.parametrize("torch", TORCH, ids=lambda path: path.stem)
def test_a_library_has_one_version_wherever_it_is_installed(
    torch: Path, machine: dict[str, str], python: str
) -> None:
    place = {**machine, "python_version": python, "python_full_version": f"{python}.4"}
    place |= {"implementation_name": "cpython", "platform_python_implementation": "CPython"}
    chosen: dict[str, list[str]] = {}
    for (name, version), rest in {**lines(WHOLE), **lines(torch)}.items():
        marker = rest.partition("\\")[0].strip().lstrip("; ")
        if not marker or Marker(marker).evaluate(place):
            chosen.setdefault(name, []).append(version)
    assert {name: found for name, found in chosen.items() if len(found) > 1} == {}
    assert chosen["torch"] == [torch_version(torch, machine)]
    assert {"numpy", "scipy", "onnxruntime", "torchvision"} <= set(chosen)


def torch_version(torch: Path, machine: dict[str, str]) -> str:
    plain = torch.name == "torch.lock" or machine["sys_platform"] != "linux"
    return "2.13.0" if plain else "2.13.0+cpu"


def test_torch_for_processors_brings_nothing_for_graphics_cards() -> None:
    cards = {name for name, _ in lines(TORCH[0])} - {"torch", "torchvision"}
    assert "nvidia-cublas" in cards
    assert not cards & {name for lock in (WHOLE, TORCH[1]) for name, _ in lines(lock)}


def test_what_builds_fits_beside_what_runs() -> None:
    whole = dict(lines(WHOLE))
    for name, version in lines(OTHERS[0]):
        assert {v for n, v in whole if n == name} <= {version}, name


@pytest.mark.parametrize("name", BAD)
def test_no_lock_has_a_release_that_was_malware_or_open(name: str) -> None:
    found = {v for lock in (WHOLE, *TORCH) for n, v in lines(lock) if n == name}
    assert found, name
    assert min(map(Version, found)) >= Version(BAD[name])


@pytest.mark.parametrize("name", [name for name in BAD if name != "pytorch-lightning"])
def test_who_installs_without_a_lock_gets_no_release_that_was_malware_or_open(name: str) -> None:
    """The floors in the wheel's own metadata. pytorch-lightning comes as lightning's part."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    every = [*project["dependencies"], *(line for extra in EXTRAS.values() for line in extra)]
    asked = [Requirement(line) for line in every if Requirement(line).name == name]
    assert asked, name
    floor = Version(BAD[name])
    for requirement in asked:
        floors = [Version(s.version) for s in requirement.specifier if s.operator in {">=", "=="}]
        assert floors, requirement
        assert max(floors) >= floor, requirement


def test_the_guide_installs_every_lock_of_an_extra() -> None:
    said = (ROOT / "docs/guide/install.md").read_text(encoding="utf-8")
    for extra in OF_EXTRAS:
        assert f"locks/{extra}.lock" in said or f"`{extra}`" in said, extra
    built = {
        e for e, lock in OF_EXTRAS.items() if ("antlr4-python3-runtime", "4.9.3") in lines(lock)
    }
    assert built == set(
        re.findall(r"`(\w+)`", re.findall(r"(`train`.*?) have one library", said)[0])
    )
