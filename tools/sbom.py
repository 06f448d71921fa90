"""Bills of materials, CycloneDX 1.6: what the wheel needs with each extra, what an image holds.

    sbom.py --to sbom                          from the locks: a file an extra
    sbom.py --to sbom --image kennel-serve     from an image of docker, podman or buildah
    sbom.py --to sbom --filesystem NAME=PATH   from a folder or tar of an image's files

Libraries come with purl, licence, the hashes of the locks, and what they need; the same input gives
the same bytes. Runs in the environment of locks/tools.lock, and writes nothing that the schema
refuses.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import sys
import tomllib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import Message
from email.parser import Parser
from functools import cache
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import (
    ExternalReference,
    ExternalReferenceType,
    HashAlgorithm,
    HashType,
    Property,
    XsUri,
)
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import License
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from image_files import Files, files_of, files_of_image
from packageurl import PackageURL
from packaging.markers import default_environment
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^([a-z0-9][a-z0-9._-]*)==([^ ;\\\n]+)([^\\\n]*)((?:.*\n +.*)*)", re.MULTILINE)
# How classifiers call what SPDX has a name for.
SPDX = {
    "Apache Software License": "Apache-2.0",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "MIT No Attribution License (MIT-0)": "MIT-0",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "The Unlicense (Unlicense)": "Unlicense",
}
# Of an image's files: libraries, packages of Debian, and programs that came by neither.
LIBRARY = re.compile(r"(?:.*/)?[^/]+\.dist-info/METADATA")
DPKG = re.compile(r"var/lib/dpkg/(?:status|status\.d/[^/]+(?<!\.md5sums))")
COPYRIGHT = re.compile(r"usr/share/doc/([^/]+)/copyright")
RELEASE = re.compile(r"(?:etc|usr/lib)/os-release")
PROGRAM = re.compile(r"opt/extensions/[^/]+|usr/local/bin/python3\.\d+")


@dataclass
class Part:
    """Something that is in it."""

    name: str
    version: str
    purl: PackageURL | None = None
    licences: list[str] = field(default_factory=list)
    hashes: list[str] = field(default_factory=list)  # sha256 of each file that the version may be
    needs: set[str] = field(default_factory=set)
    marker: str = ""
    program: str = ""  # sha256 of a file that belongs to no package

    @property
    def ref(self) -> str:
        return str(self.purl or f"file:{self.name}")


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--to", type=Path, required=True, help="folder that is written into")
    parser.add_argument("--environment", type=Path, default=ROOT / ".venv", help="knows licences")
    parser.add_argument("--image", action="append", default=[], metavar="NAME")
    parser.add_argument("--filesystem", action="append", default=[], metavar="NAME=PATH")
    parser.add_argument("--wheel", type=Path, help="whose sha256 is said")
    given = parser.parse_args(words)
    given.to.mkdir(parents=True, exist_ok=True)
    known = read_locks(ROOT / "requirements.lock", *(ROOT / "locks").glob("torch*.lock"))
    if not given.image and not given.filesystem:
        for name, bom in of_the_wheel(given.environment, given.wheel):
            write(bom, given.to / f"{name}.cdx.json")
    for name in given.image:
        with files_of_image(name) as files:
            write(of_an_image(name, files, known), given.to / f"{plain(name)}.cdx.json")
    for pair in given.filesystem:
        name, _, path = pair.partition("=")
        if not name or not Path(path).exists():
            parser.error(f"{pair}: say NAME=PATH, of a folder or a tar that is there")
        with files_of(Path(path)) as files:
            write(of_an_image(name, files, known), given.to / f"{plain(name)}.cdx.json")
    return 0


def of_the_wheel(environment: Path, wheel: Path | None) -> Iterator[tuple[str, Bom]]:
    """kennel-ml with nothing and with each extra, from the locks; licences as installed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    version = re.findall(r'__version__ = "(.+)"', (ROOT / "src/kennel/__init__.py").read_text())[0]
    installed = {}
    for path in sorted(environment.glob("lib/python*/site-packages/*.dist-info/METADATA")):
        part = library(path.read_bytes())
        installed[part.name, part.version.partition("+")[0]] = part
    for extra, more in ({"": []} | project["optional-dependencies"]).items():
        locks = [ROOT / "locks" / f"{extra or 'base'}.lock"]
        locks += [ROOT / "locks" / "torch.lock"] if extra == "train" else []
        parts = read_locks(*locks)
        for part in parts:
            if found := installed.get((part.name, part.version)):
                part.licences, part.needs = found.licences, found.needs
        name = f"kennel-ml[{extra}]" if extra else "kennel-ml"
        root = Component(
            name="kennel-ml",
            version=version,
            type=ComponentType.LIBRARY,
            bom_ref=name,
            description=project["description"],
            licenses=licences([project["license"]]),
            purl=PackageURL("pypi", name="kennel-ml", version=version),
            hashes=[sha256(hashlib.sha256(wheel.read_bytes()).hexdigest())] if wheel else [],
            properties=[Property(name="kennel:extra", value=extra)] if extra else [],
        )
        direct = {canonicalize_name(Requirement(r).name) for r in [*project["dependencies"], *more]}
        yield f"kennel-ml-{extra}" if extra else "kennel-ml", bill(root, parts, direct)


