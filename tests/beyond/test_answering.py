"""`kennel predict --engine ray`: photos in a bucket, three nodes: the same rows."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from bundles import tiny_bundle
from PIL import Image
from ray_nodes import Nodes, nodes_here
from storage import bucket, s3_server

from kennel import bucket as buckets
from kennel.bundle import Bundle
from kennel.cli import main

pytest.importorskip("ray", reason="the extra ray is not installed")
parquet = pytest.importorskip("pyarrow.parquet")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.cluster,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
PHOTOS, ROWS = 160, 16
FROM = "s3://my-photos/photos"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A bucket with photos, some of them broken, and one hidden."""
    with s3_server(tmp_path_factory.mktemp("s3")) as address:
        place = bucket(address)
        for n in range(PHOTOS):
            file = io.BytesIO()
            if n % 40 == 7:
                file.write(b"\x89PNG\r\n\x1a\n cut off")
            else:
                # Large enough that a file takes a moment.
                Image.new("RGB", (700, 600 + n), (n, 255 - n, 3)).save(file, "PNG")
            key = f"photos/{'abc'[n % 3]}/{n}.png" if n else "photos/first.png"
            place.put_object(Key=key, Body=file.getvalue())
        place.put_object(Key="photos/.hidden/1.png", Body=b"no photo")
        place.put_object(Key="photos/notes.txt", Body=b"no photo")
        yield address


@pytest.fixture(scope="module")
def cluster(server: str) -> Iterator[Nodes]:
    access = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any", "AWS_REGION": "us-east-1"}
    with nodes_here(AWS_ENDPOINT_URL=server, AWS_DEFAULT_REGION="us-east-1", **access) as nodes:
        yield nodes


@pytest.fixture
def nodes(cluster: Nodes, monkeypatch: pytest.MonkeyPatch) -> Iterator[Nodes]:
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    buckets.client.cache_clear()
    cluster.make_whole()
    yield cluster
    buckets.client.cache_clear()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny")


@pytest.fixture(scope="module")
def whole(cluster: Nodes, bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one machine says, without Ray."""
    table = tmp_path_factory.mktemp("whole") / "answers.parquet"
    buckets.client.cache_clear()
    assert main(["predict", str(bundle.path), FROM, "--table", str(table)]) == 0
    return table


def words(bundle: Bundle, to: Path | str) -> list[str]:
    ray = ["--engine", "ray", "--rows-a-file", str(ROWS), "--to", str(to)]
    return ["predict", str(bundle.path), FROM, *ray]


def assert_same(answers: Path, whole: Path) -> None:
    assert parquet.read_table(answers).equals(parquet.read_table(whole))


def files(answers: Path) -> dict[str, int]:
    return {file.name: file.stat().st_mtime_ns for file in answers.glob("answers-*.parquet")}


def test_a_bucket_becomes_a_bucket_of_answers_with_the_rows_of_one_machine(
    nodes: Nodes, bundle: Bundle, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words(bundle, "s3://my-photos/answers")) == 0
    out = capsys.readouterr().out
    assert f"photos      {PHOTOS}" in out
    assert "no answer   4: see error" in out
    for key in buckets.keys_below(buckets.Address("my-photos", "answers")):
        (tmp_path / key.rpartition("/")[2]).write_bytes(
            buckets.read_object(buckets.Address("my-photos", key))
        )
    assert len(files(tmp_path)) == PHOTOS // ROWS
    assert_same(tmp_path, whole)
    errors = [row["error"] for row in parquet.read_table(tmp_path).to_pylist() if row["error"]]
    assert all(error.startswith(f"{FROM}/") and "cannot be decoded" in error for error in errors)
    assert main(words(bundle, "s3://my-photos/answers")) == 2
    assert "are there already, and whole" in capsys.readouterr().err


def test_a_node_that_is_lost_loses_no_answer(
    nodes: Nodes, bundle: Bundle, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    to, lost = tmp_path / "answers", []

    def lose() -> None:
        while not files(to):
            time.sleep(0.01)
        lost.append(len(files(to)))
        nodes.lose_one()

    thread = threading.Thread(target=lose)
    thread.start()
    assert main([*words(bundle, to), "--json"]) == 0
    thread.join()
    assert json.loads(capsys.readouterr().out)["rows"] == PHOTOS
    assert lost[0] < PHOTOS // ROWS, "it was lost when all was done"
    assert_same(to, whole)


def test_a_killed_command_goes_on_after_the_files_that_are_there(
    nodes: Nodes, bundle: Bundle, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    to = tmp_path / "answers"
    running = subprocess.Popen(
        [sys.executable, "-m", "kennel", *words(bundle, to)],
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    while len(files(to)) < 2 and running.poll() is None:
        time.sleep(0.01)
    running.send_signal(signal.SIGKILL)
    running.wait()
    time.sleep(1)  # what its workers had in hand may still become whole
    kept = files(to)
    assert 2 <= len(kept) < PHOTOS // ROWS
    assert not (to / "_complete.json").exists()
    assert main(words(bundle, to)) == 0
    assert f"after {ROWS * len(kept)} of an earlier run" in capsys.readouterr().err
    after = files(to)
    assert {name: after[name] for name in kept} == kept, "a finished file was written again"
    assert_same(to, whole)


def test_a_bucket_that_is_not_there_and_a_prefix_without_photos_are_said(
    nodes: Nodes, bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    for photos, said in (
        ("s3://no-such-bucket/x", "s3://no-such-bucket/x: the server answers NoSuchBucket"),
        ("s3://my-photos/empty", "s3://my-photos/empty has no photo below it"),
    ):
        assert main(["predict", str(bundle.path), photos]) != 0
        error, fix = capsys.readouterr().err.splitlines()
        assert said in error
        assert fix.startswith("fix: ")


def test_without_credentials_it_is_said(
    nodes: Nodes,
    bundle: Bundle,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", "/nonexistent")
    assert main(["predict", str(bundle.path), FROM]) == 1
    assert f"there are no credentials for {FROM}" in capsys.readouterr().err


def test_a_node_that_cannot_reach_the_bucket_is_named(
    nodes: Nodes, bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = tmp_path / "list.txt"
    listed.write_text("s3://no-such-bucket/a.jpg\n")
    ray = ["--engine", "ray", "--to", str(tmp_path / "answers")]
    assert main(["predict", str(bundle.path), "--files-from", str(listed), *ray]) == 1
    error = capsys.readouterr().err.splitlines()[0]
    assert error.startswith("error: node ")
    assert "the server answers NoSuchBucket" in error
