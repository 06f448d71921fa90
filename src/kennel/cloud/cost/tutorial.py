"""The tutorial's function by the same code: 8 GB, ten minutes, open to anybody, no bound."""

from __future__ import annotations

from dataclasses import replace

from kennel.cloud.cost import Cost, cost_of
from kennel.cloud.cost.measured import Measured, Work
from kennel.cloud.template import template_of

NAME = "12-megapixel photo, the tutorial's way"
DOCUMENT = {
    "Resources": {
        "Function": {
            "Type": "AWS::Lambda::Function",
            "Properties": {"PackageType": "Image", "MemorySize": 8192, "Timeout": 600},
        },
        "Url": {
            "Type": "AWS::Lambda::Url",
            "Properties": {"AuthType": "NONE", "TargetFunctionArn": {"Ref": "Function"}},
        },
    }
}


def tutorial_cost(measured: Measured) -> Cost | None:
    """Its function and address alone: what else it leaves behind is not counted against it.

    Returns:
        None where nobody measured its milliseconds on the same core.
    """
    if measured.tutorial is None:
        return None
    took_ms = measured.tutorial.reading_ms + measured.tutorial.network_ms
    work = Work(NAME, took_ms, answer_bytes=measured.works[0].answer_bytes)
    return cost_of([template_of("tutorial", DOCUMENT)], replace(measured, works=(work,)))
