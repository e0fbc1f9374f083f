"""The web page of `lazyfill serve`, in a real Chromium."""

import json
import os
import pathlib
import re

import pytest

from serving import Serving

CHROMIUM = pathlib.Path("/usr/bin/chromium")
if not CHROMIUM.is_file():
    pytest.skip("Chromium is missing (Debian: chromium)", allow_module_level=True)
playwright_api = pytest.importorskip("playwright.sync_api", reason="the Python package playwright is missing")
expect = playwright_api.expect
from browsing import Visit, last_chunks, pdf_of, text_chunk, wait_until  # noqa: E402, needs Playwright

DOCUMENT = " ".join(f"In the year {year} the lighthouse keeper wrote {year % 7} letters." for year in range(1850, 1885))
ATTACK = "<img src=x onerror=\"window.attacked=1\"><script>window.attacked=1</script>"
NARROW = {"width": 360, "height": 740}


@pytest.fixture(scope="module")
def server(lazyfill, smollm2, tmp_path_factory):
    log = tmp_path_factory.mktemp("page") / "log"
    with Serving(lazyfill, smollm2, "-n", 24, log=log) as serving:
        yield serving.wait_until_ready()


@pytest.fixture(scope="module")
def browser():
    flags = ["--no-sandbox"] if os.geteuid() == 0 else []
    with playwright_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=flags)
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser, server):
    visits = []

    def open_page(**context):
        visits.append(Visit(browser, server.address, **context))
        return visits[-1]

    yield open_page
    for one in visits:
        one.context.close()


def test_a_question_is_answered_and_nothing_is_complained_about(visit, server):
    one = visit()
    with one.page.expect_request("**/v1/chat/completions") as sent:
        answer = one.ask("What is the capital of France?")
    assert "Paris" in answer or len(answer) > 10
    body = sent.value.post_data_json
    assert body["stream"] and body["return_progress"] and body["return_kept"] and body["lazy"] == "auto"
    assert one.page.locator(".asked p").inner_text() == "What is the capital of France?"
    assert one.said == []


def test_the_picture_has_as_many_tokens_as_the_prompt(visit):
    one = visit()
    one.page.select_option("#lazy", "schedule")
    one.page.fill("#schedule", "9:0.5,20:0.25")
    one.attach("letters.txt", DOCUMENT.encode())
    with one.page.expect_response("**/v1/chat/completions") as answered:
        one.ask("How many letters were written in 1860?")
    events = [json.loads(line[6:]) for line in answered.value.text().splitlines() if line.startswith("data: {")]
    usage = next(event["usage"] for event in events if event.get("usage"))
    report = next(event["lazy"] for event in events if event.get("lazy"))
    assert [stage["layer"] for stage in report["stages"]] == [9, 20]
    tokens = one.page.locator(".tokens > span")
    assert tokens.count() == usage["prompt_tokens"] > 400
    assert DOCUMENT in one.page.locator(".tokens").text_content()
    n_top = report["stages"][1]["n_kept"]
    assert one.page.locator(".tokens > .d8").count() == n_top
    assert one.page.locator(".tokens > .d0").count() == usage["prompt_tokens"] - report["stages"][0]["n_kept"]
    assert f"went to the top: {n_top}" in one.page.locator(".legend").inner_text()
    assert one.page.locator(".columns > span").count() == len(report["computed_tokens"])
    assert one.said == []


def test_progress_is_shown_while_the_prompt_is_read(visit):
    one = visit()
    one.page.evaluate("""() => {
      window.seen = [];
      new MutationObserver(() => {
        const bar = document.querySelector(".reading progress");
        if (bar?.hasAttribute("value")) window.seen.push([bar.value, document.querySelector(".reading p").textContent]);
      }).observe(document.getElementById("log"), {subtree: true, childList: true, attributes: true});
    }""")
    one.attach("years.txt", (DOCUMENT.replace("keeper", "painter") * 2).encode())
    one.ask("What did the painter write?")
    seen = one.page.evaluate("window.seen")
    values = [value for value, _ in seen]
    assert len(values) > 2 and values == sorted(values) and values[0] < 1
    assert re.search(r"Reading the prompt: [\d,]+ of [\d,]+ tokens.*layer \d+ of 30 with [\d,]+ rows?, ", seen[-1][1])
    assert one.page.locator(".reading").is_hidden()


