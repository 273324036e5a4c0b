"""A headless Chromium for tests of pages, spoken to over its debugging pipe: no driver, no port, no package."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run")
LAUNCH = """
import fcntl, os, sys
ends = [fcntl.fcntl(int(end), fcntl.F_DUPFD, 10) for end in sys.argv[1:3]]
os.dup2(ends[0], 3)
os.dup2(ends[1], 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
"""Puts the ends of the pipes where the browser looks for them, and becomes the browser."""


def path() -> str:
    """The browser; the test is skipped where there is none."""
    found = os.environ.get("OCTANT_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip("needs a Chromium: install chromium, or name one in OCTANT_CHROMIUM")
    return found


class Page:
    """One open page.

    Attributes
    ----------
    problems : list of str
        Whatever the console showed, uncaught errors, and every request that was not for the file itself.
    """

    def __init__(self, to: int, since: int) -> None:
        self._to, self._since, self._number, self._rest, self._session = to, since, 0, b"", None
        self.problems: list[str] = []
        self._url, self._served, self._loaded = "", "", False
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        offline = {"latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
        self.call("Network.emulateNetworkConditions", offline=True, **offline)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The answer to a command of the DevTools protocol; events that come before it are noted."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return dict(answer["result"])
            self._note(answer)

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            chunk = os.read(self._since, 1 << 20)
            if not chunk:
                raise RuntimeError("the browser went away")
            self._rest += chunk
        line, _, self._rest = self._rest.partition(b"\0")
        return dict(json.loads(line))

    def _note(self, event: dict[str, Any]) -> None:
        method, what = event.get("method"), event.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.problems.append(f"error: {what['exceptionDetails'].get('exception', {}).get('description', what)}")
        elif method == "Runtime.consoleAPICalled":
            self.problems.append(f"console: {[one.get('value') for one in what['args']]}")
        elif method == "Log.entryAdded":
            self.problems.append(f"log: {what['entry']['text']}")
        elif method == "Network.requestWillBeSent":
            url = what["request"]["url"]
            expected = url.startswith(self._served) if self._served else url.partition("#")[0] == self._url
            if not expected and not url.startswith("data:"):
                self.problems.append(f"request: {url}")
        elif method == "Page.loadEventFired":
            self._loaded = True

    def visit(self, url: str, width: int, *, height: int = 900, dark: bool = False) -> None:
        """Load a page of a server of this test, as :meth:`open` does a file; requests to it are no problems."""
        self._served = url
        online = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
        self.call("Network.emulateNetworkConditions", offline=False, **online)
        self._load(url, width, height, dark)

    def open(self, file: Path, width: int, *, height: int = 900, dark: bool = False) -> None:
        """Load a file in a window of that width; narrow ones are phones, with a finger for a mouse."""
        self._load(file.resolve().as_uri(), width, height, dark)

    def _load(self, url: str, width: int, height: int, dark: bool) -> None:
        phone = width < 600
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        self.call("Emulation.setTouchEmulationEnabled", enabled=phone)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self._url, self._loaded = url, False
        self.call("Page.navigate", url=self._url)
        while not self._loaded:
            self._note(self._read())

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression, awaited."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"]["exception"].get("description", script))
        return answer["result"].get("value")

    def mouse(self, kind: str, x: float, y: float) -> None:
        """``kind`` is "mouseMoved", "mousePressed" or "mouseReleased"."""
        button = {} if kind == "mouseMoved" else {"button": "left", "clickCount": 1}
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **button)

    def tap(self, x: float, y: float) -> None:
        """A finger, down and up."""
        self.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
        self.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def press(self, key: str) -> None:
        """A key, down and up."""
        for kind in ("rawKeyDown", "keyUp"):
            code = {"Tab": 9, "Enter": 13, "ArrowLeft": 37, "ArrowRight": 39}.get(key, 0)
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)

    def picture(self, to: Path, *, whole: bool = False) -> None:
        """A screenshot, of the whole page if asked."""
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=whole)
        to.write_bytes(base64.b64decode(shot["data"]))


@contextmanager
def page(profile: Path) -> Iterator[Page]:
    """A page of a browser of its own, which is closed afterwards; without a network.

    ``profile`` is a folder for what the browser writes.
    """
    ours_in, theirs_out = os.pipe()
    theirs_in, ours_out = os.pipe()
    ends = (theirs_in, theirs_out)
    command = [path(), *FLAGS, f"--user-data-dir={profile}", "--remote-debugging-pipe", "about:blank"]
    browser = subprocess.Popen(
        [sys.executable, "-S", "-c", LAUNCH, *map(str, ends), *command],
        pass_fds=ends, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(theirs_in)
    os.close(theirs_out)
    try:
        yield Page(ours_out, ours_in)
    finally:
        browser.terminate()
        browser.wait(timeout=120)
        os.close(ours_in)
        os.close(ours_out)
