"""What others' rules say of the stacks: cdk-nag's AWS Solutions, and cfn-lint."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_s3 as s3
from cdk_nag import AwsSolutionsChecks
from conftest import VARIANTS, changed

from names import Names
from policies import allow, role, service_trust
from settings import Settings
from synth import build


def findings(variant: str, plant: Callable[[cdk.App, Names], None] | None = None) -> set[str]:
    """Rules of cdk-nag that are broken, and that nobody has acknowledged with a reason."""
    settings = Settings.model_validate(changed(VARIANTS[variant]))
    app = build(settings)
    cdk.Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    if plant:
        plant(app, Names(settings))
    try:
        app.synth()
    except RuntimeError as error:
        if "ValidationFailed" not in str(error):
            raise
    try:
        path = Path(app.outdir) / "validation-report.json"
        report = json.loads(path.read_text(encoding="utf-8"))
    finally:
        shutil.rmtree(app.outdir)
    # It has looked: a report of nobody has no finding either.
    assert "AwsSolutions" in json.dumps(report)
    return {
        each["ruleName"]
        for plugin in report["pluginReports"]
        for each in plugin.get("violations", [])
    }


@pytest.mark.parametrize("variant", VARIANTS)
def test_nothing_that_cdk_nag_finds_is_unacknowledged(variant: str) -> None:
    assert findings(variant) == set()


def planted_bucket(app: cdk.App, _: Names) -> None:
    s3.CfnBucket(cdk.Stack(app, "planted"), "Open")


def planted_group(app: cdk.App, _: Names) -> None:
    everybody = {
        "ipProtocol": "tcp",
        "fromPort": 22,
        "toPort": 22,
        "cidrIp": "0.0.0.0/0",
        "description": "for a moment",
    }
    stack = app.node.find_child("kennel-runner")
    ec2.CfnSecurityGroup(
        stack, "Open", group_description="opened", security_group_ingress=[everybody]
    )


def planted_right(app: cdk.App, names: Names) -> None:
    """A resource with a star, and no reason beside it."""
    role(
        app.node.find_child("kennel-identity"),
        "Wide",
        name="wide",
        description="wide",
        trust=service_trust("lambda.amazonaws.com"),
        may=[allow("s3:GetObject", [f"{names.bucket_arn}/*"])],
    )


def planted_action(app: cdk.App, names: Names) -> None:
    """An action with a star cannot be acknowledged, whatever reason is given."""
    role(
        app.node.find_child("kennel-identity"),
        "Wide",
        name="wide",
        description="wide",
        trust=service_trust("lambda.amazonaws.com"),
        may=[allow("s3:*", [names.bucket_arn], because="It is only for a moment.")],
    )


@pytest.mark.parametrize(
    ("plant", "rule"),
    [
        (planted_bucket, "S10"),
        (planted_group, "EC23"),
        (planted_right, "IAM5"),
        (planted_action, "IAM5"),
    ],
)
def test_a_fault_that_is_planted_is_found(plant: Any, rule: str) -> None:
    found = findings("github", plant)
    assert [each for each in found if f"AwsSolutions-{rule}" in each], found


def lint(*paths: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / "cfn-lint"), "--"]
    return subprocess.run([*command, *paths], capture_output=True, text=True, check=False)


def test_cfn_lint_finds_nothing(written: Any) -> None:
    """Each template once: most choices change one of the six."""
    different = {
        path.read_bytes(): path
        for variant in VARIANTS
        for path in sorted(written(variant).folder.glob("*.template.json"))
    }
    assert len(different) > 6 + 5
    done = lint(*different.values())
    assert done.returncode == 0, done.stdout


def test_cfn_lint_would_find_a_fault(written: Any, tmp_path: Path) -> None:
    template = written("default").templates["service"]
    template["Resources"]["Serve"]["Properties"]["MemorySize"] = 100_000
    path = tmp_path / "kennel-service.template.json"
    path.write_text(json.dumps(template), encoding="utf-8")
    done = lint(path)
    assert done.returncode != 0
    assert "100000" in done.stdout
