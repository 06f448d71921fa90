"""Asks the registries whether each digest in docker/ is there, and whether its tag still means it.

    python3 tools/image_pins.py

Prints a line a base. Ends with 1 when a digest does not exist, or nobody can be asked; a tag that
has moved on is said and is no fault: the update bot moves the pin. Needs network, and no engine.
"""

from __future__ import annotations

import json
import re
import sys
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PINNED = re.compile(r"^FROM ((\S+?)/(\S+):([\w.-]+))@(sha256:[0-9a-f]{64})", re.MULTILINE)
HOSTS = {"docker.io": "registry-1.docker.io"}
KINDS = ", ".join(
    f"application/vnd.{kind}+json"
    for kind in (
        "oci.image.index.v1",
        "docker.distribution.manifest.list.v2",
        "oci.image.manifest.v1",
        "docker.distribution.manifest.v2",
    )
)
SECONDS = 30


def main(folder: Path = ROOT / "docker", *, scheme: str = "https") -> int:
    texts = [path.read_text(encoding="utf-8") for path in sorted(folder.glob("*Dockerfile"))]
    pinned = sorted({found for text in texts for found in PINNED.findall(text)})
    if not pinned:
        print(
            f"error: {folder} pins nothing.\nfix: name a folder with Dockerfiles", file=sys.stderr
        )
        return 2
    wrong = 0
    for name, host, repository, tag, digest in pinned:
        registry = f"{scheme}://{HOSTS.get(host, host)}/v2/{repository}/manifests/"
        try:
            there = digest_of(registry + digest)
            now = digest_of(registry + tag)
        except OSError as error:
            print(f"{name}  cannot be asked for: {error}")
            wrong += 1
            continue
        if there != digest:
            print(f"{name}  WRONG: the registry has no {digest}; the tag is {now}")
            wrong += 1
        elif now != digest:
            print(f"{name}  good; the tag has moved on to {now}")
        else:
            print(f"{name}  good")
    return int(wrong > 0)


def digest_of(url: str) -> str | None:
    """Digest of a manifest, by its tag or digest; None where there is none.

    Raises:
        OSError: the registry is out of reach, or does not let anybody look.
    """
    headers = {"accept": KINDS}
    try:
        answer = _head(url, headers)
    except urllib.error.HTTPError as error:
        if error.code == 401:
            token = _token(error.headers.get("www-authenticate", ""))
            try:
                answer = _head(url, {**headers, "authorization": f"Bearer {token}"})
            except urllib.error.HTTPError as again:
                if again.code == 404:
                    return None
                raise
        elif error.code == 404:
            return None
        else:
            raise
    return answer.get("docker-content-digest")


def _head(url: str, headers: dict[str, str]) -> dict[str, str]:
    request = urllib.request.Request(url, method="HEAD", headers=headers)  # noqa: S310
    with urllib.request.urlopen(request, timeout=SECONDS) as answer:  # noqa: S310
        return {name.lower(): value for name, value in answer.headers.items()}


def _token(challenge: str) -> str:
    """What a registry gives to everybody who asks where it says."""
    said = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
    asked = {name: said[name] for name in ("service", "scope") if name in said}
    url = f"{said.get('realm', '')}?{urllib.parse.urlencode(asked)}"
    if not url.startswith(("https://", "http://127.0.0.1")):
        raise OSError(f"the registry sends who asks to {url!r}")
    with urllib.request.urlopen(url, timeout=SECONDS) as answer:  # noqa: S310
        given = json.loads(answer.read())
    return str(given.get("token") or given.get("access_token") or "")


if __name__ == "__main__":
    sys.exit(main())
