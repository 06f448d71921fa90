"""A deployment is looked at, asked for once, done, checked, and done only once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from bundles import tiny_bundle
from deployed_place import Place
from small_stacks import BUCKET, identity, images, service, storage, write_stacks

from kennel.cloud import CloudError
from kennel.cloud.deploying import deploy, forget, plan
from kennel.cloud.deployment import read_deployment
from kennel.cloud.going_back import roll_back

pytestmark = pytest.mark.slow  # a server of AWS's

ALL = {f"kennel-{room}": "CREATE_COMPLETE" for room in ("storage", "images", "service")}


def test_one_command_makes_everything_and_the_function_answers_as_the_bundle(place: Place) -> None:
    code, out, err = place.run("deploy", "--yes", "--json")
    assert code == 0, err
    said = json.loads(out)
    assert place.aws.stacks() == ALL
    assert said["done"] == ["kennel-storage", "kennel-images", "kennel-service"]
    assert (said["bundle"], said["version"], said["checked"]) == (place.bundle, 1, True)
    assert said["digest"] == place.aws.live()[1]
    [asked] = place.aws.function.asked
    assert "/us-east-1/lambda/aws4_request" in asked["Authorization"]
    assert "CREATE_COMPLETE Live" in err  # a line a resource
    assert "$ a month with nothing asked" in err


def test_the_second_time_there_is_nothing_to_do(place: Place) -> None:
    assert place.run("deploy", "--yes")[0] == 0
    place.aws.changed.clear()
    before = len([each for each in place.engine.said() if each[0] == "push"])
    code, out, _ = place.run("deploy", "--yes")
    assert code == 0
    assert out.startswith("nothing to do\n")
    kept = {"CreateChangeSet", "DeleteChangeSet"}  # what asks, and what was asked, forgotten
    assert set(place.aws.changed) <= kept
    assert place.aws.change_sets() == []
    assert len([each for each in place.engine.said() if each[0] == "push"]) == before == 1


def test_a_new_bundle_is_a_new_version_behind_the_same_address(place: Place) -> None:
    place.run("deploy", "--yes")
    first = place.aws.live()
    place.use("tiny-second", gains=(1.0, 0.5, 0.5))
    code, out, err = place.run("deploy", "--yes", "--json")
    assert code == 0, err
    assert json.loads(out)["done"] == ["kennel-service"]
    assert place.aws.live()[0] == "2"
    assert place.aws.live()[1] != first[1]
    assert place.aws.bundle() == "tiny-second"


def test_the_service_is_changed_by_the_role_that_is_for_it_where_there_is_one(place: Place) -> None:
    """Whoever asks: else the role of a workflow would need every right that the stack needs."""
    place.run("deploy", "--yes")
    assert set(place.aws.hands("kennel-service")) == {""}
    write_stacks(place.templates, identity=identity())
    place.run("deploy", "--only", "identity", "--yes")
    place.use("tiny-second", gains=(1.0, 0.5, 0.5))
    code, _, err = place.run("deploy", "--yes")
    assert code == 0, err
    assert place.aws.hands("kennel-service")[-1].endswith(":role/kennel-deploy-service")
    for stack in ("kennel-storage", "kennel-identity"):
        assert set(place.aws.hands(stack)) <= {""}


def test_a_function_that_answers_otherwise_goes_back_to_the_version_before(place: Place) -> None:
    place.run("deploy", "--yes")
    _, digest = place.aws.live()
    place.use("tiny-wrong", gains=(1.0, 0.5, 0.5))
    place.aws.function.answers["tiny-wrong"]["probability"] -= 0.1
    code, _, err = place.run("deploy", "--yes")
    assert code == 1
    assert "The version before answers again." in err
    assert place.aws.live()[1] == digest
    assert place.aws.bundle() == place.bundle_before
    # The stack knows of it: the next deployment starts from what answers.
    place.use(place.bundle_before)
    code, out, _ = place.run("deploy", "--yes")
    assert (code, out.splitlines()[0]) == (0, "nothing to do")


def test_a_function_that_never_gets_ready_is_no_deployment(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kennel.cloud.function.PATIENCE_S", 0.0)
    monkeypatch.setattr("kennel.cloud.function.PAUSE_S", 0.0)
    place.aws.function.answers.clear()  # 502
    code, _, err = place.run("deploy", "--yes")
    assert code == 1
    assert "the function answers 502" in err
    assert "fix: see why: kennel cloud logs" in err


def test_back_lets_the_version_before_answer_in_one_step(place: Place) -> None:
    place.run("deploy", "--yes")
    _, digest = place.aws.live()
    place.use("tiny-second", gains=(1.0, 0.5, 0.5))
    place.run("deploy", "--yes")
    code, out, err = place.run("deploy", "--back", "--yes", "--json")
    assert code == 0, err
    assert json.loads(out)["bundle"] == place.bundle_before == place.aws.bundle()
    assert place.aws.live()[1] == digest
    assert place.aws.stacks()["kennel-service"] == "UPDATE_COMPLETE"


def test_back_with_nothing_before_is_refused(place: Place) -> None:
    assert place.run("deploy", "--back", "--yes")[0] == 1
    place.run("deploy", "--yes")
    code, _, err = place.run("deploy", "--back", "--yes")
    assert code == 1
    assert "no version before 1 with another image" in err


def test_a_way_back_that_was_cut_is_ended_by_the_next_deployment(place: Place) -> None:
    place.run("deploy", "--yes")
    place.use("tiny-second", gains=(1.0, 0.5, 0.5))
    place.run("deploy", "--yes")
    lambda_ = place.aws.client("lambda")
    lambda_.update_alias(FunctionName="kennel-serve", Name="live", FunctionVersion="1")
    code, _, err = place.run("deploy", "--yes")  # the stack knows of no change
    assert code == 0, err
    assert place.aws.bundle() == "tiny-second"


def test_without_a_terminal_and_without_yes_nothing_is_even_looked_at(place: Place) -> None:
    for words in (["deploy"], ["destroy"], ["sweep"]):
        code, _, err = place.run(*words)
        assert code == 2
        assert "there is no terminal to ask at." in err
    assert place.aws.asked == []


def test_a_no_leaves_nothing_behind(place: Place) -> None:
    assert place.run("deploy", "--yes")[0] == 0
    write_stacks(place.templates, service=service(memory_mb=1024))
    planned = plan(read_deployment(place.templates), only=("service",))
    assert place.aws.change_sets() != []
    forget(planned)
    assert place.aws.change_sets() == []


def test_only_the_named_rooms_are_done(place: Place) -> None:
    assert place.run("deploy", "--only", "storage", "--yes")[0] == 0
    assert place.aws.stacks() == {"kennel-storage": "CREATE_COMPLETE"}
    assert place.engine.said() == []  # no image is needed for that
    code, _, err = place.run("deploy", "--only", "service", "--yes")
    assert code == 1
    assert "kennel-service needs kennel-images, which is not there." in err
    assert place.run("deploy", "--only", "attic", "--yes")[0] == 2


def test_settings_that_change_are_shown_before_and_done(place: Place) -> None:
    place.run("deploy", "--yes")
    write_stacks(place.templates, service=service(memory_mb=1024))
    code, _, err = place.run("deploy", "--yes")
    assert code == 0, err
    assert "~ Serve AWS::Lambda::Function: changed" in err
    told = place.aws.client("lambda").get_function_configuration(
        FunctionName="kennel-serve", Qualifier="live"
    )
    assert told["MemorySize"] == 1024


def test_what_holds_data_is_removed_only_with_a_yes_of_its_own(place: Place) -> None:
    place.run("deploy", "--yes")
    without = images()
    without["Resources"] = {
        "Other": {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": "kennel-x"}}
    }
    without["Outputs"] = {}
    write_stacks(place.templates, images=without)
    code, _, err = place.run("deploy", "--only", "images", "--yes")
    assert code == 1
    assert "holds data, and would be removed or replaced." in err
    assert "fix: keep what is in it elsewhere, then say --with-data" in err
    assert place.aws.client("ecr").describe_repositories()["repositories"] != []
    assert place.aws.change_sets() == []
    assert place.run("deploy", "--only", "images", "--with-data", "--yes")[0] == 0
    assert place.aws.client("ecr").describe_repositories()["repositories"] == []


def test_a_stack_of_somebody_else_is_not_touched(place: Place) -> None:
    body = json.dumps(storage())
    aws = place.aws.client("cloudformation")
    aws.create_stack(StackName="kennel-storage", TemplateBody=body)
    code, _, err = place.run("deploy", "--yes")
    assert code == 1
    assert "kennel-storage is there, and is somebody else's" in err
    with pytest.raises(CloudError, match="is not of this deployment"):
        plan(read_deployment(place.templates), only=("storage",))
    code, _, err = place.run("destroy", "--yes")
    assert code == 1
    assert "Nothing of it is touched." in err
    assert place.aws.stacks() == {"kennel-storage": "CREATE_COMPLETE"}


@pytest.mark.parametrize(
    "status", ["ROLLBACK_COMPLETE", "CREATE_FAILED", "ROLLBACK_FAILED", "DELETE_FAILED"]
)
def test_a_stack_that_is_half_there_is_made_anew(place: Place, status: str) -> None:
    place.run("deploy", "--only", "images", "--yes")
    place.aws.become("kennel-images", status)
    code, _, err = place.run("deploy", "--yes")
    assert code == 0, err
    assert f"kennel-images: {status}, left by an earlier try" in err
    assert place.aws.stacks() == ALL


def test_a_half_made_stack_whose_bucket_holds_data_is_left_alone(place: Place) -> None:
    place.run("deploy", "--only", "storage", "--yes")
    place.aws.client("s3").put_object(Bucket=BUCKET, Key="photo", Body=b"1")
    place.aws.become("kennel-storage", "DELETE_FAILED")
    code, _, err = place.run("deploy", "--only", "storage", "--yes")
    assert code == 1, err
    assert place.aws.client("s3").get_object(Bucket=BUCKET, Key="photo")["Body"].read() == b"1"


def test_a_stack_that_only_a_change_set_was_made_for_is_made(place: Place) -> None:
    aws = place.aws.client("cloudformation")
    aws.create_change_set(
        StackName="kennel-storage",
        ChangeSetName="kennel-0123",
        ChangeSetType="CREATE",
        TemplateBody=json.dumps(storage()),
        Tags=[{"Key": "kennel:deployment", "Value": "kennel"}],
    )
    assert place.aws.stacks() == {"kennel-storage": "REVIEW_IN_PROGRESS"}
    code, _, err = place.run("deploy", "--yes")
    assert code == 0, err
    assert place.aws.stacks() == ALL
    assert place.aws.change_sets() == []


def test_a_change_set_that_was_left_over_goes(place: Place) -> None:
    place.run("deploy", "--yes")
    write_stacks(place.templates, service=service(memory_mb=1024))
    plan(read_deployment(place.templates))  # and then nothing: the process was killed
    assert len(place.aws.change_sets()) == 1
    assert place.run("deploy", "--yes")[0] == 0
    assert place.aws.change_sets() == []


def test_a_rollback_that_failed_is_gone_on_with(place: Place) -> None:
    place.run("deploy", "--yes")
    place.aws.become("kennel-images", "UPDATE_ROLLBACK_FAILED")

    def gone_on() -> str:
        place.aws.become("kennel-images", "UPDATE_ROLLBACK_COMPLETE")
        return (
            "<ContinueUpdateRollbackResponse><ContinueUpdateRollbackResult/>"
            "</ContinueUpdateRollbackResponse>"
        )

    place.aws.answer["ContinueUpdateRollback"] = gone_on
    code, _, err = place.run("deploy", "--yes")
    assert "ContinueUpdateRollback" in place.aws.asked, err
    assert code == 0, err


def test_what_somebody_else_does_at_this_moment_is_waited_for(place: Place) -> None:
    place.run("deploy", "--only", "images", "--yes")
    place.aws.become("kennel-images", "UPDATE_IN_PROGRESS")
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            place.aws.become("kennel-images", "UPDATE_COMPLETE")

    said: list[str] = []
    deployment = read_deployment(place.templates)
    planned = plan(deployment, only=("images",), say=said.append, sleep=sleep)
    assert len(slept) == 3
    assert planned.nothing
    assert "UPDATE_IN_PROGRESS, by somebody else or an earlier try; waiting" in said[0]


def test_a_stack_that_cannot_be_made_leaves_nothing_that_costs(place: Place) -> None:
    place.aws.client("iam").create_role(RoleName="kennel-serve", AssumeRolePolicyDocument="{}")
    code, _, err = place.run("deploy", "--yes")
    assert code == 1
    assert "kennel-service is ROLLBACK_COMPLETE; Role:" in err
    assert place.aws.stacks() == {k: v for k, v in ALL.items() if k != "kennel-service"}
    place.aws.client("iam").delete_role(RoleName="kennel-serve")
    assert place.run("deploy", "--yes")[0] == 0  # it goes on


def test_a_template_that_is_refused_leaves_no_stack(place: Place) -> None:
    broken = storage()
    broken["Resources"]["Data"]["Properties"]["BucketName"] = {"Ref": "Nobody"}
    write_stacks(place.templates, storage=broken)
    planned = plan(read_deployment(place.templates), only=("storage",))
    with pytest.raises(CloudError):
        deploy(planned, sleep=lambda _: None)
    assert place.aws.stacks() == {}


def test_going_back_needs_credentials_first(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.aws.refuse["GetCallerIdentity"] = ("ExpiredToken", "The security token is expired")
    with pytest.raises(CloudError, match="ExpiredToken") as caught:
        roll_back(read_deployment(place.templates))
    assert "aws sso login" in caught.value.fix


def test_the_bundle_must_be_the_one_in_the_image(place: Place, tmp_path: Path) -> None:
    other = tiny_bundle(tmp_path / "other", bundle_id="tiny-other").path
    code, _, err = place.run("deploy", "--yes", "--bundle", str(other), add=False)
    assert code == 1
    assert f"has the bundle {place.bundle} in it, not tiny-other." in err
    assert f"fix: make images ARGS=serve BUNDLE={other}" in err
    assert place.aws.stacks() == {}
