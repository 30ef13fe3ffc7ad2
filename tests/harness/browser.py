"""Headless Chromium, driven over its DevTools protocol."""

import base64
import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from websockets.sync.client import connect

_PATIENCE = 60  # seconds; the machine may be busy
_FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
    "--no-first-run", "--disable-extensions", "--disable-background-networking",
    "--disable-component-update", "--disable-default-apps", "--mute-audio",
    "--remote-debugging-port=0", "--hide-scrollbars",
)  # fmt: skip


class Browser:
    """One of them, with one page.

    Attributes:
        said: what the page's console has said of trouble, violations of its policy too.
        meant: words of what it may say.
    """

    def __init__(self):
        self._folder = Path(tempfile.mkdtemp(prefix="lt-browser-"))
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen(
            ["chromium", *_FLAGS, f"--user-data-dir={self._folder}", "about:blank"],
            stdout=quiet, stderr=quiet, start_new_session=True,
        )  # fmt: skip
        self._link = contextlib.ExitStack()
        self._number, self._session = 0, None
        self.said, self.meant = [], []
        try:
            link = connect(self._address(), max_size=None, open_timeout=_PATIENCE)
            self._socket = self._link.enter_context(link)
            target = self._do("Target.createTarget", url="about:blank")["targetId"]
            attached = self._do("Target.attachToTarget", targetId=target, flatten=True)
            self._session = attached["sessionId"]
            for domain in ("Page", "Runtime", "Log"):
                self._do(f"{domain}.enable")
        except BaseException:
            self.close()
            raise

    def _address(self):
        path = self._folder / "DevToolsActivePort"
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end:
            with contextlib.suppress(FileNotFoundError, ValueError):
                port, where = path.read_text().split()
                return f"ws://127.0.0.1:{int(port)}{where}"
            assert self._process.poll() is None, "Chromium has ended"
            time.sleep(0.02)
        raise AssertionError("Chromium does not start")

    def close(self):
        """Ends it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._link.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self.close()

    def _do(self, method, **params):
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        self._socket.send(json.dumps(message))
        while True:
            told = json.loads(self._socket.recv(timeout=_PATIENCE))
            if told.get("id") == self._number:
                assert "error" not in told, (method, told["error"])
                return told["result"]
            self._hear(told)

    def _hear(self, told):
        params = told.get("params", {})
        match told.get("method"):
            case "Runtime.exceptionThrown":
                self.said.append(json.dumps(params["exceptionDetails"])[:2000])
            case "Runtime.consoleAPICalled" if params["type"] in ("error", "warning", "assert"):
                self.said.append(str([one.get("value") for one in params["args"]]))
            case "Log.entryAdded" if params["entry"]["level"] in ("error", "warning"):
                entry = params["entry"]
                self.said.append(f"{entry['text']} {entry.get('url', '')}")

    # -- what a person does

    def go(self, url):
        """Opens an address."""
        self._do("Page.navigate", url=url)

    def run(self, script):
        """The value of an expression, or of what it promises."""
        found = self._do(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in found, (script, found["exceptionDetails"])
        return found["result"].get("value")

    def _run_if_there(self, script):
        """As `run`; None where another page took the place of the one that it ran in."""
        try:
            return self.run(script)
        except AssertionError as error:
            if "Inspected target navigated or closed" not in str(error):
                raise
            return None

    def until(self, script, seconds=_PATIENCE):
        """Waits until an expression is true, and returns it; one that raises is not true yet."""
        end = time.monotonic() + seconds
        guarded = f"(() => {{ try {{ return {script} }} catch (e) {{ return null }} }})()"
        while not (found := self._run_if_there(guarded)):
            assert time.monotonic() < end, (script, self.run("document.body.innerText"), self.said)
            time.sleep(0.03)
        return found

    def press(self, key, code=0, text=""):
        """Presses a key and lets it go."""
        for kind in ("keyDown", "keyUp"):
            self._do(
                "Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code,
                **({"text": text} if text and kind == "keyDown" else {}),
            )  # fmt: skip

    def type(self, text):
        """Types where the focus is."""
        self._do("Input.insertText", text=text)

    def size(self, width, height=900, *, scale=1):
        """Has the window be so large, in CSS pixels."""
        self._do(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=scale, mobile=False,
        )  # fmt: skip

    def scheme(self, name):
        """Has the person prefer "light" or "dark"."""
        feature = {"name": "prefers-color-scheme", "value": name}
        self._do("Emulation.setEmulatedMedia", features=[feature])

    def picture(self, path):
        """Writes a PNG of what is seen."""
        found = self._do("Page.captureScreenshot", format="png")
        Path(path).write_bytes(base64.b64decode(found["data"]))

    def tree(self):
        """What assistive programs are told: (role, name) of each thing that is not ignored."""
        nodes = self._do("Accessibility.getFullAXTree")["nodes"]
        return [
            (node["role"]["value"], node.get("name", {}).get("value", ""))
            for node in nodes
            if not node["ignored"]
        ]
