"""A server that runs, and clients that stream from it and note when each token came."""

import contextlib
import http.client
import json
import random
import socket
import subprocess
import threading
import time
import urllib.parse

WORDS = ("the committee met on Monday and decided that further reports about rivers, harvests, trains and schools were needed before "
         "anybody could say what the new bridge should cost or who ought to build it").split()


def text_of(n_tokens, seed):
    """About so many tokens of plain English; every seed another text."""
    words = random.Random(seed)
    return " ".join(words.choice(WORDS) for _ in range(max(1, int(n_tokens * 0.87))))


class Server:
    """`lazyfill serve`, or another program that listens at a port."""

    def __init__(self, command, health="/health", port=None, log=None):
        self.process = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE if port is None else subprocess.DEVNULL,
                                        stderr=log or subprocess.DEVNULL, text=True)
        if port is None:
            address = self.process.stdout.readline().strip().removeprefix("listening at ")
            port = urllib.parse.urlsplit(address).port
        self.port = port
        end = time.monotonic() + 300
        while True:
            if self.process.poll() is not None or time.monotonic() > end:
                raise SystemExit(f"the server did not start: {' '.join(map(str, command))}")
            with contextlib.suppress(OSError, http.client.HTTPException):
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
                connection.request("GET", health)
                if connection.getresponse().status == 200:
                    return
            time.sleep(0.1)

    def resident_bytes(self):
        with open(f"/proc/{self.process.pid}/status", encoding="utf-8") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS"))

    def metric(self, name):
        """A gauge's or counter's value, as /metrics tells it."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request("GET", "/metrics")
        lines = connection.getresponse().read().decode().splitlines()
        connection.close()
        return next(float(line.split()[1]) for line in lines if line.startswith(name + " "))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Answer:
    """What became of a request: its status, its text, and when its events with text came (seconds since it was sent)."""

    def __init__(self):
        self.status = 0
        self.text = ""
        self.times = []
        self.error = None
        self.usage = None
        self.finish = None

    @property
    def ttft(self):
        return self.times[0] if self.times else None

    @property
    def pauses(self):
        return [later - earlier for earlier, later in zip(self.times, self.times[1:])]


def stream(port, body, cancel_after=None, timeout=600):
    """Sends a request of /v1/completions and reads its stream; `cancel_after` closes the connection after so many seconds."""
    answer = Answer()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    start = time.monotonic()
    timer = None
    try:
        connection.request("POST", "/v1/completions", json.dumps({**body, "stream": True}), {"Content-Type": "application/json"})
        if cancel_after is not None:
            timer = threading.Timer(cancel_after, lambda: connection.sock and connection.sock.shutdown(socket.SHUT_RDWR))
            timer.start()
        response = connection.getresponse()
        answer.status = response.status
        if response.status != 200:
            answer.error = response.read().decode()
            return answer
        for line in response:
            if not line.startswith(b"data: ") or line.startswith(b"data: [DONE]"):
                continue
            data = json.loads(line[6:])
            if "error" in data:
                answer.error = data["error"]
            for choice in data.get("choices", []):
                if choice.get("text"):
                    answer.times.append(time.monotonic() - start)
                    answer.text += choice["text"]
                answer.finish = choice.get("finish_reason") or answer.finish
    except (OSError, http.client.HTTPException, AttributeError, ValueError) as error:
        if cancel_after is None:
            answer.error = repr(error)
    finally:
        if timer:
            timer.cancel()
        connection.close()
    return answer
