"""No workflow asks for a longer session than its role gives: AWS refuses it, and nobody before."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
DEFAULT_S = 3600  # what is asked for where nothing is said
# Variable of the workflows -> what deploy/aws/stacks/identity.py calls the longest session.
ROLES = {
    "AWS_DATA_ROLE": "TRAINING_HOURS",
    "AWS_DEPLOY_ROLE": "DEPLOYING_HOURS",
    "AWS_RUNNER_ROLE": "",
}
TAKEN = re.compile(
    r"role-to-assume: \$\{\{ vars\.(\w+) \}\}\n(?:\s+aws-region: .*\n)?"
    r"(?:\s+role-duration-seconds: (\d+))?"
)


def asked() -> dict[str, int]:
    """The longest session that is asked for, by role."""
    found: dict[str, int] = {}
    for path in (ROOT / ".github/workflows").glob("*.yml"):
        for role, seconds in TAKEN.findall(path.read_text(encoding="utf-8")):
            found[role] = max(found.get(role, 0), int(seconds or DEFAULT_S))
    return found


def test_every_session_is_one_that_the_role_gives() -> None:
    text = (ROOT / "deploy/aws/stacks/identity.py").read_text(encoding="utf-8")
    hours = {name: int(value) for name, value in re.findall(r"^(\w+_HOURS) = (\d+)", text, re.M)}
    most = {role: hours[name] * 3600 if name else DEFAULT_S for role, name in ROLES.items()}
    found = asked()
    assert found.keys() == most.keys()
    assert {role: each for role, each in found.items() if each > most[role]} == {}


def test_the_longest_is_asked_for_by_what_takes_longest() -> None:
    assert asked()["AWS_DATA_ROLE"] == 12 * 3600
