"""Types of resources that cost nothing, by use alone, or what the book has no price for."""

from __future__ import annotations

# What exists without costing. What it makes others do is paid for there.
_FREE = {
    "ApplicationAutoScaling": (
        "ScalableTarget",
        "ScalingPolicy",
    ),
    "CDK": ("Metadata",),
    "CE": ("CostCategory",),
    "CloudFormation": (
        "WaitCondition",
        "WaitConditionHandle",
    ),
    "EC2": (
        "EIPAssociation",
        "EgressOnlyInternetGateway",
        "InternetGateway",
        "LaunchTemplate",
        "NetworkAcl",
        "NetworkAclEntry",
        "NetworkInterface",
        "PlacementGroup",
        "Route",
        "RouteTable",
        "SecurityGroup",
        "SecurityGroupEgress",
        "SecurityGroupIngress",
        "Subnet",
        "SubnetCidrBlock",
        "SubnetNetworkAclAssociation",
        "SubnetRouteTableAssociation",
        "VPC",
        "VPCCidrBlock",
        "VPCGatewayAttachment",
        "VolumeAttachment",
    ),
    "ECR": (
        "RegistryPolicy",
        "ReplicationConfiguration",
        "RepositoryCreationTemplate",
    ),
    "Events": (
        "EventBusPolicy",
        "Rule",
    ),
    "IAM": (
        "Group",
        "InstanceProfile",
        "ManagedPolicy",
        "OIDCProvider",
        "Policy",
        "Role",
        "RolePolicy",
        "User",
        "UserPolicy",
        "UserToGroupAddition",
    ),
    "KMS": ("Alias",),
    "Lambda": (
        "Alias",
        "CodeSigningConfig",
        "EventInvokeConfig",
        "EventSourceMapping",
        "LayerVersionPermission",
        "Permission",
        "Url",
        "Version",
    ),
    "Logs": (
        "MetricFilter",
        "ResourcePolicy",
        "SubscriptionFilter",
        "QueryDefinition",
    ),
    "ResourceGroups": ("Group",),
    "S3": (
        "BucketPolicy",
        "AccessPoint",
    ),
    "SNS": (
        "Subscription",
        "TopicPolicy",
    ),
    "SQS": ("QueuePolicy",),
    "SSM": ("Document",),
    "Scheduler": ("ScheduleGroup",),
    "SecretsManager": (
        "ResourcePolicy",
        "SecretTargetAttachment",
    ),
    "Signer": ("SigningProfile",),
}
FREE = frozenset(f"AWS::{room}::{name}" for room, names in _FREE.items() for name in names)
# What costs by use: no use, no cost. By which use is said where it is priced.
BY_USE = {
    "AWS::Lambda::Function": "requests, GB-seconds, log, answers",
    "AWS::Logs::LogGroup": "what is written to it",
    "AWS::S3::Bucket": "what is kept in it, and how often it is asked",
    "AWS::ECR::Repository": "what is kept in it",
    "AWS::SNS::Topic": "messages",
    "AWS::SQS::Queue": "messages",
    "AWS::DynamoDB::Table": "reads, writes, what is kept in it",
    "AWS::SSM::Parameter": "nothing in the standard tier",
    "AWS::StepFunctions::StateMachine": "steps",
    "AWS::CodeBuild::Project": "minutes",
    "AWS::ApiGatewayV2::Api": "requests",
    "AWS::ApiGateway::RestApi": "requests",
    "AWS::CloudFront::Distribution": "requests and what goes out",
}
NOT_IN_BOOK = {
    "AWS::SNS::Topic": "messages of SNS",
    "AWS::SQS::Queue": "messages of SQS",
    "AWS::DynamoDB::Table": "DynamoDB",
    "AWS::StepFunctions::StateMachine": "Step Functions",
    "AWS::CodeBuild::Project": "CodeBuild",
    "AWS::ApiGatewayV2::Api": "API Gateway",
    "AWS::ApiGateway::RestApi": "API Gateway",
    "AWS::CloudFront::Distribution": "CloudFront",
    "AWS::CloudWatch::CompositeAlarm": "composite alarms",
    "AWS::CloudWatch::AnomalyDetector": "anomaly detection",
}
