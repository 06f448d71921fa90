"""settings.yaml, typed. A key that does not exist or a value that cannot be is refused by path."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

Email = Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$")]
Environment = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
Several = Annotated[list[Environment], Field(min_length=1)]
Prefix = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9._-]+)*$")]
# What CloudWatch Logs can keep for.
LOG_DAYS = Literal[1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731]
SNAPSHOT_MB = 512  # SnapStart takes no larger /tmp


class SettingsError(Exception):
    """Settings that cannot be; its text names each by its path."""


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Storage(Part):
    on_delete: Literal["keep", "remove"] = "keep"
    old_versions_days: int = Field(30, ge=1, le=3650)


class Images(Part):
    kept: int = Field(20, ge=2, le=1000)


class Service(Part):
    memory_mb: int = Field(2048, ge=512, le=10_240)
    timeout_s: int = Field(30, ge=1, le=120)
    temporary_mb: int = Field(512, ge=512, le=10_240)
    concurrency: Annotated[int, Field(ge=1, le=1000)] | Literal["account"] = 5
    public: bool = False
    requests_per_minute: int | None = Field(600, ge=1, le=1_000_000)
    callers: list[
        Annotated[str, Field(pattern=r"^arn:aws[a-z-]*:iam::\d{12}:(role|user)/\S+$")]
    ] = []
    cors_origins: list[Annotated[str, Field(pattern=r"^https?://[A-Za-z0-9.-]+(:\d+)?$")]] = []
    start: Literal["on-demand", "snapstart", "provisioned"] = "on-demand"
    provisioned: int = Field(1, ge=1, le=100)
    log_days: LOG_DAYS = 14
    alarm_email: Email | None = None

    @model_validator(mode="after")
    def _bounded(self) -> Service:
        if self.public and self.requests_per_minute is None:
            raise ValueError("a public service needs requests_per_minute: its rate must be bounded")
        if self.public and self.callers:
            raise ValueError("callers are those of a service that is not public")
        if self.start == "snapstart" and self.temporary_mb > SNAPSHOT_MB:
            raise ValueError(f"start: snapstart takes temporary_mb of {SNAPSHOT_MB} at most")
        if self.start == "provisioned" and self.concurrency == "account":
            raise ValueError("start: provisioned needs a concurrency of its own, no smaller")
        if self.start == "provisioned" and self.provisioned > int(self.concurrency):
            raise ValueError("provisioned is more than concurrency")
        return self


class Runner(Part):
    types: list[Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*\.[a-z0-9-]+$")]] = Field(
        ["g4dn.xlarge"], min_length=1
    )
    zones: int = Field(3, ge=1, le=6)
    image: str = Field(pattern=r"^(ami-[0-9a-f]{8,17}|/[A-Za-z0-9._/-]+)$")
    disk_gb: int = Field(100, ge=30, le=2000)
    hours: int = Field(24, ge=1, le=24)
    reap_minutes: int = Field(15, ge=2, le=60)
    github_app: bool = True


class Environments(Part):
    data: Several = ["data"]
    train: Several = ["gpu-work"]
    runner: Several = ["gpu", "gpu-stop"]
    deploy: Several = ["deploy"]


class Identity(Part):
    repository: str | None = Field(None, pattern=r"^[A-Za-z0-9-]+/[A-Za-z0-9._-]+$")
    provider: Literal["create", "existing"] = "create"
    environments: Environments = Environments()
    data_prefix: Prefix = "dvc"
    registry_prefix: Prefix = "registry"


class Budget(Part):
    usd: int = Field(20, ge=1, le=1_000_000)
    email: Email | None = None


class Settings(Part):
    """All of settings.yaml."""

    name: str = Field("kennel", pattern=r"^[a-z][a-z0-9-]{0,18}[a-z0-9]$")
    region: str = Field("us-east-1", pattern=r"^[a-z]{2}(-[a-z]+)+-\d$")
    storage: Storage = Storage()
    images: Images = Images()
    service: Service = Service()
    runner: Runner
    identity: Identity = Identity()
    budget: Budget = Budget()


def read_settings(path: Path) -> Settings:
    """Raises SettingsError, with the path of each key or value that cannot be."""
    try:
        given = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsError(f"{path} cannot be read: {error}") from error
    try:
        return Settings.model_validate(given)
    except ValidationError as error:
        raise SettingsError(
            "\n".join(f"{path}: {_told(each)}" for each in error.errors())
        ) from error


def _told(each: dict) -> str:
    # Pydantic names the branch of a union that it tried; settings.yaml has no such key.
    branches = ("int", "literal[", "constrained-", "function-")
    path = ".".join(str(part) for part in each["loc"] if not str(part).startswith(branches))
    if each["type"] == "extra_forbidden":
        return f"there is no {path}"
    if each["type"] == "value_error":
        return f"{path}: {each['msg'].removeprefix('Value error, ')}"
    return f"{path or 'all of it'}: {each['msg']}, and not {each['input']!r}"
