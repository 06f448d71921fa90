"""The Open Inference Protocol, asked as its clients do."""

from __future__ import annotations

import pytest
from inference_requests import image, infer, outputs, tensor
from PIL import Image
from running import Running, is_problem

from kennel.awkward import saved

RED = saved(Image.new("RGB", (50, 40), "red"), "JPEG")


def test_the_protocol_s_metadata_and_health(server: Running) -> None:
    assert server.ask("GET", "/v2").json["name"] == "kennel"
    assert server.ask("GET", "/v2/health/live").json == {"live": True}
    assert server.ask("GET", "/v2/health/ready").json == {"ready": True}
    own = server.ask("GET", "/v2/models/kennel/versions/tiny-0a1b2c3d").json
    assert own == server.ask("GET", "/v2/models/kennel").json
    assert own["inputs"][0]["shape"] == [-1, 3, 8, 8]
    assert server.ask("GET", "/v2/models/kennel/ready").json == {"name": "kennel", "ready": True}
    for path in ("/v2/models/other", "/v2/models/kennel/versions/1", "/v2/models/other/ready"):
        assert is_problem(server.ask("GET", path), 404)
    assert is_problem(infer(server, tensor(), "/v2/models/other/infer"), 404)


def test_a_tensor_and_a_photo_are_answered_alike(server: Running) -> None:
    by_photo = outputs(infer(server, image(saved(Image.new("RGB", (8, 8), "red"), "PNG"))))
    by_tensor = outputs(infer(server, tensor()))
    assert by_photo == by_tensor
    assert by_tensor["label"] == ["red"]
    assert by_tensor["known"] == [True]
    nested = [[[[1.0] * 8] * 8, [[0.0] * 8] * 8, [[0.0] * 8] * 8]]
    assert outputs(infer(server, tensor(nested))) == by_tensor


def test_outputs_are_those_that_were_asked_for(server: Running) -> None:
    reply = infer(server, tensor(outputs=[{"name": "logits"}, {"name": "features"}], id="seven"))
    assert list(outputs(reply)) == ["logits", "features"]
    assert reply.json["id"] == "seven"
    assert outputs(reply)["features"] == [1, 0, 0]
    assert is_problem(infer(server, tensor(outputs=[{"name": "other"}])), 400)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (tensor(shape=[1, 3, 8, 9]), 400),
        (tensor(shape=[2, 3, 8, 8]), 400),
        (tensor(shape=[0, 3, 8, 8]), 400),
        (tensor(shape=[-1, 3, 8, 8]), 400),
        (tensor(shape=[192]), 400),
        (tensor([0.5] * 191), 400),
        (tensor([]), 400),
        (tensor([[1.0], 2.0]), 400),
        (tensor(["0.5"] * 192), 400),
        (tensor([None] * 192), 400),
        (tensor([{}] * 192), 400),
        (tensor([float("nan")] * 192), 400),
        (tensor([float("inf")] * 192), 400),
        (tensor([1e39] * 192), 400),
        (tensor([10**400] * 192), 400),
        (tensor([1e38] * 192), 422),
        (image("no base64!"), 400),
        (image(RED, n=2), 400),
        (image(), 400),
        (image(b"no photo"), 415),
        (image(RED[:100]), 422),
        (image(*[RED] * 65), 400),
        (b"", 400),
        (b"{", 400),
        (b"[]", 400),
        (b'{"inputs": []}', 400),
        (b"\xff\xfe", 400),
        (b"[" * 10_000, 400),
        (b'{"a":' * 10_000, 400),
        (b"[" * 100_000, 413),
        (
            b'{"inputs":[{"name":"input","shape":[1],"datatype":"FP32","data":['
            + b"1," * 700_000
            + b"1]}]}",
            413,
        ),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_what_the_protocol_does_not_take_is_refused_in_words(
    server: Running, body: bytes, status: int
) -> None:
    reply = infer(server, body)
    assert is_problem(reply, status)
    assert reply.json["error"] == reply.json["detail"]
