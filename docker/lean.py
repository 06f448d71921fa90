"""Takes out of an image's Python what only builds, installs or tests, and compiles the rest.

    python lean.py interpreter      of the Python that runs this
    python lean.py serving FOLDER   of an environment in FOLDER that only answers

Gone are installers (a server that can install is an attacker's), windows, tests, headers and type
stubs, and PARTS, each named with its reason; no module is guessed to be unused. What stays is
compiled here, because under a read-only root every start would compile it anew. Compiled files are
found valid without looking at times, so that the same input gives the same bytes.
"""

from __future__ import annotations

import compileall
import py_compile
import shutil
import sys
import sysconfig
from pathlib import Path

INSTALLERS = ("pip", "setuptools", "wheel", "pkg_resources", "_distutils_hack", "ensurepip")
WINDOWS = ("idlelib", "lib2to3", "tkinter", "turtledemo", "turtle.py", "pydoc_data")
COMMANDS = ("pip*", "wheel*", "idle*", "2to3*", "pydoc*", "python*-config")
FOLDERS = ("test", "tests", "__pycache__")
SOURCES = ("*.c", "*.h", "*.pxd", "*.pxi", "*.pyi", "*.pyx", "*.a")
PARTS = {
    # A whole second copy of the runtime, for programs in C; Python's has its own in
    # onnxruntime_pybind11_state (microsoft/onnxruntime#19938).
    "onnxruntime/capi/libonnxruntime.so.*": "34 MB",
    # Convert, quantise and optimise models: the workshop's, never the counter's.
    "onnxruntime/quantization": "2 MB",
    "onnxruntime/tools": "2 MB",
    "onnxruntime/transformers": "6 MB",
    # Build extensions.
    "numpy/distutils": "2 MB",
    "numpy/f2py": "1 MB",
}


def main(words: list[str]) -> None:
    if words == ["interpreter"]:
        folders = interpreter()
    elif len(words) == 2 and words[0] == "serving":
        folders = sorted(Path(words[1]).glob("lib/python3*/site-packages"))
        for folder in folders:
            for pattern in PARTS:
                remove(*folder.glob(pattern))
    else:
        sys.exit(__doc__)
    for folder in folders:
        take_out(folder)
        mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
        compileall.compile_dir(folder, quiet=2, invalidation_mode=mode)


def interpreter() -> list[Path]:
    """The folders of the standard library and of what is installed beside it; commands and
    headers are removed.
    """
    here = Path(__file__).resolve().parent
    for folder in (Path("/usr/local/bin"), Path("/usr/bin")):  # the official image's, Debian's
        for pattern in COMMANDS:
            remove(*folder.glob(pattern))
    remove(Path(sysconfig.get_path("include")), Path("/usr/share/python-wheels"))
    known = [sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"), *sys.path]
    found = {Path(path).resolve() for path in known if Path(path).is_dir()}
    return sorted(path for path in found if path != here)


def take_out(folder: Path) -> None:
    for name in (*INSTALLERS, *WINDOWS):
        remove(folder / name, *folder.glob(f"{name}-*.*-info"))
    remove(*folder.glob("config-3*"), folder / "distutils-precedence.pth")
    remove(*(path for path in sorted(folder.rglob("*")) if path.name in FOLDERS and path.is_dir()))
    for pattern in SOURCES:
        remove(*sorted(folder.rglob(pattern)))


def remove(*paths: Path) -> None:
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


if __name__ == "__main__":
    main(sys.argv[1:])
