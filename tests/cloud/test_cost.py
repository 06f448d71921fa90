"""What a deployment costs is said before it exists, adds up, and hides nothing."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from cloud_templates import Document, function, machine, one
from priced import MS, priced

from kennel.cloud.cost import Work, cost_of
from kennel.cloud.deployment import Deployment, Stack, Tag


def test_one_answer_is_a_request_and_its_time() -> None:
    [answer] = priced(function(MemorySize=1024)).answers
    assert answer.duration_ms == pytest.approx(50 * 1769 / 1024)  # 86.4: 87 are billed
    assert answer.one.usd == pytest.approx(0.0000002 + 0.087 * 0.0000166667)
    assert answer.per_million == pytest.approx(1e6 * answer.one.usd)
    assert answer.per_1000 == pytest.approx(1e3 * answer.one.usd)


def test_more_than_a_core_makes_nothing_faster() -> None:
    whole, more = (priced(function(MemorySize=mb)).answers[0] for mb in (1769, 8192))
    assert whole.duration_ms == more.duration_ms == 50
    assert more.per_million > 4 * whole.per_million


def test_log_and_answer_are_paid_for() -> None:
    measured = replace(
        MS, works=(Work("a photo", 50, answer_bytes=1000),), log_bytes=300, lambda_log_bytes=200
    )
    group = {
        "Type": "AWS::Logs::LogGroup",
        "Properties": {"LogGroupName": "/aws/lambda/dogs", "RetentionInDays": 14},
    }
    document = function(FunctionName="dogs")
    document["Resources"]["Log"] = group
    bare = priced(document).answers[0].one.usd
    all_of_it = priced(document, measured=measured).answers[0].one.usd
    month = 14 / (730 / 24)
    assert all_of_it - bare == pytest.approx(500e-9 * (0.50 + 0.03 * month) + 1000e-9 * 0.09)
    quiet = function(
        Environment={"Variables": {"KENNEL_SERVE_LOG": "none"}},
        LoggingConfig={"LogFormat": "JSON", "SystemLogLevel": "WARN"},
    )
    assert priced(quiet, measured=measured).answers[0].one.usd - bare == pytest.approx(90e-9)


def test_instances_kept_ready_cost_all_month() -> None:
    found = priced(function(ready=2))
    gb_s = 2 * 1769 / 1024 * 730 * 3600
    assert found.idle.usd == pytest.approx(gb_s * 0.0000041667)
    [answer] = found.answers
    assert answer.one.usd == pytest.approx(0.0000002 + 0.05 * 1769 / 1024 * 0.0000097222)


def test_a_snapshot_costs_all_month() -> None:
    found = priced(function(SnapStart={"ApplyOn": "PublishedVersions"}))
    assert found.idle.usd == pytest.approx(1769 / 1024 * 730 * 3600 * 0.0000015046)


def test_arm_is_priced_as_arm() -> None:
    [answer] = priced(function(Architectures=["arm64"])).answers
    assert answer.one.usd == pytest.approx(0.0000002 + 0.05 * 1769 / 1024 * 0.0000133334)


def test_what_a_schedule_starts_is_priced_to_its_timeout() -> None:
    document = function(url=None, MemorySize=128, Timeout=60)
    document["Resources"]["Rule"] = {
        "Type": "AWS::Events::Rule",
        "Properties": {
            "ScheduleExpression": "rate(15 minutes)",
            "Targets": [{"Id": "1", "Arn": {"Fn::GetAtt": ["Serve", "Arn"]}}],
        },
    }
    runs = 730 * 4
    expected = runs * (0.0000002 + 60 * 0.125 * 0.0000166667)
    assert priced(document).idle.usd == pytest.approx(expected)


@pytest.mark.parametrize(
    ("document", "usd"),
    [
        (one("AWS::EC2::NatGateway"), 730 * 0.045),
        (one("AWS::EC2::EIP"), 730 * 0.005),
        (one("AWS::KMS::Key"), 1.0),
        (one("AWS::CloudWatch::Alarm", MetricName="Errors"), 0.10),
        (one("AWS::CloudWatch::Alarm", MetricName="Errors", Period=10), 0.30),
        (
            one(
                "AWS::CloudWatch::Alarm",
                Metrics=[{"MetricStat": {"Period": 60}}, {"MetricStat": {}}, {"Expression": "a/b"}],
            ),
            0.20,
        ),
        (one("AWS::CloudWatch::Dashboard"), 3.0),
        (one("AWS::S3::Bucket"), 0.023),
        (one("AWS::ECR::Repository"), 3 * 0.3 * 0.10),
        (
            one(
                "AWS::ECR::Repository",
                LifecyclePolicy={
                    "LifecyclePolicyText": json.dumps(
                        {
                            "rules": [
                                {
                                    "selection": {
                                        "tagStatus": "any",
                                        "countType": "imageCountMoreThan",
                                        "countNumber": 20,
                                    }
                                }
                            ]
                        }
                    )
                },
            ),
            20 * 0.3 * 0.10,
        ),
        (one("AWS::EC2::Volume", VolumeType="gp3", Size=100), 8.0),
        (
            one("AWS::EC2::Volume", VolumeType="gp3", Size="100", Iops=4000, Throughput=130),
            8.0 + 5.0 + 0.2,
        ),
        (one("AWS::EC2::Instance", InstanceType="g4dn.xlarge"), 730 * (0.526 + 0.005)),
        (one("AWS::EC2::VPCEndpoint", VpcEndpointType="Interface", SubnetIds=["a", "b"]), 14.6),
        (one("AWS::EC2::VPCEndpoint"), 0.0),
        (one("AWS::Scheduler::Schedule", ScheduleExpression="rate(1 hour)"), 730e-6),
        (one("AWS::Budgets::Budget"), 0.0),
        (one("AWS::Budgets::BudgetsAction"), 0.10 * 730 / 24),
        (one("AWS::SecretsManager::Secret"), 0.40),
        (one("AWS::IAM::Role"), 0.0),
    ],
)
def test_what_costs_while_nothing_is_asked(document: Document, usd: float) -> None:
    found = priced(document)
    assert found.idle.usd == pytest.approx(usd)
    assert not found.unknown


def test_an_unknown_type_is_said() -> None:
    found = priced(one("AWS::Quantum::Computer"))
    assert found.unknown == (("AWS::Quantum::Computer", 1),)


def test_what_the_book_does_not_have_is_said_and_not_guessed() -> None:
    found = priced(machine("p5.48xlarge"), one("AWS::EC2::Volume", VolumeType="io2", Size=1))
    assert [each.on_demand for each in found.training] == [None]
    words = " ".join(what for _, what in found.not_priced)
    assert "p5.48xlarge" in words
    assert "io2" in words


def test_an_hour_of_training_has_disk_and_address() -> None:
    [found] = priced(machine(), hours=6).training
    beside = 73 * 0.08 / 730 + 0.005
    assert found.on_demand is not None
    assert found.spot is not None
    assert found.on_demand.usd == pytest.approx(0.526 + beside)
    assert (found.spot.usd_from, found.spot.usd) == pytest.approx((0.16 + beside, 0.26 + beside))
    assert found.forgotten_usd == pytest.approx(6 * found.on_demand.usd)


def test_the_limit_and_the_types_are_those_of_the_settings() -> None:
    body = json.dumps(machine())
    made = Deployment(
        "kennel",
        "eu-central-1",
        Tag("kennel:deployment", "kennel"),
        {"runner": {"hours": 3, "types": ["g4dn.xlarge", "g5.xlarge"]}},
        (Stack("runner", "kennel-runner", body),),
    )
    found = cost_of(made, MS)
    assert [(each.machine, each.hours) for each in found.training] == [
        ("g4dn.xlarge", 3),
        ("g5.xlarge", 3),
    ]
    assert found.elsewhere == "eu-central-1"
