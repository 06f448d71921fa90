"""Functions, their versions, aliases, URLs and permissions. What runs them stands elsewhere: here
is only what AWS would say of them.
"""

from __future__ import annotations

import io
import os
import zipfile
from typing import Any

from kennel.cloud.rehearsal.aws.kinds import Kind, Made, Place, Properties, gone, tags_of

MISSING = "ResourceNotFoundException"
CODE = ("ImageUri", "ZipFile")
SETTINGS = (
    "Description", "Environment", "Handler", "MemorySize", "Role", "Runtime", "Timeout",
    "EphemeralStorage", "TracingConfig", "SnapStart", "LoggingConfig", "ImageConfig",
    "VpcConfig", "Layers",
)  # fmt: skip
PERMISSION = (
    "Action", "Principal", "FunctionUrlAuthType", "InvokedViaFunctionUrl", "SourceArn",
    "SourceAccount",
)  # fmt: skip


def _function(name: str, told: Properties, place: Place) -> Made:
    aws = place.client("lambda")
    aws.create_function(
        FunctionName=name,
        Code=_code(told["Code"]),
        PackageType=told.get("PackageType", "Zip"),
        Architectures=told.get("Architectures", ["x86_64"]),
        Tags=tags_of(told),
        **_settings(told),
    )
    _reserve(aws, name, told)
    return _made(name, place)


def _function_changed(made: Made, told: Properties, place: Place) -> Made:
    aws = place.client("lambda")
    aws.update_function_configuration(FunctionName=made.identity, **_settings(told))
    aws.update_function_code(FunctionName=made.identity, **_code(told["Code"]))
    _reserve(aws, made.identity, told)
    return _made(made.identity, place)


def _reserve(aws: Any, name: str, told: Properties) -> None:
    if (most := told.get("ReservedConcurrentExecutions")) is not None:
        aws.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=int(most))
    elif "ReservedConcurrentExecutions" in aws.get_function_concurrency(FunctionName=name):
        aws.delete_function_concurrency(FunctionName=name)


def _made(name: str, place: Place) -> Made:
    return Made(name, {"Arn": f"arn:aws:lambda:{place.region}:{place.account}:function:{name}"})


def _settings(told: Properties) -> dict[str, Any]:
    return {name: _numbers(told[name]) for name in SETTINGS if name in told}


def _numbers(said: Any) -> Any:
    """CloudFormation takes "30" for 30; the API does not."""
    if isinstance(said, dict):
        return {
            key: (value if key == "Variables" else _numbers(value)) for key, value in said.items()
        }
    return int(said) if isinstance(said, str) and said.isdigit() else said


def _code(told: dict[str, Any]) -> dict[str, Any]:
    if unknown := sorted(told.keys() - set(CODE)):
        raise ValueError(f"the rehearsal does not play a function's code by {', '.join(unknown)}")
    if "ImageUri" in told:
        return {"ImageUri": told["ImageUri"]}
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(zipfile.ZipInfo("index.py"), told["ZipFile"])
    return {"ZipFile": packed.getvalue()}


def _function_deleted(made: Made, told: Properties, place: Place) -> None:
    with gone(place.client("lambda"), MISSING) as aws:
        aws.delete_function(FunctionName=made.identity)


# ---- versions and aliases


def _version(_: str, told: Properties, place: Place) -> Made:
    aws, name = place.client("lambda"), _name(told["FunctionName"])
    found = aws.publish_version(FunctionName=name, Description=told.get("Description", ""))
    return Made(
        found["FunctionArn"], {"Version": found["Version"], "FunctionArn": found["FunctionArn"]}
    )


def _version_deleted(made: Made, told: Properties, place: Place) -> None:
    with gone(place.client("lambda"), MISSING) as aws:
        aws.delete_function(
            FunctionName=_name(told["FunctionName"]), Qualifier=made.identity.rpartition(":")[2]
        )


def _alias(name: str, told: Properties, place: Place) -> Made:
    found = place.client("lambda").create_alias(**_alias_words(name, told))
    return _alias_made(found, told)


def _alias_changed(made: Made, told: Properties, place: Place) -> Made:
    name = made.identity.rpartition(":")[2]
    found = place.client("lambda").update_alias(**_alias_words(name, told))
    return _alias_made(found, told)


def _alias_words(name: str, told: Properties) -> dict[str, Any]:
    return {
        "FunctionName": _name(told["FunctionName"]),
        "Name": told.get("Name", name),
        "FunctionVersion": str(told["FunctionVersion"]),
        "Description": told.get("Description", ""),
    }


def _alias_made(found: dict[str, Any], told: Properties) -> Made:
    return Made(found["AliasArn"], {"AliasArn": found["AliasArn"]})


def _alias_deleted(made: Made, told: Properties, place: Place) -> None:
    with gone(place.client("lambda"), MISSING) as aws:
        aws.delete_alias(
            FunctionName=_name(told["FunctionName"]), Name=made.identity.rpartition(":")[2]
        )


# ---- the URL, and who may call


