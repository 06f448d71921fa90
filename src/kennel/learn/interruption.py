"""A run that is told to stop: by a signal, or by a notice that the machine will be taken away.

It finishes its step, keeps a checkpoint (`kennel.learn.checkpoints`) and leaves.
"""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit, urlunsplit
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

import lightning as L
from lightning.pytorch.callbacks import Callback, Checkpoint

from kennel.errors import Stopped

log = logging.getLogger(__name__)
TIMEOUT_S = 2.0
METADATA = "/latest/meta-data/"  # of EC2, whose answers need a token
TOKEN, TOKEN_TTL_S = "/latest/api/token", "21600"


@contextmanager
def leaving_on_sigterm() -> Iterator[None]:
    """SIGTERM raises Stopped in this block, so that what Ctrl-C would clean up is cleaned up."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(signum: int, frame: FrameType | None) -> None:
        raise Stopped("SIGTERM", signum)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@dataclass(eq=False)
class Interruption(Callback):
    """Lets a run end its step before it leaves, on SIGTERM, Ctrl-C, or a notice.

    A second signal leaves at once, with the last checkpoint that is there.

    Attributes:
        watch: a file that appears, or an http(s) URL that answers 200 (404 as long as there is no
            notice), such as EC2's
            http://169.254.169.254/latest/meta-data/spot/instance-action; null: nothing.
        every_s: how often it is looked at, > 0.
    """

    watch: str | None = None
    every_s: float = 5.0

    def __post_init__(self) -> None:
        if not self.every_s > 0:
            raise ValueError(f"every_s is {self.every_s}, and must be above 0")
        if self.watch is not None and not self._at_url() and "://" in self.watch:
            raise ValueError(f"watch is {self.watch}: neither a path nor an http(s) URL")
        self.leaving = False  # all processes of the run know it
        self.at_once = False
        self._told: Stopped | None = None
        self._over = threading.Event()

    def tell(self, why: str, signum: int = signal.SIGTERM) -> None:
        """Makes the run leave when its step is done."""
        if self._told is None:
            self._told = Stopped(why, signum)
            log.warning("%s: the run ends its step, keeps a checkpoint and stops", why)

    def stopped(self) -> Stopped:
        """What to raise; where another process of the run was told, this one says so."""
        return self._told or Stopped("another process of this run was told to stop", signal.SIGTERM)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if threading.current_thread() is threading.main_thread():
            # Here, because Lightning put its own in place by now; it also puts back what was
            # there before.
            for signum in (signal.SIGTERM, signal.SIGINT):
                signal.signal(signum, self._on_signal)
        if self.watch is not None and trainer.is_global_zero:
            threading.Thread(target=self._look, name="kennel-notice", daemon=True).start()
        steps = getattr(trainer.datamodule, "between_steps", None)  # type: ignore[attr-defined]
        if steps is not None:
            steps.append(lambda: self._agree(trainer))

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._agree(trainer)

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        self._over.set()

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        self._over.set()

    def _agree(self, trainer: L.Trainer) -> None:
        """All processes of a run leave after the same step."""
        told = self._told is not None
        if trainer.world_size > 1:
            told = trainer.strategy.reduce_boolean_decision(told, all=False)
        self.leaving = told
        if told and not any(isinstance(each, Checkpoint) for each in trainer.callbacks):  # type: ignore[attr-defined]
            raise self.stopped()

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:
        name = "Ctrl-C" if signum == signal.SIGINT else signal.Signals(signum).name
        if self._told is not None and self._told.exit_code == 128 + signum:
            self.at_once = True
            raise Stopped(f"{name} again", signum)
        self.tell(name, signum)

    # What is watched

    def _at_url(self) -> bool:
        return urlsplit(self.watch or "").scheme in ("http", "https")

    def _look(self) -> None:
        assert self.watch is not None
        notice = _Url(self.watch) if self._at_url() else _File(Path(self.watch))
        complained = False
        while not self._over.is_set():
            try:
                if notice.is_there():
                    self.tell(f"notice at {self.watch}")
                    return
            except (OSError, HTTPException, ValueError) as error:
                if not complained:
                    reason = str(getattr(error, "reason", None) or error) or type(error).__name__
                    log.warning("%s cannot be watched: %s", self.watch, reason)
                complained = True
            self._over.wait(self.every_s)


class _File:
    def __init__(self, path: Path) -> None:
        self.path = path

    def is_there(self) -> bool:
        return self.path.exists()


class _NoRedirect(HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


class _Url:
    """An address of this machine's own network: no proxy knows it, and no other answers for it."""

    def __init__(self, url: str) -> None:
        self.url, self.token = url, ""
        self.opener = build_opener(ProxyHandler({}), _NoRedirect)

    def is_there(self) -> bool:
        needs_token = urlsplit(self.url).path.startswith(METADATA)
        if needs_token and not self.token:
            self.token = self._new_token()
        headers = {"X-aws-ec2-metadata-token": self.token} if self.token else {}
        try:
            request = Request(self.url, headers=headers)  # noqa: S310 - http(s) alone, see watch
            with self.opener.open(request, timeout=TIMEOUT_S) as answer:
                return bool(answer.status == 200)
        except HTTPError as error:
            error.close()
            if error.code == 404:
                return False
            if error.code == 401 and needs_token:
                self.token = ""  # it ran out: another one at the next look
                return False
            raise

    def _new_token(self) -> str:
        parts = urlsplit(self.url)
        request = Request(  # noqa: S310
            urlunsplit((parts.scheme, parts.netloc, TOKEN, "", "")),
            method="PUT",
            headers={"X-aws-ec2-metadata-token-ttl-seconds": TOKEN_TTL_S},
        )
        with self.opener.open(request, timeout=TIMEOUT_S) as answer:
            token: str = answer.read(4096).decode("ascii").strip()
        return token
