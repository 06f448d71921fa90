"""What may be spent in a month, and who hears of it."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_budgets as budgets
from constructs import Construct

from names import TAG, Names

TOLD_AT = (50, 80, 100)  # per cent


class Budget(cdk.Stack):
    """The whole account's budget. One of a tag alone would say 0 until somebody activates that tag
    for billing by hand, and nobody would notice.
    """

    def __init__(self, scope: Construct, stack_id: str, *, names: Names, **words) -> None:
        super().__init__(scope, stack_id, **words)
        chosen = names.settings.budget
        told = [("ACTUAL", each) for each in TOLD_AT] + [("FORECASTED", 100)]
        budgets.CfnBudget(
            self,
            "Month",
            budget={
                "budgetName": names.of("month"),
                "budgetType": "COST",
                "timeUnit": "MONTHLY",
                "budgetLimit": {"amount": chosen.usd, "unit": "USD"},
            },
            notifications_with_subscribers=[
                {
                    "notification": {
                        "notificationType": kind,
                        "comparisonOperator": "GREATER_THAN",
                        "threshold": threshold,
                        "thresholdType": "PERCENTAGE",
                    },
                    "subscribers": [{"subscriptionType": "EMAIL", "address": chosen.email}],
                }
                for kind, threshold in told
            ]
            if chosen.email
            else None,
            resource_tags=[{"key": TAG, "value": names.settings.name}],
        )
        cdk.CfnOutput(self, "BudgetName", value=names.of("month"))
