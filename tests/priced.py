"""Templates priced at fifty milliseconds a photo."""

from __future__ import annotations

from typing import Any

from cloud_templates import Document

from kennel.cloud.cost import Cost, Measured, Work, cost_of
from kennel.cloud.template import template_of

MS = Measured((Work("a photo", 50.0, answer_bytes=0),), "here", log_bytes=0, lambda_log_bytes=0)


def priced(*documents: Document, measured: Measured = MS, **words: Any) -> Cost:
    templates = [template_of(f"stack{place}", each) for place, each in enumerate(documents)]
    return cost_of(templates, measured, **words)
