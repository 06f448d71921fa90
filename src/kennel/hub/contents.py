"""Which files a Space or a model's repository has, from where they lie or written for it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files as shipped
from pathlib import Path, PurePosixPath

from kennel.bundle import BUNDLE_JSON, MODEL_SIG, Bundle
from kennel.errors import BundleError
from kennel.formats import FILES
from kennel.hub.address import MODEL, SPACE, Address
from kennel.hub.manifest import manifest_file
from kennel.hub.readme import readme_text
from kennel.hub.requirements import lock_text, requirements_text, sdk_version
from kennel.hub.space_file import SpaceFile
from kennel.hub.which_kennel import Kennel
from kennel.measured import evaluation_of
from kennel.untrusted import opened

PICTURE = "report/confusion_test.png"  # the card shows it
AGAIN = "copy the bundle again"
OF_THE_HUB = ".gitattributes"  # it says which files are large, and mends that itself
PICKLES = {".pt", ".pth", ".pt2", ".ckpt", ".bin", ".pkl", ".pickle", ".joblib", ".npy", ".npz"}


@dataclass(frozen=True)
class Contents:
    """What a Space, or a model's repository, is made of.

    Attributes:
        files: sorted by path, the manifest among them.
        kennel: what runs in the Space, as a line or as a file's name.
    """

    bundle_id: str
    files: tuple[SpaceFile, ...]
    kennel: str = ""

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(file.size for file in self.files)


def contents(
    bundle: Bundle, *, to: Address | None, kennel: Kennel, examples: Sequence[Path] = ()
) -> Contents:
    """The files of a Space.

    Args:
        to: its name, for the title; None takes the bundle's.
        examples: photos to try. Their names stay at home.
    Raises:
        BundleError: a file of the bundle is missing or is not what bundle.json says.
        KennelError: Kennel was not installed whole.
    """
    lock = lock_text()
    title = to.name if to is not None else bundle.bundle_id
    page = readme_text(bundle, title=title, sdk_version=sdk_version(lock))
    app = shipped("kennel.hub").joinpath("space_app.py").read_bytes()
    found = [
        SpaceFile.of("README.md", page.encode()),
        SpaceFile.of("app.py", app),
        SpaceFile.of("requirements.lock", lock.encode()),
        SpaceFile.of("requirements.txt", requirements_text(lock, kennel=kennel.line).encode()),
        *_of_bundle(bundle, "bundle/"),
        *(
            SpaceFile.of(f"examples/{place}{path.suffix.lower()}", path)
            for place, path in enumerate(examples, 1)
        ),
    ]
    wheel = None
    if kennel.wheel is not None:
        wheel = f"wheels/{kennel.wheel.name}"
        # Its bytes, not its place: the wheel of a checkout lies in a folder that goes.
        found.append(SpaceFile.of(wheel, kennel.wheel.read_bytes()))
    found.append(manifest_file(found, SPACE, bundle_id=bundle.bundle_id, wheel=wheel))
    ordered = tuple(sorted(found, key=lambda file: file.path))
    return Contents(bundle.bundle_id, ordered, wheel or str(kennel.line))


def model_contents(bundle: Bundle) -> Contents:
    """The files of a model's repository, in timm's layout: the bundle as it is, and the manifest.

    Raises:
        BundleError: it lacks what timm loads, holds what is a pickle inside, or a file of it is
            missing or is not what bundle.json says.
    """
    again = f"kennel export runs/{bundle.lineage.run_id} --formats onnx,safetensors"
    if missing := [name for name in FILES["safetensors"] if name not in bundle.files]:
        raise BundleError(
            f"{bundle.path} has no {', '.join(missing)}, which timm loads.", fix=again
        )
    refuse_pickles(bundle, fix=again)
    if taken := [name for name in (MODEL.manifest, OF_THE_HUB) if name in bundle.files]:
        raise BundleError(f"{bundle.path} has a {taken[0]}, which is the Hub's.", fix=again)
    found = list(_of_bundle(bundle, ""))
    found.append(manifest_file(found, MODEL, bundle_id=bundle.bundle_id))
    return Contents(bundle.bundle_id, tuple(sorted(found, key=lambda file: file.path)))


def refuse_pickles(bundle: Bundle, *, fix: str) -> None:
    """Refuses a bundle with files that torch opens by unpickling: whoever loads one runs it.

    Raises:
        BundleError: it has such files.
    """
    found = [name for name in bundle.files if PurePosixPath(name).suffix.lower() in PICKLES]
    if found:
        raise BundleError(
            f"{', '.join(found)} is a pickle inside, and runs what its maker wrote: none goes to "
            "the Hub or comes from it.",
            fix=fix,
        )


def _of_bundle(bundle: Bundle, below: str) -> Iterator[SpaceFile]:
    """All that the bundle vouches for, verified now, and the picture that the card shows.

    No link is followed: what it leads to would be published.
    """
    for name in bundle.files:
        bundle.file(name)
        yield _file(bundle, name, below)
    yield _file(bundle, BUNDLE_JSON, below)
    if (bundle.path / MODEL_SIG).exists():
        yield _file(bundle, MODEL_SIG, below)
    if evaluation_of(bundle) is not None and (bundle.path / PICTURE).is_file():
        yield _file(bundle, PICTURE, below)


def _file(bundle: Bundle, name: str, below: str) -> SpaceFile:
    path = bundle.path / name
    with opened(bundle.path, name, fix=AGAIN) as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        size = os.fstat(file.fileno()).st_size
    vouched = bundle.files.get(name)
    if vouched is not None and vouched.sha256 != sha256:
        raise BundleError(f"{path} changed while it was read.", fix="let nothing write to it")
    return SpaceFile(f"{below}{name}", path, size, sha256)