def of_an_image(name: str, files: Files, known: list[Part]) -> Bom:
    """Libraries and packages whose record lies there, and programs that came by neither."""
    parts, status, texts, release = [], [], {}, {}
    for path, read in files:
        if LIBRARY.fullmatch(path):
            parts.append(library(read()))
        elif DPKG.fullmatch(path):
            status.append(read().decode(errors="replace"))
        elif found := COPYRIGHT.fullmatch(path):
            texts[found[1]] = read().decode(errors="replace")
        elif RELEASE.fullmatch(path):
            release = dict(re.findall(r'^(\w+)="?([^"\n]*)', read().decode(), re.MULTILINE))
        elif PROGRAM.fullmatch(path):
            digest = hashlib.sha256(read()).hexdigest()
            parts.append(Part(f"/{path}", "", program=digest))
    hashes = {(part.name, part.version): part.hashes for part in known}
    for part in parts:
        part.hashes = hashes.get((part.name, part.version), [])
    parts += [p for text in status for p in packages(text, texts, release)]
    if not parts:
        sys.exit(f"{name} holds no library and no package: it is no image of Kennel's.")
    root = Component(name=name, type=ComponentType.CONTAINER, bom_ref=name)
    unneeded = {part.name for part in parts} - {need for part in parts for need in part.needs}
    return bill(root, parts, unneeded)


def library(metadata: bytes) -> Part:
    """A distribution of Python, from its METADATA."""
    said = Parser().parsestr(metadata.decode(errors="replace"))
    needs = set()
    for line in said.get_all("Requires-Dist", []):
        try:
            requirement = Requirement(line)
        except InvalidRequirement:  # of old tools; what it names cannot be told
            continue
        here: dict[str, str] = {**default_environment(), "extra": ""}  # type: ignore[dict-item]
        if requirement.marker is None or requirement.marker.evaluate(here):
            needs.add(canonicalize_name(requirement.name))
    name, version = canonicalize_name(said["Name"]), said["Version"]
    purl = PackageURL("pypi", name=name, version=version)
    return Part(name, version, purl, licences_of(said), needs=needs)


def licences_of(said: Message) -> list[str]:
    if expression := said["License-Expression"]:
        return [expression]
    classifiers = [
        line.rpartition(" :: ")[2]
        for line in said.get_all("Classifier", [])
        if line.startswith("License ::")
    ]
    named = [SPDX.get(line, line) for line in classifiers if line != "OSI Approved"]
    text = (said["License"] or "").strip()
    # Some write the whole text there.
    return named or ([text] if text and "\n" not in text and text.upper() != "UNKNOWN" else [])


