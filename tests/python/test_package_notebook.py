"""How an answer shows itself, and what shows how far a prefill is."""

import html.parser
import re
import sys
import types

import pytest

from package import document, lazyfill as lf


class Page(html.parser.HTMLParser):
    """Elements and texts of a page; every element must be closed where it ought to be."""

    def __init__(self, page):
        super().__init__()
        self.open, self.names, self.texts, self.prompt = [], set(), [], []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.names.add(tag)
        self.open.append((tag, dict(attrs)))
        assert all(not name.startswith("on") for name, _ in attrs)

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        self.texts.append(data)
        if any(attrs.get("class") == "prompt" for _, attrs in self.open):
            self.prompt.append((data, self.open[-1][1]))


@pytest.fixture(scope="module")
def engine(smollm2):
    return lf.Engine.load(smollm2)


def test_the_picture_shows_every_token_as_deep_as_it_was_computed(engine, root):
    text = document(root, 3000) + " \u2603 \U0001f600"
    answer = engine.generate(text, lazy="9:0.5,15:0.5", max_tokens=3, temperature=0)
    page = Page(answer._repr_html_())
    assert "".join(shown for shown, _ in page.prompt) == text
    deepest = "".join(shown for shown, attrs in page.prompt if attrs["title"] == "computed in 30 of 30 layers")
    kept = b"".join(engine.piece(answer.prompt_token_ids[i]) for i in answer.kept[1]).decode(errors="ignore")
    characters = re.sub(r"[^ -~]", "", kept)
    assert re.sub(r"[^ -~]", "", deepest) == characters  # those of one token each
    titles = {attrs["title"] for _, attrs in page.prompt}
    assert titles == {f"computed in {n} of 30 layers" for n in (10, 16, 30)}


def test_strangers_write_text_and_nothing_else(engine):
    evil = "<script>alert(1)</script><img src=x onerror=alert(1)> \" onmouseover='x' & &amp; \u202e"
    answer = engine.generate(evil, lazy="15:0.5", max_tokens=2, forced_tokens=engine.tokenize("<b>"), temperature=0)
    page = answer._repr_html_()
    assert Page(page).names <= {"div", "style", "p", "table", "tr", "td", "b", "i", "span"}
    assert "".join(shown for shown, _ in Page(page).prompt) == evil
    assert "<script" not in page and "<img" not in page and "<b>alert" not in page


def test_both_times_where_the_dense_one_is_known(smollm2, root):
    engine = lf.Engine.load(smollm2)
    prompt = document(root, 2000)
    answer = engine.generate(prompt, lazy="15:0.3", max_tokens=1)
    assert answer.dense_ttft_ms is None and "first token, dense" not in Page(answer._repr_html_()).texts
    measured = answer.measure_dense()
    assert measured == answer.dense_ttft_ms > 0
    assert "first token, dense" in Page(answer._repr_html_()).texts
    assert engine.generate(prompt, lazy="15:0.3", max_tokens=1).dense_ttft_ms == measured  # remembered
    dense = engine.generate(prompt, lazy="off", max_tokens=1)
    assert "in all layers" in "".join(Page(dense._repr_html_()).texts)


def test_an_answer_prints_as_its_text(engine):
    answer = engine.generate("Rome, Paris,", max_tokens=40, temperature=0)
    assert str(answer) == answer.text
    assert repr(answer).startswith("<Answer ") and "40 tokens" in repr(answer)
    assert "30 layers" in repr(engine)


class Bar:
    """What tqdm makes, as far as it is used."""

    made = []

    def __init__(self, **settings):
        self.settings, self.n, self.is_closed = settings, 0, False
        Bar.made.append(self)

    def update(self, n):
        self.n += n

    def close(self):
        self.is_closed = True


@pytest.fixture
def bars(monkeypatch):
    Bar.made = []
    auto = types.SimpleNamespace(tqdm=Bar)
    monkeypatch.setitem(sys.modules, "tqdm", types.SimpleNamespace(auto=auto))
    monkeypatch.setitem(sys.modules, "tqdm.auto", auto)
    return Bar.made


def test_a_bar_shows_how_far_the_prefill_is(engine, root, bars):
    engine.generate(document(root, 6000), max_tokens=1, progress=True)
    assert len(bars) == 1 and 0 < bars[0].n <= 100 and bars[0].is_closed
    engine.generate("Rome,", max_tokens=1)  # no notebook: none unless asked for
    assert len(bars) == 1


def test_in_a_notebook_there_is_a_bar_unless_told_otherwise(engine, bars, monkeypatch):
    shell = types.SimpleNamespace(config={"IPKernelApp": {}})
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    engine.generate("Rome,", max_tokens=1)
    assert len(bars) == 1 and bars[0].is_closed
    engine.generate("Rome,", max_tokens=1, progress=False)
    assert len(bars) == 1


def test_without_tqdm_only_who_asks_for_a_bar_hears_of_it(engine, monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    with pytest.raises(ModuleNotFoundError, match="notebook"):
        engine.generate("Rome,", max_tokens=1, progress=True)
    shell = types.SimpleNamespace(config={"IPKernelApp": {}})
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    assert engine.generate("Rome,", max_tokens=1).token_ids
