"""Who may do what: the most that the service's roles may ever do, and what GitHub's workflows may."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from constructs import Construct

from names import RUNNER_TAG, TAG, UNTIL_TAG, Names
from policies import allow, document, outputs, role, service_trust
from stacks.runner import app_key_alias, end_machines
from stacks.service_rights import service_rights

GITHUB = "token.actions.githubusercontent.com"
AUDIENCE = "sts.amazonaws.com"
TRAINING_HOURS = 12  # the longest that AWS gives


class Identity(cdk.Stack):
    """Roles without a key, which GitHub's workflows take by what they are: repository and environment."""

    def __init__(self, scope: Construct, stack_id: str, *, names: Names, **words) -> None:
        super().__init__(scope, stack_id, **words)
        self.names, self.chosen = names, names.settings.identity
        logs_of = names.arn("logs", f"log-group:/aws/lambda/{names.settings.name}-*")
        iam.CfnManagedPolicy(
            self,
            "Boundary",
            managed_policy_name=names.of("service-boundary"),
            description="The most that a role of the service stack may do, whatever it says itself",
            policy_document=document(
                allow(["logs:CreateLogStream", "logs:PutLogEvents"], [f"{logs_of}:*"]),
                allow(["lambda:PutFunctionConcurrency"], [names.function_arn]),
            ),
        )
        outputs(self, BoundaryArn=names.boundary_arn)
        if self.chosen.repository:
            self._github(self.chosen.repository)

    def _github(self, repository: str) -> None:
        if self.chosen.provider == "create":
            iam.CfnOIDCProvider(self, "GitHub", url=f"https://{GITHUB}", client_id_list=[AUDIENCE])
        environments = self.chosen.environments
        read = self._read()
        made = {
            "DataRoleArn": self._role("data", environments.data, "read photos and bundles", read),
            "TrainRoleArn": self._role(
                "train",
                environments.train,
                "read photos, and add to the registry",
                [*read, allow(["s3:PutObject"], [self._below(self.chosen.registry_prefix)])],
                hours=TRAINING_HOURS,
            ),
            "RunnerRoleArn": self._role(
                "runner", environments.runner, "rent a machine with its end", self._rent()
            ),
            "DeployRoleArn": self._role(
                "deploy", environments.deploy, "push an image and deploy it", self._deploy()
            ),
        }
        hands = role(
            self,
            "ServiceRole",
            name=self.names.of("deploy-service"),
            description="What CloudFormation takes to change the service stack",
            trust=service_trust(
                "cloudformation.amazonaws.com",
                StringEquals={"aws:SourceAccount": cdk.Aws.ACCOUNT_ID},
            ),
            may=service_rights(self.names),
        )
        arns = {name: each.attr_arn for name, each in made.items()}
        outputs(self, **arns, ServiceRoleArn=hands.attr_arn)

    def _role(
        self, what: str, environments: list[str], does: str, may: list[dict], *, hours: int = 1
    ) -> iam.CfnRole:
        repository = self.chosen.repository
        subjects = [f"repo:{repository}:environment:{each}" for each in environments]
        trust = {
            "Effect": "Allow",
            "Principal": {
                "Federated": self.names.arn("iam", f"oidc-provider/{GITHUB}", region=False)
            },
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": {
                "StringEquals": {f"{GITHUB}:aud": AUDIENCE, f"{GITHUB}:sub": sorted(subjects)}
            },
        }
        made = role(
            self,
            what.title(),
            name=self.names.of(what),
            description=f"What workflows in {', '.join(environments)} may: {does}",
            trust=document(trust),
            may=may,
            hours=hours,
        )
        provider = self.node.try_find_child("GitHub")
        if provider:
            made.add_resource_dependency(provider)
        return made

    def _below(self, prefix: str) -> str:
        return f"{self.names.bucket_arn}/{prefix}/*"

    def _read(self) -> list[dict]:
        prefixes = [self.chosen.data_prefix, self.chosen.registry_prefix]
        return [
            allow(
                ["s3:ListBucket"],
                [self.names.bucket_arn],
                StringLike={"s3:prefix": [p for each in prefixes for p in (each, f"{each}/*")]},
            ),
            allow(["s3:GetObject"], [self._below(each) for each in prefixes]),
        ]

    def _rent(self) -> list[dict]:
        names, chosen = self.names, self.names.settings.runner
        ours = {f"aws:ResourceTag/{TAG}": names.settings.name}
        by_template = {"ec2:LaunchTemplate": names.arn("ec2", "launch-template/*")}
        born = [
            names.arn("ec2", f"{each}/*") for each in ("instance", "volume", "network-interface")
        ]
        spot = names.arn(
            "iam",
            "role/aws-service-role/spot.amazonaws.com/AWSServiceRoleForEC2Spot",
            region=False,
        )
        rent = ["ec2:RunInstances"]
        rights = [
            # The machine: of a type that the settings name, and with the tags that end it.
            allow(
                rent,
                [names.arn("ec2", "instance/*")],
                StringEquals={
                    "ec2:InstanceType": chosen.types,
                    "ec2:MetadataHttpTokens": "required",
                },
                StringLike={f"aws:RequestTag/{RUNNER_TAG}": "kennel-*"},
                Null={f"aws:RequestTag/{UNTIL_TAG}": "false"},
                ArnLike=by_template,
            ),
            # Where and from what: this deployment's.
            allow(
                rent,
                [
                    names.arn("ec2", f"{each}/*")
                    for each in ("launch-template", "security-group", "subnet")
                ],
                StringEquals=ours,
            ),
            allow(
                rent,
                [
                    names.arn("ec2", "image/*", account=False),
                    names.arn("ec2", "network-interface/*"),
                    names.arn("ec2", "volume/*"),
                ],
                ArnLike=by_template,
            ),
            allow(["ec2:CreateTags"], born, StringEquals={"ec2:CreateAction": "RunInstances"}),
            allow(["ec2:DescribeInstances"], ["*"]),
            end_machines(names),
            allow(
                ["scheduler:CreateSchedule", "scheduler:DeleteSchedule"],
                [names.arn("scheduler", "schedule/default/kennel-*")],
            ),
            allow(
                ["iam:PassRole"],
                [names.role_arn("runner-ender")],
                StringEquals={"iam:PassedToService": "scheduler.amazonaws.com"},
            ),
            # Spot's own role, which an account gets with its first request.
            allow(
                ["iam:CreateServiceLinkedRole"],
                [spot],
                StringEquals={"iam:AWSServiceName": "spot.amazonaws.com"},
            ),
        ]
        if chosen.github_app:
            signs = allow(
                ["kms:Sign"],
                [names.arn("kms", "key/*")],
                **{
                    "ForAnyValue:StringEquals": {"kms:ResourceAliases": app_key_alias(names)},
                    "StringEquals": {"kms:SigningAlgorithm": "RSASSA_PKCS1_V1_5_SHA_256"},
                },
            )
            rights.append(signs)
        return rights

    def _deploy(self) -> list[dict]:
        names = self.names
        repository = names.arn("ecr", f"repository/{names.repository}")
        stack = names.arn("cloudformation", f"stack/{names.of('service')}/*")
        hands = names.role_arn("deploy-service")
        push = """BatchCheckLayerAvailability BatchGetImage CompleteLayerUpload DescribeImages
            GetDownloadUrlForLayer InitiateLayerUpload PutImage UploadLayerPart""".split()
        look = """DescribeChangeSet DescribeStackEvents DescribeStackResources DescribeStacks
            GetTemplate ListStackResources""".split()
        return [
            allow(["ecr:GetAuthorizationToken"], ["*"]),
            allow([f"ecr:{each}" for each in push], [repository]),
            allow([f"cloudformation:{each}" for each in look], [stack]),
            # A change is made by the role that may change the service, and by no other.
            allow(
                ["cloudformation:CreateChangeSet"],
                [stack],
                StringEquals={"cloudformation:RoleArn": hands},
            ),
            allow(["cloudformation:DeleteChangeSet", "cloudformation:ExecuteChangeSet"], [stack]),
            allow(
                ["iam:PassRole"],
                [hands],
                StringEquals={"iam:PassedToService": "cloudformation.amazonaws.com"},
            ),
        ]
