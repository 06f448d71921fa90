"""What is left is found, of every kind, and what is other people's is left alone."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from deployed_place import Place
from planted import limit, named_stacks, plant, plant_by_name
from small_stacks import BUCKET, write_stacks

pytestmark = pytest.mark.slow  # a server of AWS's


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kennel.cloud.sweeping.PAUSE_S", 0.0)


def test_every_kind_of_orphan_goes_and_other_peoples_things_stay(place: Place) -> None:
    write_stacks(place.templates, **named_stacks("kennel"))
    ours = [plant(place.aws, "kennel", "kennel"), plant_by_name(place.aws, "kennel")]
    theirs = [
        plant(place.aws, "kennel-two", "kennel-two"),  # another deployment: the same beginning
        plant(place.aws, "kennel-mine", None),  # a name like ours, and no tag
        plant(place.aws, "somebody", None),
        plant_by_name(place.aws, "kennel-two"),
    ]
    everything = [set(each.names) for each in theirs]
    assert len(everything[0]) == 20

    code, out, _ = place.run("sweep", "--verify", "--json")
    assert code == 1
    found = json.loads(out)
    kinds = {each["kind"] for each in found["left"]}
    assert len(found["left"]) == sum(len(each.names) for each in ours), kinds
    assert [each.there() for each in ours] == [set(each.names) for each in ours]  # only counted
    machine = next(e for e in found["left"] if e["kind"] == "AWS::EC2::Instance")
    assert machine["usd"] == pytest.approx(0.526 * 730, rel=0.05)
    volume = next(e for e in found["left"] if e["kind"] == "AWS::EC2::Volume")
    assert volume["usd"] == pytest.approx(8.0)
    assert found["usd_a_month"] > machine["usd"] + volume["usd"]

    code, out, err = place.run("sweep", "--yes")
    assert code == 0, (out, err)
    assert [each.there() for each in ours] == [set(), set()]
    assert [each.there() for each in theirs] == everything
    code, out, _ = place.run("sweep", "--verify")
    assert code == 0
    assert "AWS::KMS::Key" in out  # in deletion: it goes by itself
    assert out.splitlines()[-1] == "nothing is left"


def test_what_a_stack_has_is_the_stacks(place: Place) -> None:
    place.run("deploy", "--yes")
    code, out, _ = place.run("sweep", "--yes")
    assert code == 0
    assert "removed" not in out
    assert set(place.aws.stacks()) == {"kennel-storage", "kennel-images", "kennel-service"}
    assert place.aws.live()[0] == "1"
    code, out, _ = place.run("sweep", "--verify")
    assert code == 1
    assert out.count("AWS::CloudFormation::Stack") == 3


def test_a_bucket_with_data_is_said_and_not_removed(place: Place) -> None:
    s3 = place.aws.client("s3")
    s3.create_bucket(Bucket="kennel-old")
    tags = [{"Key": "kennel:deployment", "Value": "kennel"}]
    s3.put_bucket_tagging(Bucket="kennel-old", Tagging={"TagSet": tags})
    s3.put_object(Bucket="kennel-old", Key="photo", Body=b"1")
    code, out, _ = place.run("sweep", "--yes")
    assert code == 0
    assert "it holds data: kennel cloud destroy --with-data kennel-old" in out
    assert s3.get_object(Bucket="kennel-old", Key="photo")["Body"].read() == b"1"
    assert place.run("sweep", "--verify")[0] == 1


def test_uploads_that_never_ended_go_after_a_day(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.run("deploy", "--only", "storage", "--yes")
    s3 = place.aws.client("s3")
    s3.create_multipart_upload(Bucket=BUCKET, Key="large")
    with monkeypatch.context() as patch:  # moto says of each upload that it began in 2010
        patch.setattr("kennel.cloud.buckets.ABANDONED", timedelta(days=365 * 100))
        assert "large" not in place.run("sweep", "--verify")[1]  # somebody may be at it
    code, out, _ = place.run("sweep", "--yes")
    assert code == 0
    assert f"removed AWS::S3::MultipartUpload {BUCKET}/large" in out
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=BUCKET)


def test_limits_go_when_the_deployment_is_gone_and_no_sooner(place: Place) -> None:
    place.run("deploy", "--only", "storage", "--yes")
    limit(place.aws, "kennel-777-1", of="kennel")
    limit(place.aws, "kennel-888-1", of="kennel-two")
    scheduler = place.aws.client("scheduler")

    def limits() -> set[str]:
        return {each["Name"] for each in scheduler.list_schedules()["Schedules"]}

    place.run("sweep", "--yes")  # a limit may be a moment older than its machine
    assert limits() == {"kennel-777-1", "kennel-888-1"}
    place.run("destroy", "--yes")
    assert limits() == {"kennel-888-1"}


def test_a_machine_that_works_is_left_to_its_limit(place: Place) -> None:
    place.run("deploy", "--only", "storage", "--yes")
    ec2 = place.aws.client("ec2")
    image = ec2.describe_images()["Images"][0]["ImageId"]
    until = datetime.now(UTC) + timedelta(hours=1)
    tags = {
        "kennel:deployment": "kennel",
        "kennel-runner": "kennel-777-1",
        "kennel-until": f"{until:%Y-%m-%dT%H:%M:%SZ}",
    }
    ec2.run_instances(
        ImageId=image,
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[
            {
                "ResourceType": "instance",
                "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
            }
        ],
    )

    def state() -> str:
        return str(ec2.describe_instances()["Reservations"][0]["Instances"][0]["State"]["Name"])

    _, out, _ = place.run("sweep", "--yes")
    assert "kennel cloud runner stop --name kennel-777-1" in out
    assert state() == "running"
    place.run("destroy", "--yes")
    assert state() in ("terminated", "shutting-down")


def test_what_cannot_be_removed_is_said_and_ends_with_1(place: Place) -> None:
    tags = [{"Key": "kennel:deployment", "Value": "kennel"}]
    place.aws.client("ecr").create_repository(repositoryName="kennel-old", tags=tags)
    place.aws.refuse["DeleteRepository"] = ("AccessDeniedException", "not you")
    code, out, _ = place.run("sweep", "--yes")
    assert code == 1
    assert "stays   AWS::ECR::Repository kennel-old" in out
    assert "AccessDeniedException" in out
