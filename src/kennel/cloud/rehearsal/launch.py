"""The first steps of a function's process where no image is built: `python launch.py '{...}'`.

Takes the limits that it has in AWS, as near as a process can; then is the command itself.
"""

from __future__ import annotations

import json
import os
import resource
import sys


def main(said: str) -> None:
    told = json.loads(said)
    for name, most in told["limits"].items():
        number = getattr(resource, name)
        hard = resource.getrlimit(number)[1]
        own = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(number, (own, hard))
    if hasattr(os, "sched_setaffinity"):
        mine = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, mine[: told["cores"]])
    os.chdir(told["folder"])
    os.execvpe(told["words"][0], told["words"], told["environment"])  # noqa: S606


if __name__ == "__main__":
    main(sys.argv[1])
