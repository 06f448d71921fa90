"""Addresses: which are fetched from, and what of them is written down."""

from __future__ import annotations

import pytest

from kennel.sources import FetchError
from kennel.sources.address import authorised, plain, refuse_address


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://example.com/a.zip",
        "data:text/plain,dog",
        "a.zip",
        "//example.com/a.zip",
        "https:///a.zip",
        "https://[::1/a.zip",
        "https://example.com:99999/a.zip",
        "https://name@example.com/a.zip",
        "https://name:hunter2@example.com/a.zip",
        "http://example.com/a.zip",
        "http://127.0.0.1.example.com/a.zip",
        "http://localhost.example.com/a.zip",
    ],
)
def test_what_is_not_fetched_from(url: str) -> None:
    with pytest.raises(FetchError) as refused:
        refuse_address(url, checked=False)
    assert "hunter2" not in refused.value.message
    assert refused.value.fix


@pytest.mark.parametrize(
    "url",
    ["https://example.com/a.zip", "http://127.0.0.1:8/a", "http://localhost/a", "http://[::1]/a"],
)
def test_what_is_fetched_from(url: str) -> None:
    refuse_address(url, checked=False)


def test_http_is_taken_where_a_checksum_tells_what_came() -> None:
    refuse_address("http://example.com/a.zip", checked=True)
    refuse_address("http://b.com/a.zip", before="http://a.com/a.zip", checked=True)
    with pytest.raises(FetchError):
        refuse_address("http://a.com/a.zip", before="https://a.com/a.zip", checked=True)


def test_keys_in_an_address_are_not_shown() -> None:
    assert plain("https://name:word@a.com/b.zip?key=secret#c") == "https://a.com/b.zip"


@pytest.mark.parametrize(
    "url", ["https://b.com/a", "http://a.com/a", "https://a.com:8443/a", "https://a.com.b.com/a"]
)
def test_the_authorisation_stays_with_scheme_host_and_port(url: str) -> None:
    first = "https://a.com/x"
    assert "Authorization" not in authorised({}, url, first=first, authorisation="secret")
    again = authorised({}, "https://a.com/y", first=first, authorisation="secret")
    assert again == {"Authorization": "secret"}
