"""A CloudFormation template as it would be deployed: parameters filled in, conditions decided.

What only AWS knows (an address, an ARN) is `UNKNOWN`, or a `Reference` to the resource that has it.
Nothing is asked: a template is a JSON file, such as `cdk synth` writes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from kennel.cloud.intrinsics import UNKNOWN, Reference, Resolver
from kennel.errors import KennelError

__all__ = ["UNKNOWN", "Reference", "Resource", "Template", "read_template", "template_of"]

MOST_BYTES: Final = 1 << 20  # what CloudFormation takes
SYNTH: Final = "a template in JSON, such as make synth writes to deploy/aws/cdk.out"


@dataclass(frozen=True)
class Resource:
    """One resource that would be made.

    Attributes:
        stack: whose it is. type: such as "AWS::S3::Bucket".
        properties: with what can be known filled in.
    """

    stack: str
    logical_id: str
    type: str
    properties: Mapping[str, Any]

    @property
    def name(self) -> str:
        """STACK/LOGICAL_ID."""
        return f"{self.stack}/{self.logical_id}"

    def get(self, path: str, otherwise: Any = None) -> Any:
        """A property by a path such as "Code.ImageUri"; `otherwise` where it is not set, or is not
        known before it is deployed.
        """
        value: Any = self.properties
        for part in path.split("."):
            if not isinstance(value, Mapping) or part not in value:
                return otherwise
            value = value[part]
        return otherwise if value is UNKNOWN else value

    def number(self, path: str, otherwise: float | None = None) -> float | None:
        """A property that is a number, also where a template writes it as a string."""
        value = self.get(path)
        if isinstance(value, bool):
            return otherwise
        try:
            return float(value)
        except (TypeError, ValueError):
            return otherwise


@dataclass(frozen=True)
class Template:
    """One stack's resources, those left out that a condition leaves out.

    Attributes:
        notes: what was taken for granted, in words: a condition that nobody can decide yet.
    """

    name: str
    resources: tuple[Resource, ...]
    notes: tuple[str, ...] = field(default=())


def read_template(path: Path, *, parameters: Mapping[str, Any] | None = None) -> Template:
    """Reads a template.

    Args:
        parameters: values beside the template's defaults.
    Raises:
        KennelError: it cannot be read, or is no template.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise KennelError(
                f"{path} has over {MOST_BYTES:,} bytes, which CloudFormation does not take.",
                fix=SYNTH,
            )
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise KennelError(f"{path} cannot be read: {error.strerror}.", fix=SYNTH) from error
    except (ValueError, RecursionError) as error:
        raise KennelError(f"{path} is not JSON: {error}.", fix=SYNTH) from error
    name = path.name.removesuffix(".json").removesuffix(".template")
    return template_of(name, document, parameters=parameters, source=str(path))


def template_of(
    name: str,
    document: Any,
    *,
    parameters: Mapping[str, Any] | None = None,
    source: str | None = None,
) -> Template:
    """A template from what JSON gave.

    Raises:
        KennelError: it is no template, or contradicts itself.
    """
    source = source or name
    resources = document.get("Resources") if isinstance(document, dict) else None
    if not isinstance(resources, dict) or not resources:
        raise KennelError(
            f"{source} is no CloudFormation template: it has no Resources.", fix=SYNTH
        )
    resolver = Resolver(document, dict(parameters or {}), source=source)
    found = []
    for logical_id, each in resources.items():
        kind = each.get("Type") if isinstance(each, dict) else None
        if not isinstance(kind, str):
            raise KennelError(
                f"{source} is no CloudFormation template: {logical_id!r} has no Type.", fix=SYNTH
            )
        if resolver.leaves_out(each):
            continue
        try:
            properties = resolver.value(each.get("Properties", {}))
        except RecursionError as error:
            raise KennelError(f"{source}: {logical_id} is nested too deep.", fix=SYNTH) from error
        if not isinstance(properties, dict):
            properties = {}
        found.append(Resource(name, logical_id, kind, properties))
    return Template(name, tuple(found), tuple(resolver.notes))
