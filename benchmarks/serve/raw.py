"""Photos a second by a bare loop: decode and run, no HTTP. What a server can reach at most.

`python raw.py BUNDLE SECONDS PHOTO...`, one thread; prints photos answered and seconds.
"""

from __future__ import annotations

import json
import sys
import time
from itertools import cycle
from pathlib import Path

from kennel.bundle import read_bundle
from kennel.images import read_photo
from kennel.infer import OnnxClassifier

WARM = 5


def main() -> None:
    bundle = read_bundle(Path(sys.argv[1]))
    contents = cycle([Path(name).read_bytes() for name in sys.argv[3:]])
    classifier = OnnxClassifier(bundle, threads=1)

    def answer() -> None:
        classifier.outputs(read_photo(next(contents), bundle.preprocess)[None])

    for _ in range(WARM):
        answer()
    answered, began = 0, time.perf_counter()
    while (took_s := time.perf_counter() - began) < float(sys.argv[2]):
        answer()
        answered += 1
    print(json.dumps({"answers": answered, "seconds": took_s}))


if __name__ == "__main__":
    main()
