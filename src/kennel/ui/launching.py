"""The app, served: on one address, to nobody else, and gone without a trace when it ends."""

from __future__ import annotations

import errno
import logging
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kennel.bundle import Bundle
from kennel.errors import KennelError, UsageError, need
from kennel.ui.answers import MOST_PHOTO_BYTES
from kennel.ui.examples import drawn_examples

MOST_FILE_BYTES = 4 * MOST_PHOTO_BYTES  # of one uploaded file; zips are larger than photos


def settings() -> dict[str, Any]:
    """What `Blocks.launch` is given: for `kennel ui`, and for a Space."""
    from starlette.middleware import Middleware

    from kennel.ui.dress import css, theme
    from kennel.ui.guard import Guard

    return {
        "theme": theme(),
        "css": css(),
        "max_file_size": MOST_FILE_BYTES,
        "allowed_paths": [],
        "run_history": False,  # it would keep the answers in the browser
        "footer_links": ["api", "settings"],
        "show_error": False,  # what is not foreseen is nobody's business
        "enable_monitoring": False,
        "share": False,
        "ssr_mode": False,
        "app_kwargs": {"middleware": [Middleware(Guard)]},
    }


@contextmanager
def served(
    bundle: Bundle, *, host: str, port: int, examples: tuple[Path, ...] = ()
) -> Iterator[str]:
    """The app's address, while it is served there.

    What visitors upload lies in a folder of its own, which goes when this ends.

    Args:
        host: to listen on.
        port: 0 takes any that is free.
        examples: photos to try; where there are none and the bundle was trained on drawings, some
            are drawn.
    Raises:
        BundleError: the bundle cannot be used.
        KennelError: the address cannot be listened on.
        MissingExtraError: Gradio is not installed.
    """
    port = _free(host, port)
    need("gradio", extra="ui")
    with tempfile.TemporaryDirectory(prefix="kennel-ui-", ignore_cleanup_errors=True) as folder:
        os.environ["GRADIO_TEMP_DIR"] = str(Path(folder) / "uploads")
        (Path(folder) / "uploads").mkdir()
        _stay_here(host)
        from kennel.ui.app import build

        shown = examples or tuple(drawn_examples(bundle, Path(folder) / "drawn"))
        app = build(bundle, examples=shown)
        try:
            app.launch(
                server_name=host,
                server_port=port,
                prevent_thread_lock=True,
                quiet=True,
                inline=False,
                inbrowser=False,
                _frontend=False,  # without asking itself by HTTP whether it is there
                **settings(),
            )
            yield f"http://{_in_address(host)}:{port}"
        finally:
            if app.is_running:
                # Not app.close(): it waits five seconds for pages that are still open. What then
                # breaks off is no error.
                logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
                app.server.should_exit = app.server.force_exit = True
                app.server.thread.join(timeout=1)


def _free(host: str, port: int) -> int:
    """A port on which can be listened, or in words why not."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family) as door:
            door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            door.bind((host, port))
            return int(door.getsockname()[1])
    except socket.gaierror as error:
        raise UsageError(
            f"--host {host} is no address of this machine: {error.strerror}.",
            fix="--host 127.0.0.1, or 0.0.0.0 for all networks",
        ) from error
    except OverflowError as error:
        raise UsageError(f"--port {port} is not in 0..65535.", fix="--port 7860") from error
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise KennelError(
                f"port {port} of {host} is taken: something is served there already.",
                fix=f"stop that, or take another: --port {port + 1 if port < 65535 else 0}",
            ) from error
        raise KennelError(
            f"cannot listen on port {port} of {host}: {error.strerror}.",
            fix="--port 7860, or --port 0 for any that is free",
        ) from error


def _stay_here(host: str) -> None:
    """Gradio asks the server that it started for its first events: not by way of a proxy."""
    for name in ("no_proxy", "NO_PROXY"):
        known = os.environ.get(name, "")
        os.environ[name] = ",".join(filter(None, (known, "127.0.0.1", "localhost", host)))


def _in_address(host: str) -> str:
    if host in ("0.0.0.0", "::"):  # noqa: S104 - read, not listened on
        return "localhost"
    return f"[{host}]" if ":" in host else host
