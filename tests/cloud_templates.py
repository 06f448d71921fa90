"""Small templates of CloudFormation, as a deployment's stacks are."""

from __future__ import annotations

from typing import Any

Document = dict[str, Any]


def function(**properties: Any) -> Document:
    """A function from an image. `url` is who may call it; None gives it no address."""
    url = properties.pop("url", "AWS_IAM")
    ready = properties.pop("ready", None)
    own = {"PackageType": "Image", "MemorySize": 1769, "Timeout": 30, **properties}
    alias: Document = {"FunctionName": {"Ref": "Serve"}, "Name": "live"}
    alias["FunctionVersion"] = {"Fn::GetAtt": ["Version", "Version"]}
    if ready:
        alias["ProvisionedConcurrencyConfig"] = {"ProvisionedConcurrentExecutions": ready}
    resources: Document = {
        "Serve": {"Type": "AWS::Lambda::Function", "Properties": own},
        "Version": {
            "Type": "AWS::Lambda::Version",
            "Properties": {"FunctionName": {"Ref": "Serve"}},
        },
        "Live": {"Type": "AWS::Lambda::Alias", "Properties": alias},
    }
    if url:
        resources["Url"] = {
            "Type": "AWS::Lambda::Url",
            "Properties": {"AuthType": url, "TargetFunctionArn": {"Ref": "Live"}},
        }
    return {"Resources": resources}


def one(kind: str, **properties: Any) -> Document:
    """A template of one resource."""
    return {"Resources": {"One": {"Type": kind, "Properties": properties}}}


def machine(kind: str = "g4dn.xlarge", **disk: Any) -> Document:
    """A launch template."""
    return one(
        "AWS::EC2::LaunchTemplate",
        LaunchTemplateData={
            "InstanceType": kind,
            "BlockDeviceMappings": [{"Ebs": {"VolumeType": "gp3", "VolumeSize": 73, **disk}}],
            "NetworkInterfaces": [{"AssociatePublicIpAddress": True}],
        },
    )
