"""`kennel ui`, started for real and asked by HTTP as its page asks it."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from archives import zipped
from awkward import awkward_photos, broken_photos
from bundles import tiny_bundle
from served_app import Served, serving_app
from serving import File, serving

from kennel.bundle import Bundle
from kennel.cli import main
from kennel.ui.guard import MOST_QUESTION_BYTES, MOST_UPLOAD_BYTES

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
FILE = {"_type": "gradio.FileData"}


@pytest.fixture(scope="session")
def client(window: Served) -> Any:
    gradio_client = pytest.importorskip("gradio_client")
    return gradio_client.Client(window.url, verbose=False)


def handed(path: Path) -> Any:
    from gradio_client import handle_file

    return handle_file(str(path))


def test_every_awkward_photo_is_answered_to_the_last_digit_as_kennel_predict_does(
    client: Any, tiny: Bundle, tmp_path: Path
) -> None:
    files = awkward_photos(tmp_path / "awkward")
    kinds = ("exif_", "cmyk", "ycck", "grey_16", "rgb_16", "palette", "alpha", "animated", "huge_t")
    chosen = [path for name, path in files.items() if name.startswith(kinds)]
    assert len(chosen) > 30
    words = ["predict", tiny.path, *chosen, "--json", "--top", "3"]
    done = subprocess.run(
        [sys.executable, "-m", "kennel", *map(str, words)], check=True, capture_output=True
    )
    for path, expected in zip(chosen, json.loads(done.stdout), strict=True):
        data, page = client.predict(handed(path), 3, api_name="/predict")
        assert data.pop("took_ms") > 0
        assert {**data, "path": str(path)} == expected
        assert "k-bars" in page or "Not one I know" in page


def test_a_broken_photo_is_told_in_words_where_the_answer_would_stand(
    client: Any, window: Served, tmp_path: Path
) -> None:
    for name, path in broken_photos(tmp_path / "broken").items():
        if path.is_file():
            data, page = client.predict(handed(path), 3, api_name="/predict")
            assert data["error"].startswith("the photo"), name
            assert "No answer" in page
            assert str(window.home) not in page


@pytest.mark.parametrize("meta", [{}, {"meta": FILE}])
def test_no_file_of_the_machine_is_read_that_was_not_uploaded(
    window: Served, photos: Path, meta: dict[str, Any]
) -> None:
    own = {"path": str(photos / "red" / "0.png"), **meta}
    for name, data in (
        ("predict", [own, 3]),
        ("why", [own, "", 7]),
        ("several", [[own], []]),
        ("predict", [{"path": f"{window.home}/../{photos.name}/red/0.png", **meta}, 3]),
    ):
        said = window.post(*data, name=name)
        assert "event: error" in said, said
        assert "red" not in said


def test_no_address_that_a_visitor_names_is_asked(window: Served) -> None:
    with serving() as elsewhere:
        address = elsewhere.put("/photo.png", File(b"\x89PNG"))
        for photo in (
            {"path": address, "meta": FILE},
            {"path": address, "url": address, "meta": FILE},
            {"path": address},
        ):
            assert "event: error" in window.post(photo, 3)
            assert "event: error" in window.post([photo], [], name="several")
        assert elsewhere.asked == []


def test_a_zip_becomes_a_table_and_a_csv_and_broken_photos_have_a_row(
    client: Any, photos: Path, tmp_path: Path
) -> None:
    red = (photos / "red" / "0.png").read_bytes()
    inside = {"a/red.png": red, "a/cut.png": red[:40], "../up.png": red, "notes.txt": b"hi"}
    (tmp_path / "dogs.zip").write_bytes(zipped(inside))
    page, table, taken = client.predict([handed(tmp_path / "dogs.zip")], [], api_name="/several")
    rows = {row[0]: row[1] for row in table["data"]}
    assert rows["dogs.zip/a/red.png"] == "red"
    assert rows["dogs.zip/a/cut.png"].startswith("not read: ")
    assert "leads out of the zip" in rows["dogs.zip/../up.png"]
    assert "3 photos answered" in page
    assert "1 files are not called photos" in page
    lines = Path(taken["value"]).read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("path,label,probability,known,")
    assert len(lines) == 4


def test_why_shows_what_the_model_saw_and_what_spoke_for_the_label(
    client: Any, photos: Path
) -> None:
    page = client.predict(handed(photos / "red" / "0.png"), "blue", 7, api_name="/why")
    assert page.count('<img src="data:image/jpeg;base64,') == 2
    assert "Why blue?" in page
    assert "49 parts" in page
    own = client.predict(handed(photos / "red" / "0.png"), "", 7, api_name="/why")
    assert "Why red?" in own


def test_the_page_may_ask_nobody_else_and_long_requests_are_refused_unread(
    window: Served,
) -> None:
    where = urlsplit(window.url).netloc

    def status(path: str, length: int) -> int:
        connection = http.client.HTTPConnection(where, timeout=30)
        connection.putrequest("POST", path)
        connection.putheader("Content-Type", "application/json")
        connection.putheader("Content-Length", str(length))
        connection.endheaders()
        answer = connection.getresponse()
        connection.close()
        return answer.status

    connection = http.client.HTTPConnection(where, timeout=30)
    connection.request("GET", "/")
    answer = connection.getresponse()
    page = answer.read().decode()
    policy = answer.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "http" not in policy
    assert "fonts.googleapis" not in page
    assert status("/gradio_api/queue/join", MOST_QUESTION_BYTES + 1) == 413
    assert status("/gradio_api/upload", MOST_UPLOAD_BYTES + 1) == 413


def test_a_question_without_a_length_is_refused_once_it_is_too_long(window: Served) -> None:
    connection = http.client.HTTPConnection(urlsplit(window.url).netloc, timeout=30)
    pieces = (b" " * (64 << 10) for _ in range(2 * MOST_QUESTION_BYTES >> 16))
    headers = {"Content-Type": "application/json", "Transfer-Encoding": "chunked"}
    try:
        connection.request("POST", "/gradio_api/queue/join", pieces, headers, encode_chunked=True)
        assert connection.getresponse().status == 413
    except (BrokenPipeError, ConnectionResetError):
        pass  # cut off while it was still sending


def test_its_document_shows_what_it_can_be_asked(client: Any) -> None:
    shown = client.view_api(return_format="dict")["named_endpoints"]
    assert {"/predict", "/why", "/several"} <= set(shown)


def test_ctrl_c_ends_it_at_once_with_130_and_no_photo_is_left(
    tiny: Bundle, photos: Path, tmp_path: Path
) -> None:
    gradio_client = pytest.importorskip("gradio_client")
    for signum, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        home = tmp_path / str(signum)
        with serving_app(tiny.path, home) as served:
            client = gradio_client.Client(served.url, verbose=False)
            client.predict(handed(photos / "red" / "0.png"), 3, api_name="/predict")
            assert any(path.name == "0.png" for path in served.left())
            started_s = time.monotonic()
            served.process.send_signal(signum)
            assert served.process.stderr is not None
            err = ""
            while "stopped" not in err and (line := served.process.stderr.readline()):
                err += line
            # Gradio alone waits five seconds for pages that are still open, as the client's is.
            assert time.monotonic() - started_s < 4
            err += served.process.communicate(timeout=60)[1]
            assert served.process.returncode == code, err
            assert "stopped" in err
            assert "Traceback" not in err
            assert served.left() == []


# what does not start


def outcome(words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    code = main(words)
    return code, capsys.readouterr().err


def test_a_port_that_is_taken_is_said_in_words(
    tiny: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, err = outcome(["ui", str(tiny.path), "--port", str(port)], capsys)
    assert code == 1
    assert f"port {port} of 127.0.0.1 is taken" in err
    assert f"--port {port + 1}" in err
    for words, said in (
        (["--port", "70000"], "--port 70000 is not in 0..65535"),
        (["--host", "no.such.host.invalid"], "is no address of this machine"),
        (["--host", "203.0.113.9"], "cannot listen on port 7860 of 203.0.113.9"),
    ):
        code, err = outcome(["ui", str(tiny.path), *words], capsys)
        assert code in (1, 2)
        assert said in err


def test_a_bad_bundle_does_not_start_and_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = tiny_bundle(tmp_path / "tiny")
    (tmp_path / "empty").mkdir()
    assert "is not a bundle" in outcome(["ui", str(tmp_path / "empty")], capsys)[1]
    model = bundle.path / "model.onnx"
    model.write_bytes(model.read_bytes()[:-1] + b"x")
    code, err = outcome(["ui", str(bundle.path), "--port", "0"], capsys)
    assert code == 1
    assert "is not the file that was exported" in err


def test_a_bundle_that_must_be_signed_and_is_not_does_not_start(
    tiny: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, err = outcome(["ui", str(tiny.path), "--require-signature", str(tmp_path / "k")], capsys)
    assert code != 0
    assert err.startswith("error: ")


def test_without_gradio_it_says_which_line_brings_it(
    tiny: Bundle, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    code, err = outcome(["ui", str(tiny.path), "--port", "0"], capsys)
    assert code == 1
    assert "pip install 'kennel-ml[ui]'" in err
