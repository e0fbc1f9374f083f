"""A page of `lazyfill serve` that is open in Chromium, and what a test plays for the server's part."""

import json
import re
import time

from playwright.sync_api import expect


class Visit:
    """A page that is open, and what its console said."""

    def __init__(self, browser, address, **context):
        self.context = browser.new_context(viewport=context.pop("viewport", {"width": 1280, "height": 860}), **context)
        self.page = self.context.new_page()
        self.page.set_default_timeout(120_000)
        self.said = []
        self.page.on("console", lambda message: self.said.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.said.append(f"exception: {error}"))
        self.page.on("request", lambda request: self.said.append(f"foreign: {request.url}")
                     if not request.url.startswith((address, "data:")) else None)
        self.page.goto(address)
        expect(self.page).to_have_title(re.compile(": lazyfill$"), timeout=120_000)

    def send(self, question):
        self.page.fill("#question", question)
        self.page.press("#question", "Enter")

    def ask(self, question):
        """The text of the answer."""
        n_answers = self.page.locator(".answer .foot").count()
        self.send(question)
        self.page.locator(".answer .foot").nth(n_answers).wait_for()
        return self.page.locator(".answer .said").last.inner_text()

    def attach(self, name, data, kind="text/plain"):
        self.page.set_input_files("#file", {"name": name, "mimeType": kind, "buffer": data})

    def answer_with(self, *events, status=200):
        """The server's part is played: these events are the answer."""
        body = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
        self.page.route("**/v1/chat/completions",
                        lambda route: route.fulfill(status=status, body=body, content_type="text/event-stream"))

    def refuse_with(self, status, error):
        self.page.route("**/v1/chat/completions",
                        lambda route: route.fulfill(status=status, json={"error": error}))

    def is_wider_than_the_window(self):
        return self.page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")


def wait_until(condition, timeout_s=60):
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


def text_chunk(text, **more):
    return {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}], **more}


def last_chunks(pieces=("a", " b"), stages=(), n_layers=4, n_cached=0):
    lazy = {"stages": list(stages), "pieces": list(pieces), "policy": "lazy", "revived_rows": 0,
            "computed_tokens": [len(pieces)] * n_layers}
    usage = {"prompt_tokens": len(pieces), "completion_tokens": 1, "total_tokens": len(pieces) + 1}
    timings = {"ttft_ms": 12.5, "cache_n": n_cached, "predicted_per_second": 20}
    return [{"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "lazy": lazy, "timings": timings},
            {"choices": [], "usage": usage}]


def pdf_of(text):
    """A PDF file of one page."""
    stream = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET".encode()
    objects = [b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
               b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
               b"<</Length %d>>stream\n%s\nendstream" % (len(stream), stream),
               b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"]
    data, places = b"%PDF-1.4\n", []
    for i, one in enumerate(objects, start=1):
        places.append(len(data))
        data += b"%d 0 obj%s\nendobj\n" % (i, one)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    return data + b"xref\n0 6\n0000000000 65535 f \n%strailer<</Size 6/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % (table, len(data))
