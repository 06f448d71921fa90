"""What AWS, an engine or a person gets wrong is said before anything is changed."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from deployed_place import Place
from small_stacks import write_stacks

from kennel.cloud import CloudError, client
from kennel.cloud.image import local_image, pushed
from kennel.cloud.logs import seconds_of
from kennel.errors import UsageError

pytestmark = pytest.mark.slow  # a server of AWS's


def refused(place: Place, words: str, fix: str, *, code: int = 1) -> None:
    found, _, err = place.run("deploy", "--yes")
    assert found == code, err
    assert words in err
    assert fix in err
    assert "Traceback" not in err
    assert place.aws.changed == []
    assert place.aws.stacks() == {}


def test_without_credentials(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", "/nonexistent")
    refused(place, "there are no credentials for AWS", "aws sso login")


@pytest.mark.parametrize(
    ("aws_code", "fix"),
    [
        ("ExpiredToken", "sign in again"),
        ("InvalidClientTokenId", "the key is not known, or the region is not enabled"),
        ("SignatureDoesNotMatch", "this machine's clock is wrong"),
    ],
)
def test_credentials_that_are_good_no_more(place: Place, aws_code: str, fix: str) -> None:
    place.aws.refuse["GetCallerIdentity"] = (aws_code, "The security token is what it is")
    refused(place, aws_code, fix)


def test_a_profile_that_is_none(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    refused(place, "(nobody) could not be found", "aws configure list-profiles")


def test_another_region_than_the_deployments(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    words = "AWS_REGION is eu-central-1, and the deployment is for us-east-1."
    refused(place, words, "another `region` in deploy/aws/settings.yaml", code=2)


def test_the_region_may_be_named_as_other_tools_name_it(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    assert client("sts").meta.region_name == "eu-central-1"


OPT_IN = "<optInStatus>not-opted-in</optInStatus>"


@pytest.mark.parametrize("region", ["us-nowhere-9", "ap-east-1"])
def test_a_region_that_is_none_or_is_not_enabled(
    place: Place, region: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = place.templates / "deployment.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**document, "region": region}), encoding="utf-8")
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.setenv(name, region)
    told = f"<item><regionName>ap-east-1</regionName>{OPT_IN}</item>"
    place.aws.answer["DescribeRegions"] = lambda: (
        f"<DescribeRegionsResponse><regionInfo>{told}</regionInfo></DescribeRegionsResponse>"
    )
    found, _, err = place.run("deploy", "--yes")
    assert found == 1, err
    assert "error: region: " in err
    assert place.aws.changed == []


ENGINE: dict[str, tuple[dict[str, Any], str, str]] = {
    "missing": ({}, "docker has no image kennel-serve.", "make images ARGS=serve BUNDLE="),
    "of another architecture": (
        {"bundle": "tiny-first", "architecture": "arm64"},
        "is for arm64; Lambda runs it on x86_64.",
        'BUILD_OPTIONS="--platform linux/amd64"',
    ),
    "without a bundle": ({"bundle": ""}, "has no bundle in it", "make images ARGS=serve"),
    "without the adapter": (
        {"bundle": "tiny-first", "files": []},
        "has no /opt/extensions/lambda-adapter",
        "make images ARGS=serve",
    ),
}


@pytest.mark.parametrize("how", ENGINE)
def test_an_image_that_cannot_be_deployed(place: Place, how: str) -> None:
    told, words, fix = ENGINE[how]
    (place.engine.folder / "images" / "kennel-serve.json").unlink()
    if told:
        place.engine.image("kennel-serve", **told)
    refused(place, words, fix)


def test_no_engine(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(place.folder))
    refused(place, "engine: neither docker nor buildah", "apt-get install buildah")


def test_the_token_of_the_registry_stands_in_no_argument_and_no_file(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(place.folder))
    token = place.aws.client("ecr").get_authorization_token()["authorizationData"][0]
    assert place.run("deploy", "--yes")[0] == 0  # the stand-in refuses a push without it
    said = (place.engine.folder / "said").read_text(encoding="utf-8")
    assert token["authorizationToken"] not in said
    assert "AWS:" not in said
    assert list(place.folder.glob("kennel-push-*")) == []


def test_an_index_of_images_is_followed_to_the_one_for_lambda(place: Place) -> None:
    assert place.run("deploy", "--only", "images", "--yes")[0] == 0
    oci = "application/vnd.oci.image"
    index = {
        "schemaVersion": 2,
        "mediaType": f"{oci}.index.v1+json",
        "manifests": [
            {
                "mediaType": f"{oci}.manifest.v1+json",
                "size": 9,
                "digest": f"sha256:{digit * 64}",
                "platform": {"architecture": machine, "os": "linux"},
            }
            for digit, machine in (("a", "arm64"), ("b", "amd64"), ("c", "unknown"))
        ],
    }
    image = local_image("kennel-serve", bundle=place.bundle, rebuild="make images")
    place.aws.client("ecr").put_image(
        repositoryName="kennel-serve", imageTag=image.tag, imageManifest=json.dumps(index)
    )
    assert pushed("kennel-serve", image) == f"sha256:{'b' * 64}"


@pytest.mark.skipif(shutil.which("buildah") is None, reason="needs buildah")
def test_buildah_is_an_engine_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_DRIVER", "vfs")
    root = tmp_path / "containers"
    storage = tmp_path / "storage.conf"
    storage.write_text(
        f'[storage]\ndriver = "vfs"\ngraphroot = "{root}"\nrunroot = "{tmp_path / "run"}"\n',
        encoding="utf-8",
    )
    monkeypatch.setenv("CONTAINERS_STORAGE_CONF", str(storage))
    (tmp_path / "lambda-adapter").write_text("#!/bin/sh\n", encoding="utf-8")
    (tmp_path / "lambda-adapter").chmod(0o755)
    monkeypatch.setattr("kennel.cloud.image.engine", lambda: "buildah")  # docker may answer here
    for name, line in (
        ("whole", "COPY lambda-adapter /opt/extensions/lambda-adapter"),
        ("bare", "COPY lambda-adapter /elsewhere"),
    ):
        (tmp_path / "Dockerfile").write_text(
            f"FROM scratch\n{line}\nLABEL kennel.bundle_id=tiny\n", encoding="utf-8"
        )
        built = subprocess.run(
            ["buildah", "bud", "--format", "docker", "-q", "-t", name, "."],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        if built.returncode:
            pytest.skip(f"buildah builds nothing here: {built.stderr[-200:]}")
    found = local_image("whole", bundle="tiny", rebuild="x")
    assert found.tag == f"tiny-{found.image_id[:12]}"
    with pytest.raises(CloudError, match="lambda-adapter"):
        local_image("bare", bundle="tiny", rebuild="x")
    with pytest.raises(CloudError, match="has no image nobody"):
        local_image("nobody", bundle="tiny", rebuild="x")


def test_the_doctor_says_what_a_new_account_lacks(place: Place) -> None:
    runner = {"Resources": {"Topic": {"Type": "AWS::SNS::Topic", "Properties": {}}}}
    write_stacks(place.templates, runner=runner)
    place.aws.answer["GetServiceQuota"] = lambda: {"Quota": {"Value": 0.0}}
    place.aws.answer["GetAccountSettings"] = lambda: {
        "AccountLimit": {"ConcurrentExecutions": 10, "UnreservedConcurrentExecutions": 10}
    }
    code, out, _ = place.run("doctor", "--json")
    found = {each["name"]: each for each in json.loads(out)["findings"]}
    assert code == 1
    assert found["GPU quota, on demand"]["found"] == "0 vCPUs; g4dn.xlarge has 4"
    assert "--quota-code L-DB2E81BA --desired-value 4" in found["GPU quota, on demand"]["fix"]
    assert "--quota-code L-3819A6DF" in found["GPU quota, spot"]["fix"]
    assert not found["GPU quota, spot"]["needed"]  # training waits; serving does not
    assert "5 of the account's 10 cannot be kept" in found["concurrency"]["found"]
    assert "`concurrency: account`" in found["concurrency"]["fix"]
    assert found["concurrency"]["needed"]
    refused(place, "concurrency: 5 of the account's 10", "concurrency: account")
    place.aws.answer["GetAccountSettings"] = lambda: {
        "AccountLimit": {"ConcurrentExecutions": 1000, "UnreservedConcurrentExecutions": 1000}
    }
    code, out, _ = place.run("doctor")
    assert code == 0
    assert "ok     concurrency             5 of 1000" in out
    assert out.splitlines()[-1] == "next: kennel cloud deploy"


def test_the_status_says_what_stands(place: Place) -> None:
    code, out, _ = place.run("status")
    assert (code, out.count("not there")) == (0, 3)
    place.run("deploy", "--yes")
    code, out, _ = place.run("status", "--json")
    found = json.loads(out)
    assert [each["status"] for each in found["stacks"]] == ["CREATE_COMPLETE"] * 3
    assert found["serving"]["bundle"] == place.bundle
    assert found["serving"]["digest"] == place.aws.live()[1]
    assert (found["serving"]["version"], found["serving"]["earlier"]) == (1, 0)
    place.aws.client("lambda").put_function_concurrency(
        FunctionName="kennel-serve", ReservedConcurrentExecutions=0
    )
    assert "nobody is let in" in place.run("status")[1]


def test_logs_are_in_order_and_mark_what_went_wrong(place: Place) -> None:
    code, _, err = place.run("logs")
    assert code == 1
    assert "there is no service" in err
    place.run("deploy", "--yes")
    logs, now = place.aws.client("logs"), int(time.time() * 1000)
    group = "/aws/lambda/kennel-serve"
    logs.create_log_stream(logGroupName=group, logStreamName="a")
    rows = [
        '{"event": "request", "status": 200, "path": "/predict"}',
        "START RequestId: 1 Version: 1",
        "2026 Task timed out after 30.00 seconds",
        '{"event": "request", "status": 500, "path": "/predict"}',
    ]
    logs.put_log_events(
        logGroupName=group,
        logStreamName="a",
        logEvents=[{"timestamp": now + at, "message": row} for at, row in enumerate(rows)],
    )
    code, out, _ = place.run("logs", "--since", "5m", "--json")
    found = json.loads(out)
    assert [each["bad"] for each in found] == [False, True, True]
    assert found[0]["words"] == "request status=200 path=/predict"
    assert len(place.run("logs", "--errors")[1].splitlines()) == 2


@pytest.mark.parametrize("words", ["1", "h", "-1h", "1w", "1.5h", ""])
def test_a_time_that_is_none_is_refused(words: str) -> None:
    with pytest.raises(UsageError, match="--since is"):
        seconds_of(words)