@pytest.mark.parametrize("how", ["button", "key"])
def test_an_answer_can_be_stopped(visit, server, how):
    one = visit()
    one.attach("years.txt", (DOCUMENT.replace("letters", how) * 3).encode())
    one.send("What is said here?")
    one.page.locator(".reading progress[value]").wait_for()
    if how == "button":
        one.page.click("#stop")
    else:
        one.page.keyboard.press("Escape")
    one.page.locator(".answer .foot", has_text="Stopped.").wait_for()
    assert one.page.locator("#send").is_visible() and one.page.locator("#stop").is_hidden()
    # What was asked can be changed and sent again.
    assert one.page.input_value("#question") == "What is said here?"
    assert one.page.locator("#documents li").count() == 1
    wait_until(lambda: not any(slot["is_processing"] for slot in server.get("/slots")[1]))
    assert one.said == []


def test_a_second_question_carries_the_first(visit):
    one = visit()
    one.answer_with(text_chunk("Blue."), *last_chunks())
    one.ask("My colour?")
    with one.page.expect_request("**/v1/chat/completions") as sent:
        one.ask("And yours?")
    assert sent.value.post_data_json["messages"] == [
        {"role": "user", "content": "My colour?"}, {"role": "assistant", "content": "Blue."},
        {"role": "user", "content": "And yours?"}]
    assert one.page.locator("details.picture").count() == 2
    assert one.page.locator("details.picture[open]").count() == 1
    one.page.click("#new")
    assert one.page.locator(".turn").count() == 0
    with one.page.expect_request("**/v1/chat/completions") as sent:
        one.ask("Who?")
    assert [message["content"] for message in sent.value.post_data_json["messages"]] == ["Who?"]


HTML = ("<html><head><title>No</title><style>p{}</style></head><body><h1>Tides</h1><p>High &amp; low<br>water</p>"
        "<script>window.attacked=1</script><ul><li>one</li><li>two</li></ul>end</body></html>").encode()


@pytest.mark.parametrize("name, data, expected", [
    ("plain.txt", "Käse und 漢字".encode(), "Käse und 漢字"),
    ("old.txt", "Käse".encode("latin-1"), "Käse"),
    ("wide.txt", "Käse".encode("utf-16"), "Käse"),
    ("notes.md", b"# Title\r\n\r\n- item\r\n", "# Title\n\n- item"),
    ("page.html", HTML, "Tides\n\nHigh & low\nwater\n\none\ntwo\nend"),
    ("report.pdf", pdf_of("The tide table of Dover"), "The tide table of Dover"),
])
def test_a_document_is_read(visit, server, name, data, expected):
    if name.endswith(".pdf") and server.request("GET", "/page/pdf.js")[0] == 404:
        pytest.skip("lazyfill was built without pdf.js (Debian: libjs-pdf)")
    one = visit()
    one.answer_with(text_chunk("Yes."), *last_chunks())
    one.attach(name, data, "application/octet-stream")
    one.page.locator("#documents li", has_text="token").wait_for()
    with one.page.expect_request("**/v1/chat/completions") as sent:
        one.ask("Well?")
    content = sent.value.post_data_json["messages"][0]["content"]
    text = re.fullmatch(rf'Document "{re.escape(name)}":\n\n(.*)\n\nWell\?', content, re.DOTALL)[1]
    assert re.sub(r"\n+", "\n", text) == re.sub(r"\n+", "\n", expected)
    assert one.page.evaluate("window.attacked") is None
    # The policy holds for the file that is taken apart, too, and the browser says so.
    assert [line for line in one.said if not (name == "page.html" and "Applying inline style" in line)] == []


def test_a_document_can_be_dropped(visit):
    one = visit()
    transfer = one.page.evaluate_handle("""() => {
      const transfer = new DataTransfer();
      transfer.items.add(new File(["Dropped words"], "dropped.txt", {type: "text/plain"}));
      return transfer;
    }""")
    one.page.dispatch_event("main", "dragenter", {"dataTransfer": transfer})
    assert one.page.locator("#drop").is_visible()
    one.page.dispatch_event("main", "drop", {"dataTransfer": transfer})
    one.page.locator("#documents li", has_text="dropped.txt").wait_for()
    assert one.page.locator("#drop").is_hidden()
    one.page.get_by_role("button", name="Remove dropped.txt").click()
    assert one.page.locator("#documents li").count() == 0


