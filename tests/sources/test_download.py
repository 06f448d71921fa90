"""Downloading: whatever the server does, what has a name is whole and is what was published."""

from __future__ import annotations

import hashlib
import shutil
import ssl
import subprocess
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from serving import File, Server, serving

from kennel.sources import FetchError
from kennel.sources.catalogue import Source, cache_name
from kennel.sources.download import Download, Patience, download, forget

BODY = bytes(range(256)) * 4096  # 1 MiB
OTHER = BODY[::-1]
SHA256 = hashlib.sha256(BODY).hexdigest()
DATE = "Sun, 22 Nov 2026 08:00:00 GMT"


class Run:
    """One `download`, with the pauses that it took and what it said."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pauses: list[float] = []
        self.said: list[str] = []
        self.progress: list[tuple[int, int | None]] = []

    def __call__(
        self,
        url: str,
        *,
        sha256: str | None = None,
        md5: str | None = None,
        size: int | None = None,
        tries: int = 3,
        authorisation: str | None = None,
        timeout_s: float = 10,
    ) -> Download:
        return download(
            published(url, sha256=sha256, md5=md5, size=size),
            folder=self.folder,
            authorisation=authorisation,
            patience=Patience(tries=tries, pause=self.pauses.append, timeout_s=timeout_s),
            on_bytes=lambda done, total: self.progress.append((done, total)),
            say=self.said.append,
        )

    def left(self) -> list[str]:
        return sorted(path.name for path in self.folder.glob("*"))


def published(
    url: str, *, sha256: str | None = None, md5: str | None = None, size: int | None = None
) -> Source:
    return Source("dogs", "", url, "", "", "", "", bytes=size, sha256=sha256, md5=md5)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path / "downloads")


# what comes whole


@pytest.mark.parametrize("chunked", [False, True])
def test_an_archive_comes_whole_and_is_checked(server: Server, run: Run, chunked: bool) -> None:
    done = run(server.put("/a.zip", File(BODY, chunked=chunked)), sha256=SHA256)
    assert done.path.read_bytes() == BODY
    assert (done.sha256, done.bytes, done.checked) == (SHA256, len(BODY), "sha256")
    assert run.progress[-1] == (len(BODY), None if chunked else len(BODY))
    assert run.left() == [done.path.name, f"{done.path.name}.json"]
    assert server.asked[0]["Accept-Encoding"] == "identity"


def test_without_a_published_checksum_what_came_is_told_and_nothing_is_claimed(
    server: Server, run: Run
) -> None:
    done = run(server.put("/a.zip", File(BODY)))
    assert (done.sha256, done.checked) == (SHA256, "nothing")


def test_where_only_an_md5_is_published_it_is_compared(server: Server, run: Run) -> None:
    url = server.put("/a.zip", File(BODY))
    assert run(url, md5=hashlib.md5(BODY).hexdigest()).checked == "md5"
    with pytest.raises(FetchError, match=f"its md5 is .*, not {'0' * 32}"):
        Run(run.folder / "other")(url, md5="0" * 32)


def test_what_was_kept_needs_no_network(server: Server, run: Run) -> None:
    url = server.put("/a.zip", File(BODY))
    first = run(url)
    server.files.clear()
    assert run(url) == first
    assert len(server.asked) == 1


def test_what_was_kept_and_has_changed_on_the_disk_is_fetched_again(
    server: Server, run: Run
) -> None:
    url = server.put("/a.zip", File(BODY))
    path = run(url).path
    path.write_bytes(BODY[:-1] + b"!")
    assert run(url).path.read_bytes() == BODY
    assert "not whole any more" in run.said[0]


def test_an_archive_can_be_forgotten(server: Server, run: Run) -> None:
    forget(run(server.put("/a.zip", File(BODY))))
    assert run.left() == []


# cuts


def test_after_a_cut_it_goes_on_where_it_was(server: Server, run: Run) -> None:
    url = server.put("/a.zip", File(BODY, cuts=[300_000, 200_000]))
    assert run(url).path.read_bytes() == BODY
    assert server.ranges() == [None, "bytes=300000-", "bytes=500000-"]
    assert [each.get("If-Range") for each in server.asked] == [None, '"1"', '"1"']
    assert run.pauses == [1, 1]  # each try brought something: the count begins anew
    assert "cut at 300,000 of 1,048,576 bytes; trying again in 1 s" in run.said[0]


def test_a_later_call_goes_on_where_an_earlier_one_gave_up(server: Server, run: Run) -> None:
    url = server.put("/a.zip", File(BODY, cuts=[300_000, 0, 0]))
    with pytest.raises(FetchError) as refused:
        run(url, tries=2)
    assert "2 tries in a row brought nothing new" in refused.value.message
    assert "300,000 bytes" in refused.value.fix
    name = cache_name(published(url))
    assert run.left() == [f"{name}.part", f"{name}.part.json"]
    server.files["/a.zip"].cuts.clear()
    assert run(url).path.read_bytes() == BODY
    assert server.ranges()[-1] == "bytes=300000-"


def test_a_chunked_answer_that_is_cut_is_gone_on_with(server: Server, run: Run) -> None:
    url = server.put("/a.zip", File(BODY, chunked=True, cuts=[300_000]))
    assert run(url).path.read_bytes() == BODY
    assert server.ranges()[0] is None
    assert server.ranges()[1] is not None


def test_a_server_that_gives_no_parts_begins_anew(server: Server, run: Run) -> None:
    url = server.put("/a.zip", File(BODY, ranges=False, cuts=[300_000]))
    assert run(url).path.read_bytes() == BODY
    assert "begins the file anew" in run.said[1]


def test_cuts_at_the_same_place_again_and_again_end(server: Server, run: Run) -> None:
    url = server.put("/a.zip", File(BODY, ranges=False, cuts=[300_000] * 9))
    with pytest.raises(FetchError, match="cut at 300,000 of 1,048,576 bytes; 3 tries in a row"):
        run(url)
    assert run.pauses == [1, 2]


def test_a_date_serves_where_the_etag_is_weak(server: Server, run: Run) -> None:
    url = server.put("/a.zip", File(BODY, etag='W/"1"', modified=DATE, cuts=[300_000]))
    assert run(url).path.read_bytes() == BODY
    assert server.asked[1]["If-Range"] == DATE


def test_without_etag_and_checksum_pieces_are_not_joined(server: Server, run: Run) -> None:
    url = server.put("/a.zip", File(BODY, etag=None, cuts=[300_000]))
    assert run(url).path.read_bytes() == BODY
    assert server.ranges() == [None, None]


def test_without_etag_a_checksum_allows_to_join_pieces(server: Server, run: Run) -> None:
    url = server.put("/a.zip", File(BODY, etag=None, cuts=[300_000]))
    assert run(url, sha256=SHA256).path.read_bytes() == BODY
    assert server.ranges() == [None, "bytes=300000-"]


def test_a_server_that_falls_silent_is_asked_again(server: Server, run: Run) -> None:
    silent = threading.Event()
    url = server.put("/a.zip", File(BODY, hold=silent, then=File(BODY)))
    try:
        assert run(url, timeout_s=0.2).path.read_bytes() == BODY
    finally:
        silent.set()
    assert "fallen silent" in run.said[0]
    assert server.ranges() == [None, f"bytes={len(BODY) // 2}-"]


def test_what_was_whole_when_it_was_killed_is_not_fetched_again(server: Server, run: Run) -> None:
    file = File(BODY, cuts=[300_000])
    url = server.put("/a.zip", file)
    with pytest.raises(FetchError):
        run(url, tries=1)
    (part,) = run.folder.glob("*.part")
    part.write_bytes(BODY)
    assert run(url).path.read_bytes() == BODY
    assert server.ranges()[-1] == f"bytes={len(BODY)}-"  # and the answer was 416
    assert len(server.asked) == 2


# bytes that change


@pytest.mark.parametrize("heeds", [True, False])
def test_a_file_that_changed_meanwhile_is_fetched_anew(
    server: Server, run: Run, heeds: bool
) -> None:
    new = File(OTHER, etag='"2"', heeds_if_range=heeds)
    url = server.put("/a.zip", File(BODY, cuts=[300_000], then=new))
    assert run(url).path.read_bytes() == OTHER


def test_a_file_that_became_shorter_than_what_was_fetched_is_fetched_anew(
    server: Server, run: Run
) -> None:
    new = File(OTHER[:1000], etag='"2"', heeds_if_range=False)
    url = server.put("/a.zip", File(BODY, cuts=[300_000], then=new))
    assert run(url).path.read_bytes() == OTHER[:1000]


def test_pieces_of_two_files_under_one_etag_are_found_out_and_fetched_anew(
    server: Server, run: Run
) -> None:
    url = server.put("/a.zip", File(OTHER, cuts=[300_000], then=File(BODY)))
    assert run(url, sha256=SHA256, size=len(BODY)).path.read_bytes() == BODY
    assert "pieces do not make the archive" in run.said[-1]
    assert server.ranges() == [None, "bytes=300000-", None]


def test_what_is_fetched_anew_has_all_its_tries_again(server: Server, run: Run) -> None:
    anew = File(BODY, cuts=[len(BODY), 100_000, 100_000])
    url = server.put("/a.zip", File(OTHER, cuts=[900_000], then=anew))
    assert run(url, sha256=SHA256, tries=2).path.read_bytes() == BODY
    ranges = [None, "bytes=900000-", None, "bytes=100000-", "bytes=200000-"]
    assert server.ranges() == ranges


def test_a_part_from_another_place_than_was_asked_for_is_not_taken(
    server: Server, run: Run
) -> None:
    url = server.put("/a.zip", File(BODY, cuts=[300_000], shift=1))
    assert run(url).path.read_bytes() == BODY
    assert server.ranges() == [None, "bytes=300000-", None]


def test_another_file_than_was_published_is_refused_and_nothing_is_left(
    server: Server, run: Run
) -> None:
    url = server.put("/a.zip", File(OTHER))
    with pytest.raises(FetchError) as refused:
        run(url, sha256=SHA256)
    assert hashlib.sha256(OTHER).hexdigest() in refused.value.message
    assert SHA256 in refused.value.message
    assert run.left() == []
    assert len(server.asked) == 1


# lengths that lie


def test_a_size_other_than_the_published_one_is_refused_before_a_byte_is_read(
    server: Server, run: Run
) -> None:
    url = server.put("/a.zip", File(BODY))
    with pytest.raises(FetchError, match="has 1,048,576 bytes; 1,000,000 were published"):
        run(url, sha256=SHA256, size=1_000_000)
    assert run.left() == []
    assert run.progress == []


def test_an_answer_without_length_that_is_longer_than_published_is_stopped(
    server: Server, run: Run
) -> None:
    url = server.put("/a.zip", File(BODY * 4, chunked=True))
    with pytest.raises(FetchError, match="were expected"):
        run(url, sha256=SHA256, size=len(BODY))
    assert run.left() == []
    assert run.progress[-1][0] < len(BODY) * 4


@pytest.mark.parametrize("ranges", [True, False])
def test_a_length_that_promises_more_than_comes_never_counts_as_whole(
    server: Server, run: Run, ranges: bool
) -> None:
    url = server.put("/a.zip", File(BODY, length=2 * len(BODY), ranges=ranges))
    with pytest.raises(FetchError, match=r"cut at 1,048,576 of 2,097,152|another than"):
        run(url, sha256=None)
    assert all(".part" in name for name in run.left())


def test_a_length_that_promises_less_than_comes_is_found_by_the_checksum(
    server: Server, run: Run
) -> None:
    url = server.put("/a.zip", File(BODY, length=len(BODY) - 1000))
    with pytest.raises(FetchError, match=f"not {SHA256}"):
        run(url, sha256=SHA256)
    assert run.left() == []


def test_more_than_the_disk_holds_is_refused_before_a_byte_is_written(
    server: Server, run: Run
) -> None:
    url = server.put("/a.zip", File(BODY, length=10**15))
    with pytest.raises(FetchError, match="still to come"):
        run(url)
    assert run.left() == []


def test_a_stream_without_an_end_stops_before_the_disk_is_full(
    server: Server, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = iter([10**12, 10**9])
    monkeypatch.setattr(
        shutil, "disk_usage", lambda _: SimpleNamespace(free=next(free, 0))
    )  # a disk that fills up
    with pytest.raises(FetchError, match="still to come"):
        run(server.put("/a.zip", File(BODY, chunked=True)))


def test_a_length_of_thousands_of_digits_is_none(server: Server, run: Run) -> None:
    refusals = [(200, {"Content-Length": "9" * 5000})]
    url = server.put("/a.zip", File(BODY, refusals=refusals))
    with pytest.raises(FetchError, match="not what was expected"):
        run(url, sha256=SHA256)
    assert run(url, sha256=SHA256).path.read_bytes() == BODY


# answers that are none


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_failure_that_may_pass_is_waited_for(server: Server, run: Run, status: int) -> None:
    url = server.put("/a.zip", File(BODY, refusals=[(status, {})] * 2))
    assert run(url).path.read_bytes() == BODY
    assert run.pauses == [1, 2]


def test_a_server_says_how_long_to_wait_but_not_for_ever(server: Server, run: Run) -> None:
    refusals = [(503, {"Retry-After": "7"}), (503, {"Retry-After": "86400"})]
    run(server.put("/a.zip", File(BODY, refusals=refusals)))
    assert run.pauses == [7, 60]


@pytest.mark.parametrize(("status", "fix"), [(401, "token"), (403, "public"), (404, "moved")])
def test_a_refusal_is_final_and_says_what_to_do(
    server: Server, run: Run, status: int, fix: str
) -> None:
    url = server.put("/a.zip", File(BODY, refusals=[(status, {})]))
    with pytest.raises(FetchError, match=f"{url} answers {status}") as refused:
        run(url)
    assert fix in refused.value.fix
    assert (len(server.asked), run.pauses, run.left()) == (1, [], [])


def test_nobody_answering_is_said_after_some_tries(run: Run) -> None:
    with serving() as gone:
        url = gone.url("/a.zip")
    with pytest.raises(FetchError, match=r"cannot be reached.*3 tries"):
        run(url)
    assert run.pauses == [1, 2]


@pytest.mark.parametrize("page", [b"<!DOCTYPE html><title>Log in</title>", b"\n <HTML><body>"])
def test_a_web_page_is_not_taken_for_an_archive(server: Server, run: Run, page: bytes) -> None:
    with pytest.raises(FetchError, match="sends a web page"):
        run(server.put("/a.zip", File(page)))
    assert all(".part" in name for name in run.left())


# where it leads


def test_a_redirect_is_followed_with_the_range_that_was_asked_for(server: Server, run: Run) -> None:
    where = server.put("/there.zip", File(BODY, cuts=[300_000]))
    done = run(server.put("/a.zip", File(location=where)))
    assert done.path.read_bytes() == BODY
    assert server.ranges() == [None, None, "bytes=300000-", "bytes=300000-"]


def test_a_redirect_may_be_relative(server: Server, run: Run) -> None:
    server.put("/b/there.zip", File(BODY))
    assert run(server.put("/b/a.zip", File(location="there.zip"))).bytes == len(BODY)


def test_redirects_in_a_circle_end(server: Server, run: Run) -> None:
    url = server.put("/a.zip", File(location="/b.zip"))
    server.put("/b.zip", File(location="/a.zip"))
    with pytest.raises(FetchError, match="more than 10 redirects"):
        run(url)
    assert len(server.asked) == 11


@pytest.mark.parametrize(
    ("location", "said"),
    [
        ("file:///etc/passwd", "only http and https"),
        ("ftp://127.0.0.1/a.zip", "only http and https"),
        ("http://example.com/a.zip", "is http"),
        ("http://name:word@127.0.0.1/a.zip", "name or password"),
        ("", "without saying where"),
    ],
)
def test_a_redirect_to_what_is_not_fetched_from_is_refused(
    server: Server, run: Run, location: str, said: str
) -> None:
    with pytest.raises(FetchError, match=said):
        run(server.put("/a.zip", File(location=location)))


def test_a_password_goes_to_the_host_that_was_named_and_to_no_other(
    server: Server, run: Run
) -> None:
    with serving() as storage:
        elsewhere = storage.put("/signed.zip", File(BODY))
        server.put("/second", File(location=elsewhere))
        run(server.put("/first", File(location="/second")), authorisation="Bearer secret")
        assert [each.get("Authorization") for each in server.asked] == ["Bearer secret"] * 2
        assert [each.get("Authorization") for each in storage.asked] == [None]


def test_with_a_password_http_is_refused_though_a_checksum_is_known(run: Run) -> None:
    with pytest.raises(FetchError, match="is http"):
        run("http://example.com/a.zip", sha256=SHA256, authorisation="Bearer secret")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that signed itself, with its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=dog"
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", path, "-out", f"{path}.crt"]
    subprocess.run([openssl, *words.split(), *names], check=True, capture_output=True)
    with path.open("ab") as both:
        both.write(Path(f"{path}.crt").read_bytes())
    return path


def encrypted(certificate: Path) -> Server:
    server = Server()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.scheme = "https"
    return server


def test_https_leading_back_to_http_is_refused_even_with_a_checksum(
    server: Server, run: Run, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with serving(encrypted(certificate)) as safe:
        safe.put("/a.zip", File(location=server.put("/a.zip", File(BODY))))
        with pytest.raises(FetchError, match="leads from https to http"):
            run(safe.url("/a.zip"), sha256=SHA256)
        assert run(safe.put("/b.zip", File(BODY)), sha256=SHA256).bytes == len(BODY)
    assert server.asked == []


def test_a_certificate_that_nobody_trusts_is_refused_at_once(run: Run, certificate: Path) -> None:
    with (
        serving(encrypted(certificate)) as pretender,
        pytest.raises(FetchError, match="not show a certificate that is trusted"),
    ):
        run(pretender.put("/a.zip", File(BODY)))
    assert run.pauses == []
