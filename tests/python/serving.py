"""A running `lazyfill serve`, and plain requests to it."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import time


class Serving:
    """The program, once it listens; `log` is where its standard error goes."""

    def __init__(self, program, model, *flags, log=None, environment=None):
        self.log = open(log, "w", encoding="utf-8") if log else subprocess.DEVNULL
        command = [program, "serve", *(["-m", model] if model else []), "--port", "0", *map(str, flags)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.log, text=True,
                                        env={**os.environ, **(environment or {})})
        self.address = self.process.stdout.readline().strip().removeprefix("listening at ")
        assert self.address, "the server did not start"
        self.port = int(self.address.rpartition(":")[2]) if self.address.startswith("http") else 0

    def wait_until_ready(self, timeout_s=120):
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            assert self.process.poll() is None, "the server has ended"
            with contextlib.suppress(ConnectionError, TimeoutError):
                if self.get("/health")[0] == 200:
                    return self
            time.sleep(0.05)
        raise AssertionError("the server did not become ready")

    def request(self, method, path, body=None, headers=None, timeout_s=300):
        """(status, headers, bytes of the body)"""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)
        data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
        connection.request(method, path, data, {"Content-Type": "application/json", **(headers or {})})
        response = connection.getresponse()
        answer = response.status, response.headers, response.read()
        connection.close()
        return answer

    def get(self, path, **options):
        """(status, JSON)"""
        status, _, body = self.request("GET", path, **options)
        return status, json.loads(body)

    def post(self, path, body, **options):
        status, _, answer = self.request("POST", path, body, **options)
        return status, json.loads(answer)

    def stream(self, path, body, headers=None):
        """The events of a stream as (name or None, data), data as JSON but for [DONE]."""
        status, headers, text = self.request("POST", path, {**body, "stream": True}, headers)
        assert status == 200, text
        assert headers["Content-Type"].startswith("text/event-stream")
        return events(text.decode())

    def connect(self, timeout_s=30):
        """A socket to send raw bytes through."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=timeout_s)

    def stop(self, how=signal.SIGTERM, timeout_s=60):
        """The exit code."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            return self.process.wait(timeout_s)
        finally:
            self.process.kill()
            if self.log is not subprocess.DEVNULL:
                self.log.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def events(text):
    """What a body of server-sent events says."""
    found = []
    for block in text.split("\n\n"):
        name, data = None, []
        for line in block.split("\n"):
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                data.append(line.removeprefix("data: "))
        if data:
            joined = "\n".join(data)
            found.append((name, joined if joined == "[DONE]" else json.loads(joined)))
    return found
