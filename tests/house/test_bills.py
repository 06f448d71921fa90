"""`make sbom`: all that is in the wheel and in an image, as the schema of CycloneDX wants it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import stand_in

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
TOOLS = Path(sys.prefix) / "tools" / "bin"
STATUS = """\
Package: libc6
Status: install ok installed
Architecture: amd64
Version: 2.36-9+deb12u13
Depends: libgcc-s1, libcrypt1 (>= 1:4.4.10-10~)

Package: libgcc-s1
Status: install ok installed
Architecture: amd64
Version: 12.2.0-14+deb12u1

Package: gone
Status: deinstall ok not-installed
Architecture: amd64
Version: 1
"""
COPYRIGHT = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\n"
COPYRIGHT += "Files: *\nLicense: LGPL-2.1\n more words\n"
METADATA = """\
Metadata-Version: 2.4
Name: Starlette
Version: {starlette}
License-Expression: BSD-3-Clause
Requires-Dist: anyio<5,>=3.6.2
Requires-Dist: httpx; extra == 'full'

# a README
"""
TAKEN = """\
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
wrong = JsonStrictValidator(SchemaVersion.V1_6).validate_str(open(sys.argv[1]).read())
sys.exit(str(wrong) if wrong else 0)
"""


@pytest.fixture(autouse=True, scope="module")
def _tools() -> None:
    if not (TOOLS / "zizmor").exists():
        pytest.skip(f"there are no tools in {TOOLS}: make check brings them")


def bills(to: Path, *words: str, **environment: str) -> dict[str, Any]:
    command = [str(TOOLS / "python"), str(ROOT / "tools/sbom.py"), "--environment", sys.prefix]
    done = subprocess.run(
        [*command, "--to", str(to), *words],
        env={**os.environ, "SOURCE_DATE_EPOCH": "1790000000", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {p.name: json.loads(p.read_text(encoding="utf-8")) for p in to.glob("*.cdx.json")}


def taken(path: Path) -> bool:
    """Whether the schema of CycloneDX 1.6 takes a document."""
    words = [str(TOOLS / "python"), "-c", TAKEN, str(path)]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


@pytest.fixture(scope="module")
def of_the_wheel(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("bills")
    (folder / "kennel.whl").write_bytes(b"a wheel")
    return folder, bills(folder, "--wheel", str(folder / "kennel.whl"))


def test_there_is_a_bill_for_the_wheel_and_for_each_extra(
    of_the_wheel: tuple[Path, dict[str, Any]],
) -> None:
    _, found = of_the_wheel
    locks = {path.stem for path in (ROOT / "locks").glob("*.lock")}
    extras = locks - {"base", "build", "tools", "compose", "torch", "torch-cpu"}
    assert set(found) == {"kennel-ml.cdx.json", *(f"kennel-ml-{e}.cdx.json" for e in extras)}


def test_a_bill_lists_what_the_lock_has_with_purl_and_hashes(
    of_the_wheel: tuple[Path, dict[str, Any]],
) -> None:
    _, found = of_the_wheel
    bill = found["kennel-ml-serve.cdx.json"]
    lock = (ROOT / "locks/serve.lock").read_text(encoding="utf-8")
    pins = re.findall(r"^([a-z0-9-]+)==([^ ;\\\n]+)", lock, re.MULTILINE)
    assert sorted((c["name"], c["version"]) for c in bill["components"]) == sorted(pins)
    assert all(c["purl"] == f"pkg:pypi/{c['name']}@{c['version']}" for c in bill["components"])
    hashes = {
        row["content"]
        for c in bill["components"]
        for place in c["externalReferences"]
        for row in place["hashes"]
    }
    assert hashes == set(re.findall(r"sha256:([0-9a-f]{64})", lock))


def test_a_bill_says_whose_it_is_and_what_needs_what(
    of_the_wheel: tuple[Path, dict[str, Any]],
) -> None:
    _, found = of_the_wheel
    bill = found["kennel-ml-serve.cdx.json"]
    whole = bill["metadata"]["component"]
    assert whole["name"] == "kennel-ml"
    assert whole["licenses"] == [{"license": {"id": "Apache-2.0"}}]
    assert whole["hashes"] == [
        {"alg": "SHA-256", "content": hashlib.sha256(b"a wheel").hexdigest()}
    ]
    needs = {row["ref"]: row.get("dependsOn", []) for row in bill["dependencies"]}
    assert f"pkg:pypi/fastapi@{version('fastapi')}" in needs[whole["bom-ref"]]
    starlette = f"pkg:pypi/starlette@{version('starlette')}"
    assert starlette in needs[f"pkg:pypi/fastapi@{version('fastapi')}"]
    [said] = [c["licenses"] for c in bill["components"] if c["name"] == "starlette"]
    assert said == [{"license": {"id": "BSD-3-Clause"}}]


def test_most_libraries_say_their_licence(of_the_wheel: tuple[Path, dict[str, Any]]) -> None:
    """Of those that are installed here; for another Python or system nobody was asked."""
    _, found = of_the_wheel
    bill = found["kennel-ml-serve.cdx.json"]
    silent = {c["name"] for c in bill["components"] if not c.get("licenses")}
    assert silent <= {"numpy", "uvloop"}


def test_the_schema_takes_every_bill_and_would_refuse_a_wrong_one(
    of_the_wheel: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    folder, found = of_the_wheel
    assert found["kennel-ml.cdx.json"]["specVersion"] == "1.6"
    assert taken(folder / "kennel-ml-train.cdx.json")
    wrong = {**found["kennel-ml.cdx.json"], "components": [{"name": "nothing else"}]}
    (tmp_path / "wrong.json").write_text(json.dumps(wrong), encoding="utf-8")
    assert not taken(tmp_path / "wrong.json")


def files_of_an_image(folder: Path) -> Path:
    site = "opt/kennel/lib/python3.12/site-packages"
    held = {
        "var/lib/dpkg/status": STATUS,
        "usr/share/doc/libc6/copyright": COPYRIGHT,
        "usr/lib/os-release": 'ID=debian\nVERSION_ID="12"\n',
        f"{site}/starlette-1.dist-info/METADATA": METADATA.format(starlette=version("starlette")),
        f"{site}/anyio-4.dist-info/METADATA": "Metadata-Version: 2.1\nName: anyio\nVersion: 4.0\n",
        "opt/extensions/lambda-adapter": "a program",
        "etc/passwd": "root:x:0:0::/root:/bin/sh\n",
    }
    for name, text in held.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (folder / "etc/os-release").symlink_to("../usr/lib/os-release")
    return folder


def check_bill_of_the_image(bill: dict[str, Any]) -> None:
    parts = {c["bom-ref"]: c for c in bill["components"]}
    starlette = f"pkg:pypi/starlette@{version('starlette')}"
    libc = "pkg:deb/debian/libc6@2.36-9%2Bdeb12u13?arch=amd64&distro=debian-12"
    libgcc = "pkg:deb/debian/libgcc-s1@12.2.0-14%2Bdeb12u1?arch=amd64&distro=debian-12"
    program = "file:/opt/extensions/lambda-adapter"
    assert set(parts) == {starlette, "pkg:pypi/anyio@4.0", libc, libgcc, program}
    assert parts[libc]["licenses"] == [{"license": {"id": "LGPL-2.1"}}]
    assert parts[program]["hashes"][0]["content"] == hashlib.sha256(b"a program").hexdigest()
    # The lock knows this version of starlette, and not that one of anyio.
    assert parts[starlette]["externalReferences"][0]["hashes"]
    assert "externalReferences" not in parts["pkg:pypi/anyio@4.0"]
    needs = {row["ref"]: row.get("dependsOn", []) for row in bill["dependencies"]}
    assert needs[starlette] == ["pkg:pypi/anyio@4.0"]
    assert needs[libc] == [libgcc]


def test_an_image_is_listed_from_what_is_installed_in_it(tmp_path: Path) -> None:
    tree = files_of_an_image(tmp_path / "tree")
    with tarfile.open(tmp_path / "image.tar", "w") as tar:
        tar.add(tree, arcname=".")
    folder = ["--filesystem", f"kennel-serve={tree}"]
    packed = ["--filesystem", f"kennel-serve={tmp_path / 'image.tar'}"]
    found = bills(tmp_path / "one", *folder)
    check_bill_of_the_image(found["kennel-serve.cdx.json"])
    assert bills(tmp_path / "two", *packed) == found
    assert taken(tmp_path / "one" / "kennel-serve.cdx.json")


def test_an_image_is_found_in_the_store_of_who_built_it(tmp_path: Path) -> None:
    if why := stand_in.why_not():
        pytest.skip(why)
    tree = files_of_an_image(tmp_path / "tree")
    (tree / "Dockerfile").write_text("FROM scratch\nCOPY . /\n", encoding="utf-8")
    store = tmp_path / "store"
    done = stand_in.buildah("bud", "--tag", "localhost/kennel-serve", str(tree), store=store)
    assert done.returncode == 0, done.stderr
    settings = tmp_path / "storage.conf"
    where = f'graphroot = "{store}/root"\nrunroot = "{store}/run"\n'
    settings.write_text(f'[storage]\ndriver = "vfs"\n{where}', encoding="utf-8")
    found = bills(
        tmp_path / "bills",
        *("--image", "localhost/kennel-serve"),
        CONTAINERS_STORAGE_CONF=str(settings),
    )
    check_bill_of_the_image(found["localhost-kennel-serve.cdx.json"])
    shutil.rmtree(store)


def test_an_image_that_nobody_has_is_said(tmp_path: Path) -> None:
    command = [str(TOOLS / "python"), str(ROOT / "tools/sbom.py"), "--to", str(tmp_path)]
    done = subprocess.run(
        [*command, "--image", "localhost/kennel-cat"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "an image localhost/kennel-cat" in done.stderr
    assert "fix: make images" in done.stderr
