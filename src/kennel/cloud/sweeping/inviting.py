"""Runners that GitHub still expects, of machines that are gone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from kennel.cloud.keys import sign_by_kms
from kennel.cloud.runner import NAME
from kennel.cloud.sweeping.scope import Leftover
from kennel.github import Api
from kennel.github.runners import administrator, uninvite

KIND = "GitHub::Runner"


@dataclass(frozen=True)
class Guests:
    """A repository's runners, and as whom they are asked for."""

    api: Api
    app_id: str
    app_key: str


def find(guests: Guests, now_s: float) -> Iterator[Leftover]:
    """Those with a name and a label as Kennel gives them, that are not there."""
    with administrator(
        guests.api, app_id=guests.app_id, sign=_signer(guests), now_s=now_s
    ) as github:
        found = github.every("/actions/runners", inside="runners")
    for each in found:
        name = str(each.get("name", ""))
        labels = [str(label.get("name", "")) for label in each.get("labels", ())]
        own = re.compile(rf"{re.escape(name)}-[0-9a-f]{{16}}")
        if (
            NAME.fullmatch(name)
            and each.get("status") == "offline"
            and not each.get("busy")
            and any(own.fullmatch(label) for label in labels)
        ):
            yield Leftover(KIND, name, words="GitHub expects it, and its machine is gone", usd=0.0)


def remove(guests: Guests, each: Leftover, now_s: float) -> None:
    with administrator(
        guests.api, app_id=guests.app_id, sign=_signer(guests), now_s=now_s
    ) as github:
        uninvite(github, each.name)


def _signer(guests: Guests) -> Callable[[bytes], bytes]:
    return lambda text: sign_by_kms(guests.app_key, text)
