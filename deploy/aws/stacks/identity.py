"""Who may do what: the most that the service's roles may, and what GitHub's workflows may."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from constructs import Construct

from names import RUNNER_TAG, TAG, UNTIL_TAG, Names
from policies import Right, acknowledge_width, allow, document, of, outputs, role, service_trust
from stacks.runner import LOOKING, app_key_alias, end_machines
from stacks.service_rights import service_rights

GITHUB = "token.actions.githubusercontent.com"
AUDIENCE = "sts.amazonaws.com"
TRAINING_HOURS = 12  # the longest that AWS gives
DEPLOYING_HOURS = 2  # the image is built in the same job
BORN = ("instance", "network-interface", "volume")  # with a machine
BELOW = "Photos, bundles and records below one prefix of one bucket."
ONE_STACK = "AWS puts an id behind the stack's name."
PUSH = """BatchCheckLayerAvailability BatchGetImage CompleteLayerUpload DescribeImages
    InitiateLayerUpload PutImage UploadLayerPart"""
LOOK = "DescribeChangeSet DescribeStackEvents GetTemplate ListChangeSets ListStackResources"
ANSWERING = "GetAlias GetFunction GetFunctionConcurrency ListVersionsByFunction UpdateAlias"


class Identity(cdk.Stack):
    """Roles without a key, which GitHub's workflows take by their repository and environment."""

    def __init__(self, scope: Construct, stack_id: str, *, names: Names, **words) -> None:
        super().__init__(scope, stack_id, **words)
        self.names, self.chosen = names, names.settings.identity
        most = [
            allow(
                "logs:CreateLogStream logs:PutLogEvents",
                [names.arn("logs", f"log-group:{names.log_group('*')}:*")],
                because="Each function's own group is named by its role; this is the most of all.",
            ),
            allow("lambda:PutFunctionConcurrency", [names.function_arn]),
        ]
        boundary = iam.CfnManagedPolicy(
            self,
            "Boundary",
            managed_policy_name=names.of("service-boundary"),
            description="The most that a role of the service stack may do, whatever it says",
            policy_document=document(*most),
        )
        acknowledge_width(boundary, most)
        outputs(self, BoundaryArn=names.boundary_arn)
        if self.chosen.repository:
            self._github(self.chosen.repository)

    def _github(self, repository: str) -> None:
        if self.chosen.provider == "create":
            iam.CfnOIDCProvider(self, "GitHub", url=f"https://{GITHUB}", client_id_list=[AUDIENCE])
        environments = self.chosen.environments
        read = self._read()
        registry = [self._below(self.chosen.registry_prefix)]
        add = allow("s3:PutObject", registry, because=BELOW)
        made = {
            "DataRoleArn": self._role("data", environments.data, "read photos and bundles", read),
            "TrainRoleArn": self._role(
                "train",
                environments.train,
                "read photos, and add to the registry",
                [*read, add],
                hours=TRAINING_HOURS,
            ),
            "RunnerRoleArn": self._role(
                "runner", environments.runner, "rent a machine with its end", self._rent()
            ),
            "DeployRoleArn": self._role(
                "deploy",
                environments.deploy,
                "push an image and deploy it",
                self._deploy(),
                hours=DEPLOYING_HOURS,
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
        self, what: str, environments: list[str], does: str, may: list[Right], *, hours: int = 1
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

    def _read(self) -> list[Right]:
        prefixes = [self.chosen.data_prefix, self.chosen.registry_prefix]
        return [
            allow(
                "s3:ListBucket",
                [self.names.bucket_arn],
                StringLike={"s3:prefix": [p for each in prefixes for p in (each, f"{each}/*")]},
            ),
            allow("s3:GetObject", [self._below(each) for each in prefixes], because=BELOW),
        ]

    def _rent(self) -> list[Right]:
        names, chosen = self.names, self.names.settings.runner
        by_template = {"ec2:LaunchTemplate": names.arn("ec2", "launch-template/*")}
        spot = "role/aws-service-role/spot.amazonaws.com/AWSServiceRoleForEC2Spot"
        rights = [
            allow(
                "ec2:RunInstances",
                [names.arn("ec2", "instance/*")],
                because="A machine gets its id when it is rented: one of a type that the settings "
                "name, by a launch template, and with the tags that end it.",
                StringEquals={
                    "ec2:InstanceType": chosen.types,
                    "ec2:MetadataHttpTokens": "required",
                },
                StringLike={f"aws:RequestTag/{RUNNER_TAG}": "kennel-*"},
                Null={f"aws:RequestTag/{UNTIL_TAG}": "false"},
                ArnLike=by_template,
            ),
            allow(
                "ec2:RunInstances",
                [
                    names.arn("ec2", f"{each}/*")
                    for each in ("launch-template", "security-group", "subnet")
                ],
                because="Where and from what: those with this deployment's tag alone.",
                StringEquals={f"aws:ResourceTag/{TAG}": names.settings.name},
            ),
            allow(
                "ec2:RunInstances",
                [
                    names.arn("ec2", "image/*", account=False),
                    names.arn("ec2", "network-interface/*"),
                    names.arn("ec2", "volume/*"),
                ],
                because="What a machine is born with, by the launch template.",
                ArnLike=by_template,
            ),
            allow(
                "ec2:CreateTags",
                [names.arn("ec2", f"{each}/*") for each in BORN],
                because="Of what is just being rented, and of nothing that is there.",
                StringEquals={"ec2:CreateAction": "RunInstances"},
            ),
            allow("ec2:DescribeInstances", ["*"], because=LOOKING),
            end_machines(names),
            allow(
                "scheduler:CreateSchedule scheduler:DeleteSchedule scheduler:GetSchedule",
                [names.arn("scheduler", "schedule/default/kennel-*")],
                because="A limit has the name of its machine, which follows from the run.",
            ),
            allow(
                "iam:PassRole",
                [names.role_arn("runner-ender")],
                StringEquals={"iam:PassedToService": "scheduler.amazonaws.com"},
            ),
            # Spot's own role, which an account gets with its first request.
            allow(
                "iam:CreateServiceLinkedRole",
                [names.arn("iam", spot, region=False)],
                StringEquals={"iam:AWSServiceName": "spot.amazonaws.com"},
            ),
        ]
        return [*rights, self._sign()] if chosen.github_app else rights

    def _sign(self) -> Right:
        return allow(
            "kms:Sign",
            [self.names.arn("kms", "key/*")],
            because="The key's id is AWS's; its alias says which it is.",
            **{
                "ForAnyValue:StringEquals": {"kms:ResourceAliases": app_key_alias(self.names)},
                "StringEquals": {"kms:SigningAlgorithm": "RSASSA_PKCS1_V1_5_SHA_256"},
            },
        )

    def _deploy(self) -> list[Right]:
        names = self.names
        repository = names.arn("ecr", f"repository/{names.repository}")
        stack = names.arn("cloudformation", f"stack/{names.of('service')}/*")
        hands = names.role_arn("deploy-service")
        return [
            allow("ecr:GetAuthorizationToken", ["*"], because="It names no repository."),
            allow(of("ecr", PUSH), [repository]),
            # Whether what the service needs is there.
            allow(
                "cloudformation:DescribeStacks",
                [names.arn("cloudformation", f"stack/{names.settings.name}-*/*")],
                because="This deployment's stacks, whose names begin with its own.",
            ),
            allow(of("cloudformation", LOOK), [stack], because=ONE_STACK),
            # A change is made by the role that may change the service, and by no other.
            allow(
                "cloudformation:CreateChangeSet",
                [stack],
                because=ONE_STACK,
                StringEquals={"cloudformation:RoleArn": hands},
            ),
            allow(
                of("cloudformation", "ContinueUpdateRollback DeleteChangeSet ExecuteChangeSet"),
                [stack],
                because=ONE_STACK,
            ),
            # Which version answers; the one before, at once; and whether it answers right.
            allow(
                of("lambda", ANSWERING),
                [names.function_arn, f"{names.function_arn}:*"],
                because="Versions and the alias of that one function.",
            ),
            allow(
                "lambda:InvokeFunction lambda:InvokeFunctionUrl",
                [f"{names.function_arn}:live"],
            ),
            allow(
                "iam:PassRole",
                [hands],
                StringEquals={"iam:PassedToService": "cloudformation.amazonaws.com"},
            ),
        ]
