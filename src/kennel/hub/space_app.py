"""A bundle in the browser. Written by `kennel space`, which writes it again: change it there.

pip install -r requirements.txt && python app.py
"""

import hashlib
import importlib
import json
import os
import sys
import tempfile
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main() -> int:
    """Serves the bundle that lies beside this file, until it is stopped."""
    with tempfile.TemporaryDirectory(prefix="kennel-") as folder:
        told = json.loads((HERE / "kennel-space.json").read_text(encoding="utf-8"))
        if told["wheel"] is not None:
            unpack(HERE / told["wheel"], told["files"][told["wheel"]]["sha256"], Path(folder))
        kennel = importlib.import_module("kennel.cli")  # now: before, it was not there
        inside = "SPACE_ID" in os.environ  # the Hub has the door; at home nobody else comes in
        words = ["ui", str(HERE / "bundle"), "--port", os.environ.get("GRADIO_SERVER_PORT", "7860")]
        words += ["--host", "0.0.0.0" if inside else "127.0.0.1"]  # noqa: S104
        if (HERE / "examples").is_dir():
            words += ["--examples", str(HERE / "examples")]
        return int(kennel.main([*words, *sys.argv[1:]]))


def unpack(wheel: Path, sha256: str, folder: Path) -> None:
    """Makes the Kennel of a wheel the one that is imported."""
    if hashlib.sha256(wheel.read_bytes()).hexdigest() != sha256:
        sys.exit(f"error: {wheel.name} is not the file that was sent.\nfix: kennel space, again")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    sys.path.insert(0, str(folder))


if __name__ == "__main__":
    sys.exit(main())