def packages(status: str, copyrights: dict[str, str], release: dict[str, str]) -> Iterator[Part]:
    """Debian's packages, from dpkg's own list."""
    system = release.get("ID", "debian")
    distribution = f"{system}-{release['VERSION_ID']}" if "VERSION_ID" in release else system
    for paragraph in status.strip().split("\n\n"):
        said = Parser().parsestr(paragraph.strip() + "\n")
        if not said["Package"] or "not-installed" in (said["Status"] or ""):
            continue
        where = {"arch": said["Architecture"] or "all", "distro": distribution}
        purl = PackageURL("deb", system, said["Package"], said["Version"], where)
        needs = re.findall(r"(?:^|,)\s*([a-z0-9][a-z0-9.+-]+)", said["Depends"] or "")
        text = copyrights.get(said["Package"], "")
        names = sorted(set(re.findall(r"^License: *(\S.*)$", text, re.MULTILINE)))
        yield Part(said["Package"], said["Version"], purl, names, needs=set(needs))


def read_locks(*locks: Path) -> list[Part]:
    parts = []
    for lock in locks:
        for name, version, marker, hashes in BLOCK.findall(lock.read_text(encoding="utf-8")):
            purl = PackageURL("pypi", name=name, version=version)
            digests = re.findall(r"--hash=sha256:([0-9a-f]{64})", hashes)
            parts.append(Part(name, version, purl, hashes=digests, marker=marker.strip(" ;")))
    return parts


def bill(root: Component, parts: list[Part], direct: set[str]) -> Bom:
    """The document; nothing in it depends on when or where it was made."""
    bom = Bom()
    bom.metadata.component = root
    epoch = int(os.environ.get("SOURCE_DATE_EPOCH", "0"))
    bom.metadata.timestamp = datetime.fromtimestamp(epoch, UTC)
    unique = {part.ref: part for part in parts}
    components = {ref: component(part) for ref, part in sorted(unique.items())}
    for made in components.values():
        bom.components.add(made)
    by_name: dict[str, list[Component]] = {}
    for ref, part in unique.items():
        by_name.setdefault(part.name, []).append(components[ref])
    bom.register_dependency(root, [c for name in sorted(direct) for c in by_name.get(name, [])])
    for ref, part in unique.items():
        needed = [c for name in sorted(part.needs) for c in by_name.get(name, [])]
        bom.register_dependency(components[ref], [c for c in needed if c is not components[ref]])
    what = "\n".join([str(root.bom_ref), str(root.version), str(epoch), *sorted(unique)])
    bom.serial_number = uuid.uuid5(uuid.NAMESPACE_URL, what)
    return bom


def component(part: Part) -> Component:
    if part.program:
        return Component(
            name=part.name,
            type=ComponentType.FILE,
            bom_ref=part.ref,
            hashes=[sha256(part.program)],
        )
    places = []
    if part.hashes:
        page = XsUri(f"https://pypi.org/project/{part.name}/{part.version}/#files")
        what = "one of the files with these hashes"
        found = [sha256(digest) for digest in part.hashes]
        places = [
            ExternalReference(
                type=ExternalReferenceType.DISTRIBUTION, url=page, comment=what, hashes=found
            )
        ]
    return Component(
        name=part.name,
        version=part.version,
        type=ComponentType.LIBRARY,
        bom_ref=part.ref,
        purl=part.purl,
        licenses=licences(part.licences),
        external_references=places,
        properties=[Property(name="kennel:marker", value=part.marker)] if part.marker else [],
    )


def licences(said: list[str]) -> list[License]:
    """An expression stands alone, by the schema; of several each is a name or an id."""
    make = LicenseFactory()
    if len(said) == 1:
        return [make.make_from_string(said[0])]
    return [make.make_with_name(text) for text in said]


def sha256(digest: str) -> HashType:
    return HashType(alg=HashAlgorithm.SHA_256, content=digest)


def plain(name: str) -> str:
    """An image's name as a file's."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name)


@cache
def schema() -> JsonStrictValidator:
    return JsonStrictValidator(SchemaVersion.V1_6)


def write(bom: Bom, path: Path) -> None:
    """Raises SystemExit where the schema of CycloneDX refuses it."""
    text = JsonV1Dot6(bom).output_as_string(indent=1) + "\n"
    if wrong := schema().validate_str(text):
        sys.exit(f"{path.name} would be no CycloneDX 1.6: {wrong}")
    part = path.with_suffix(".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
    print(f"{path}  {len(bom.components)} parts")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
