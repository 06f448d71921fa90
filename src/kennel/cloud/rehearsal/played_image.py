"""An image as ECR has it, without a registry that takes layers."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from kennel.bundle import Bundle
from kennel.cloud import client

MANIFEST = "application/vnd.oci.image.manifest.v1+json"


@dataclass(frozen=True)
class Played:
    """An image as the emulator's repository has it: its manifest. What it stands for is run beside.

    Attributes:
        bundle: id of the bundle in it. tag: in the repository. digest: of its manifest.
    """

    bundle: str
    tag: str
    manifest: str

    @property
    def digest(self) -> str:
        return f"sha256:{hashlib.sha256(self.manifest.encode()).hexdigest()}"

    def push(self, repository: str) -> None:
        """Only its manifest goes: moto has no registry that takes layers."""
        client("ecr").put_image(
            repositoryName=repository.partition("/")[2],
            imageManifest=self.manifest,
            imageManifestMediaType=MANIFEST,
            imageTag=self.tag,
            imageDigest=self.digest,
        )


def played_image(bundle: Bundle, which: int) -> Played:
    """An image with that bundle in it; another `which` is another image."""
    content = json.dumps({"labels": {"kennel.bundle_id": bundle.bundle_id}, "which": which})
    digest = hashlib.sha256(content.encode()).hexdigest()
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": f"sha256:{digest}",
            "size": len(content),
        },
        "layers": [],
    }
    return Played(bundle.bundle_id, f"{bundle.bundle_id}-{digest[:12]}", json.dumps(manifest))
