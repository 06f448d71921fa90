"""The files of the page at `/`, as they are handed out. Stdlib only; plain files, no build step.

All addresses in them are relative, so that the page works behind a path of somebody else's server,
and none leads elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parent / "page"
INDEX = "index.html"
CONTENT_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

# What the page may do. Scripts and styles are files of ours, never inline; the photo that is shown
# is a blob of the browser's own; with trusted types not even our own script can turn a string, such
# as the name of a label, into markup.
PAGE_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)


@dataclass(frozen=True)
class Asset:
    """A file of the page. `etag` is quoted, as the header wants it, and changes with `body`."""

    body: bytes
    content_type: str
    etag: str


def assets() -> dict[str, Asset]:
    """Every file of the page by its path below the service: "/" is the page itself.

    Raises:
        ValueError: a file is of a kind that has no content type here.
    """
    found = {}
    for file in sorted(PAGE.iterdir()):
        found["/" if file.name == INDEX else f"/{file.name}"] = _asset(file)
    return found


def _asset(file: Path) -> Asset:
    from hashlib import sha256

    if file.suffix not in CONTENT_TYPES:
        raise ValueError(f"{file} is of no kind that the page hands out")
    body = file.read_bytes()
    return Asset(body, CONTENT_TYPES[file.suffix], f'"{sha256(body).hexdigest()[:20]}"')
