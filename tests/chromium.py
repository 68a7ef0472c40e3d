"""A headless Chromium, driven over the DevTools protocol through a pair of pipes."""

from __future__ import annotations

import base64
import fcntl
import itertools
import json
import os
import select
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--remote-debugging-pipe",
)  # fmt: skip
_PATIENCE_SECONDS = 60.0

Message = dict[str, Any]


@dataclass
class Visit:
    """A page as the browser sees it: what it complained about, what it asked for, and how it looks."""

    chromium: Chromium
    session: str
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        answer = self.chromium.call("Runtime.evaluate", self.session, expression=expression, returnByValue=True)
        if "exceptionDetails" in answer:
            raise AssertionError(answer["exceptionDetails"])
        return answer["result"].get("value")

    def photograph(self, path: Path) -> None:
        """Save the whole page, from top to bottom, as PNG."""
        size = self.chromium.call("Page.getLayoutMetrics", self.session)["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        shot = self.chromium.call("Page.captureScreenshot", self.session, clip=clip, captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))


class Chromium:
    """A running browser; each visit has a tab of its own."""

    def __init__(self, program: str, profile: str) -> None:
        child_in, self._to = os.pipe()
        self._from, child_out = os.pipe()
        # Far away from 3 and 4, the numbers at which Chromium looks for its pipes.
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 20) for end in (child_in, child_out)]
        command = [program, *_FLAGS, f"--user-data-dir={profile}", "about:blank"]

        def place_pipes() -> None:
            os.dup2(ends[0], 3)
            os.dup2(ends[1], 4)

        self._process = subprocess.Popen(
            command, pass_fds=(3, 4), preexec_fn=place_pipes, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for end in (child_in, child_out, *ends):
            os.close(end)
        self._numbers = itertools.count(1)
        self._unread = b""
        self._events: list[Message] = []

    def call(self, method: str, session: str | None = None, **parameters: Any) -> Message:
        """Send a command and wait for its answer; events that come meanwhile are kept."""
        number = next(self._numbers)
        message: Message = {"id": number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") != number:
                self._events.append(answer)
            elif "error" in answer:
                raise AssertionError(f"{method}: {answer['error']}")
            else:
                return dict(answer["result"])

    def visit(self, path: Path, *, width: int, is_dark: bool = False) -> Visit:
        """Open a local page in a window of the given width, in CSS pixels, and wait until it has loaded."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = str(self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"])
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable", session)
        self.call(
            "Emulation.setDeviceMetricsOverride",
            session,
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}
        self.call("Emulation.setEmulatedMedia", session, features=[scheme])
        self._events.clear()
        self.call("Page.navigate", session, url=path.resolve().as_uri())
        visit = Visit(self, session)
        while not self._note_events(visit):
            self._events.append(self._receive())
        # Pictures that are outside the window are decoded only when asked for.
        self.call(
            "Runtime.evaluate", session, awaitPromise=True,
            expression="Promise.allSettled([...document.images].map(i => i.decode())).then(() => 0)",
        )  # fmt: skip
        self._note_events(visit)
        return visit

    def close(self) -> None:
        """End the browser and wait until it is gone."""
        try:
            self.call("Browser.close")
            self._process.wait(20)
        except (AssertionError, OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        finally:
            os.close(self._to)
            os.close(self._from)

    def _note_events(self, visit: Visit) -> bool:
        """Sort the events of a visit into complaints and requests; tells whether the page has loaded."""
        has_loaded = False
        for event in self._events:
            if event.get("sessionId") != visit.session:
                continue
            method, parameters = event.get("method"), event.get("params", {})
            has_loaded |= method == "Page.loadEventFired"
            if method in ("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown"):
                visit.complaints.append(json.dumps(parameters))
            elif method == "Network.requestWillBeSent":
                visit.requests.append(parameters["request"]["url"])
        self._events.clear()
        return has_loaded

    def _receive(self) -> Message:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while b"\0" not in self._unread:
            ready, _, _ = select.select([self._from], [], [], max(deadline - time.monotonic(), 0))
            piece = os.read(self._from, 1 << 20) if ready else b""
            if not piece:
                raise AssertionError("Chromium does not answer")
            self._unread += piece
        message, self._unread = self._unread.split(b"\0", 1)
        return dict(json.loads(message))


@contextmanager
def running_chromium(program: str) -> Iterator[Chromium]:
    """A browser with a fresh profile, gone at the end."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        chromium = Chromium(program, profile)
        try:
            yield chromium
        finally:
            chromium.close()
