"""Killed at any request that changes something, a deployment and its removal are gone on with."""

from __future__ import annotations

import pytest
from deployed_place import Place
from emulated_aws import kennel
from small_stacks import BUCKET

pytestmark = pytest.mark.slow  # processes that are killed

ALL = {f"kennel-{room}": "CREATE_COMPLETE" for room in ("storage", "images", "service")}


def cut(place: Place, *words: str, at: int, when: str) -> None:
    """Runs it, and kills it while the answer to its change number `at` does not come."""
    place.aws.changed.clear()
    place.aws.held.clear()
    place.aws.go_on.clear()
    place.aws.hold = (at, when)
    environment = place.aws.environment() | place.engine.environment()
    with kennel(*place.words(*words), env=environment, cwd=place.folder) as process:
        try:
            assert place.aws.held.wait(60), process.communicate()[1]
        finally:
            process.kill()
            place.aws.hold = None
            place.aws.go_on.set()


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("at", [1, 2, 4, 5, 6, 7])
def test_a_deployment_that_was_killed_is_gone_on_with(place: Place, at: int, when: str) -> None:
    cut(place, "deploy", "--yes", at=at, when=when)
    code, out, err = place.run("deploy", "--yes")
    assert code == 0, (out, err)
    assert place.aws.stacks() == ALL
    assert place.aws.change_sets() == []
    assert place.aws.bundle() == place.bundle
    assert place.aws.live()[0] == "1"
    images = place.aws.client("ecr").describe_images(repositoryName="kennel-serve")["imageDetails"]
    assert [each["imageDigest"] for each in images] == [place.aws.live()[1]]
    assert place.run("deploy", "--yes")[1].startswith("nothing to do")


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("at", [1, 2, 3, 4, 5])
def test_a_removal_that_was_killed_is_gone_on_with(place: Place, at: int, when: str) -> None:
    assert place.run("deploy", "--yes")[0] == 0
    place.aws.client("s3").put_object(Bucket=BUCKET, Key="photo", Body=b"1")
    cut(place, "destroy", "--with-data", BUCKET, "--yes", at=at, when=when)
    code, out, err = place.run("destroy", "--with-data", BUCKET, "--yes")
    assert code == 0, (out, err)
    assert place.aws.stacks() == {}
    code, out, _ = place.run("sweep", "--verify")
    assert (code, out) == (0, "nothing is left\n")
