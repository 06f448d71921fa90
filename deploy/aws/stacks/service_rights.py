"""What CloudFormation needs in its hands to make, change and remove the service stack."""

from __future__ import annotations

from names import Names
from policies import allow

FUNCTIONS = """AddPermission CreateAlias CreateFunction CreateFunctionUrlConfig DeleteAlias DeleteFunction
    DeleteFunctionConcurrency DeleteFunctionUrlConfig DeleteProvisionedConcurrencyConfig GetAlias GetFunction
    GetFunctionCodeSigningConfig GetFunctionConcurrency GetFunctionConfiguration GetFunctionUrlConfig GetPolicy
    GetProvisionedConcurrencyConfig GetRuntimeManagementConfig ListTags ListVersionsByFunction PublishVersion
    PutFunctionConcurrency PutProvisionedConcurrencyConfig RemovePermission TagResource UntagResource UpdateAlias
    UpdateFunctionCode UpdateFunctionConfiguration UpdateFunctionUrlConfig""".split()
GROUPS = """CreateLogGroup DeleteLogGroup DeleteRetentionPolicy ListTagsForResource PutRetentionPolicy TagResource
    UntagResource""".split()
ALARMS = "DeleteAlarms ListTagsForResource PutMetricAlarm TagResource UntagResource".split()
DASHBOARDS = "DeleteDashboards GetDashboard PutDashboard".split()
TOPICS = """CreateTopic DeleteTopic GetTopicAttributes ListSubscriptionsByTopic ListTagsForResource SetTopicAttributes
    Subscribe TagResource UntagResource""".split()
IMAGES = "BatchGetImage DescribeImages GetDownloadUrlForLayer GetRepositoryPolicy".split()


def service_rights(names: Names) -> list[dict]:
    """By name of each function, group, alarm and topic. Roles only within the boundary, so that whoever may
    change the stack cannot make one that may more.
    """
    functions = [names.function_arn, names.arn("lambda", f"function:{names.of('brake')}")]
    groups = [
        names.arn("logs", f"log-group:{names.log_group(each)}") for each in ("serve", "brake")
    ]
    roles = [names.role_arn("serve"), names.role_arn("brake")]
    topic = names.arn("sns", names.of("alarms"))
    return [
        allow(
            [f"lambda:{each}" for each in FUNCTIONS],
            [arn for each in functions for arn in (each, f"{each}:*")],
        ),
        allow(
            [f"logs:{each}" for each in GROUPS],
            [arn for each in groups for arn in (each, f"{each}:*")],
        ),
        allow(
            [f"cloudwatch:{each}" for each in ALARMS],
            [names.arn("cloudwatch", f"alarm:{names.of('serve')}-*")],
        ),
        allow(
            [f"cloudwatch:{each}" for each in DASHBOARDS],
            [names.arn("cloudwatch", f"dashboard/{names.of('serve')}", region=False)],
        ),
        # Asked of everything, since they name nothing.
        allow(
            ["cloudwatch:DescribeAlarms", "logs:DescribeLogGroups", "ecr:GetAuthorizationToken"],
            ["*"],
        ),
        allow([f"sns:{each}" for each in TOPICS], [topic]),
        allow(["sns:Unsubscribe"], [f"{topic}:*"]),
        allow(
            [f"ecr:{each}" for each in IMAGES],
            [names.arn("ecr", f"repository/{names.repository}")],
        ),
        allow(
            ["iam:CreateRole", "iam:PutRolePermissionsBoundary", "iam:PutRolePolicy"],
            roles,
            StringEquals={"iam:PermissionsBoundary": names.boundary_arn},
        ),
        allow(
            [
                "iam:DeleteRole",
                "iam:DeleteRolePolicy",
                "iam:GetRole",
                "iam:GetRolePolicy",
                "iam:ListAttachedRolePolicies",
                "iam:ListRolePolicies",
                "iam:TagRole",
                "iam:UntagRole",
            ],
            roles,
        ),
        allow(
            ["iam:PassRole"],
            roles,
            StringEquals={"iam:PassedToService": "lambda.amazonaws.com"},
        ),
    ]
