"""A strict reader of what Prometheus scrapes, by the text format and not by Kennel's writer."""

from __future__ import annotations

import re

SAMPLE = re.compile(
    r'(?P<name>[a-zA-Z_:][\w:]*)(?:\{(?P<labels>(?:\w+="(?:[^"\\\n]|\\["\\n])*",?)*)\})? '
    r"(?P<value>[+-]?(?:\d+(?:\.\d+)?(?:e[+-]?\d+)?|Inf|NaN))"
)


def metrics(text: str) -> dict[str, dict[str, float]]:
    """Samples by family and line. Strict: each family once, its type first, no sample twice.

    Source: Prometheus text exposition format 0.0.4.
    """
    families: dict[str, dict[str, float]] = {}
    kinds: dict[str, str] = {}
    family = ""
    assert text.endswith("\n")
    for line in text.splitlines():
        if line.startswith("# HELP "):
            continue
        if line.startswith("# TYPE "):
            _, _, family, kind = line.split(" ")
            assert family not in kinds, f"{family} stands there twice"
            assert kind in ("counter", "gauge", "histogram")
            kinds[family], families[family] = kind, {}
            continue
        match = SAMPLE.fullmatch(line)
        assert match, line
        name = match["name"]
        suffixes = ("_bucket", "_sum", "_count") if kinds[family] == "histogram" else ("",)
        assert name in [family + suffix for suffix in suffixes], line
        key = line.rpartition(" ")[0]
        assert key not in families[family], line
        families[family][key] = float(match["value"])
        if kinds[family] == "counter":
            assert name.endswith("_total")
    for family, kind in kinds.items():
        if kind == "histogram":
            _check_histogram(families[family])
    return families


def _check_histogram(samples: dict[str, float]) -> None:
    buckets: dict[str, list[float]] = {}
    for key, value in samples.items():
        if "_bucket{" in key:
            buckets.setdefault(re.sub(r',?le="[^"]*"', "", key).replace("_bucket", ""), []).append(
                value
            )
    for key, values in buckets.items():
        assert values == sorted(values), key
        assert samples[key.replace("{", "_count{")] == values[-1]
