"""Types of CloudFormation that are ours: what creates, changes and deletes one, by APIs of AWS."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from kennel.errors import need

Properties = Mapping[str, Any]


@dataclass(frozen=True)
class Made:
    """A resource that is there. `identity` is what Ref gives, `attributes` what GetAtt gives."""

    identity: str
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Place:
    """Where it is made: an account and a region of the server that this process is."""

    account: str
    region: str

    def client(self, service: str) -> Any:
        return _client(service, self.region)


@cache
def _client(service: str, region: str) -> Any:
    return need("boto3", extra="aws").client(
        service,
        endpoint_url=os.environ["KENNEL_REHEARSAL_AWS"],
        region_name=region,
        aws_access_key_id="cloudformation",
        aws_secret_access_key="cloudformation",  # noqa: S106 - moto asks for one and looks at none
    )


def _nothing(*_: object) -> None:
    return None


@dataclass(frozen=True)
class Kind:
    """A type.

    Attributes:
        name: property that names it, or "".
        create: name, properties, place -> what was made.
        delete: removes it; one that is gone already is no error.
        change: makes it be as other properties say; None makes a new one and deletes the old.
        known: properties that are heeded. Any other is refused, so that none is silently ignored.
    """

    type: str
    create: Callable[[str, Properties, Place], Made]
    delete: Callable[[Made, Properties, Place], None] = _nothing
    change: Callable[[Made, Properties, Place], Made] | None = None
    name: str = ""
    known: frozenset[str] = frozenset()


def gone(client: Any, *codes: str) -> Any:
    """A block in which AWS may say that what is deleted is not there."""
    from contextlib import contextmanager

    errors: Any = need("botocore.exceptions", extra="aws")

    @contextmanager
    def block() -> Any:
        try:
            yield client
        except errors.ClientError as error:
            if error.response["Error"]["Code"] not in codes:
                raise

    return block()


def tags_of(properties: Properties) -> dict[str, str]:
    """Tags by name, in whichever of CloudFormation's two forms they are given."""
    found = properties.get("Tags") or {}
    if isinstance(found, dict):
        return {str(key): str(value) for key, value in found.items()}
    return {str(each["Key"]): str(each["Value"]) for each in found}


def every_kind() -> dict[str, Kind]:
    """The types that are ours, by name."""
    from kennel.cloud.rehearsal.aws import (
        of_identity,
        of_lambda,
        of_network,
        of_storage,
        of_time,
        of_watching,
    )

    rooms = (of_storage, of_lambda, of_watching, of_network, of_identity, of_time)
    return {each.type: each for room in rooms for each in room.KINDS}


def teach() -> None:
    """Makes moto's CloudFormation know them. The type that was defined last is the one it takes."""
    from moto.cloudformation import parsing

    kept = [_model(kind) for kind in every_kind().values()]
    for each in (parsing.get_model_list, parsing.get_model_map, parsing.get_name_type_map):
        each.cache_clear()
    missing = [each for each in kept if each not in parsing.get_model_map().values()]
    if missing:
        raise AssertionError(f"moto does not take {missing}")


def _model(kind: Kind) -> Any:
    from moto.core.common_models import CloudFormationModel

    class Model(CloudFormationModel):
        def __init__(self, made: Made, properties: Properties, place: Place) -> None:
            self.made, self.properties, self.place = made, properties, place

        @property
        def physical_resource_id(self) -> str:
            return self.made.identity

        @staticmethod
        def cloudformation_name_type() -> str:
            return kind.name

        @staticmethod
        def cloudformation_type() -> str:
            return kind.type

        @classmethod
        def has_cfn_attr(cls, attr: str) -> bool:
            return True  # what is not there is refused when it is asked for

        def get_cfn_attribute(self, name: str) -> str:
            if name not in self.made.attributes:
                raise ValueError(f"{kind.type} has no attribute {name} here")
            return self.made.attributes[name]

        @classmethod
        def create_from_cloudformation_json(
            cls,
            resource_name: str,
            cloudformation_json: dict[str, Any],
            account_id: str,
            region_name: str,
            **_: Any,
        ) -> Model:
            properties = _heeded(kind, cloudformation_json.get("Properties") or {})
            place = Place(account_id, region_name)
            return cls(kind.create(resource_name, properties, place), properties, place)

        @classmethod
        def update_from_cloudformation_json(
            cls,
            original_resource: Model,
            new_resource_name: str,
            cloudformation_json: dict[str, Any],
            account_id: str,
            region_name: str,
        ) -> Model:
            properties = _heeded(kind, cloudformation_json.get("Properties") or {})
            old, place = original_resource, Place(account_id, region_name)
            named = kind.name and properties.get(
                kind.name, old.made.identity
            ) != old.properties.get(kind.name, old.made.identity)
            if kind.change is None or named:
                made = kind.create(new_resource_name, properties, place)
                return cls(made, properties, place)
            return cls(kind.change(old.made, properties, place), properties, place)

        def delete(self, account_id: str, region_name: str) -> None:
            kind.delete(self.made, self.properties, Place(account_id, region_name))

        def is_created(self) -> bool:
            return True

    Model.__name__ = Model.__qualname__ = kind.type.replace("::", "")
    return Model


def _heeded(kind: Kind, properties: Properties) -> Properties:
    if unknown := sorted(set(properties) - kind.known):
        raise ValueError(f"the rehearsal does not play {', '.join(unknown)} of {kind.type}")
    return properties
