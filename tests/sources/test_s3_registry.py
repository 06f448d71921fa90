"""A registry in S3, on a server of this machine: what a folder promises holds there too."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from duels import GREENISH, bundle_on, coloured_index
from storage import BUCKET, bucket, s3_server

from kennel.bundle import BUNDLE_JSON, MODEL_ONNX, read_bundle
from kennel.cli import main
from kennel.dataset import Dataset
from kennel.errors import UsageError
from kennel.registry import RegistryError
from kennel.registry.history import Registry
from kennel.sources.s3 import S3Store
from kennel.writing import file_sha256


@pytest.fixture(scope="module")
def server_of_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with s3_server(tmp_path_factory.mktemp("s3")) as address:
        yield address


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No file and no credentials of the user's."""
    monkeypatch.chdir(tmp_path)
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION", "KENNEL_REGISTRY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    for name, value in {
        "AWS_ACCESS_KEY_ID": "for-the-server-of-the-test",
        "AWS_SECRET_ACCESS_KEY": "for-the-server-of-the-test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def s3(server_of_all: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty prefix of the bucket, as kennel promote takes it."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", server_of_all)
    yield f"s3://{BUCKET}/team/registry"
    bucket(server_of_all).objects.all().delete()


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Dataset]:
    """What `photos` has, once."""
    folder = tmp_path_factory.mktemp("prepared")
    dataset = coloured_index(tmp_path_factory.mktemp("photos"), easy=60, nearly_green=20)
    bundle_on(dataset, folder / "weak", GREENISH)
    bundle_on(dataset, folder / "strong")
    return folder, dataset


@pytest.fixture
def photos(prepared: tuple[Path, Dataset], tmp_path: Path) -> Dataset:
    """With a bundle `weak`, a GREENISH, and `strong`."""
    shutil.copytree(prepared[0], tmp_path, dirs_exist_ok=True)
    return prepared[1]


def promote(registry: str, *words: str) -> int:
    return main(["promote", *words, "--registry", registry])


def keys(server: str) -> list[str]:
    return sorted(each.key for each in bucket(server).objects.all())


