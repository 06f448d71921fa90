"""The serve image as a function with an address of its own."""

from __future__ import annotations

import hashlib
import json

import aws_cdk as cdk
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from names import Names
from policies import outputs, role, service_trust, write_logs
from stacks.watch import watch

ALIAS = "live"
DIGEST = r"^sha256:[0-9a-f]{64}$"
BUNDLE = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"


class Service(cdk.Stack):
    """A function of the image that ImageDigest names, each deployment a version behind the alias
    `live`, whose address asks for AWS's signature unless the settings say `public`.
    """

    def __init__(self, scope: Construct, stack_id: str, *, names: Names, **words) -> None:
        super().__init__(scope, stack_id, **words)
        self.names, self.chosen = names, names.settings.service
        digest = cdk.CfnParameter(
            self,
            "ImageDigest",
            allowed_pattern=DIGEST,
            constraint_description="sha256: and 64 digits, of an image in the stack images",
        )
        bundle = cdk.CfnParameter(self, "BundleId", allowed_pattern=BUNDLE)
        group = logs.CfnLogGroup(
            self,
            "Logs",
            log_group_name=names.log_group("serve"),
            retention_in_days=self.chosen.log_days,
        )
        group.apply_removal_policy(cdk.RemovalPolicy.DESTROY)
        acts_as = role(
            self,
            "Role",
            name=names.of("serve"),
            description="What the service may do: write its log",
            trust=service_trust("lambda.amazonaws.com"),
            may=[write_logs(names.arn("logs", f"log-group:{names.log_group('serve')}"))],
            boundary=names.boundary_arn,
        )
        function, version = self._function(digest, bundle, acts_as.attr_arn, group)
        alias = lambda_.CfnAlias(
            self,
            "Live",
            name=ALIAS,
            function_name=function.ref,
            function_version=version.attr_version,
            provisioned_concurrency_config={
                "provisionedConcurrentExecutions": self.chosen.provisioned
            }
            if self.chosen.start == "provisioned"
            else None,
        )
        url = self._url(function, alias)
        watch(self, names)
        outputs(
            self,
            FunctionName=function.ref,
            FunctionUrl=url.attr_function_url,
            Alias=ALIAS,
            LiveVersion=version.attr_version,
            Image=digest.value_as_string,
            Bundle=bundle.value_as_string,
        )

    def _function(
        self,
        digest: cdk.CfnParameter,
        bundle: cdk.CfnParameter,
        acts_as: str,
        group: logs.CfnLogGroup,
    ) -> tuple[lambda_.CfnFunction, lambda_.CfnVersion]:
        chosen, names = self.chosen, self.names
        # Of what a version is made, besides image and bundle.
        shape = {
            "memory_size": chosen.memory_mb,
            "timeout": chosen.timeout_s,
            "ephemeral_storage": {"size": chosen.temporary_mb},
            "architectures": ["x86_64"],  # onnxruntime aborts on Lambda's arm64 in reported cases
            "snap_start": {
                "applyOn": "PublishedVersions" if chosen.start == "snapstart" else "None"
            },
        }
        environment = {"KENNEL_SERVE_WORKERS": "1"}  # it answers one request at a time
        registry = f"{cdk.Aws.ACCOUNT_ID}.dkr.ecr.{names.settings.region}.{cdk.Aws.URL_SUFFIX}"
        function = lambda_.CfnFunction(
            self,
            "Serve",
            function_name=names.function,
            description="Kennel's serve image, behind the AWS Lambda Web Adapter",
            package_type="Image",
            code={"imageUri": f"{registry}/{names.repository}@{digest.value_as_string}"},
            role=acts_as,
            environment={"variables": {**environment, "KENNEL_BUNDLE": bundle.value_as_string}},
            logging_config={"logGroup": group.ref, "logFormat": "Text"},
            reserved_concurrent_executions=None
            if chosen.concurrency == "account"
            else chosen.concurrency,
            **shape,
        )
        cdk.Tags.of(function).add("kennel:bundle", bundle.value_as_string)
        # Another description is another version. It changes with what a version is made of, and
        # with nothing else: Lambda refuses to publish the same twice.
        made_of = json.dumps([shape, environment], sort_keys=True).encode()
        version = lambda_.CfnVersion(
            self,
            "Version",
            function_name=function.ref,
            description=f"{bundle.value_as_string} {digest.value_as_string} "
            + hashlib.sha256(made_of).hexdigest()[:12],
        )
        # Earlier ones stay beside it, to go back to, and go with the function.
        version.cfn_options.update_replace_policy = cdk.CfnDeletionPolicy.RETAIN
        version.cfn_options.deletion_policy = cdk.CfnDeletionPolicy.DELETE
        return function, version

    def _url(self, function: lambda_.CfnFunction, alias: lambda_.CfnAlias) -> lambda_.CfnUrl:
        chosen = self.chosen
        auth = "NONE" if chosen.public else "AWS_IAM"
        url = lambda_.CfnUrl(
            self,
            "Url",
            target_function_arn=function.attr_arn,
            qualifier=ALIAS,
            auth_type=auth,
            invoke_mode="BUFFERED",
            cors={
                "allowOrigins": chosen.cors_origins,
                "allowMethods": ["GET", "POST"],
                "allowHeaders": ["content-type"],
                "maxAge": 3600,
            }
            if chosen.cors_origins
            else None,
        )
        url.add_resource_dependency(alias)
        everyone = ["*"] if chosen.public else (chosen.callers or [cdk.Aws.ACCOUNT_ID])
        for number, caller in enumerate(everyone):
            # An address needs both: with the first alone it answers 403.
            lambda_.CfnPermission(
                self,
                f"MayCall{number}",
                function_name=alias.ref,
                action="lambda:InvokeFunctionUrl",
                principal=caller,
                function_url_auth_type=auth,
            )
            lambda_.CfnPermission(
                self,
                f"MayRun{number}",
                function_name=alias.ref,
                action="lambda:InvokeFunction",
                principal=caller,
                invoked_via_function_url=True,
            )
        return url
