"""Shuts the service off when more is asked of it than was allowed."""

import os

import boto3


def handler(event, context):
    """Takes from the function all that it may do at once: each further request is refused, and
    costs nothing. Only a person gives it back.
    """
    boto3.client("lambda").put_function_concurrency(
        FunctionName=os.environ["FUNCTION"], ReservedConcurrentExecutions=0
    )
    print(
        {"shut off": os.environ["FUNCTION"], "alarm": event.get("alarmData", {}).get("alarmName")}
    )
