"""What `kennel serve` answers, asked over HTTP as its clients do."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from bundles import LABELS
from inference_requests import tensor
from PIL import Image
from prometheus_text import metrics
from running import JPEG, Running, form, head, is_problem, replies

from kennel.awkward import awkward_photos, saved

Serve = Callable[..., Running]
RED = saved(Image.new("RGB", (50, 40), "red"), "JPEG")
PATHS = ("/", "/live", "/ready", "/bundle", "/metrics", "/openapi.json", "/v2", "/v2/models/kennel")


def test_a_photo_is_answered_as_the_contract_says(server: Running) -> None:
    reply = server.predict(RED)
    assert reply.status == 200
    assert reply.headers["content-type"] == "application/json"
    answer = reply.json
    assert answer.keys() == {"label", "probability", "known", "top", "bundle", "took_ms"}
    assert (answer["label"], answer["known"], answer["bundle"]) == ("red", True, "tiny-0a1b2c3d")
    assert [each["label"] for each in answer["top"]] == ["red", "green", "blue"]
    assert answer["top"][0]["probability"] == answer["probability"]


@pytest.mark.parametrize(
    ("query", "n"), [("", 3), ("?top=1", 1), ("?top=2&x=y", 2), ("?top=99", 3)]
)
def test_top_says_how_many_labels_are_named(server: Running, query: str, n: int) -> None:
    assert len(server.predict(RED, query).json["top"]) == n


@pytest.mark.parametrize(
    "query",
    ["?top=0", "?top=-1", "?top=", "?top=two", "?top=1.5", "?top=1&top=2", "?top=" + "9" * 99],
)
def test_a_bad_top_is_refused(server: Running, query: str) -> None:
    assert is_problem(server.predict(RED, query), 400)


@pytest.mark.parametrize("path", PATHS)
def test_head_is_get_without_a_body(server: Running, path: str) -> None:
    get = server.ask("GET", path)
    (only,) = replies(server.raw(head("HEAD", path, "connection: close")))
    assert get.status == only.status == 200
    assert only.body == b""
    assert only.headers["content-type"] == get.headers["content-type"]
    if path != "/metrics":  # it counts itself
        assert only.headers["content-length"] == get.headers["content-length"]


@pytest.mark.parametrize("path", [*PATHS, "/predict", "/v2/models/kennel/infer", "*"])
def test_options_says_which_methods_there_are(server: Running, path: str) -> None:
    (reply,) = replies(server.raw(head("OPTIONS", path, "connection: close")))
    assert reply.status == 204
    assert "content-length" not in reply.headers  # RFC 9110, 8.6
    assert ("POST" if "predict" in path or "infer" in path else "GET") in reply.headers["allow"]
    assert "access-control-allow-origin" not in reply.headers


@pytest.mark.parametrize("path", [*PATHS, "/predict"])
def test_another_method_is_405_and_names_those_that_are_taken(server: Running, path: str) -> None:
    method = "DELETE"
    reply = server.ask(method, path)
    assert is_problem(reply, 405)
    assert reply.headers["allow"]


@pytest.mark.parametrize(
    "path",
    ["/nothing", "/predict/", "/../etc/passwd", "/%2e%2e/x", "/v2/", "/v2/models/other", "//"],
)
def test_what_is_not_here_is_404(server: Running, path: str) -> None:
    assert is_problem(server.ask("GET", path), 404)


def test_every_answer_carries_headers_that_keep_browsers_safe(server: Running) -> None:
    for reply in (*(server.ask("GET", path) for path in (*PATHS, "/nothing")), server.predict(RED)):
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["referrer-policy"] == "no-referrer"
        policy = reply.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert "server" not in reply.headers


def test_server_timing_says_what_was_spent_where(server: Running) -> None:
    timing = server.predict(RED).headers["server-timing"]
    spent = dict(re.findall(r"(\w+);dur=([\d.]+)", timing))
    assert spent.keys() == {"queue", "decode", "model"}


def test_a_trace_is_taken_up_given_back_and_logged(server: Running) -> None:
    trace_id, span_id = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    reply = server.predict(RED, traceparent=f"00-{trace_id}-{span_id}-01")
    own = reply.headers["traceresponse"].split("-")
    assert own[1] == trace_id
    row = server.log(trace_id=trace_id)
    assert (row["parent_id"], row["span_id"]) == (span_id, own[2])
    assert (row["status"], row["path"], row["method"]) == (200, "/predict", "POST")
    assert row["known"] is True
    assert {"queue_ms", "decode_ms", "model_ms", "ms"} <= row.keys()


def test_a_refusal_can_be_found_in_the_log(server: Running) -> None:
    instance = server.predict(b"no photo").json["instance"]
    assert server.log(trace_id=instance.removeprefix("urn:trace:"))["status"] == 415


def test_the_log_holds_nothing_of_a_photo(server: Running) -> None:
    secret = b"a-name-that-stands-in-the-photo"
    server.predict(RED[:2] + b"\xff\xfe" + (2 + len(secret)).to_bytes(2, "big") + secret + RED[2:])
    body, headers = form(("image", secret))
    server.ask("POST", "/predict", body, headers)
    body, headers = form((secret.decode(), b"x"))
    reply = server.ask("POST", "/predict", body, headers)
    server.log(trace_id=reply.json["instance"].removeprefix("urn:trace:"))
    assert not [line for line in server.lines if secret.decode() in line]
    assert not [line for line in server.lines if not line.startswith("{")]


@pytest.mark.parametrize("spelt", ["image", "Image; charset=x"])
def test_a_form_is_answered_like_the_bytes_in_it(server: Running, spelt: str) -> None:
    body, headers = form(("other", b"1"), ("image", RED))
    assert (
        server.ask("POST", "/predict", body, headers).json["top"] == server.predict(RED).json["top"]
    )


def test_awkward_photos_are_answered_as_kennel_predict_does(
    server: Running, bundle_path: Path, tmp_path: Path
) -> None:
    photos = {
        name: path
        for name, path in awkward_photos(tmp_path / "photos").items()
        if path.suffix not in (".tif", ".bmp")  # the server takes what browsers and cameras send
    }
    words = [sys.executable, "-m", "kennel", "predict", str(bundle_path), "--json"]
    done = subprocess.run([*words, *map(str, photos.values())], capture_output=True, check=True)
    told = {Path(row["path"]).name: row for row in json.loads(done.stdout)}
    for name, path in photos.items():
        raw = server.predict(path.read_bytes())
        body, headers = form(("image", path.read_bytes()))
        sent = server.ask("POST", "/predict", body, headers)
        for reply in (raw, sent):
            assert reply.status == 200, (name, reply)
            answer = {k: v for k, v in reply.json.items() if k != "took_ms"}
            assert answer == {k: v for k, v in told[name].items() if k != "path"}, name


def total(server: Running, family: str) -> float:
    reply = server.ask("GET", "/metrics")
    assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
    return sum(metrics(reply.body.decode())["kennel_" + family].values())


def test_metrics_can_be_read_and_count_what_was_answered(server: Running) -> None:
    before = metrics(server.ask("GET", "/metrics").body.decode())
    server.predict(RED)
    server.predict(b"no photo")
    server.predict(saved(Image.new("RGB", (9, 9), "black"), "PNG"))
    after = metrics(server.ask("GET", "/metrics").body.decode())

    def grew(family: str, line: str) -> float:
        return after[family].get(line, 0) - before.get(family, {}).get(line, 0)

    requests = "kennel_requests_total"
    route = '{method="POST",route="/predict",status="%d"}'
    assert grew(requests, requests + route % 200) == 2
    assert grew(requests, requests + route % 415) == 1
    assert grew("kennel_answers_total", 'kennel_answers_total{label="red"}') == 1
    assert grew("kennel_unknown_total", "kennel_unknown_total") == 1
    assert grew("kennel_stage_seconds", 'kennel_stage_seconds_count{stage="total"}') == 2
    assert after["kennel_bundle_info"] == {
        'kennel_bundle_info{bundle_id="tiny-0a1b2c3d",run_id="tiny"}': 1
    }


def test_labels_of_any_letters_stay_readable_in_metrics(serve: Serve, tmp_path: Path) -> None:
    from bundles import tiny_bundle

    odd = tiny_bundle(tmp_path / "odd", labels=('a "red" one', "gr\\een", "bl{},=ü"))
    running = serve(bundle=odd.path)
    for colour in ("red", "lime", "blue"):
        running.predict(saved(Image.new("RGB", (9, 9), colour), "PNG"))
    assert total(running, "answers_total") == 3


KEY = "a-key-that-nobody-guesses"


def test_with_keys_only_who_has_one_is_answered(serve: Serve) -> None:
    running = serve(
        "--reload", keys=f"{sha256(b'other').hexdigest()},{sha256(KEY.encode()).hexdigest()}"
    )
    right = {"authorization": f"Bearer {KEY}"}
    for method, path, body in (
        ("POST", "/predict", RED),
        ("GET", "/metrics", None),
        ("POST", "/-/reload", b""),
        ("POST", "/v2/models/kennel/infer", tensor()),
    ):
        for wrong in (
            {},
            {"authorization": "Bearer wrong"},
            {"x-api-key": "wrong"},
            {"x-api-key": ""},
        ):
            reply = running.ask(method, path, body, JPEG | wrong)
            assert is_problem(reply, 401)
            assert reply.headers["www-authenticate"].startswith("Bearer")
        assert running.ask(method, path, body, JPEG | right).status == 200
        assert running.ask(method, path, body, JPEG | {"x-api-key": KEY}).status == 200
    assert running.ask("GET", "/ready").status == 200
    assert running.ask("GET", "/bundle").json["keys"] is True
    assert running.ask("GET", "/openapi.json").json["components"]["securitySchemes"]
    running.stop()
    assert not [
        line for line in running.lines if KEY in line or sha256(KEY.encode()).hexdigest() in line
    ]


def test_who_asks_too_often_is_told_when_to_come_again(serve: Serve) -> None:
    running = serve(rate="0.5", burst="3")
    statuses = [running.predict(RED, x_forwarded_for=f"10.0.0.{i}").status for i in range(4)]
    assert statuses == [200, 200, 200, 429]
    reply = running.predict(RED)
    assert is_problem(reply, 429)
    assert 1 <= int(reply.headers["retry-after"]) <= 2
    assert running.ask("GET", "/ready").status == 200


def test_the_address_that_a_proxy_names_counts_where_the_proxy_is_known(serve: Serve) -> None:
    running = serve(rate="0.01", burst="1", proxies="127.0.0.1")
    assert running.predict(RED, x_forwarded_for="10.0.0.1").status == 200
    assert running.predict(RED, x_forwarded_for="10.0.0.1").status == 429
    assert running.predict(RED, x_forwarded_for="10.0.0.2").status == 200


def test_other_pages_may_ask_where_they_are_named_and_nowhere_else(
    server: Running, serve: Serve
) -> None:
    own, other = {"origin": "https://dogs.example"}, {"origin": "https://cats.example"}
    assert "access-control-allow-origin" not in server.predict(RED, **own).headers
    running = serve(cors="https://dogs.example")
    for path in ("/predict", "/v2/models/kennel/infer"):
        before = running.ask(
            "OPTIONS", path, headers={**own, "access-control-request-method": "POST"}
        )
        assert before.status == 204
        assert before.headers["access-control-allow-origin"] == "https://dogs.example"
        assert "content-type" in before.headers["access-control-allow-headers"]
    assert running.predict(RED, **own).headers["access-control-allow-origin"] == own["origin"]
    refused = running.predict(RED, **other).headers
    assert "access-control-allow-origin" not in refused
    assert refused["vary"] == "origin"
    assert "access-control-allow-credentials" not in running.predict(RED, **own).headers


def test_the_document_names_every_path(server: Running) -> None:
    paths = server.ask("GET", "/openapi.json").json["paths"]
    assert {"/predict", "/live", "/ready", "/bundle", "/metrics", "/v2"} <= paths.keys()
    example = paths["/predict"]["post"]["responses"]["200"]["content"]["application/json"][
        "example"
    ]
    assert example["label"] in LABELS
