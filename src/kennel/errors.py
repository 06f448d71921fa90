"""What a user can cause, in words: what happened, with which value, and what to do now.

The command line prints `error:` and `fix:` and no traceback. `exit_code` is 2 for wrong usage, 1
for the rest.
"""

from __future__ import annotations

import importlib
from types import ModuleType


class KennelError(Exception):
    """A refusal with its remedy.

    Args:
        message: what happened, to which file or value, as one or more sentences.
        fix: what to do now; usually a command.
    """

    exit_code = 1

    def __init__(self, message: str, *, fix: str) -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix


class UsageError(KennelError):
    """The words of the command are wrong: a key, a type, a name that does not exist."""

    exit_code = 2


class PhotoError(KennelError):
    """One photo cannot be read, or is refused."""


class DatasetError(KennelError):
    """A folder of photos or its index cannot be used."""


class BundleError(KennelError):
    """A bundle is missing, damaged, or of another schema."""


class RunError(KennelError):
    """A run cannot be started, gone on with, or exported."""


class ParityError(KennelError):
    """An exported model answers differently from the trained one."""


class MissingExtraError(KennelError):
    """An optional library is not installed."""


class Stopped(KeyboardInterrupt):
    """Work that was told to stop, and did: Ctrl-C in other words.

    Args:
        why: who or what told it.
        signum: the signal that this is, or stands for.
    Attributes:
        exit_code: 128 and that signal, as shells have it.
        message: what is kept. fix: how to go on; or empty.
    """

    def __init__(self, why: str, signum: int) -> None:
        super().__init__(why)
        self.why, self.exit_code = why, 128 + signum
        self.message = "nothing was left half-written."
        self.fix = ""


def need(module: str, *, extra: str) -> ModuleType:
    """Imports an optional library, or says which pip line brings it.

    Args:
        module: name to import, such as "matplotlib.figure".
        extra: Kennel's extra that has it, such as "train".
    Raises:
        MissingExtraError: the library is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != module.partition(".")[0]:
            raise
        raise MissingExtraError(
            f"this needs {module.partition('.')[0]}, which is not installed.",
            fix=f"pip install 'kennel-ml[{extra}]'",
        ) from error
