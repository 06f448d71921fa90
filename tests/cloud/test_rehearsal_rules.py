"""Signatures, policies, events, rights and Dockerfiles as the rehearsal reads them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from kennel.cloud.rehearsal.calls import action, used
from kennel.cloud.rehearsal.dockerfile import read_settings
from kennel.cloud.rehearsal.events import reply_of, url_event
from kennel.cloud.rehearsal.permissions import Question, by_identity, by_resource
from kennel.cloud.rehearsal.signature import Request, SignatureError, signer
from kennel.errors import KennelError

ROOT = Path(__file__).parents[2]
SECRETS = {"AKIAX": "secret"}


def signed(path: str = "/predict?top=3&b=%2F&a", *, body: bytes = b"photo") -> Request:
    made = AWSRequest("POST", f"http://127.0.0.1:1{path}", data=body, headers={"X-Own": " a  b "})
    SigV4Auth(Credentials("AKIAX", "secret", None), "lambda", "us-east-1").add_auth(made)
    headers = {name.lower(): said for name, said in made.headers.items()}
    plain, _, query = path.partition("?")
    return Request("POST", plain, query, {"host": "127.0.0.1:1", **headers}, body)


def verified(request: Request, *, now: datetime | None = None, region: str = "us-east-1") -> str:
    return signer(request, SECRETS, service="lambda", region=region, now=now or datetime.now(UTC))


@pytest.mark.parametrize(
    "path", ["/", "/predict?top=3&b=%2F&a", "/a%20b/c?x=%C3%A9&x=1", "/a//b?z=1&a=2"]
)
def test_what_botocore_signs_is_taken(path: str) -> None:
    assert verified(signed(path)) == "AKIAX"


@pytest.mark.parametrize(
    "change",
    [
        {"body": b"another"},
        {"path": "/other"},
        {"query": "top=4"},
        {"method": "PUT"},
        {"headers": {}},
    ],
    ids=["body", "path", "query", "method", "headers"],
)
def test_what_was_changed_after_it_was_signed_is_not(change: dict[str, Any]) -> None:
    with pytest.raises(SignatureError):
        verified(replace(signed(), **change))


def test_a_signature_is_good_for_five_minutes_and_one_region() -> None:
    request = signed()
    with pytest.raises(SignatureError, match="expired"):
        verified(request, now=datetime.now(UTC) + timedelta(minutes=6))
    with pytest.raises(SignatureError, match="valid region"):
        verified(request, region="eu-central-1")
    with pytest.raises(SignatureError, match="token"):
        signer(request, {}, service="lambda", region="us-east-1", now=datetime.now(UTC))


ASKED = Question(
    "arn:aws:iam::123456789012:user/anna",
    "lambda:InvokeFunction",
    "arn:aws:lambda:us-east-1:123456789012:function:a:live",
    {"lambda:invokedviafunctionurl": "true"},
)


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ({"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": "*"}, True),
        ({"Effect": "Allow", "Action": "LAMBDA:invoke*", "Resource": "arn:*:function:a:*"}, True),
        ({"Effect": "Allow", "Action": ["s3:*"], "Resource": "*"}, None),
        ({"Effect": "Allow", "Action": "*", "Resource": "arn:*:function:b:*"}, None),
        ({"Effect": "Deny", "Action": "lambda:*", "Resource": "*"}, False),
        (
            {
                "Effect": "Allow",
                "Action": "*",
                "Resource": "*",
                "Condition": {"Bool": {"lambda:InvokedViaFunctionUrl": "false"}},
            },
            None,
        ),
        (
            {
                "Effect": "Allow",
                "Action": "*",
                "Resource": "*",
                "Condition": {"IpAddress": {"aws:SourceIp": "0.0.0.0/0"}},
            },
            None,
        ),
    ],
)
def test_a_statement_says_what_it_says_and_an_unknown_condition_is_not_met(
    statement: dict[str, Any], says: bool | None
) -> None:
    assert by_identity([{"Statement": statement}], ASKED) is says


def test_a_denial_wins_over_any_permission() -> None:
    allow = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    deny = {"Effect": "Deny", "Action": "lambda:InvokeFunction", "Resource": "*"}
    assert by_identity([{"Statement": [allow]}, {"Statement": deny}], ASKED) is False
    named = {"Principal": {"AWS": ASKED.who}}
    assert by_resource({"Statement": [{**allow, **named}]}, ASKED) is True
    assert by_resource({"Statement": [{**allow, "Principal": {"AWS": "arn:other"}}]}, ASKED) is None
    assert by_resource(None, ASKED) is None


def test_a_body_that_is_text_goes_as_text_and_any_other_as_base64() -> None:
    text = url_event("POST", "/", headers={"Content-Type": "application/json"}, body=b"{}")
    assert (text["body"], text["isBase64Encoded"]) == ("{}", False)
    photo = url_event("POST", "/", headers={"Content-Type": "image/jpeg"}, body=b"\xff\xd8")
    assert (photo["body"], photo["isBase64Encoded"]) == ("/9g=", True)
    wrong = url_event("POST", "/", headers={"Content-Type": "text/plain"}, body=b"\xff")
    assert wrong["isBase64Encoded"]
    assert "body" not in url_event("GET", "/", headers={})


def test_a_reply_without_a_status_is_a_body_and_a_broken_one_is_none() -> None:
    assert reply_of({"label": "dog"}).body == b'{"label": "dog"}'
    assert (
        reply_of({"statusCode": 200, "body": "/9g=", "isBase64Encoded": True}).body == b"\xff\xd8"
    )
    with pytest.raises(ValueError, match="no answer"):
        reply_of({"statusCode": 200, "body": "?", "isBase64Encoded": True})


def test_rights_are_named_as_iam_names_them(tmp_path: Path) -> None:
    heard = tmp_path / "heard"
    heard.write_text(
        "K1 s3 HeadObject\nK1 s3 ListObjectsV2\nK1 s3 HeadObject\nrehearsal s3 GetObject\n"
        "cloudformation lambda CreateFunction20150331\nK2 monitoring PutDashboard\n"
    )
    assert used(heard, {"K1": "data", "K2": "deploy"}) == {
        "cloudformation": ["lambda:CreateFunction"],
        "data": ["s3:GetObject", "s3:ListBucket"],
        "deploy": ["cloudwatch:PutDashboard"],
    }
    assert action("tagging", "GetResources") == "tag:GetResources"


def test_the_serve_image_s_settings_are_those_of_its_last_stage() -> None:
    found = read_settings(ROOT / "docker" / "serve.Dockerfile")
    assert found.entry == ("kennel", "serve", "/bundle")
    assert found.environment["AWS_LWA_READINESS_CHECK_PATH"] == "/ready"
    assert found.environment["LANG"] == "C.UTF-8"
    assert "PIP_NO_INPUT" not in found.environment  # of an earlier stage
    assert found.user == "1000:1000"


def test_a_dockerfile_without_an_entry_point_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "Dockerfile"
    file.write_text('FROM a\nENTRYPOINT ["x"]\nFROM b\n')
    with pytest.raises(KennelError, match="no ENTRYPOINT"):
        read_settings(file)
    file.write_text("FROM a\nENTRYPOINT kennel serve\n")
    with pytest.raises(KennelError, match="not a list"):
        read_settings(file)
