"""What CloudFormation needs in its hands to make, change and remove the service stack."""

from __future__ import annotations

from names import Names
from policies import Right, allow, of

FUNCTIONS = """AddPermission CreateAlias CreateFunction CreateFunctionUrlConfig DeleteAlias
    DeleteFunction DeleteFunctionConcurrency DeleteFunctionUrlConfig
    DeleteProvisionedConcurrencyConfig GetAlias GetFunction GetFunctionCodeSigningConfig
    GetFunctionConfiguration GetFunctionRecursionConfig
    GetFunctionUrlConfig GetPolicy GetProvisionedConcurrencyConfig GetRuntimeManagementConfig
    ListTags ListVersionsByFunction PublishVersion PutFunctionConcurrency
    PutProvisionedConcurrencyConfig RemovePermission TagResource UntagResource UpdateAlias
    UpdateFunctionCode UpdateFunctionConfiguration UpdateFunctionUrlConfig"""
GROUPS = """CreateLogGroup DeleteLogGroup DeleteRetentionPolicy ListTagsForResource
    PutRetentionPolicy TagResource UntagResource"""
ALARMS = "DeleteAlarms ListTagsForResource PutMetricAlarm TagResource UntagResource"
DASHBOARDS = "DeleteDashboards GetDashboard PutDashboard"
TOPICS = """CreateTopic DeleteTopic GetTopicAttributes ListSubscriptionsByTopic
    ListTagsForResource SetTopicAttributes Subscribe TagResource UntagResource"""
IMAGES = "BatchGetImage GetDownloadUrlForLayer GetRepositoryPolicy"
ROLES = """DeleteRole DeleteRolePolicy GetRole GetRolePolicy ListAttachedRolePolicies
    ListRolePolicies ListRoleTags TagRole UntagRole UpdateAssumeRolePolicy UpdateRole
    UpdateRoleDescription"""


def service_rights(names: Names) -> list[Right]:
    """By the name of each function, group, alarm and topic. Roles only within the boundary, so that
    whoever may change the stack cannot make one that may more.
    """
    functions = [names.function_arn, names.arn("lambda", f"function:{names.of('brake')}")]
    groups = [
        names.arn("logs", f"log-group:{names.log_group(each)}") for each in ("serve", "brake")
    ]
    roles = [names.role_arn("serve"), names.role_arn("brake")]
    topic = names.arn("sns", names.of("alarms"))
    return [
        allow(
            of("lambda", FUNCTIONS),
            [arn for each in functions for arn in (each, f"{each}:*")],
            because="Versions and aliases of these two functions.",
        ),
        allow(
            of("logs", GROUPS),
            [arn for each in groups for arn in (each, f"{each}:*")],
            because="What is in these two groups.",
        ),
        allow(
            of("cloudwatch", ALARMS),
            [names.arn("cloudwatch", f"alarm:{names.of('serve')}-*")],
            because="The service's alarms, whose names begin with its own.",
        ),
        allow(
            of("cloudwatch", DASHBOARDS),
            [names.arn("cloudwatch", f"dashboard/{names.of('serve')}", region=False)],
        ),
        allow(
            "cloudwatch:DescribeAlarms logs:DescribeLogGroups",
            ["*"],
            because="AWS asks this of all or none. Nothing is changed by it.",
        ),
        allow(of("sns", TOPICS), [topic]),
        allow("sns:Unsubscribe", [f"{topic}:*"], because="A subscription's id is AWS's."),
        allow(of("ecr", IMAGES), [names.arn("ecr", f"repository/{names.repository}")]),
        allow(
            "iam:CreateRole iam:PutRolePermissionsBoundary iam:PutRolePolicy",
            roles,
            StringEquals={"iam:PermissionsBoundary": names.boundary_arn},
        ),
        allow(of("iam", ROLES), roles),
        allow("iam:PassRole", roles, StringEquals={"iam:PassedToService": "lambda.amazonaws.com"}),
    ]
