"""Writes requirements.lock and locks/*.lock from pyproject.toml: names, versions and hashes.

`make lock` keeps every version that still fits. `make lock ARGS=--upgrade` takes the newest of all,
`make lock ARGS="--upgrade-package NAME"` of one. One resolution holds for Python 3.11 and later, on
Linux and macOS; the lock of an extra is copied out of it, so that locks can be installed together.
No lock names an index: where files come from is said where they are installed.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
LOCKS = ROOT / "locks"
APP = ROOT / "deploy" / "aws" / "requirements.lock"
UV = os.environ.get("UV", "uv")
# Torch comes in builds that need different things: it has locks of its own.
TORCH = re.compile(r"(torch|torchvision|triton|cuda-.+|nvidia-(?!ml-py=).+)==")
WHOLE = [ROOT / "requirements.lock", LOCKS / "torch.lock"]
CPU_WHEELS = os.environ.get("CPU_WHEELS", "https://download.pytorch.org/whl/cpu/torch/")
COMPILE = """pip compile --universal --python-version 3.11 --quiet --generate-hashes --no-header
    --no-annotate --no-emit-index-url --no-emit-find-links"""
BUILD = ("editables", "setuptools", "uv", "wheel")  # besides what pyproject.toml builds with
# In the files, so that nobody forgets them. A wheel runs nothing when it is installed; one library
# has none.
OPTIONS = """\
--require-hashes
--only-binary :all:
--no-binary antlr4-python3-runtime
"""


def main(words: list[str]) -> None:
    """Every lock, from one resolution of every extra; `words` go to uv."""
    everything = resolve("pyproject.toml", "--all-extras", *words)
    torch = [block for block in everything if TORCH.match(block)]
    rest = [block for block in everything if not TORCH.match(block)]
    pins = ", ".join(
        head(block) for block in torch if block.startswith(("torch==", "torchvision=="))
    )
    write(WHOLE[0], rest, f"every extra; {pins} in locks/torch*.lock")
    write(WHOLE[1], torch, "torch as it usually comes: for CUDA on Linux")
    processors = for_processors(torch)
    write(LOCKS / "torch-cpu.lock", processors, "torch without CUDA, from PyTorch's own index")

    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    for extra in ("", *settings["project"]["optional-dependencies"]):
        only = ("--extra", extra) if extra else ()
        wanted = {head(block) for block in resolve("pyproject.toml", *only, within=everything)}
        part = [block for block in rest if head(block) in wanted]
        assert part, extra
        what = f"kennel-ml[{extra}]" if extra else "kennel-ml"
        write(LOCKS / f"{extra or 'base'}.lock", part, what)

    given = "\n".join([*BUILD, *settings["build-system"]["requires"]])
    build = resolve("-", given=given, within=everything)
    write(LOCKS / "build.lock", build, "what builds and installs Kennel")
    for group, what in (("tools", "make check, make sbom"), ("compose", "docker-compose config")):
        write(LOCKS / f"{group}.lock", resolve(None, "--group", group, *words), what)
    own = "deploy/aws/pyproject.toml"
    app = resolve(own, "--group", f"{own}:test", *words, stands=[APP])
    write(APP, app, "the CDK app, and its tests")


def resolve(
    source: str | None,
    *words: str,
    given: str = "",
    within: list[str] | None = None,
    stands: list[Path] | None = None,
) -> list[str]:
    """Blocks "name==version ; marker" with their hashes, as uv resolves them.

    Args:  source: pyproject.toml, "-" for what is given, or nothing for a group.
           within: blocks of another resolution that this one must be a part of; else versions
                   of the locks that stand are kept where they fit.
           stands: those locks, where they are not the usual ones.
    """
    with tempfile.TemporaryDirectory() as folder:
        out, held = Path(folder, "out"), Path(folder, "held")
        if within is None:
            locks = stands or ([LOCKS / f"{words[1]}.lock"] if source is None else WHOLE)
            stand = [path.read_text(encoding="utf-8") for path in locks if path.exists()]
            out.write_text("".join(stand), encoding="utf-8")
            held = LOCKS / "held.txt"
        else:
            held.write_text(
                "\n".join(re.sub(r" *\\.*", "", b, flags=re.DOTALL) for b in within), "utf-8"
            )
        # Wheels that lie on this machine must not be what all others are told to take.
        environment = {
            k: v for k, v in os.environ.items() if k not in {"UV_FIND_LINKS", "UV_TORCH_BACKEND"}
        }
        command = [UV, *COMPILE.split(), "--constraints", str(held), "-o", str(out), *words]
        command += [source] if source else []
        subprocess.run(command, cwd=ROOT, check=True, input=given, text=True, env=environment)
        return blocks(out)


def for_processors(torch: list[str]) -> list[str]:
    """The builds without CUDA, of PyTorch's own index; where it is out of reach, as they stand.

    torchvision stays the usual one: it works beside both (learn/torchvision_gate.py).
    """
    usual = {block.split("==")[0]: block for block in torch}
    wanted = f"{head(usual['torch'])}+cpu"
    linux = "sys_platform == 'linux'"
    try:
        [block] = resolve("-", "--no-deps", "--find-links", CPU_WHEELS, given=wanted, within=[])
        hashes = block.partition("\n")[2]
    except subprocess.CalledProcessError:
        stands = [b for b in blocks(LOCKS / "torch-cpu.lock") if head(b) == wanted]
        if not stands:
            sys.exit(
                f"{wanted} is in no lock yet, and {CPU_WHEELS} is out of reach: "
                "run make lock where there is network."
            )
        print(
            f"{CPU_WHEELS} is out of reach: the hashes of {wanted} stay as they are.",
            file=sys.stderr,
        )
        hashes = stands[0].partition("\n")[2]
    elsewhere = usual["torch"].partition("\n")[2]
    return [
        f"{wanted} ; {linux} \\\n{hashes}",
        f"{head(usual['torch'])} ; {linux.replace('==', '!=')} \\\n{elsewhere}",
        usual["torchvision"],
    ]


def head(block: str) -> str:
    """name==version"""
    return re.split(r"[ ;\\]", block, maxsplit=1)[0]


def blocks(path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8")
    return [
        found.group() for found in re.finditer(r"^[A-Za-z0-9].*(?:\n +.*)*", text, re.MULTILINE)
    ]


def write(path: Path, found: list[str], what: str) -> None:
    lines = [f"# Written by 'make lock' from pyproject.toml: {what}.", OPTIONS.strip(), *found]
    text = "\n".join(lines) + "\n"
    part = path.with_suffix(".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


if __name__ == "__main__":
    main(sys.argv[1:])
