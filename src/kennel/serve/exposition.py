"""A tally as Prometheus reads it.

Source: Prometheus text exposition format 0.0.4.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kennel.serve.tally import BOUNDS

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"


def exposition(
    tally: Mapping[str, Any], *, gauges: Mapping[str, float], bundle: Mapping[str, str]
) -> bytes:
    """All metrics, as text.

    Args:
        gauges: values by name, without the `kennel_` before it; a name may carry labels.
        bundle: labels of `kennel_bundle_info`.
    """
    lines: list[str] = []
    _family(lines, "requests_total", "counter", "Requests by method, route and status.")
    for name, n in sorted(tally["requests"].items()):
        method, route, status = name.split(" ")
        lines.append(_line("requests_total", n, method=method, route=route, status=status))
    _family(lines, "stage_seconds", "histogram", "Seconds of a photo by stage.")
    for stage, histogram in sorted(tally["stages"].items()):
        _histogram(lines, "stage_seconds", stage, histogram)
    _family(lines, "answers_total", "counter", "Photos that are known, by the label answered.")
    for label, n in tally["answers"].items():
        lines.append(_line("answers_total", n, label=label))
    known = sum(tally["answers"].values())
    for name, n, said in (
        ("unknown_total", tally["unknown"], "Photos answered with: not one I know."),
        ("photo_bytes_total", tally["photo_bytes"], "Bytes of the photos sent to /predict."),
    ):
        _family(lines, name, "counter", said)
        lines.append(_line(name, n))
    if known + tally["unknown"]:
        _family(lines, "unknown_share", "gauge", "Share of photos that are not known, 0 to 1.")
        lines.append(_line("unknown_share", tally["unknown"] / (known + tally["unknown"])))
    _family(lines, "reloads_total", "counter", "Bundles exchanged, or refused and not exchanged.")
    for result, n in tally["reloads"].items():
        lines.append(_line("reloads_total", n, result=result))
    family = ""
    for name, value in gauges.items():
        bare, _, labels = name.partition("{")
        if bare != family:
            family = bare
            lines.append(f"# TYPE kennel_{bare} gauge")
        lines.append(f"kennel_{bare}{'{' + labels if labels else ''} {_number(value)}")
    _family(lines, "bundle_info", "gauge", "The bundle that answers now.")
    lines.append(_line("bundle_info", 1, **bundle))
    return ("\n".join(lines) + "\n").encode()


def labelled(name: str, **labels: str) -> str:
    """A gauge's name with labels, as `exposition` takes it."""
    return f"{name}{{{_labels(labels.items())}}}"


def _family(lines: list[str], name: str, kind: str, said: str) -> None:
    lines += [f"# HELP kennel_{name} {said}", f"# TYPE kennel_{name} {kind}"]


def _histogram(lines: list[str], name: str, stage: str, histogram: list[float]) -> None:
    *counts, total = histogram
    below = 0.0
    for bound, n in zip((*map(_number, BOUNDS), "+Inf"), counts, strict=True):
        below += n
        lines.append(_line(f"{name}_bucket", below, stage=stage, le=str(bound)))
    lines.append(_line(f"{name}_sum", total, stage=stage))
    lines.append(_line(f"{name}_count", below, stage=stage))


def _line(name: str, value: float, **labels: str) -> str:
    inside = f"{{{_labels(labels.items())}}}" if labels else ""
    return f"kennel_{name}{inside} {_number(value)}"


def _labels(labels: Iterable[tuple[str, str]]) -> str:
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in labels)


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    return (
        str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(float(value))
    )
