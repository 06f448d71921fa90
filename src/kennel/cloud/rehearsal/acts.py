"""The play, act by act. Each says in a sentence what it saw, or raises what was wrong."""

from __future__ import annotations

from collections.abc import Callable

from kennel.cloud.rehearsal.answering import answers, cold, hanging, permissions, uploads
from kennel.cloud.rehearsal.kept_data import data, registry
from kennel.cloud.rehearsal.stage import Stage
from kennel.cloud.rehearsal.way_back import back, destroy, machine, second, sweep
from kennel.cloud.rehearsal.way_there import cut_short, deploy, price, state, types

ACTS: tuple[tuple[str, Callable[[Stage], str]], ...] = (
    ("price", price),
    ("types", types),
    ("cut", cut_short),
    ("deploy", deploy),
    ("status", state),
    ("data", data),
    ("registry", registry),
    ("answers", answers),
    ("permissions", permissions),
    ("uploads", uploads),
    ("limits", hanging),
    ("cold start", cold),
    ("second", second),
    ("roll back", back),
    ("machine", machine),
    ("destroy", destroy),
    ("sweep", sweep),
)