def _url(_: str, told: Properties, place: Place) -> Made:
    aws, name = place.client("lambda"), _name(told["TargetFunctionArn"])
    words = {
        key: told[key] for key in ("AuthType", "Cors", "InvokeMode", "Qualifier") if key in told
    }
    try:
        found = aws.create_function_url_config(FunctionName=name, **words)
    except aws.exceptions.ResourceConflictException:
        found = aws.update_function_url_config(FunctionName=name, **words)
    return Made(
        found["FunctionArn"],
        {"FunctionUrl": found["FunctionUrl"], "FunctionArn": found["FunctionArn"]},
    )


def _url_deleted(made: Made, told: Properties, place: Place) -> None:
    with gone(place.client("lambda"), MISSING) as aws:
        aws.delete_function_url_config(FunctionName=_name(told["TargetFunctionArn"]))


def _permission(name: str, told: Properties, place: Place) -> Made:
    """Asked for by the API; what moto keeps of it has not the conditions, and is exchanged."""
    from moto.awslambda.utils import get_backend

    function, _, qualifier = told["FunctionName"].rpartition(":function:")[2].partition(":")
    words = {key: told[key] for key in PERMISSION if key in told}
    place.client("lambda").add_permission(
        FunctionName=function,
        StatementId=name,
        **({"Qualifier": qualifier} if qualifier else {}),
        **words,
    )
    arn = f"arn:aws:lambda:{place.region}:{place.account}:function:{function}"
    statement = {
        "Sid": name,
        "Effect": "Allow",
        "Principal": _principal(str(told["Principal"])),
        "Action": told["Action"],
        "Resource": f"{arn}:{qualifier}" if qualifier else arn,
    }
    if condition := _condition(told):
        statement["Condition"] = condition
    kept = get_backend(place.account, place.region).get_function(function).policy.statements
    [at] = [number for number, each in enumerate(kept) if each.get("Sid") == name]
    kept[at] = statement
    return Made(name)


def _condition(told: Properties) -> dict[str, dict[str, str]]:
    condition: dict[str, dict[str, str]] = {}
    if auth := told.get("FunctionUrlAuthType"):
        condition.setdefault("StringEquals", {})["lambda:FunctionUrlAuthType"] = auth
    if (via := told.get("InvokedViaFunctionUrl")) is not None:
        condition.setdefault("Bool", {})["lambda:InvokedViaFunctionUrl"] = str(via).lower()
    if arn := told.get("SourceArn"):
        condition.setdefault("ArnLike", {})["AWS:SourceArn"] = arn
    if account := told.get("SourceAccount"):
        condition.setdefault("StringEquals", {})["AWS:SourceAccount"] = account
    return condition


def _principal(said: str) -> Any:
    if said == "*":
        return said
    if said.endswith(".amazonaws.com"):
        return {"Service": said}
    return {"AWS": f"arn:aws:iam::{said}:root" if said.isdigit() else said}


def _permission_deleted(made: Made, told: Properties, place: Place) -> None:
    function = told["FunctionName"].rpartition(":function:")[2].partition(":")[0]
    with gone(place.client("lambda"), MISSING) as aws:
        aws.remove_permission(FunctionName=function, StatementId=made.identity)


def _name(said: str) -> str:
    """A function's name, of its ARN or of itself."""
    return said.rpartition(":function:")[2].partition(":")[0]


def teach_urls() -> None:
    """Makes a function URL be the door's address."""
    from moto.awslambda import models

    class Url(models.FunctionUrlConfig):
        def __init__(self, function: Any, config: dict[str, Any]) -> None:
            super().__init__(function, config)
            self.url = os.environ["KENNEL_REHEARSAL_DOOR"] + "/"

    models.FunctionUrlConfig = Url  # type: ignore[misc]


KINDS = (
    Kind(
        "AWS::Lambda::Function",
        _function,
        _function_deleted,
        _function_changed,
        name="FunctionName",
        known=frozenset(
            {
                *SETTINGS,
                "FunctionName",
                "Code",
                "PackageType",
                "Architectures",
                "Tags",
                "ReservedConcurrentExecutions",
            }
        ),
    ),
    Kind(
        "AWS::Lambda::Version",
        _version,
        _version_deleted,
        known=frozenset(
            {"FunctionName", "Description", "CodeSha256", "ProvisionedConcurrencyConfig"}
        ),
    ),
    Kind(
        "AWS::Lambda::Alias",
        _alias,
        _alias_deleted,
        _alias_changed,
        name="Name",
        known=frozenset(
            {
                "FunctionName",
                "Name",
                "FunctionVersion",
                "Description",
                "ProvisionedConcurrencyConfig",
            }
        ),
    ),
    Kind(
        "AWS::Lambda::Url",
        _url,
        _url_deleted,
        lambda _, told, place: _url("", told, place),
        known=frozenset({"TargetFunctionArn", "AuthType", "Cors", "InvokeMode", "Qualifier"}),
    ),
    Kind(
        "AWS::Lambda::Permission",
        _permission,
        _permission_deleted,
        known=frozenset({"FunctionName", *PERMISSION}),
    ),
)
