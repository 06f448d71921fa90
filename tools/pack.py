"""A bundle as one file, the same bytes each time: tools/pack.py bundles/<id> dist

Every file is verified first; names, owners and times are of the bundle and not of this machine.
"""

from __future__ import annotations

import gzip
import io
import sys
import tarfile
from pathlib import Path

from kennel.bundle import read_bundle
from kennel.errors import KennelError
from kennel.named import bundle_named
from kennel.writing import replacing


def pack(path: Path, to: Path) -> Path:
    """Writes <to>/<bundle_id>.tar.gz."""
    path = bundle_named(path)
    bundle = read_bundle(path)
    for name in bundle.files:
        bundle.file(name)
    target = to / f"{bundle.bundle_id}.tar.gz"
    with (
        replacing(target, "wb") as file,
        gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for each in sorted(path.rglob("*")):
            if each.is_symlink() or not each.is_file():
                continue
            name = f"{bundle.bundle_id}/{each.relative_to(path).as_posix()}"
            content = each.read_bytes()
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o644
            archive.addfile(entry, io.BytesIO(content))
    return target


if __name__ == "__main__":
    try:
        print(pack(Path(sys.argv[1]), Path(sys.argv[2])))
    except KennelError as error:
        sys.exit(f"error: {error.message}\nfix: {error.fix}")