@pytest.mark.parametrize("name, data, sentence", [
    ("picture.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "picture.png is no text: this page reads text, Markdown, HTML and PDF files."),
    ("empty.txt", b" \n", "empty.txt holds no text."),
    ("broken.pdf", b"%PDF-1.4\nnothing", "broken.pdf cannot be read as a PDF file; is it complete?"),
    ("scan.pdf", pdf_of(""), "scan.pdf holds no text, only pictures of it; a program for text recognition can add it."),
])
def test_what_cannot_be_read_gets_one_sentence(visit, server, name, data, sentence):
    if name.endswith(".pdf") and server.request("GET", "/page/pdf.js")[0] == 404:
        pytest.skip("lazyfill was built without pdf.js (Debian: libjs-pdf)")
    one = visit()
    one.attach(name, data, "application/octet-stream")
    one.page.locator("#notice", has_text=sentence).wait_for()
    assert one.page.locator("#documents li").count() == 0


def test_without_pdf_js_a_pdf_gets_one_sentence(visit):
    one = visit()
    one.page.route("**/page/pdf.js", lambda route: route.fulfill(status=404, json={}))
    one.attach("report.pdf", pdf_of("Text"), "application/pdf")
    one.page.locator("#notice", has_text="built without pdf.js and cannot read PDF files").wait_for()


@pytest.mark.parametrize("status, error, sentence", [
    (429, {"message": "too many", "code": "busy"}, "The server is busy with other questions; send this one again in a moment."),
    (400, {"message": "lazy: no such schedule", "code": None}, "Lazy: no such schedule."),
    (400, {"message": "x", "code": "context_length_exceeded", "n_prompt_tokens": 9031, "n_ctx": 8192},
     "This conversation has 9,031 tokens and the model reads at most 8,192: shorten the document, or begin a new conversation."),
])
def test_an_error_is_one_sentence_and_the_question_comes_back(visit, status, error, sentence):
    one = visit()
    one.refuse_with(status, error)
    one.ask("Anything?")
    assert one.page.locator(".failed").inner_text() == sentence
    assert one.page.input_value("#question") == "Anything?"


def test_a_document_that_is_too_long_is_refused_with_both_counts(visit):
    one = visit()
    one.attach("long.txt", ("lighthouse keeper " * 6000).encode())
    one.page.locator("#notice", has_text=re.compile(r"long.txt has [\d,]+ tokens and the model reads at most 8,192")).wait_for()
    one.ask("What is it about?")
    assert re.fullmatch(r"This conversation has [\d,]+ tokens and the model reads at most 8,192: .*", one.page.locator(".failed").inner_text())


def test_a_model_that_loads_is_waited_for(visit, server):
    one = visit()
    one.page.route("**/health", lambda route: route.fulfill(status=503, json={"status": "loading"}))
    one.page.reload()
    one.page.locator("#notice", has_text="The model is loading").wait_for()
    one.page.fill("#question", "Ready?")
    assert one.page.locator("#send").is_disabled()
    one.page.unroute("**/health")
    expect(one.page.locator("#send")).to_be_enabled(timeout=120_000)
    assert one.page.locator("#notice").is_hidden()


MARKDOWN = f"""# Title {ATTACK}

A **bold** word, *slanted*, `code {ATTACK}` and snake_case_name.
[good](https://example.org/a) [bad](javascript:window.attacked=1)

1. one
2. two
   - inner

```html
{ATTACK}
```

| a | b |
|---|---|
| 1 | {ATTACK} |
"""


def test_text_of_models_stays_text(visit):
    one = visit()
    pieces = ["<|im_start|>", ATTACK, "\n", "</span><script>window.attacked=1</script>"]
    half = len(MARKDOWN) // 2
    one.answer_with(text_chunk(MARKDOWN[:half]), text_chunk(MARKDOWN[half:]), *last_chunks(pieces))
    one.ask(ATTACK)
    assert one.page.evaluate("window.attacked") is None
    assert one.page.locator("#log script, #log img").count() == 0
    assert one.page.locator(".asked p").inner_text() == ATTACK
    said = one.page.locator(".said")
    assert said.locator("h3").inner_text() == f"Title {ATTACK}"
    assert said.locator("pre").inner_text() == ATTACK
    assert said.locator("td").all_inner_texts() == ["1", ATTACK]
    assert said.locator("strong").inner_text() == "bold" and said.locator("em").inner_text() == "slanted"
    assert said.locator("ol > li").count() == 2 and said.locator("ol ul > li").inner_text() == "inner"
    assert [link.get_attribute("href") for link in said.locator("a").all()] == ["https://example.org/a"]
    assert "[bad](javascript:window.attacked=1)" in said.inner_text() and "snake_case_name" in said.inner_text()
    assert one.page.locator(".tokens > span").all_text_contents() == pieces
    assert one.said == []


def test_documents_stay_text(visit):
    one = visit()
    one.answer_with(text_chunk("Yes."), *last_chunks())
    name = "<img src=x onerror=window.attacked=1>.html"
    one.attach(name, f"<p>kept</p>{ATTACK}<p>{ATTACK.replace('<', '&lt;')}</p>".encode(), "text/html")
    one.page.locator("#documents b", has_text=name).wait_for()
    expect(one.page.locator("#send")).to_be_enabled()  # a document alone is a question, too
    with one.page.expect_request("**/v1/chat/completions") as sent:
        one.page.click("#send")
    assert sent.value.post_data_json["messages"][0]["content"] == f'Document "{name}":\n\nkept\n\n{ATTACK}\n\nSummarise the document.'
    one.page.locator("details.picture").wait_for()
    assert one.page.locator("#log script, #log img, #documents img").count() == 0
    assert one.page.evaluate("window.attacked") is None
    # The policy holds within the file that is taken apart, too: the browser says so of its event handler.
    assert [line for line in one.said if "Executing inline event handler" not in line] == []


def test_a_picture_of_8000_tokens_is_there_at_once(visit):
    one = visit()
    pieces = [f" word{i}" for i in range(8000)]
    stages = [{"layer": 0, "keep": 0.5, "positions": list(range(0, 8000, 2))},
              {"layer": 1, "keep": 0.5, "positions": list(range(0, 8000, 4))}]
    one.answer_with(text_chunk("Yes."), *last_chunks(pieces, stages, n_cached=100))
    one.ask("All of it?")
    assert one.page.locator(".tokens > span").count() == 8000
    assert [one.page.locator(f".tokens > .d{depth}").count() for depth in (0, 3, 8)] == [4000, 2000, 2000]
    assert one.page.locator(".tokens > .cached").count() == 100
    last = one.page.locator(".tokens > span").nth(7999)
    last.scroll_into_view_if_needed()
    last.hover()
    tip = one.page.locator("#tip")
    assert tip.is_visible()
    assert tip.locator("b").inner_text() == "·word7999"
    assert "token 7,999: 1 of 4 layers, stopped after layer 0" in tip.inner_text()
    one.page.locator("details.picture > summary").click()
    assert one.page.locator(".tokens").is_hidden()


def test_everything_works_by_keyboard(visit):
    one = visit()
    one.answer_with(text_chunk("By keys."), *last_chunks(["a", " b", " c"], [{"layer": 1, "keep": 0.5, "positions": [0, 2]}]))
    keyboard = one.page.keyboard
    focused = "document.activeElement.id || document.activeElement.className || document.activeElement.tagName"
    assert one.page.evaluate(focused) == "question"
    keyboard.type("First line")
    keyboard.press("Shift+Enter")
    keyboard.type("second line")
    assert one.page.input_value("#question") == "First line\nsecond line"
    keyboard.press("Enter")
    one.page.locator(".answer .foot").wait_for()
    assert one.page.evaluate(focused) == "question"
    one.page.evaluate("document.activeElement.blur(); getSelection().removeAllRanges(); document.body.tabIndex = -1; document.body.focus()")
    order = []
    for _ in range(9):
        keyboard.press("Tab")
        order.append(one.page.evaluate(focused))
    assert order == ["skip", "lazy", "theme", "new", "plain", "SUMMARY", "tokens", "question", "attach"], order
    one.page.locator(".tokens").focus()
    keyboard.press("ArrowRight")
    keyboard.press("ArrowRight")
    one.page.locator(".picture [role=status]", has_text="·b, token 1: 2 of 4 layers, stopped after layer 1").wait_for(state="attached")
    one.page.locator("#theme").focus()
    keyboard.press("Space")
    assert one.page.locator("html").get_attribute("data-theme") == "dark"


def test_light_and_dark_follow_the_system_and_the_switch(visit):
    background = "getComputedStyle(document.body).backgroundColor"
    light, dark = "rgb(246, 245, 241)", "rgb(18, 20, 25)"
    one = visit(color_scheme="dark")
    assert one.page.evaluate(background) == dark
    assert one.page.locator("#theme").get_attribute("aria-pressed") == "true"
    one.page.click("#theme")
    assert one.page.evaluate(background) == light
    one.page.reload()
    assert one.page.evaluate(background) == light
    assert visit(color_scheme="light").page.evaluate(background) == light


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_readable_against_its_background(visit, scheme):
    """The contrast that WCAG asks of text, 4.5 to 1, over every mark of the tokens too."""
    one = visit(color_scheme=scheme)
    stages = [{"layer": i, "keep": 0.9, "positions": list(range(i + 1, 10))} for i in range(8)]
    one.answer_with(text_chunk("Some `code`, [link](https://example.org)."), *last_chunks([f" t{i}" for i in range(10)], stages, n_layers=10))
    one.ask("Readable?")
    ratios = one.page.evaluate("""() => {
      const parse = (colour) => colour.match(/[\\d.]+/g).map(Number);
      const light = ([r, g, b]) => [r, g, b].map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
      const behind = (node) => {
        const layers = [];
        for (; node !== null; node = node.parentElement) layers.push(parse(getComputedStyle(node).backgroundColor));
        return layers.reverse().reduce((under, [r, g, b, a = 1]) => [r, g, b].map((v, i) => v * a + under[i] * (1 - a)), [255, 255, 255]);
      };
      const found = {};
      for (const node of document.querySelectorAll("#model, #new, .asked p, .said p, .said code, .said a, .share, summary span, dt, dd, .legend li, .tokens span, .foot *, .prune, #keys, #attach")) {
        const [a, b] = [light(parse(getComputedStyle(node).color)), light(behind(node))];
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        const name = `${node.tagName}.${node.className}#${node.id}`;
        found[name] = Math.min(found[name] ?? 99, ratio);
      }
      return found;
    }""")
    assert len(ratios) > 18
    assert {name: ratio for name, ratio in ratios.items() if ratio < 4.5} == {}


def test_a_narrow_screen_shows_all_without_scrolling_sideways(visit):
    one = visit(viewport=NARROW)
    assert not one.is_wider_than_the_window()
    one.page.select_option("#lazy", "schedule")
    one.answer_with(text_chunk("W" * 300 + "\n\n```\n" + "x" * 300 + "\n```\n\n| a | b |\n|---|---|\n| " + "y" * 200 + " | z |\n"),
                    *last_chunks(["q" * 200, " b"], [{"layer": 1, "keep": 0.5, "positions": [0]}], n_layers=80))
    one.attach("a-very-long-name-" * 12 + ".txt", b"words")
    one.page.locator("#documents li").wait_for()
    assert not one.is_wider_than_the_window()
    one.ask("V" * 300)
    assert one.page.locator(".picture").is_visible()
    assert not one.is_wider_than_the_window()
    for name in ["Send", "Add a document", "New conversation"]:
        box = one.page.get_by_role("button", name=name).bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= NARROW["width"], name


def test_every_control_has_a_name(visit):
    one = visit()
    one.answer_with(text_chunk("Named.\n\n```\ncode\n```"), *last_chunks())
    one.ask("Names?")
    one.attach("a.txt", b"words")
    one.page.locator("#documents li").wait_for()
    one.page.select_option("#lazy", "schedule")
    session = one.context.new_cdp_session(one.page)
    nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    controls = {}
    for node in nodes:
        role = node.get("role", {}).get("value")
        if role in ("button", "textbox", "combobox", "link", "progressbar", "DisclosureTriangle", "img", "log", "form", "group"):
            if not node.get("ignored") and node["role"].get("type") != "internalRole":
                controls.setdefault(role, []).append(node.get("name", {}).get("value", ""))
    nameless = {role: names for role, names in controls.items() if role != "group" and "" in names}
    assert nameless == {}
    assert {"Send", "Dark", "New conversation", "Add a document", "Copy the answer", "Remove a.txt"} <= set(controls["button"])
    assert {"Your question", "Schedule"} <= set(controls["textbox"])
    assert any(name.startswith("Lazy prefill") for name in controls["combobox"])
    # What happens is told: the end of an answer, and every document.
    assert "a.txt is attached" in one.page.locator("#status").inner_text()


def test_an_answer_can_be_copied(visit):
    one = visit(permissions=["clipboard-read", "clipboard-write"])
    one.answer_with(text_chunk("Some **words**."), *last_chunks())
    one.ask("Copy?")
    one.page.get_by_role("button", name="Copy the answer").click()
    one.page.get_by_text("Copied", exact=True).wait_for()
    assert one.page.evaluate("navigator.clipboard.readText()") == "Some **words**."


def test_with_a_key_the_browser_asks_for_it(browser, lazyfill, smollm2):
    with Serving(lazyfill, smollm2, "--api-key", "secret", "-n", 4) as serving:
        serving.wait_until_ready()
        assert serving.request("GET", "/")[0] == 401
        context = browser.new_context(http_credentials={"username": "me", "password": "secret"})
        page = context.new_page()
        page.set_default_timeout(120_000)
        page.goto(serving.address)
        page.fill("#question", "Hello?")
        expect(page.locator("#send")).to_be_enabled(timeout=120_000)
        page.press("#question", "Enter")
        page.locator("details.picture").wait_for()
        context.close()
