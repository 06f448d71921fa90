"""A real browser that tests drive, as a visitor would: Debian's chromium, see `devtools`.

Everything that a page asked for, printed, or was refused by its own policy is kept, so that a test
can say that nothing went elsewhere.
"""

from __future__ import annotations

import base64
import json
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from devtools import CHROMIUM, PATIENCE_S, Wire, wired

__all__ = ["CHROMIUM", "CTRL", "SHIFT", "Browser", "Page", "Reply", "started"]

KEYS = {"Enter": (13, "\r"), "Escape": (27, ""), "Tab": (9, ""), " ": (32, " ")}
CTRL, SHIFT = 2, 8


@dataclass(frozen=True)
class Reply:
    """What is answered in the server's place, after `held` was let go where that is set."""

    status: int
    body: bytes | dict[str, Any] = b""
    headers: dict[str, str] = field(default_factory=dict)


@contextmanager
def started(folder: Path) -> Iterator[Browser]:
    """A browser while the block runs, its profile in `folder`, which must exist."""
    with wired(folder) as wire:
        yield Browser(wire)


class Browser:
    """Opens pages."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    @contextmanager
    def page(
        self, *, width: int = 1280, height: int = 900, dark: bool = False, touch: bool = False
    ) -> Iterator[Page]:
        """An empty page of a visitor of its own, closed after the block."""
        context = self._wire.call("Target.createBrowserContext")["browserContextId"]
        target = self._wire.call("Target.createTarget", url="about:blank", browserContextId=context)
        at = self._wire.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        page = Page(self._wire, at["sessionId"], context)
        self._wire.listeners[at["sessionId"]] = page.heard
        for domain in ("Page", "Runtime", "Network", "Log", "DOM", "Audits"):
            page.call(f"{domain}.enable")
        page.resize(width, height, touch=touch)
        page.prefer(dark=dark)
        try:
            yield page
        finally:
            self._wire.call("Target.disposeBrowserContext", browserContextId=context)
            del self._wire.listeners[at["sessionId"]]


class Page:
    """One page, as a visitor has it.

    Attributes:
        requests: addresses that it asked for, other than its own blobs.
        errors: what it printed as an error, or was refused by its policy.
        replies: what the next requests that `instead_of` names are answered with.
    """

    def __init__(self, wire: Wire, session: str, context: str) -> None:
        self._wire, self._session, self._context = wire, session, context
        self.requests: list[str] = []
        self.errors: list[str] = []
        self.replies: deque[Reply] = deque()
        self.paused: list[str] = []  # requests that were caught and not answered yet
        self._holding = False
        self._chooser: int | None = None

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        return self._wire.call(method, session=self._session, **params)

    def heard(self, event: str, said: dict[str, Any]) -> None:
        """Keeps what an event says."""
        if event == "Network.requestWillBeSent":
            url = said["request"]["url"]
            if not url.startswith(("blob:", "data:")):
                self.requests.append(url)
        elif event == "Runtime.exceptionThrown":
            details = said["exceptionDetails"]
            self.errors.append(details.get("exception", {}).get("description", details["text"]))
        elif event == "Runtime.consoleAPICalled" and said["type"] in ("error", "assert"):
            self.errors.append(
                " ".join(str(each.get("description", each.get("value"))) for each in said["args"])
            )
        elif event == "Log.entryAdded" and said["entry"]["level"] == "error":
            self.errors.append(f"{said['entry']['text']} {said['entry'].get('url', '')}".strip())
        elif event == "Audits.issueAdded" and "ContentSecurityPolicy" in said["issue"]["code"]:
            self.errors.append(f"policy: {json.dumps(said['issue']['details'])}")
        elif event == "Fetch.requestPaused":
            self.paused.append(said["requestId"])
            if not self._holding:
                self._answer_paused()
        elif event == "Page.fileChooserOpened":
            self._chooser = said["backendNodeId"]

    def anew(self) -> None:
        """Forgets what was seen and what was set, so that another test has the page as new: that
        takes a tenth of the time of another page.
        """
        self.call("Fetch.disable")
        self.call("Page.navigate", url="about:blank")
        self.wait("location.href === 'about:blank'")
        self.prefer()
        for each in (self.requests, self.errors, self.replies, self.paused):
            each.clear()

    def go(self, url: str) -> None:
        """Opens an address, and waits until it is loaded."""
        self.call("Page.navigate", url=url)
        self.wait("document.readyState === 'complete' && location.href !== 'about:blank'")

    def js(self, expression: str) -> Any:
        """The value of an expression, after its promise.

        Raises:
            RuntimeError: it throws.
        """
        said = self.call(
            "Runtime.evaluate",
            expression=expression,
            awaitPromise=True,
            returnByValue=True,
            userGesture=True,
        )
        if "exceptionDetails" in said:
            details = said["exceptionDetails"]
            raise RuntimeError(details.get("exception", {}).get("description", details["text"]))
        return said["result"].get("value")

    def wait(self, expression: str, *, timeout_s: float = PATIENCE_S) -> None:
        """Until an expression is true, looked at each 20 ms.

        Raises:
            AssertionError: it never is.
        """
        until = time.monotonic() + timeout_s
        why = ""
        while True:
            try:
                if self.js(f"Boolean({expression})"):
                    return
            except RuntimeError as error:  # between two documents
                why = f": {error}"
            if time.monotonic() > until:
                raise AssertionError(f"never true: {expression}{why}; errors: {self.errors}")
            time.sleep(0.02)

    def text(self, selector: str) -> str:
        """What is seen of an element, "" where there is none; blanks of any kind are one blank."""
        shown = self.js(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''")
        return " ".join(str(shown).split())

    # ---- What a visitor does ----------------------------------------------------------------

    def click(self, selector: str) -> None:
        """Scrolls to an element and clicks into its middle with the mouse."""
        x, y = self._middle(selector)
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def press(self, key: str, *, modifiers: int = 0, commands: Sequence[str] = ()) -> None:
        """A key, such as "Tab" or "v"; `commands` are the editing commands that it stands for."""
        code, text = KEYS.get(key, (ord(key.upper()[0]), key if not modifiers else ""))
        common = {
            "key": key,
            "code": key if len(key) > 1 else f"Key{key.upper()}",
            "windowsVirtualKeyCode": code,
            "modifiers": modifiers,
        }
        down = {"type": "keyDown" if text else "rawKeyDown", "text": text, **common}
        self.call("Input.dispatchKeyEvent", commands=list(commands), **down)
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def type(self, text: str) -> None:
        """Text into what has the focus."""
        self.call("Input.insertText", text=text)

    def choose(self, selector: str, *files: Path) -> None:
        """Puts files into a file input, as its dialog does."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        assert node, selector
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(file) for file in files])

    @contextmanager
    def file_dialog(self, *files: Path) -> Iterator[None]:
        """The next file dialog that the block opens, by whatever means, gets these files.

        Raises:
            AssertionError: none was opened.
        """
        self._chooser = None
        self.call("Page.setInterceptFileChooserDialog", enabled=True)
        try:
            yield
            until = time.monotonic() + PATIENCE_S
            while self._chooser is None:
                assert time.monotonic() < until, "no file dialog was opened"
                self.js("0")
            self.call(
                "DOM.setFileInputFiles",
                backendNodeId=self._chooser,
                files=[str(file) for file in files],
            )
        finally:
            self.call("Page.setInterceptFileChooserDialog", enabled=False)

    def drag(self, kind: str, selector: str, *files: Path) -> None:
        """One step of dragging files from the desktop: "dragEnter", "dragOver", or "drop"."""
        x, y = self._middle(selector)
        data = {"items": [], "files": [str(file) for file in files], "dragOperationsMask": 1}
        self.call("Input.dispatchDragEvent", type=kind, x=x, y=y, data=data)

    def drop(self, selector: str, *files: Path) -> None:
        """Drags files from the desktop and lets them go over an element."""
        for kind in ("dragEnter", "dragOver", "drop"):
            self.drag(kind, selector, *files)

    def paste_picture(self, file: Path) -> None:
        """Copies a PNG's pixels and pastes them: Ctrl+V, by the browser's own clipboard."""
        self._allow_clipboard()
        data = base64.b64encode(file.read_bytes()).decode()
        self.js(
            f"""(async () => {{
              const bytes = Uint8Array.from(atob("{data}"), (each) => each.charCodeAt(0));
              const picture = new Blob([bytes], {{type: "image/png"}});
              await navigator.clipboard.write([new ClipboardItem({{"image/png": picture}})]);
            }})()"""
        )
        self.press("v", modifiers=CTRL, commands=["paste"])

    def paste_text(self, text: str) -> None:
        """Copies words and pastes them: Ctrl+V."""
        self._allow_clipboard()
        self.js(f"navigator.clipboard.writeText({json.dumps(text)})")
        self.press("v", modifiers=CTRL, commands=["paste"])

    def _allow_clipboard(self) -> None:
        self._wire.call(
            "Browser.grantPermissions",
            permissions=["clipboardReadWrite", "clipboardSanitizedWrite"],
            browserContextId=self._context,
        )
        self.call("Page.bringToFront")

    def _middle(self, selector: str) -> tuple[float, float]:
        found = self.js(
            f"""(() => {{
              const node = document.querySelector({json.dumps(selector)});
              if (!node) return null;
              node.scrollIntoView({{block: "center", behavior: "instant"}});
              const box = node.getBoundingClientRect();
              return [box.x + box.width / 2, box.y + box.height / 2, box.width * box.height];
            }})()"""
        )
        assert found is not None, f"the page has no {selector}"
        assert found[2] > 0, f"{selector} is not seen"
        return found[0], found[1]

    # ---- What a visitor has -----------------------------------------------------------------

    def resize(self, width: int, height: int, *, touch: bool = False) -> None:
        """A window of that many pixels; `touch`: of a phone, with a finger for a mouse."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=2 if touch else 1,
            mobile=touch,
        )
        self.call("Emulation.setTouchEmulationEnabled", enabled=touch)

    def prefer(self, *, dark: bool = False, still: bool = False) -> None:
        """What the visitor's system prefers."""
        self.call(
            "Emulation.setEmulatedMedia",
            features=[
                {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
                {"name": "prefers-reduced-motion", "value": "reduce" if still else ""},
            ],
        )

    def screenshot(self, to: Path, *, whole: bool = False) -> None:
        """A PNG of what is seen, or of the `whole` length of the page."""
        said = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        to.write_bytes(base64.b64decode(said["data"]))

    # ---- What its server does ---------------------------------------------------------------

    def instead_of(self, pattern: str, *replies: Reply) -> None:
        """The next requests to addresses like `pattern` (with *) get these replies, then the
        server's own again.
        """
        self.replies.extend(replies)
        self.call("Fetch.enable", patterns=[{"urlPattern": pattern}])

    @contextmanager
    def held(self, pattern: str) -> Iterator[None]:
        """Requests to addresses like `pattern` wait until the block ends."""
        self._holding = True
        self.call("Fetch.enable", patterns=[{"urlPattern": pattern}])
        try:
            yield
        finally:
            self._holding = False
            self._answer_paused()

    def _answer_paused(self) -> None:
        for request in self.paused:
            if not self.replies:
                self._wire.send("Fetch.continueRequest", session=self._session, requestId=request)
                continue
            reply = self.replies.popleft()
            problem = isinstance(reply.body, dict)
            body = json.dumps(reply.body).encode() if problem else reply.body
            assert isinstance(body, bytes)
            kind = "application/problem+json" if reply.status >= 400 else "application/json"
            headers = {"Content-Type": kind if problem else "text/plain", **reply.headers}
            self._wire.send(
                "Fetch.fulfillRequest",
                session=self._session,
                requestId=request,
                responseCode=reply.status,
                responseHeaders=[{"name": k, "value": v} for k, v in headers.items()],
                body=base64.b64encode(body).decode(),
            )
        self.paused.clear()
