"""Every name that one stack knows of another's. They follow from the settings, so that no stack
holds another by an import, and each can be removed while the others stand.
"""

from __future__ import annotations

from dataclasses import dataclass

import aws_cdk as cdk

from settings import Settings

TAG = "kennel:deployment"
RUNNER_TAG = "kennel-runner"  # of a machine: its name. Nothing without it is ever ended
UNTIL_TAG = "kennel-until"  # of a machine: when it must be gone


@dataclass(frozen=True)
class Names:
    """Names and ARNs of one deployment."""

    settings: Settings

    def of(self, what: str) -> str:
        return f"{self.settings.name}-{what}"

    def arn(self, service: str, rest: str, *, region: bool = True, account: bool = True) -> str:
        where = self.settings.region if region else ""
        whose = cdk.Aws.ACCOUNT_ID if account else ""
        return f"arn:{cdk.Aws.PARTITION}:{service}:{where}:{whose}:{rest}"

    @property
    def bucket(self) -> str:
        """Names of buckets are everybody's: the account makes it one's own."""
        return f"{self.of('data')}-{cdk.Aws.ACCOUNT_ID}-{self.settings.region}"

    @property
    def bucket_arn(self) -> str:
        return f"arn:{cdk.Aws.PARTITION}:s3:::{self.bucket}"

    @property
    def repository(self) -> str:
        return self.of("serve")

    @property
    def function(self) -> str:
        return self.of("serve")

    @property
    def function_arn(self) -> str:
        return self.arn("lambda", f"function:{self.function}")

    def role_arn(self, what: str) -> str:
        return self.arn("iam", f"role/{self.of(what)}", region=False)

    @property
    def boundary_arn(self) -> str:
        """The most that a role of the service stack may ever do, whoever writes it."""
        return self.arn("iam", f"policy/{self.of('service-boundary')}", region=False)

    def log_group(self, what: str) -> str:
        return f"/aws/lambda/{self.of(what)}"
