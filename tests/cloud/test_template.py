"""A template is read as it would be deployed: defaults, conditions, functions of CloudFormation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kennel.cloud.template import UNKNOWN, Reference, read_template, template_of
from kennel.errors import KennelError


def value_of(said: Any, **parts: Any) -> Any:
    """What a property comes to."""
    document = {
        "Resources": {"One": {"Type": "AWS::Any::Thing", "Properties": {"Said": said}}},
        **parts,
    }
    [one] = template_of("stack", document).resources
    return one.properties.get("Said", "nothing")


PARAMETERS = {
    "Size": {"Type": "Number", "Default": 2048},
    "Stage": {"Type": "String", "Default": "test"},
    "Zones": {"Type": "CommaDelimitedList", "Default": "a, b"},
    "Digest": {"Type": "String"},
}
CONDITIONS = {
    "Test": {"Fn::Equals": [{"Ref": "Stage"}, "test"]},
    "Not": {"Fn::Not": [{"Condition": "Test"}]},
    "Both": {"Fn::And": [{"Condition": "Test"}, {"Fn::Equals": ["1", 1]}]},
    "Either": {"Fn::Or": [{"Condition": "Not"}, {"Condition": "Test"}]},
    "Open": {"Fn::Equals": [{"Ref": "Digest"}, ""]},
}


@pytest.mark.parametrize(
    ("said", "comes_to"),
    [
        ({"Ref": "Size"}, 2048),
        ({"Ref": "Zones"}, ["a", "b"]),
        ({"Ref": "Digest"}, UNKNOWN),
        ({"Ref": "One"}, Reference("One")),
        ({"Ref": "AWS::Region"}, UNKNOWN),
        ({"Ref": "AWS::NoValue"}, "nothing"),
        ([1, {"Ref": "AWS::NoValue"}, 2], [1, 2]),
        ({"Fn::GetAtt": ["One", "Arn"]}, Reference("One", "Arn")),
        ({"Fn::GetAtt": "One.Arn"}, Reference("One", "Arn")),
        ({"Fn::Sub": "${Stage}-${Size}-${!x}"}, "test-2048-${x}"),
        ({"Fn::Sub": ["${Own}${Stage}", {"Own": {"Ref": "Size"}}]}, "2048test"),
        ({"Fn::Sub": "${AWS::AccountId}.dkr"}, UNKNOWN),
        ({"Fn::Sub": "${One.Arn}"}, Reference("One", "Arn")),
        ({"Fn::Join": ["/", ["a", {"Ref": "Stage"}]]}, "a/test"),
        ({"Fn::Join": ["/", ["a", {"Ref": "Digest"}]]}, UNKNOWN),
        ({"Fn::Select": [1, {"Fn::Split": ["-", "x-y-z"]}]}, "y"),
        ({"Fn::Select": ["0", {"Fn::GetAZs": ""}]}, UNKNOWN),
        ({"Fn::FindInMap": ["Sizes", {"Ref": "Stage"}, "mb"]}, 512),
        ({"Fn::FindInMap": ["Sizes", {"Ref": "AWS::Region"}, "mb"]}, UNKNOWN),
        ({"Fn::If": ["Test", 1, 2]}, 1),
        ({"Fn::If": ["Not", 1, {"Ref": "AWS::NoValue"}]}, "nothing"),
        ({"Fn::If": ["Both", {"Fn::If": ["Not", 1, 2]}, 3]}, 2),
        ({"Fn::If": ["Either", 1, 2]}, 1),
        ({"Fn::ImportValue": "other"}, UNKNOWN),
        ({"Condition": {"StringEquals": {"a": "b"}}}, {"Condition": {"StringEquals": {"a": "b"}}}),
    ],
)
def test_functions_come_to_what_cloudformation_makes_of_them(said: Any, comes_to: Any) -> None:
    found = value_of(
        said,
        Parameters=PARAMETERS,
        Conditions=CONDITIONS,
        Mappings={"Sizes": {"test": {"mb": 512}}},
    )
    assert found == comes_to


def test_what_a_condition_leaves_out_is_not_there() -> None:
    document = {
        "Parameters": PARAMETERS,
        "Conditions": CONDITIONS,
        "Resources": {
            "In": {"Type": "AWS::Any::Thing", "Condition": "Test"},
            "Out": {"Type": "AWS::Any::Thing", "Condition": "Not"},
        },
    }
    assert [each.logical_id for each in template_of("stack", document).resources] == ["In"]
    other = template_of("stack", document, parameters={"Stage": "live"})
    assert [each.logical_id for each in other.resources] == ["Out"]


def test_a_condition_that_nobody_can_decide_is_taken_to_hold_and_said() -> None:
    document = {
        "Parameters": PARAMETERS,
        "Conditions": CONDITIONS,
        "Resources": {"One": {"Type": "AWS::Any::Thing", "Condition": "Open"}},
    }
    found = template_of("stack", document)
    assert len(found.resources) == 1
    assert ["Open" in note for note in found.notes] == [True]


def of_one(**words: Any) -> str:
    return json.dumps({"Resources": {"One": {"Type": "AWS::A::B", **words}}})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        "Resources:\n  One:\n    Type: AWS::S3::Bucket\n",
        "{}",
        '{"Resources": {}}',
        '{"Resources": {"One": {}}}',
        of_one(Type=3),
        of_one(Properties={"a": {"Fn::Select": [9, []]}}),
        of_one(Properties={"a": {"Fn::If": ["No", 1, 2]}}),
        of_one(Condition="No"),
        json.dumps(
            {
                "Conditions": {"A": {"Condition": "A"}},
                "Resources": {"One": {"Type": "AWS::A::B", "Condition": "A"}},
            }
        ),
        of_one(Properties="HERE").replace('"HERE"', '{"a": ' + "[" * 900 + "]" * 900 + "}"),
        "[" * 100_000,
        '{"a": "' + "a" * (1 << 20) + '"}',
    ],
)
def test_what_is_no_template_is_refused_in_words(text: str, tmp_path: Path) -> None:
    path = tmp_path / "stack.template.json"
    path.write_text(text)
    with pytest.raises(KennelError) as refused:
        read_template(path)
    assert "stack" in refused.value.message
    assert refused.value.fix


def test_a_template_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KennelError, match=r"nothing\.json cannot be read"):
        read_template(tmp_path / "nothing.json")


def test_a_file_gives_its_stack_its_name(tmp_path: Path) -> None:
    path = tmp_path / "kennel-service.template.json"
    path.write_text(json.dumps({"Resources": {"One": {"Type": "AWS::S3::Bucket"}}}))
    [one] = read_template(path).resources
    assert one.name == "kennel-service/One"
