"""Two bundles on the same test photos: top1 with intervals and a paired test.

python benchmarks/recipes.py bundles/quick bundles/finetune --data data/dataset.csv
"""

from __future__ import annotations

import argparse
from pathlib import Path

from kennel.bundle import read_bundle
from kennel.dataset import read_dataset
from kennel.evaluate import evaluate_split
from kennel.infer import OnnxClassifier, temperature
from kennel.paired import paired_test


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    args = parser.parse_args()
    dataset = read_dataset(args.data)
    right = []
    for path in (args.first, args.second):
        bundle = read_bundle(path)
        report = evaluate_split(
            OnnxClassifier(bundle),
            dataset,
            "test",
            bundle.preprocess,
            temperature=temperature(bundle),
        )
        low, high = report.figures.top1_interval
        print(
            f"{path}: top1 {report.figures.top1:.4f} [{low:.4f}, {high:.4f}], n {report.figures.n}"
        )
        right.append(report.logits.argmax(1) == report.truth)
    test = paired_test(*right)
    low, high = test.difference_interval
    print(
        f"second - first: {test.difference:+.4f} [{low:+.4f}, {high:+.4f}], "
        f"only first right {test.only_a}, only second right {test.only_b}, p {test.p:.3f}"
    )


if __name__ == "__main__":
    main()
