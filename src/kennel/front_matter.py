"""What the Hugging Face Hub reads of a model card: licence, library, and figures as a model-index.

Written as YAML that any reader of YAML takes, whatever the names in it: every string is quoted as
in JSON, which is YAML too.

Source: https://huggingface.co/docs/hub/model-cards and the model-index of huggingface_hub.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from kennel.bundle import Bundle, SplitFigures
from kennel.measured import Evaluation, Measured

SAFETENSORS = "model.safetensors"  # with config.json beside it, what timm loads
TASK = "image-classification"
SPLITS = ("test", "validation")  # what a model says of its own training photos is no result
HUB = "https://huggingface.co/"
# The Hub's names of licences. Others are "other", with their name beside it.
LICENCES = {
    *("apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "cc0-1.0", "mpl-2.0", "unlicense"),
    *("cc-by-2.0", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nd-4.0"),
    *("cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-2.0"),
    *("cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0", "gpl-2.0", "gpl-3.0", "lgpl-3.0", "agpl-3.0"),
}
UNSTATED = ("", "not stated", "not known", "unknown")
# What json leaves as it is and YAML does not take, or takes for the end of a line.
UNWRITABLE = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")


def front_matter(bundle: Bundle, evaluation: Evaluation | None) -> str:
    """The card's first block, between lines of three hyphens."""
    has_timm = (bundle.path / SAFETENSORS).is_file() or SAFETENSORS in bundle.files
    backbone = bundle.lineage.backbone
    fields: dict[str, Any] = {
        **licence_fields(backbone.licence),
        "library_name": "timm" if has_timm else "onnx",
        "pipeline_tag": TASK,
        "tags": [TASK, "kennel", "onnx", *(["timm"] if has_timm else [])],
        "metrics": ["accuracy", "f1"],
    }
    if backbone.source.startswith(HUB):
        fields["base_model"] = backbone.source.removeprefix(HUB)
    results = list(_results(bundle, evaluation))
    if results:
        fields["model-index"] = [{"name": bundle.bundle_id, "results": results}]
    return "\n".join(["---", *yaml_lines(fields), "---", ""])


def yaml_lines(value: dict[str, Any] | list[Any], indent: str = "") -> Iterator[str]:
    """A mapping or list as lines of YAML in block style. Keys are plain words of ours."""
    pairs = (
        [(f"{key}:", each) for key, each in value.items()]
        if isinstance(value, dict)
        else [("-", each) for each in value]
    )
    for start, each in pairs:
        if isinstance(each, (dict, list)) and each:
            inner = list(yaml_lines(each, f"{indent}  "))
            if start == "-":
                yield f"{indent}- {inner[0].lstrip()}"
                yield from inner[1:]
            else:
                yield f"{indent}{start}"
                yield from inner
        else:
            yield f"{indent}{start} {_scalar(each)}"


def _scalar(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    if isinstance(value, float) and "e" in text and "." not in text:
        return text.replace("e", ".0e")  # 1e-05 is a string to YAML 1.1
    return UNWRITABLE.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def licence_fields(said: str) -> dict[str, str]:
    """A licence as the Hub names it: one of its names, or "other" with a name beside it."""
    name = re.sub(r"[^a-z0-9.]+", "-", said.lower()).strip("-")
    if name in LICENCES:
        return {"license": name}
    if said.strip().lower() in UNSTATED:
        return {"license": "unknown"}
    return {"license": "other", "license_name": name or "see-the-text"}


def _results(bundle: Bundle, evaluation: Evaluation | None) -> Iterator[dict[str, Any]]:
    for split in SPLITS:
        figures = figures_of(bundle, evaluation, split)
        if figures is None:
            continue
        dataset_id = bundle.lineage.dataset_id
        source = bundle.lineage.data_source
        yield {
            "task": {"type": TASK, "name": "Image classification"},
            "dataset": {
                "type": "imagefolder",
                "name": source or f"photos of dataset {dataset_id[:16]}",
                "split": split,
                "revision": dataset_id,
            },
            "metrics": list(_metrics(figures)),
        }


def figures_of(
    bundle: Bundle, evaluation: Evaluation | None, split: str
) -> Measured | SplitFigures | None:
    """A split's figures: of the report if it has them, else the headline in bundle.json."""
    headline = bundle.metrics.get(split)
    measured = evaluation.splits.get(split) if evaluation else None
    if headline is not None and measured is not None:
        return measured if (measured.n, measured.top1) == (headline.n, headline.top1) else headline
    return headline


def _metrics(figures: Measured | SplitFigures) -> Iterator[dict[str, Any]]:
    """The Hub has no field for an interval: it stands in the name, and in the arguments."""
    for name, kind, shown in (
        ("top1", "accuracy", "top1"),
        ("macro_f1", "f1", "macro F1"),
        ("log_loss", "log_loss", "log loss"),
        ("ece", "ece", "expected calibration error"),
    ):
        value, interval = getattr(figures, name, None), getattr(figures, f"{name}_interval", None)
        if value is None:
            continue
        args: dict[str, Any] = {"n": figures.n}
        said = f"{shown}, n {figures.n}"
        if interval is not None:
            low, high = interval
            args |= {"level": 0.95, "low": low, "high": high}
            said += f", 95 % interval {low:.3f} to {high:.3f}"
        yield {"type": kind, "value": value, "name": said, "args": args}
