"""What goes is said before; what holds data stays; what is left over is found."""

from __future__ import annotations

import json

import pytest
from deployed_place import Place
from small_stacks import BUCKET

pytestmark = pytest.mark.slow  # a server of AWS's


def test_everything_goes_and_nothing_is_left(place: Place) -> None:
    place.run("deploy", "--yes")
    code, out, err = place.run("destroy", "--yes")
    assert code == 0, err
    assert place.aws.stacks() == {}
    gone = [line.split()[1] for line in out.splitlines() if line.startswith("gone")]
    assert gone == ["kennel-service", "kennel-images", "kennel-storage"]
    assert place.run("sweep", "--verify")[:2] == (0, "nothing is left\n")
    assert BUCKET not in str(place.aws.client("s3").list_buckets()["Buckets"])
    assert place.run("destroy", "--yes")[0] == 0  # a second time: nothing to do


def test_a_bucket_with_data_stays_with_its_stack(place: Place) -> None:
    place.run("deploy", "--yes")
    place.aws.client("s3").put_object(Bucket=BUCKET, Key="photo", Body=b"123")
    code, out, err = place.run("destroy", "--yes")
    assert code == 0, err
    assert f"stays  kennel-storage: {BUCKET} holds 1 versions of files" in err
    assert f"kept        {BUCKET}: it holds data; --with-data {BUCKET} removes it" in out
    assert set(place.aws.stacks()) == {"kennel-storage"}
    assert place.run("deploy", "--yes")[0] == 0  # and it is taken up again
    got = place.aws.client("s3").get_object(Bucket=BUCKET, Key="photo")
    assert got["Body"].read() == b"123"


def test_old_versions_and_unfinished_uploads_are_data_as_well(place: Place) -> None:
    place.run("deploy", "--only", "storage", "--yes")
    s3 = place.aws.client("s3")
    s3.put_object(Bucket=BUCKET, Key="photo", Body=b"123")
    s3.delete_object(Bucket=BUCKET, Key="photo")  # a version and a marker are left
    place.run("destroy", "--yes")
    assert set(place.aws.stacks()) == {"kennel-storage"}
    s3.create_multipart_upload(Bucket=BUCKET, Key="more")
    code, out, err = place.run("destroy", "--with-data", BUCKET, "--yes", "--json")
    assert code == 0, err
    assert json.loads(out) == {"gone": ["kennel-storage"], "kept": [], "left": []}
    assert place.run("sweep", "--verify")[0] == 0


@pytest.mark.parametrize("named", [["--with-data"], ["--with-data", "kennel-data"]])
def test_data_goes_only_where_its_name_was_given(place: Place, named: list[str]) -> None:
    place.run("deploy", "--only", "storage", "--yes")
    place.aws.client("s3").put_object(Bucket=BUCKET, Key="photo", Body=b"123")
    code, _, err = place.run("destroy", *named, "--yes")
    assert code == 2
    assert f"fix: --with-data {BUCKET}" in err
    assert place.aws.client("s3").list_objects_v2(Bucket=BUCKET)["KeyCount"] == 1


def test_what_others_stand_on_is_not_taken_from_under_them(place: Place) -> None:
    place.run("deploy", "--yes")
    code, _, err = place.run("destroy", "--only", "images", "--yes")
    assert code == 1
    assert "kennel-service needs images." in err
    assert place.run("destroy", "--only", "service", "images", "--yes")[0] == 0
    assert set(place.aws.stacks()) == {"kennel-storage"}


def test_a_stack_that_could_not_be_removed_is_gone_on_with(place: Place) -> None:
    place.run("deploy", "--yes")
    place.aws.become("kennel-images", "DELETE_FAILED")
    assert place.run("destroy", "--yes")[0] == 0
    assert place.aws.stacks() == {}


def test_a_bucket_that_lost_its_stack_goes_when_it_is_named(place: Place) -> None:
    place.run("deploy", "--only", "storage", "--yes")
    place.aws.client("cloudformation").delete_stack(StackName="kennel-storage")  # it is retained
    place.aws.client("s3").put_object(Bucket=BUCKET, Key="photo", Body=b"123")
    code, _, err = place.run("deploy", "--only", "storage", "--yes")
    assert code == 1
    assert "belongs to no stack any more" in err
    assert place.run("destroy", "--yes")[0] == 1  # left, and said
    code, out, err = place.run("destroy", "--with-data", BUCKET, "--yes")
    assert code == 0, (out, err)
    assert place.run("sweep", "--verify")[0] == 0


def test_an_empty_bucket_without_a_stack_is_in_nobodys_way(place: Place) -> None:
    place.run("deploy", "--only", "storage", "--yes")
    place.aws.client("cloudformation").delete_stack(StackName="kennel-storage")
    assert place.run("deploy", "--only", "storage", "--yes")[0] == 0
    assert place.aws.stacks() == {"kennel-storage": "CREATE_COMPLETE"}
