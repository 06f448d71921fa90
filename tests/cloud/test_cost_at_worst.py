"""What abuse costs, what sizes cost, and that the whole is the sum of its parts."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cloud_templates import Document, function
from hypothesis import given, settings
from hypothesis import strategies as st
from priced import MS, priced

from kennel.cli import main
from kennel.cloud.cost import Measured, Work, monthly
from kennel.cloud.cost.answers import cheapest, sizes
from kennel.cloud.cost.measured import by_hand, measured_in, shipped
from kennel.cloud.cost.schedules import runs_a_month
from kennel.cloud.cost.tutorial import tutorial_cost
from kennel.errors import KennelError
from kennel.prices import book, price_named


def test_abuse_from_outside_costs_nothing_where_only_roles_may_call() -> None:
    [shut] = priced(function(ReservedConcurrentExecutions=5)).worst
    [open_] = priced(function(ReservedConcurrentExecutions=5, url="NONE")).worst
    assert shut.from_outside_usd == 0
    assert shut.open_to == "roles of this account"
    assert open_.from_outside_usd == open_.hour.usd == shut.hour.usd > 0


def test_the_worst_hour_is_all_instances_all_hour_and_ten_requests_a_second_each() -> None:
    measured = replace(MS, largest_answer_bytes=1000)
    [found] = priced(function(ReservedConcurrentExecutions=5, url="NONE"), measured=measured).worst
    busy = 5 * 3600 * 1769 / 1024 * 0.0000166667
    assert found.hour.usd == pytest.approx(busy + 180_000 * (0.0000002 + 1000e-9 * 0.09))
    assert found.bounded


def test_without_a_bound_of_its_own_the_accounts_limit_is_all() -> None:
    [found] = priced(function(url="NONE")).worst
    assert (found.at_once, found.bounded) == (1000, False)


def test_a_function_that_is_shut_off_costs_nothing_under_abuse() -> None:
    [found] = priced(function(url="NONE", ReservedConcurrentExecutions=0)).worst
    assert (found.at_once, found.hour.usd) == (0, 0)


def test_under_abuse_what_is_kept_ready_is_billed_as_such_and_the_rest_as_the_rest() -> None:
    [found] = priced(function(url="NONE", ReservedConcurrentExecutions=5, ready=2)).worst
    time = [line for line in found.hour.lines if line.what == "time"]
    hour = 3600 * 1769 / 1024
    assert [(line.price, line.quantity) for line in time] == [
        ("lambda-provisioned-run-gb-s", pytest.approx(2 * hour)),
        ("lambda-gb-s", pytest.approx(3 * hour)),
    ]


def test_a_larger_tmp_is_paid_for_above_what_is_free() -> None:
    usual, larger = (
        priced(function(EphemeralStorage={"Size": mb})).answers[0].one.usd for mb in (512, 2560)
    )
    assert larger - usual == pytest.approx(0.05 * 2 * 0.0000000309)


def test_the_tutorials_sizes_cost_what_its_bill_says() -> None:
    measured = replace(shipped(), log_bytes=0, lambda_log_bytes=0)
    assert measured.tutorial is not None
    as_told = replace(measured, tutorial=replace(measured.tutorial, reading_ms=150, network_ms=4.8))
    found = tutorial_cost(as_told)
    assert found is not None
    assert found.answers[0].per_million == pytest.approx(21, abs=0.1)
    assert found.worst[0].from_outside_usd > 480  # 1,000 x 8 GB x 3,600 s, all by itself


def test_of_sizes_that_cost_the_same_the_fastest_is_taken() -> None:
    [own] = priced(function()).answers
    found = sizes(own.function, own.work, MS, book(), within_ms=60)
    best = cheapest(found)
    assert best is not None
    assert best.memory_mb == 1769
    assert [each.memory_mb for each in found if not each.enough] == [512, 768, 1024, 1280]
    assert cheapest(sizes(own.function, own.work, MS, book(), within_ms=10)) is None


@pytest.mark.parametrize(
    ("expression", "runs"),
    [
        ("rate(1 minute)", 43_800),
        ("rate(15 minutes)", 2_920),
        ("rate(1 day)", 730 / 24),
        ("cron(0 4 * * ? *)", 730 / 24),
        ("cron(0/15 8-17 ? * MON-FRI *)", 40 * 730 / 24 * 5 / 7),
        ("cron(0 0 1 * ? *)", 1),
        ("cron(0 0 1 1 ? *)", 1 / 12),
        ("at(2026-12-01T00:00:00)", 0),
        ("whenever", 43_800),
        ("cron(99 0 1 * ? *)", 43_800),
    ],
)
def test_a_schedule_fires_as_often_as_it_says(expression: str, runs: float) -> None:
    assert runs_a_month(expression) == pytest.approx(runs)


@st.composite
def documents(draw: st.DrawFn) -> Document:
    """A function with anything around it."""
    found = function(
        MemorySize=draw(st.integers(128, 10_240)),
        Timeout=draw(st.integers(1, 900)),
        EphemeralStorage={"Size": draw(st.integers(512, 10_240))},
        Architectures=[draw(st.sampled_from(["x86_64", "arm64"]))],
        url=draw(st.sampled_from([None, "NONE", "AWS_IAM"])),
        ready=draw(st.integers(0, 3)),
        ReservedConcurrentExecutions=draw(st.integers(0, 100)),
    )
    kinds = ["AWS::EC2::NatGateway", "AWS::KMS::Key", "AWS::S3::Bucket", "AWS::Odd::Thing"]
    for place, kind in enumerate(draw(st.lists(st.sampled_from(kinds), max_size=5))):
        found["Resources"][f"More{place}"] = {"Type": kind}
    return found


works = st.floats(0.01, 1e5).map(lambda ms: Measured((Work("a photo", ms),), "drawn"))


@settings(max_examples=60, deadline=None)
@given(documents(), works, st.integers(0, 10**9))
def test_the_whole_is_the_sum_of_its_parts_and_grows_with_requests(
    document: Document, measured: Measured, requests: int
) -> None:
    found = priced(document, measured=measured, requests=requests)
    all_sums = [found.idle, found.month, *(each.one for each in found.answers)]
    all_sums += [each.hour for each in found.worst]
    for each in all_sums:
        assert all(0 <= line.usd_from <= line.usd for line in each.lines)
        assert each.usd == pytest.approx(math.fsum(line.usd for line in each.lines))
        for line in each.lines:
            assert line.usd == pytest.approx(book()[line.price].usd_to * line.quantity)
    answers = found.answers[0].one.usd if found.answers else 0
    assert found.month.usd == pytest.approx(found.idle.usd + requests * answers)
    more = priced(document, measured=measured, requests=requests + 1000)
    assert more.month.usd >= found.month.usd


@given(works, st.integers(128, 10_239))
def test_more_memory_is_never_slower(measured: Measured, memory_mb: int) -> None:
    [work] = measured.works
    assert work.duration_ms(memory_mb + 1) <= work.duration_ms(memory_mb)


def test_each_price_says_when_and_where_it_was_seen() -> None:
    assert len(book().prices) > 25
    for each in book().prices.values():
        assert 0 <= each.usd <= each.usd_to
        assert each.seen[:2] == "20"
        assert len(each.source) > 10
        assert each.unit


def test_a_machine_of_the_book_can_be_named_to_a_report() -> None:
    assert price_named("g4dn.xlarge").usd_per_hour == 0.526
    assert "us-east-1" in price_named("g4dn.xlarge").source


@pytest.mark.parametrize(
    ("kind", "words", "usd"),
    [
        ("AWS::EC2::Volume", {"gb": 100, "properties": {"VolumeType": "gp3"}}, 8.0),
        ("AWS::EC2::EIP", {}, 3.65),
        ("AWS::ECR::Image", {"gb": 0.3}, 0.03),
        ("AWS::Logs::LogGroup", {"gb": 10}, 0.3),
        ("AWS::EC2::Instance", {"properties": {"InstanceType": "g4dn.xlarge"}}, 730 * 0.531),
        ("AWS::IAM::Role", {}, 0.0),
        ("AWS::Lambda::Function", {}, 0.0),
        ("AWS::Odd::Thing", {}, None),
        ("AWS::EC2::Instance", {"properties": {"InstanceType": "p5.48xlarge"}}, None),
        ("AWS::Logs::LogGroup", {}, None),
    ],
)
def test_a_leftover_has_a_price_a_month(
    kind: str, words: dict[str, Any], usd: float | None
) -> None:
    found = monthly(kind, **words)
    assert found.usd == (None if usd is None else pytest.approx(usd))
    assert found.words


def test_milliseconds_come_from_an_evaluation(tmp_path: Path) -> None:
    report = {
        "splits": {"test": {"n": 20, "images_per_s": 40.0}},
        "hardware": {"cpu": "AMD EPYC", "cores": "2"},
    }
    path = tmp_path / "report.json"
    path.write_text(json.dumps(report))
    [work] = measured_in(path).works
    assert work.core_ms == 50


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"works": []}',
        '{"splits": {"test": {"images_per_s": null}}}',
        '{"splits": {"test": {"images_per_s": -1}}}',
        '{"splits": 3}',
    ],
)
def test_a_file_without_milliseconds_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(text)
    with pytest.raises(KennelError, match="no milliseconds"):
        measured_in(path)


def test_the_shipped_milliseconds_were_measured() -> None:
    found = shipped()
    assert found.works[0].name == "12-megapixel photo, as it is"
    assert found.works[0].core_ms > found.works[1].core_ms > found.works[2].core_ms > 5
    assert "n 1" in found.source


@pytest.mark.parametrize(
    ("memory_mb", "per_million", "worst_hour"),
    [(1769, [2.17, 1.30, 1.01], 0.96), (2048, [2.41, 1.41, 1.08], 1.04)],
)
def test_the_usual_sizes_cost_what_stands_in_decision_39(
    memory_mb: int, per_million: list[float], worst_hour: float
) -> None:
    """It changes with prices, milliseconds or the model, and then the note does."""
    document = function(MemorySize=memory_mb, FunctionName="dogs", ReservedConcurrentExecutions=5)
    document["Resources"]["Log"] = {
        "Type": "AWS::Logs::LogGroup",
        "Properties": {"LogGroupName": "/aws/lambda/dogs", "RetentionInDays": 14},
    }
    found = priced(document, measured=shipped())
    assert [round(each.per_million, 2) for each in found.answers] == per_million
    assert round(found.worst[0].hour.usd, 2) == worst_hour
    beside = tutorial_cost(shipped())
    assert beside is not None
    assert round(beside.answers[0].per_million, 2) == 15.38
    assert round(beside.worst[0].from_outside_usd) == 576


def written(tmp_path: Path, document: Document) -> str:
    path = tmp_path / "stack.template.json"
    path.write_text(json.dumps(document))
    return str(path)


def test_the_verb_prices_any_template(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    template = written(tmp_path, function(ReservedConcurrentExecutions=5, url="NONE"))
    assert main(["cloud", "cost", "--template", template, "--requests", "1000"]) == 0
    said = capsys.readouterr().out
    for word in ("us-east-1", "a million", "of the tutorial's", "worst", "at rest", "free tier"):
        assert word in said


def test_the_verb_tells_the_same_as_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    template = written(tmp_path, function(ReservedConcurrentExecutions=5))
    words = ["cloud", "cost", "--template", template, "--ms", "50", "--memory", "1024", "--json"]
    assert main(words) == 0
    told = json.loads(capsys.readouterr().out)
    [answer] = told["answers"]
    assert answer["duration_ms"] == pytest.approx(50 * 1769 / 1024)
    assert answer["memory_mb"] == 1024
    assert answer["one"]["usd"] == pytest.approx(sum(e["usd"] for e in answer["one"]["lines"]))
    assert {each["name"] for each in told["prices"]} == set(book().prices)


@pytest.mark.parametrize(
    "words",
    [
        ["--ms", "0"],
        ["--ms", "nan"],
        ["--memory", "64"],
        ["--requests", "-1"],
        ["--within", "0"],
    ],
)
def test_numbers_that_are_none_are_refused(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    template = written(tmp_path, function())
    assert main(["cloud", "cost", "--template", template, *words]) == 2
    assert "error:" in capsys.readouterr().err


def test_by_hand_says_so() -> None:
    assert "--ms" in by_hand(50).source
