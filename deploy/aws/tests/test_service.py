"""The service: who may call, how much at once, how fast, and what shuts it off."""

from __future__ import annotations

import json
from typing import Any

import pytest
from conftest import VARIANTS, Written, plain

from settings import Settings

FUNCTION, PERMISSION = "AWS::Lambda::Function", "AWS::Lambda::Permission"


def permissions(written: Written) -> list[dict[str, Any]]:
    """Those to call the address."""
    found = written.resources("service", PERMISSION).values()
    return [
        each["Properties"]
        for each in found
        if each["Properties"]["FunctionName"] == {"Ref": "Live"}
    ]


def serve(written: Written) -> dict[str, Any]:
    return written.one("service", FUNCTION, PackageType="Image")


def test_who_may_call_the_address_may_do_both(each_variant: Written) -> None:
    """With one of the two it answers 403."""
    may: dict[str, set[str]] = {}
    for each in permissions(each_variant):
        who = plain(each["Principal"])
        may.setdefault(who, set()).add(each["Action"])
        if each["Action"] == "lambda:InvokeFunctionUrl":
            url = each_variant.one("service", "AWS::Lambda::Url")
            assert each["FunctionUrlAuthType"] == url["AuthType"]
            assert "InvokedViaFunctionUrl" not in each
        else:
            assert each["InvokedViaFunctionUrl"] is True
    assert may
    both = {"lambda:InvokeFunctionUrl", "lambda:InvokeFunction"}
    assert all(actions == both for actions in may.values())


def test_only_a_public_service_answers_strangers(each_variant: Written) -> None:
    public = each_variant.settings.service.public
    url = each_variant.one("service", "AWS::Lambda::Url")
    assert url["AuthType"] == ("NONE" if public else "AWS_IAM")
    everybody = any(plain(each["Principal"]) == "*" for each in permissions(each_variant))
    assert everybody == public


def test_the_default_lets_this_account_call_and_nobody_else(written: Any) -> None:
    who = {plain(each["Principal"]) for each in permissions(written("default"))}
    assert who == {"<AWS::AccountId>"}


def test_callers_that_are_named_are_those_who_may_call(written: Any) -> None:
    who = {plain(each["Principal"]) for each in permissions(written("callers"))}
    assert who == {"arn:aws:iam::123456789012:role/page"}


def test_the_address_belongs_to_the_alias(each_variant: Written) -> None:
    url = each_variant.one("service", "AWS::Lambda::Url")
    assert url["Qualifier"] == each_variant.one("service", "AWS::Lambda::Alias")["Name"] == "live"
    assert url["InvokeMode"] == "BUFFERED"
    address = each_variant.templates["service"]["Outputs"]["FunctionUrl"]["Value"]
    assert address == {"Fn::GetAtt": ["Url", "FunctionUrl"]}


def test_other_pages_may_ask_only_where_that_is_set(written: Any) -> None:
    assert "Cors" not in written("default").one("service", "AWS::Lambda::Url")
    cors = written("public").one("service", "AWS::Lambda::Url")["Cors"]
    assert cors["AllowOrigins"] == ["https://dogs.example"]
    assert "AllowCredentials" not in cors


def test_the_image_is_named_by_its_digest(each_variant: Written) -> None:
    template = each_variant.templates["service"]
    digest, bundle = (template["Parameters"][each] for each in ("ImageDigest", "BundleId"))
    assert digest["AllowedPattern"] == "^sha256:[0-9a-f]{64}$"
    assert "Default" not in digest
    assert "Default" not in bundle
    image = plain(serve(each_variant)["Code"]["ImageUri"])
    name, region = each_variant.settings.name, each_variant.settings.region
    registry = f"<AWS::AccountId>.dkr.ecr.{region}.<AWS::URLSuffix>"
    assert image == f"{registry}/{name}-serve@<ImageDigest>"
    repository = each_variant.one("images", "AWS::ECR::Repository")["RepositoryName"]
    assert repository == f"{name}-serve"


def test_another_image_or_other_settings_are_another_version(written: Any) -> None:
    """The description alone can say so: CloudFormation makes another version when it changes."""
    told = written("default").one("service", "AWS::Lambda::Version")["Description"]
    assert plain(told).startswith("<BundleId> <ImageDigest> ")
    versions = {
        variant: plain(written(variant).one("service", "AWS::Lambda::Version")["Description"])
        for variant in VARIANTS
    }
    assert versions["snapstart"] != versions["default"]
    # What no version is made of must not change it: Lambda refuses to publish the same twice.
    assert versions["account"] == versions["public"] == versions["callers"] == versions["default"]


def test_earlier_versions_stay_to_go_back_to(each_variant: Written) -> None:
    [version] = each_variant.resources("service", "AWS::Lambda::Version").values()
    assert version["UpdateReplacePolicy"] == "Retain"
    assert version["DeletionPolicy"] == "Delete"


def test_memory_time_and_space_are_what_was_set(each_variant: Written) -> None:
    chosen, function = each_variant.settings.service, serve(each_variant)
    assert function["MemorySize"] == chosen.memory_mb
    assert function["Timeout"] == chosen.timeout_s
    assert function["EphemeralStorage"] == {"Size": chosen.temporary_mb}
    assert function["Architectures"] == ["x86_64"]
    assert function["Environment"]["Variables"]["KENNEL_SERVE_WORKERS"] == "1"