@pytest.mark.slow
def test_promoted_refused_and_rolled_back_as_in_a_folder(
    s3: str, server_of_all: str, photos: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    assert promote(s3, "--history") == 0
    assert promote(s3, "weak") == 0
    assert promote(s3, "strong") == 0
    bundle_on(photos, Path("worse"), GREENISH)
    assert promote(s3, "worse") == 1
    assert "is not promoted; it is worse" in capsys.readouterr().err
    assert promote(s3, "--rollback") == 0
    capsys.readouterr()
    assert promote(s3, "--champion", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    digits = file_sha256(Path("weak", BUNDLE_JSON))[:8]
    assert said["path"] == f"{s3}/bundles/weak-{digits}"
    assert (said["entry"]["number"], said["entry"]["returns_to"]) == (3, 1)
    assert promote(s3, "--verify") == 0
    assert [key for key in keys(server_of_all) if "history" in key] == [
        f"team/registry/history/00000{number}.json" for number in (1, 2, 3)
    ]


@pytest.mark.slow
def test_the_champion_comes_back_byte_by_byte(s3: str, photos: Dataset) -> None:
    promote(s3, "strong")
    assert promote(s3, "--champion", "--to", "copy") == 0
    for name in (BUNDLE_JSON, MODEL_ONNX):
        assert Path("copy", name).read_bytes() == Path("strong", name).read_bytes()


@pytest.mark.slow
def test_every_file_is_sent_with_its_sha256_for_the_server_to_compare(
    s3: str, server_of_all: str, photos: Dataset
) -> None:
    promote(s3, "strong")
    files = [key for key in keys(server_of_all) if not key.endswith("registry.json")]
    assert len(files) == 3
    for key in files:
        recorded = bucket(server_of_all).Object(key).get(ChecksumMode="ENABLED")
        digest = hashlib.sha256(recorded["Body"].read()).digest()
        assert base64.b64decode(recorded["ChecksumSHA256"]) == digest, key


@pytest.mark.slow
def test_of_many_that_write_one_number_at_once_one_does(s3: str, photos: Dataset) -> None:
    promote(s3, "weak")
    newest = Registry(S3Store(s3)).newest()
    assert newest is not None
    number, before = Registry(S3Store(s3)).next_number(newest)
    outcomes: list[str] = []
    losers: list[str] = []
    start = threading.Barrier(4)

    def write(at: int) -> None:
        registry = Registry(S3Store(s3))
        registry.newest()  # the client is made
        entry = replace(newest, number=number, previous_sha256=before, reason=f"writer {at}")
        start.wait()
        try:
            registry.append(entry)
            outcomes.append(entry.reason)
        except RegistryError as error:
            losers.append(error.message)

    writers = [threading.Thread(target=write, args=(at,)) for at in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    found = Registry(S3Store(s3)).newest()
    assert found is not None
    assert outcomes == [found.reason]
    assert len(losers) == 3
    assert all("was made champion while" in each for each in losers)


@pytest.mark.slow
def test_an_upload_that_is_cut_off_makes_no_champion_and_is_gone_on_with(
    s3: str, server_of_all: str, photos: Dataset
) -> None:
    store = S3Store(s3)
    model = Path("strong", MODEL_ONNX)
    files = {MODEL_ONNX: model, BUNDLE_JSON: Path("strong", "gone")}
    digests = {MODEL_ONNX: file_sha256(model), BUNDLE_JSON: "0" * 64}
    place = f"bundles/strong-{file_sha256(Path('strong', BUNDLE_JSON))[:8]}"
    with pytest.raises(OSError, match="gone"):
        store.put(place, files, digests)
    assert keys(server_of_all) == [f"team/registry/{place}/{MODEL_ONNX}"]
    assert Registry(store).newest() is None
    assert promote(s3, "strong") == 0
    assert promote(s3, "--verify") == 0


@pytest.mark.slow
def test_a_file_that_changes_while_it_is_sent_is_refused(s3: str, photos: Dataset) -> None:
    model = Path("strong", MODEL_ONNX)
    with pytest.raises(RegistryError):
        S3Store(s3).put("bundles/strong", {MODEL_ONNX: model}, {MODEL_ONNX: "0" * 64})


@pytest.mark.slow
def test_bytes_that_changed_in_the_bucket_are_refused_before_they_are_parsed(
    s3: str, server_of_all: str, photos: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    promote(s3, "weak")
    for name in (MODEL_ONNX, BUNDLE_JSON):
        (key,) = [key for key in keys(server_of_all) if key.endswith(name)]
        bucket(server_of_all).put_object(Key=key, Body=b"\x08 no such file")
        for words in (["--champion", "--to", "copy"], ["strong"]):
            assert promote(s3, *words) == 1
            err = capsys.readouterr().err
            assert f"{name} is not the file that was promoted: its sha256 differs" in err
        assert not Path("copy").exists()
        assert promote(s3, "--verify") == 1
        assert f"/{name} was changed" in capsys.readouterr().out


@pytest.mark.slow
def test_a_bundle_that_is_missing_in_the_bucket_is_named(
    s3: str, server_of_all: str, photos: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    promote(s3, "weak")
    bucket(server_of_all).objects.filter(Prefix="team/registry/bundles/").delete()
    assert promote(s3, "strong") == 1
    assert "bundle.json is missing" in capsys.readouterr().err


@pytest.mark.slow
def test_a_bucket_that_is_not_there_is_said(
    s3: str, photos: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    assert promote("s3://no-such-bucket/registry", "strong") == 1
    err = capsys.readouterr().err
    assert "the server answers NoSuchBucket" in err
    assert "see how the bucket is written" in err


@pytest.mark.slow
def test_without_credentials_it_says_which(
    s3: str, photos: Dataset, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert promote(s3, "strong") == 1
    err = capsys.readouterr().err
    assert f"there are no credentials for {s3}" in err
    assert "AWS_ACCESS_KEY_ID" in err


def test_a_server_that_cannot_be_reached_is_said(
    photos: Dataset, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")  # boto3's own; so nothing here waits
    assert promote("s3://bucket/registry", "strong") == 1
    err = capsys.readouterr().err
    assert "cannot be reached" in err
    assert "AWS_ENDPOINT_URL" in err


@pytest.mark.parametrize("address", ["s3://", "s3:///prefix", "s3://Bucket", "s3://a b/c"])
def test_an_address_that_is_none_is_wrong_usage(address: str) -> None:
    with pytest.raises(UsageError, match="is not the address of a bucket"):
        S3Store(address)


# ---- servers that are not as careful as moto's


class Careless(BaseHTTPRequestHandler):
    """Keeps what is put, under any condition; or answers as `refuses` says."""

    protocol_version = "HTTP/1.1"  # clients ask first whether they may send
    kept: ClassVar[dict[str, bytes]]
    refuses: Callable[[], int | None]

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        code = type(self).refuses()
        if code is None:
            self.kept[self.path] = body
        self._answer(code or 200, b"")

    def do_GET(self) -> None:
        body = self.kept.get(self.path)
        self._answer(404 if body is None else 200, body or b"")

    def _answer(self, code: int, body: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def careless(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Careless]]:
    class Handler(Careless):
        kept: ClassVar[dict[str, bytes]] = {}
        refuses = staticmethod(lambda: None)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_address[1]}")
        yield Handler
        server.shutdown()
        thread.join()


def test_a_store_that_lets_files_be_written_over_is_refused(
    careless: type[Careless], photos: Dataset
) -> None:
    registry = Registry(S3Store("s3://bucket"))
    with pytest.raises(RegistryError, match="lets files be written over") as refused:
        registry.put(read_bundle(Path("strong")))
    assert "If-None-Match" in refused.value.fix
    assert not any("bundles" in path for path in careless.kept)


def test_two_writes_at_one_time_are_tried_again(careless: type[Careless]) -> None:
    answers = iter([409, None])
    careless.refuses = staticmethod(lambda: next(answers))
    assert S3Store("s3://bucket").create("history/000001.json", b"{}")
    assert list(careless.kept) == ["/bucket/history/000001.json"]


def test_a_write_that_is_not_allowed_says_what_it_needs(careless: type[Careless]) -> None:
    careless.refuses = staticmethod(lambda: 403)
    with pytest.raises(RegistryError, match="the server answers 403") as refused:
        S3Store("s3://bucket").create("history/000001.json", b"{}")
    assert "s3:PutObject" in refused.value.fix
