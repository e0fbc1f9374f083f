"""A load test with locust (pip install locust), which the tests do not need:

    lazyfill serve -m MODEL.gguf &
    locust -f bench/serving/locustfile.py --headless -H http://127.0.0.1:8080 -u 16 -r 4 -t 2m

Three kinds of clients: short questions, long documents asked about, and agents whose conversation grows. Beside locust's own table there is
the time to the first token of streams, as "ttft" of each kind.
"""

import json
import random
import time

from locust import HttpUser, between, task

WORDS = "the lamp river stone quiet morning letter garden seven window answer road paper green winter".split()


def text_of(n_words, seed):
    choose = random.Random(seed)
    return " ".join(choose.choice(WORDS) for _ in range(n_words))


class Client(HttpUser):
    abstract = True
    wait_time = between(0.2, 2)
    headers = {"Authorization": "Bearer none"}

    def ask(self, name, messages, **options):
        """Streams an answer, and returns its text."""
        body = {"messages": messages, "max_tokens": 32, "stream": True, **options}
        asked = time.monotonic()
        first, text, ended = None, "", False
        with self.client.post("/v1/chat/completions", json=body, headers=self.headers, stream=True, name=name, catch_response=True) as response:
            if response.status_code == 429:
                response.success()  # the queue is full: it says so
                return ""
            for line in response.iter_lines():
                if line == b"data: [DONE]":
                    ended = True
                elif line.startswith(b"data: "):
                    event = json.loads(line[6:])
                    if "error" in event:
                        response.failure(event["error"]["message"])
                        return text
                    piece = event["choices"][0]["delta"].get("content") if event.get("choices") else None
                    if piece and first is None:
                        first = time.monotonic()
                    text += piece or ""
            if not ended:
                response.failure("the stream has no end")
        if first is not None:
            self.environment.events.request.fire(request_type="ttft", name=name, response_time=1000 * (first - asked), response_length=len(text), exception=None, context={})
        return text


class Asker(Client):
    weight = 6

    @task
    def short(self):
        self.ask("short", [{"role": "user", "content": text_of(20, random.random())}])


class Reader(Client):
    weight = 2

    @task
    def document(self):
        """Few documents, so that some are found in the cache."""
        document = text_of(1500, random.randrange(6))
        self.ask("document", [{"role": "system", "content": document}, {"role": "user", "content": text_of(10, random.random())}])

    @task
    def lazy(self):
        self.ask("lazy", [{"role": "user", "content": text_of(2000, random.random())}], lazy="fast")


class Agent(Client):
    weight = 1

    def on_start(self):
        self.messages = []

    @task
    def turn(self):
        if len(self.messages) > 20 or not self.messages:
            self.messages = [{"role": "system", "content": text_of(600, 1)}]
        self.messages.append({"role": "user", "content": text_of(40, random.random())})
        self.messages.append({"role": "assistant", "content": self.ask("agent", self.messages)})
