"""What make synth wrote is read whole or refused, and written again where it is old."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_stacks import service, storage, write_stacks

from kennel.cloud import CloudError
from kennel.cloud.deployment import MOST_BYTES, find_deployment, read_deployment
from kennel.cloud.names import exact_names
from kennel.errors import UsageError


def test_stacks_come_in_the_order_in_which_they_are_deployed(tmp_path: Path) -> None:
    found = read_deployment(write_stacks(tmp_path))
    assert [each.room for each in found.stacks] == ["storage", "images", "service"]
    assert found.stacks[2].parameters == ("ImageDigest", "BundleId")
    assert [each.name for each in found.only(("service", "storage"))] == [
        "kennel-storage",
        "kennel-service",
    ]


def test_names_that_hold_the_account_are_worked_out(tmp_path: Path) -> None:
    names = exact_names(read_deployment(write_stacks(tmp_path)), "123456789012")
    assert names["AWS::S3::Bucket"] == {"kennel-data-123456789012-us-east-1"}
    assert names["AWS::Logs::LogGroup"] == {"/aws/lambda/kennel-serve"}


def large() -> dict[str, Any]:
    return {**storage(), "Description": "x" * MOST_BYTES}


BROKEN: dict[str, tuple[Callable[[Path, dict[str, Any]], None], str]] = {
    "no file": (lambda f, _: (f / "deployment.json").unlink(), "has no deployment.json"),
    "no JSON": (lambda f, _: (f / "deployment.json").write_text("{"), "cannot be read"),
    "schema": (lambda _, d: d.update(schema_version=2), "has schema 2"),
    "name": (lambda _, d: d.update(name="Kennel; rm"), "is no name of a deployment"),
    "no tag": (lambda _, d: d.pop("tag"), "tag is missing"),
    "room": (lambda _, d: d["stacks"][0].update(room="attic"), "there is no room 'attic'"),
    "order": (lambda _, d: d["stacks"].reverse(), "service comes before images"),
    "twice": (lambda _, d: d["stacks"][1].update(name="kennel-storage"), "two stacks"),
    "elsewhere": (lambda _, d: d["stacks"][0].update(template="../x.json"), "elsewhere"),
    "missing": (lambda _, d: d["stacks"][0].update(template="x.json"), "cannot be read"),
    "no template": (
        lambda f, _: (f / "kennel-images.template.json").write_text("[]"),
        "is no template of CloudFormation",
    ),
    "too large": (
        lambda f, _: (f / "kennel-images.template.json").write_text(json.dumps(large())),
        "CloudFormation takes 51200",
    ),
}


@pytest.mark.parametrize("how", BROKEN)
def test_what_is_not_whole_is_refused_in_words(how: str, tmp_path: Path) -> None:
    folder = write_stacks(tmp_path)
    path = folder / "deployment.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    spoil, words = BROKEN[how]
    spoil(folder, document)
    if path.exists() and how != "no JSON":
        path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        read_deployment(folder)
    assert words in caught.value.message
    assert caught.value.fix


def app(tmp_path: Path, recipe: str) -> Path:
    """A checkout whose make synth is that recipe; the templates lie in `written`."""
    (tmp_path / "deploy" / "aws" / "stacks").mkdir(parents=True)
    source = tmp_path / "deploy" / "aws" / "settings.yaml"
    source.write_text("name: kennel\n", encoding="utf-8")
    os.utime(source, (1_000_000, 1_000_000))
    (tmp_path / "Makefile").write_text(f"synth:\n\t{recipe}\n", encoding="utf-8")
    write_stacks(tmp_path / "written", service=service(memory_mb=1024))
    return tmp_path


def test_templates_are_written_where_they_are_missing_or_old(tmp_path: Path) -> None:
    count = "echo x >> count; rm -rf $(OUT); cp -r written $(OUT); touch $(OUT)/deployment.json"
    here = app(tmp_path, count)
    for _ in range(2):
        found = find_deployment(None, where=here)
    assert found.stacks[2].template["Resources"]["Serve"]["Properties"]["MemorySize"] == 1024
    assert (here / "count").read_text(encoding="utf-8") == "x\n"
    later = (here / "deploy/aws/cdk.out/deployment.json").stat().st_mtime + 10
    os.utime(here / "deploy/aws/settings.yaml", (later, later))
    find_deployment(None, where=here)
    assert (here / "count").read_text(encoding="utf-8") == "x\nx\n"


def test_settings_that_are_refused_are_said_as_the_app_says_it(tmp_path: Path) -> None:
    here = app(tmp_path, "@echo 'settings.yaml: there is no service.colour' >&2; exit 1")
    with pytest.raises(CloudError, match=r"there is no service\.colour"):
        find_deployment(None, where=here)


def test_a_folder_without_the_app_says_what_to_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        find_deployment(None, where=tmp_path)
    assert "--templates DIR" in caught.value.fix