def test_so_many_at_once_and_no_more(written: Any) -> None:
    assert serve(written("default"))["ReservedConcurrentExecutions"] == 5
    assert "ReservedConcurrentExecutions" not in serve(written("account"))


@pytest.mark.parametrize("variant", ["default", "snapstart", "provisioned"])
def test_how_it_starts_is_a_choice(written: Any, variant: str) -> None:
    alias = written(variant).one("service", "AWS::Lambda::Alias")
    apply = serve(written(variant))["SnapStart"]["ApplyOn"]
    assert apply == ("PublishedVersions" if variant == "snapstart" else "None")
    warm = alias.get("ProvisionedConcurrencyConfig")
    provisioned = {"ProvisionedConcurrentExecutions": 2} if variant == "provisioned" else None
    assert warm == provisioned


def test_an_alarm_for_errors_throttles_slowness_and_requests(each_variant: Written) -> None:
    alarms = {
        each["Properties"]["MetricName"]: each["Properties"]
        for each in each_variant.resources("service", "AWS::CloudWatch::Alarm").values()
    }
    assert set(alarms) == {"Errors", "Throttles", "Duration", "Invocations"}
    name = serve(each_variant)["FunctionName"]
    for each in alarms.values():
        assert each["Dimensions"] == [{"Name": "FunctionName", "Value": name}]
        assert each["TreatMissingData"] == "notBreaching"
    assert alarms["Duration"]["ExtendedStatistic"] == "p99"
    assert alarms["Duration"]["Threshold"] < each_variant.settings.service.timeout_s * 1000
    most = each_variant.settings.service.requests_per_minute
    assert (alarms["Invocations"]["Threshold"], alarms["Invocations"]["Period"]) == (most + 1, 60)


def test_too_many_requests_shut_a_public_service_off(written: Any) -> None:
    public = written("public")
    alarm = public.one("service", "AWS::CloudWatch::Alarm", MetricName="Invocations")
    assert {"Fn::GetAtt": ["Brake", "Arn"]} in alarm["AlarmActions"]
    brake = public.one("service", FUNCTION, Runtime="python3.14")
    assert brake["Environment"]["Variables"]["FUNCTION"] == "kennel-serve"
    assert "put_function_concurrency" in brake["Code"]["ZipFile"]
    may = public.one("service", PERMISSION, Principal="lambda.alarms.cloudwatch.amazonaws.com")
    assert plain(may["SourceArn"]).endswith(f":alarm:{alarm['AlarmName']}")
    assert plain(may["SourceAccount"]) == "<AWS::AccountId>"


def test_a_service_that_is_not_public_has_nothing_that_shuts_it_off(written: Any) -> None:
    assert set(written("default").resources("service", FUNCTION)) == {"Serve"}


def test_who_is_to_be_told_is_told_by_every_alarm(written: Any) -> None:
    public = written("public")
    topic = public.one("service", "AWS::SNS::Topic")
    assert topic["Subscription"] == [{"Endpoint": "anna@dogs.example", "Protocol": "email"}]
    for each in public.resources("service", "AWS::CloudWatch::Alarm").values():
        assert {"Ref": "Alarms"} in each["Properties"]["AlarmActions"]
    assert written("default").resources("service", "AWS::SNS::Topic") == {}


def test_the_service_may_write_its_log_and_nothing_else(each_variant: Written) -> None:
    name = each_variant.settings.name
    role = each_variant.one("service", "AWS::IAM::Role", RoleName=f"{name}-serve")
    [policy] = role["Policies"]
    [right] = policy["PolicyDocument"]["Statement"]
    assert right["Action"] == ["logs:CreateLogStream", "logs:PutLogEvents"]
    [log] = right["Resource"]
    assert plain(log).endswith(f":log-group:/aws/lambda/{name}-serve:*")


def test_no_role_of_the_service_passes_its_boundary(each_variant: Written) -> None:
    boundary = each_variant.one("identity", "AWS::IAM::ManagedPolicy")["ManagedPolicyName"]
    roles = each_variant.resources("service", "AWS::IAM::Role")
    assert roles
    for each in roles.values():
        assert plain(each["Properties"]["PermissionsBoundary"]).endswith(f":policy/{boundary}")


def test_the_dashboard_shows_the_function(each_variant: Written) -> None:
    board = each_variant.one("service", "AWS::CloudWatch::Dashboard")
    shown = json.loads(board["DashboardBody"])["widgets"]
    metrics = [each for widget in shown for each in widget["properties"]["metrics"]]
    assert {each[1] for each in metrics} >= {"Invocations", "Errors", "Throttles", "Duration"}
    assert {each[3] for each in metrics} == {serve(each_variant)["FunctionName"]}


def test_a_public_service_without_a_bound_cannot_be_built(written: Any) -> None:
    """Not by a settings.yaml, and not by settings that somebody makes otherwise."""
    given = written("public").settings.model_dump()
    given["service"]["requests_per_minute"] = None
    with pytest.raises(ValueError, match="its rate must be bounded"):
        Settings.model_validate(given)
