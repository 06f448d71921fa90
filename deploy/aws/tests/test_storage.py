"""Where photos, bundles and images lie: private, encrypted, by TLS, and not for ever."""

from __future__ import annotations

import json
from typing import Any

from conftest import Written, plain


def test_the_bucket_is_encrypted_versioned_and_closed(each_variant: Written) -> None:
    bucket = each_variant.one("storage", "AWS::S3::Bucket")
    [rule] = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(bucket["PublicAccessBlockConfiguration"]) == 4
    [owner] = bucket["OwnershipControls"]["Rules"]
    assert owner == {"ObjectOwnership": "BucketOwnerEnforced"}


def test_the_bucket_speaks_tls_alone(each_variant: Written) -> None:
    policy = each_variant.one("storage", "AWS::S3::BucketPolicy")
    told = policy["PolicyDocument"]["Statement"]
    for each in told:
        assert (each["Effect"], each["Principal"], each["Action"]) == ("Deny", "*", "s3:*")
        assert [plain(one) for one in each["Resource"]] == ["<Data.Arn>", "<Data.Arn>/*"]
    conditions = [each["Condition"] for each in told]
    assert {"Bool": {"aws:SecureTransport": "false"}} in conditions
    assert {"NumericLessThan": {"s3:TlsVersion": "1.2"}} in conditions


def test_old_versions_and_unfinished_uploads_go(each_variant: Written) -> None:
    rules = each_variant.one("storage", "AWS::S3::Bucket")["LifecycleConfiguration"]["Rules"]
    assert all(each["Status"] == "Enabled" for each in rules)
    told = {key: value for each in rules for key, value in each.items()}
    days = each_variant.settings.storage.old_versions_days
    assert told["NoncurrentVersionExpiration"] == {"NoncurrentDays": days}
    assert told["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 7}
    # What is there, and what nobody deleted, stays.
    assert "ExpirationInDays" not in told


def test_whether_the_bucket_goes_with_its_stack_is_a_choice(written: Any) -> None:
    for variant, policy in (("default", "Retain"), ("other", "Delete")):
        [bucket] = written(variant).resources("storage", "AWS::S3::Bucket").values()
        assert bucket["DeletionPolicy"] == bucket["UpdateReplacePolicy"] == policy


def test_the_stack_says_where_things_lie(each_variant: Written) -> None:
    told = each_variant.templates["storage"]["Outputs"]
    assert plain(told["DataBucket"]["Value"]) == "<Data>"
    assert plain(told["RegistryUri"]["Value"]) == "s3://<Data>/registry"


def test_images_are_scanned_and_their_tags_do_not_move(each_variant: Written) -> None:
    repository = each_variant.one("images", "AWS::ECR::Repository")
    assert repository["ImageTagMutability"] == "IMMUTABLE"
    assert repository["ImageScanningConfiguration"] == {"ScanOnPush": True}
    assert repository["EncryptionConfiguration"]["EncryptionType"] == "AES256"


def test_images_go_with_their_stack_and_old_ones_before(each_variant: Written) -> None:
    [repository] = each_variant.resources("images", "AWS::ECR::Repository").values()
    assert repository["DeletionPolicy"] == "Delete"
    assert repository["Properties"]["EmptyOnDelete"] is True
    rules = json.loads(repository["Properties"]["LifecyclePolicy"]["LifecyclePolicyText"])["rules"]
    assert [each["selection"]["tagStatus"] for each in rules] == ["untagged", "any"]
    assert rules[1]["selection"]["countNumber"] == each_variant.settings.images.kept


def test_lambda_reads_images_for_this_deployments_functions_alone(each_variant: Written) -> None:
    repository = each_variant.one("images", "AWS::ECR::Repository")
    [right] = repository["RepositoryPolicyText"]["Statement"]
    assert right["Action"] == ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    name = each_variant.settings.name
    whose = plain(right["Condition"]["StringLike"]["aws:SourceArn"])
    assert whose.endswith(f":function:{name}-serve*")


def test_the_month_has_a_limit_and_who_hears_of_it(written: Any) -> None:
    told = written("github").one("budget", "AWS::Budgets::Budget")
    assert told["Budget"]["BudgetLimit"] == {"Amount": 20, "Unit": "USD"}
    assert told["Budget"]["TimeUnit"] == "MONTHLY"
    # Of one tag alone it would say 0 until that tag is activated by hand.
    assert "CostFilters" not in told["Budget"]
    alarms = [each["Notification"] for each in told["NotificationsWithSubscribers"]]
    assert [(each["NotificationType"], each["Threshold"]) for each in alarms] == [
        ("ACTUAL", 50),
        ("ACTUAL", 80),
        ("ACTUAL", 100),
        ("FORECASTED", 100),
    ]
    for each in told["NotificationsWithSubscribers"]:
        assert each["Subscribers"] == [
            {"Address": "anna@dogs.example", "SubscriptionType": "EMAIL"}
        ]
