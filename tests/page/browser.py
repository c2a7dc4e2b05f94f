"""Chromium without a window, told what to do by the DevTools protocol over two pipes."""

import base64
import json
import os
import select
import subprocess
import tempfile
import time

# Seconds for one answer, or for something to come true: two busy cores.
PATIENCE = 40


class Missing(Exception):
    """The run cannot begin."""


class Browser:
    """One browser with one page; nothing but loopback has a name or an address for it."""

    def __init__(self, program):
        self.home = tempfile.TemporaryDirectory(prefix="snihub-page-")
        commands, self.out = os.pipe()
        self.come, answers = os.pipe()
        # Chromium reads from descriptor 3 and writes to 4.
        place = f'exec 3<&{commands} 4>&{answers} "$0" "$@"'
        self.process = subprocess.Popen(
            [
                "bash", "-c", f"{place}",
                program, "--headless=new", "--remote-debugging-pipe", f"--user-data-dir={self.home.name}",
                "--no-first-run", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking",
                "--disable-component-update", "--disable-sync", "--hide-scrollbars", "--force-color-profile=srgb",
                "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
                *(["--no-sandbox"] if os.geteuid() == 0 else []),
                "about:blank",
            ],
            pass_fds=(commands, answers), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(commands)
        os.close(answers)
        self.buffer, self.number, self.session = b"", 0, None
        self.errors, self.requests, self.rewrite = [], [], {}
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.out)
        os.close(self.come)
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        # What its children still write there is of no use to anyone.
        try:
            self.home.cleanup()
        except OSError:
            pass

    def send(self, method, **parameters):
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self.out, data) :]
        return self.number

    def call(self, method, **parameters):
        number, deadline = self.send(method, **parameters), time.monotonic() + PATIENCE
        while True:
            message = self.receive(deadline - time.monotonic())
            if message is None:
                raise AssertionError(f"{method}: no answer")
            if message.get("id") == number:
                if "error" in message:
                    raise AssertionError(f"{method}: {message['error']['message']}")
                return message["result"]

    def receive(self, seconds):
        """The next message, with what it means already noted; None: there was none in time."""
        deadline = time.monotonic() + seconds
        while b"\0" not in self.buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.come], [], [], left)[0]:
                return None
            data = os.read(self.come, 1 << 20)
            if not data:
                raise AssertionError("the browser has ended")
            self.buffer += data
        line, self.buffer = self.buffer.split(b"\0", 1)
        message = json.loads(line)
        self.note(message.get("method"), message.get("params"))
        return message

    def note(self, method, what):
        if method == "Network.requestWillBeSent":
            self.requests.append(what["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(what["exceptionDetails"])[:600])
        elif method == "Runtime.consoleAPICalled" and what["type"] in ("error", "warning", "assert"):
            self.errors.append(json.dumps(what["args"])[:600])
        elif method == "Log.entryAdded" and what["entry"]["level"] in ("error", "warning"):
            self.errors.append(f"{what['entry']['text']} {what['entry'].get('url', '')}")
        elif method == "Fetch.requestPaused":
            self.answer(what)

    def answer(self, paused):
        """An answer of the hub's on its way to the page, changed as `rewrite` has it."""
        path = paused["request"]["url"].split("?")[0]
        change = next((self.rewrite[end] for end in self.rewrite if path.endswith(end)), None)
        body = json.dumps(change).encode()
        self.send(
            "Fetch.fulfillRequest", requestId=paused["requestId"], responseCode=200,
            responseHeaders=[{"name": "Content-Type", "value": "application/json"}], body=base64.b64encode(body).decode(),
        )  # fmt: skip

    def answer_with(self, answers):
        """From now on the page gets these answers, by the end of their paths, in place of the hub's."""
        self.rewrite = answers
        self.call("Fetch.enable", patterns=[{"urlPattern": f"*{end}*"} for end in answers])

    def look(self, width=1280, height=800, dark=False, phone=False):
        scheme = "dark" if dark else "light"
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def open(self, url):
        self.call("Page.navigate", url=url)

    def js(self, expression):
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise AssertionError(f"{expression}: {result['exceptionDetails']}")
        return result["result"].get("value")

    def wait(self, what, expression):
        """Until the expression is true; its value."""
        deadline = time.monotonic() + PATIENCE
        while True:
            value = self.js(expression)
            if value:
                return value
            if time.monotonic() > deadline:
                text = self.js("document.body ? document.body.innerText : ''")
                raise AssertionError(f"{what}: not within {PATIENCE} s; {self.errors}\n{text[:1500]}")
            self.receive(0.2)

    def press(self, key):
        for kind in ("keyDown", "keyUp"):
            text = {"text": "\r"} if key == "Enter" and kind == "keyDown" else {}
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, **text)

    def picture(self, path):
        shot = self.call("Page.captureScreenshot", format="png")["data"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(shot))
