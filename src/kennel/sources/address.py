"""Which addresses are fetched from, and which host sees a password."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from urllib.parse import quote, urljoin, urlsplit, urlunsplit

from kennel.sources import FetchError


def refuse_address(url: str, *, before: str | None = None, checked: bool) -> None:
    """Refuses an address that is not fetched from.

    http is open to anyone on the way: it is taken where a checksum tells what came, and on this
    machine.

    Args:
        before: the address that led here, if one did.
        checked: whether a published checksum stands behind it, and no password goes with it.
    Raises:
        FetchError: it is not http or https, has no host or holds a password, goes from https back
            to http, or is http and nothing would tell what came.
    """
    shown = plain(url)
    try:
        split = urlsplit(url)
        host, port = split.hostname, split.port
    except ValueError as error:
        raise FetchError(
            f"{shown} is not an address: {error}.", fix="see how it is written"
        ) from None
    if split.scheme not in ("http", "https") or not host or port == 0:
        way = f" ({plain(before)} leads there)" if before else ""
        raise FetchError(
            f"{shown}{way} is not fetched from; only http and https are.",
            fix="name an address that begins with https://; a file on this machine needs no fetch: "
            "unpack it and type kennel index FOLDER",
        )
    if split.username is not None or split.password is not None:
        raise FetchError(
            f"the address of {host} holds a name or password.",
            fix="leave it out of the address: it would be written down beside the photos",
        )
    if split.scheme == "https":
        return
    if before is not None and urlsplit(before).scheme == "https":
        raise FetchError(
            f"{plain(before)} leads from https to http ({shown}).",
            fix="anyone on the way could change what comes: find an address that stays with https",
        )
    if not checked and not _on_this_machine(host):
        raise FetchError(
            f"{shown} is http, and nothing would tell whether it was changed on the way.",
            fix="use https://, or say what is expected with --sha256",
        )


def authorised(
    headers: Mapping[str, str], url: str, *, first: str, authorisation: str | None
) -> dict[str, str]:
    """The headers for `url`: with the authorisation only where it is the host first asked."""
    same = urlsplit(url)[:2] == urlsplit(first)[:2]
    own = {"Authorization": authorisation} if authorisation and same else {}
    return {**headers, **own}


def following(url: str, location: str | None) -> str:
    """Where a redirect leads."""
    if not location:
        raise FetchError(f"{plain(url)} leads on without saying where.", fix="see the address")
    return quote(urljoin(url, location), safe="%/:=&?~#+!$,;'@()*[]")


def plain(url: str) -> str:
    """The address for people and records: what stands after `?` may be a key to it, as in signed
    addresses, and so may what stands before `@`.
    """
    try:
        split = urlsplit(url)
    except ValueError:
        return url.partition("?")[0]
    return urlunsplit((split.scheme, split.netloc.rpartition("@")[2], split.path, "", ""))


def _on_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
