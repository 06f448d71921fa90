"""What a runner's machine does from its first moment on: one job, and then it is gone."""

from __future__ import annotations

import gzip

from kennel.cloud import CloudError
from kennel.github.runners import Software

MOST_BYTES = 16_384  # EC2 takes no more of user data
SCRIPT = """\
#!/bin/bash
# One job of GitHub's, and the machine ends itself: after the job, when anything here fails, and
# after {minutes} minutes in any case. Its limit from outside needs none of this.
set -euo pipefail
trap 'shutdown -h now' EXIT
shutdown -h +{minutes}
umask 077
command -v make git curl python3 >/dev/null ||
  {{ apt-get update -q; apt-get install -yq --no-install-recommends make git curl python3-venv; }}
id -u runner >/dev/null 2>&1 || useradd --create-home --shell /bin/bash runner
cd /home/runner
curl -fsSL --proto '=https' --retry 5 -o runner.tar.gz '{url}'
echo '{sha256}  runner.tar.gz' | sha256sum --check --quiet
mkdir -p agent
tar -xzf runner.tar.gz -C agent
./agent/bin/installdependencies.sh
chown -R runner:runner agent
cd agent
runuser -u runner -- env HOME=/home/runner ./run.sh --jitconfig '{config}'
"""


def boot_script(*, software: Software, config: str, minutes: int) -> bytes:
    """The machine's user data, packed where that is needed.

    Args:
        config: what the runner is started with, as GitHub gave it.
        minutes: after which it ends itself; the limit from outside comes on top.
    Raises:
        CloudError: it is longer than EC2 takes.
    """
    text = SCRIPT.format(
        minutes=minutes, url=software.url, sha256=software.sha256, config=config
    ).encode()
    packed = text if len(text) <= MOST_BYTES else gzip.compress(text, mtime=0)
    if len(packed) > MOST_BYTES:
        raise CloudError(
            f"what the machine is told has {len(packed)} bytes, and EC2 takes {MOST_BYTES}.",
            fix="fewer or shorter labels",
        )
    return packed
