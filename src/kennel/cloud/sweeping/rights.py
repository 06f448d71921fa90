"""Who may do what, and who is told what it costs: roles, policies, providers, budgets."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from kennel.cloud import CloudError, asking, client
from kennel.cloud.sweeping.scope import Leftover, Scope

ROLE, POLICY = "AWS::IAM::Role", "AWS::IAM::ManagedPolicy"
PROVIDER, BUDGET = "AWS::IAM::OIDCProvider", "AWS::Budgets::Budget"


def find(scope: Scope) -> Iterator[Leftover]:
    yield from _roles(scope)
    yield from _policies(scope)
    yield from _providers(scope)
    yield from _budgets(scope)


def _roles(scope: Scope) -> Iterator[Leftover]:
    iam = client("iam")
    with asking("iam:ListRoles", fixes={}):
        pages = iam.get_paginator("list_roles").paginate()
        found = [each for page in pages for each in page["Roles"]]
    for each in found:
        name, arn = each["RoleName"], each["Arn"]
        if not name.startswith(scope.prefix) or not scope.orphan(name, arn):
            continue
        with asking(f"iam:ListRoleTags {name}", fixes={}):
            if scope.wears(iam.list_role_tags(RoleName=name)["Tags"]):
                yield Leftover(ROLE, name, arn, usd=0.0)


def _policies(scope: Scope) -> Iterator[Leftover]:
    iam = client("iam")
    with asking("iam:ListPolicies", fixes={}):
        pages = iam.get_paginator("list_policies").paginate(Scope="Local")
        found = [each for page in pages for each in page["Policies"]]
    for each in found:
        name, arn = each["PolicyName"], each["Arn"]
        if not name.startswith(scope.prefix) or not scope.orphan(name, arn):
            continue
        with asking(f"iam:ListPolicyTags {name}", fixes={}):
            if scope.wears(iam.list_policy_tags(PolicyArn=arn)["Tags"]):
                yield Leftover(POLICY, name, arn, usd=0.0)


def _providers(scope: Scope) -> Iterator[Leftover]:
    iam = client("iam")
    with asking("iam:ListOpenIDConnectProviders", fixes={}):
        found = [
            each["Arn"]
            for each in iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]
        ]
    for arn in found:
        if not scope.orphan(arn):
            continue
        with asking(f"iam:ListOpenIDConnectProviderTags {arn}", fixes={}):
            tags = iam.list_open_id_connect_provider_tags(OpenIDConnectProviderArn=arn)["Tags"]
        if scope.wears(tags):
            yield Leftover(PROVIDER, arn.rpartition("/")[2], arn, usd=0.0)


def _budgets(scope: Scope) -> Iterator[Leftover]:
    """By its very name: where the account may not be asked for budgets, none was made here."""
    try:
        with asking("budgets:DescribeBudgets", fixes={}):
            answer = client("budgets").describe_budgets(AccountId=scope.account)
    except CloudError as error:
        if error.code in ("NotFoundException", "AccessDeniedException"):
            return
        raise
    for each in answer.get("Budgets", ()):
        name = each["BudgetName"]
        if scope.named(BUDGET, name) and scope.orphan(name):
            yield Leftover(BUDGET, name, scope.account, usd=0.0)


def _without_role(each: Leftover) -> None:
    iam = client("iam")
    with asking(f"iam:DeleteRole {each.name}", fixes={}):
        for policy in iam.list_attached_role_policies(RoleName=each.name)["AttachedPolicies"]:
            iam.detach_role_policy(RoleName=each.name, PolicyArn=policy["PolicyArn"])
        for policy in iam.list_role_policies(RoleName=each.name)["PolicyNames"]:
            iam.delete_role_policy(RoleName=each.name, PolicyName=policy)
        iam.delete_role(RoleName=each.name)


def _without_policy(each: Leftover) -> None:
    iam = client("iam")
    with asking(f"iam:DeletePolicy {each.name}", fixes={}):
        for version in iam.list_policy_versions(PolicyArn=each.arn)["Versions"]:
            if not version["IsDefaultVersion"]:
                iam.delete_policy_version(PolicyArn=each.arn, VersionId=version["VersionId"])
        iam.delete_policy(PolicyArn=each.arn)


def _without_provider(each: Leftover) -> None:
    with asking(f"iam:DeleteOpenIDConnectProvider {each.name}", fixes={}):
        client("iam").delete_open_id_connect_provider(OpenIDConnectProviderArn=each.arn)


def _without_budget(each: Leftover) -> None:
    with asking(f"budgets:DeleteBudget {each.name}", fixes={}):
        client("budgets").delete_budget(AccountId=each.arn, BudgetName=each.name)


REMOVERS: dict[str, Callable[[Leftover], None]] = {
    ROLE: _without_role,
    POLICY: _without_policy,
    PROVIDER: _without_provider,
    BUDGET: _without_budget,
}
