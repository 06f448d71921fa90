"""Runners that GitHub waits for in vain are found by name and label together, and by no less."""

from __future__ import annotations

import time

import pytest
from github_server import Github

from kennel.cloud.sweeping import Guests, inviting, sweep
from kennel.github import Api

pytestmark = pytest.mark.slow  # a server of AWS's, whose KMS signs
SECRET = "0123456789abcdef"


def runner(number: int, name: str, label: str, **more: object) -> dict[str, object]:
    labels = [{"name": each} for each in ("self-hosted", "gpu", label)]
    return {"id": number, "name": name, "status": "offline", "busy": False, "labels": labels} | more


def test_runners_whose_machine_is_gone_go_and_nobody_elses(hub: Github, api: Api, key: str) -> None:
    ours = runner(1, "kennel-777-1", f"kennel-777-1-{SECRET}")
    others = [
        runner(2, "kennel-777-2", f"kennel-777-2-{SECRET}", status="online"),  # it has come
        runner(3, "kennel-777-3", f"kennel-777-3-{SECRET}", busy=True),
        runner(4, "kennel-box", "kennel-box"),  # somebody's own, that is switched off
        runner(5, "kennel-777-4", f"kennel-777-9-{SECRET}"),
        runner(6, "laptop", f"laptop-{SECRET}"),
    ]
    hub.runners += [ours, *others]
    guests = Guests(api, "12345", key)
    found = tuple(inviting.find(guests, time.time()))
    assert [each.name for each in found] == ["kennel-777-1"]
    assert sweep(found, guests=guests) == ()
    assert hub.runners == others
    assert hub.revoked == 2  # the token, after each use
