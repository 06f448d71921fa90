"""The Lambda functions of a deployment: what Lambda bills them by, and who may call them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from kennel.cloud.cost.schedules import runs_a_month
from kennel.cloud.template import Reference, Resource

ACCOUNT_CONCURRENCY = 1000  # what an account has; a new one may have as few as 10
DEFAULT_MB, DEFAULT_S, FREE_TMP_MB = 128, 3, 512  # what Lambda takes where nothing is said
ALIAS_LIKE = ("AWS::Lambda::Alias", "AWS::Lambda::Version")


@dataclass(frozen=True)
class Function:
    """One function.

    Attributes:
        reserved: how many may run at once; None where only the account's limit holds.
        ready: instances kept started, all day.
        snapshot: SnapStart keeps a snapshot of each published version.
        url: "" where it has no address, else who may call it: "NONE" (anybody) or "AWS_IAM".
        runs: how often a schedule starts it, a month.
        log_days: its lines are kept; None for ever.
        image: it is an image, as what answers photos is.
        own_log, lambda_log: whether the server, and Lambda, write a line for each request.
    """

    name: str
    logical_id: str
    memory_mb: int
    timeout_s: float
    arm64: bool = False
    tmp_mb: int = FREE_TMP_MB
    reserved: int | None = None
    ready: int = 0
    snapshot: bool = False
    url: str = ""
    runs: float = 0.0
    log_days: float | None = None
    image: bool = False
    own_log: bool = True
    lambda_log: bool = True

    @property
    def gb(self) -> float:
        """Memory in Lambda's GB, which have 1,024 MB."""
        return self.memory_mb / 1024

    @property
    def at_once(self) -> int:
        """How many can run at the same time, and be billed."""
        return ACCOUNT_CONCURRENCY if self.reserved is None else self.reserved

    def of_memory(self, memory_mb: int) -> Function:
        """The same with another memory."""
        return replace(self, memory_mb=memory_mb)


def functions_in(resources: Sequence[Resource]) -> tuple[Function, ...]:
    """The functions, with what versions, aliases, addresses, schedules and log groups add."""
    pointing = {
        (each.stack, each.logical_id): each.get("FunctionName")
        for each in resources
        if each.type in ALIAS_LIKE
    }
    return tuple(
        _function(each, resources, pointing)
        for each in resources
        if each.type in ("AWS::Lambda::Function", "AWS::Serverless::Function")
    )


def _function(
    own: Resource, resources: Sequence[Resource], pointing: dict[tuple[str, str], object]
) -> Function:
    def mine(target: object, stack: str) -> bool:
        for _ in range(len(pointing) + 1):  # an alias of a version of a function
            if isinstance(target, Reference):
                if (stack, target.logical_id) == (own.stack, own.logical_id):
                    return True
                target = pointing.get((stack, target.logical_id))
            else:
                break
        named = own.get("FunctionName")
        return isinstance(target, str) and isinstance(named, str) and named in _words(target)

    reserved = own.number("ReservedConcurrentExecutions")
    ready, url, runs = 0.0, "", 0.0
    log_days, group = None, own.get("LoggingConfig.LogGroup")
    for each in resources:
        if each.type in ALIAS_LIKE and mine(each.get("FunctionName"), each.stack):
            ready += (
                each.number("ProvisionedConcurrencyConfig.ProvisionedConcurrentExecutions") or 0
            )
        elif each.type == "AWS::Lambda::Url" and mine(each.get("TargetFunctionArn"), each.stack):
            url = "NONE" if "NONE" in (url, each.get("AuthType")) else "AWS_IAM"
        elif each.type == "AWS::Scheduler::Schedule" and mine(each.get("Target.Arn"), each.stack):
            runs += runs_a_month(each.get("ScheduleExpression"))
        elif each.type == "AWS::Events::Rule":
            targets = each.get("Targets", ())
            hits = [t for t in targets if isinstance(t, dict) and mine(t.get("Arn"), each.stack)]
            if hits and each.get("ScheduleExpression") is not None:
                runs += runs_a_month(each.get("ScheduleExpression")) * len(hits)
        elif each.type == "AWS::Logs::LogGroup" and _logs_of(each, own, group):
            log_days = each.number("RetentionInDays")
    return Function(
        name=own.name,
        logical_id=own.logical_id,
        memory_mb=int(own.number("MemorySize", DEFAULT_MB) or DEFAULT_MB),
        timeout_s=own.number("Timeout", DEFAULT_S) or DEFAULT_S,
        arm64="arm64" in (own.get("Architectures") or ()),
        tmp_mb=int(own.number("EphemeralStorage.Size", FREE_TMP_MB) or FREE_TMP_MB),
        reserved=None if reserved is None else int(reserved),
        ready=int(ready),
        snapshot=own.get("SnapStart.ApplyOn") == "PublishedVersions",
        url=url,
        runs=runs,
        log_days=log_days,
        image=own.get("PackageType") == "Image",
        own_log=own.get("Environment.Variables.KENNEL_SERVE_LOG") != "none",
        # START, END and REPORT are told at INFO; only JSON has levels.
        lambda_log=own.get("LoggingConfig.LogFormat") != "JSON"
        or own.get("LoggingConfig.SystemLogLevel") != "WARN",
    )


def _logs_of(group: Resource, own: Resource, said: object) -> bool:
    if isinstance(said, Reference):
        return (group.stack, group.logical_id) == (own.stack, said.logical_id)
    name, function = group.get("LogGroupName"), own.get("FunctionName")
    if isinstance(said, str):
        return isinstance(name, str) and name == said
    return isinstance(function, str) and name == f"/aws/lambda/{function}"


def _words(arn: str) -> list[str]:
    return arn.split(":")


def answering(functions: Sequence[Function]) -> tuple[Function, ...]:
    """Those that answer photos: what has an address; else images; else what no schedule starts."""
    for wanted in (
        [each for each in functions if each.url],
        [each for each in functions if each.image],
        [each for each in functions if not each.runs],
    ):
        if wanted:
            return tuple(wanted)
    return ()
