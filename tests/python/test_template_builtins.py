"""What Jinja and Python bring along, case by case against jinja2: str.format(), unpacked arguments, joiner and its like,
filters that lay text out, and templates that look at every character of a long text."""

import random

import pytest

from reference import jinja
from test_templates import compare, template_tool  # pylint: disable=unused-import

VARIABLES = {
    "infinity": "inf", "no_number": "nan", "n": 7, "long": "The quick brown fox jumps over the lazy dog. " * 5,
    "d": {"b": [1, 2, 3] * 12, "a": {"x": "hello world " * 9, "y": None}, "c": "it's"},
    "l": [{"name": f"n{i}", "v": i * 1.5, "t": "tex\tt \u00e9 \u6f22\u5b57 " * i} for i in range(7)],
    "hyphens": "well-known co-op--really --x a-b ab-c abc-def-ghi--jkl mother-in-law's 'a-b-cd' --- --foo bar-- \u00e9-\u00e0 ab-\u00e9\u00e9",
    "html": "<p>A &amp; B <b>c</b><!-- x > y --> &eacute;&nbsp;d &#233; &#x41; &notit; &bogus; &#0; &#150; &#xD800; &#11; &ampx &lt a < b",
    "lines": "one two three\n\n  four five six seven\r\nEight\x0bnine", "words": "x" * 30 + " " + "y-" * 15 + " zz"}

SPECIFICATIONS = [
    "", "5", ">5", "<5", "5^", "^5", "*^9", "05", "+", "-", " ", "+05", "08.3f", ".2f", ".3", "8.3", "e", ".1e", "g", "G", "E", "%", ".1%", ",", "_", ",.2f", "010,", "012,.1f", "08,", "#x", "x", "X",
    "#X", "b", "#b", "o", "#o", "#010x", "_x", "_b", "020_b", "c", "n", "d", "s", "5s", ".2s", ">8.3s", "=5", "=+8", "^+9.1f", "z", "z.1f", "F", "q", "5q", ",s", ".", "5.", "<05", "\u00e9>6",
    "\u6f22^7", "+c", "#c", "_,", ",_", ",,", "0", "00", "007", "{n}", "{n}.{n}", "<{n}", "{:}", "=^9", "#.3", "#g", "#.0f", "0^9", "0>9", "0<9", ".0", "0.0", "9" * 22, ".0f", ".0%", "- 5", "+,", ".17", "015"]
VALUES = ["7", "-7", "0", "1234567", "-1234567", "2.5", "-2.5", "0.0", "-0.0", "1e20", "1e-7", "1234.5678", "123456789.0", "100.0", "true", "'ab'", "'h\u00e9llo w\u00f6rld'", "''", "none", "[1]", "{'a': 1}",
          "missing", "65", "1114111", "-0.04", "0.00001234", "1e300", "infinity | float", "no_number | float", "-(infinity | float)", "9223372036854775807", "99.995"]
FIELDS = [
    "'{0}{1}{0}'.format(1, 2)", "'{}{0}'.format(1)", "'{0}{}'.format(1)", "'{a[b]}'.format(a=d)", "'{0.a.y}'.format(d)", "'{0[a][x]!r:.5}'.format(d)", "'{0[0]}'.format([1])", "'{0[-1]}'.format([1])", "'{0[5]}|'.format([1])",
    "'{!r}{!s}{!a}'.format('\u00e9', '\u00e9', '\u00e9')", "'{!x}'.format(1)", "'{!}'.format(1)", "'{!r'.format(1)", "'{!rx}'.format(1)", "'{'.format(1)", "'}'.format(1)", "'{{}}{}'.format(1)", "'{:{}}|'.format('a', 5)",
    "'{:{w}.{p}f}'.format(3.14159, w=10, p=2)", "'{:{:{}}}'.format(1, 2, 3)", "'{:{{}}}'.format(1)", "'{0:{1}}'.format('a', 5)", "'{0:{}}'.format('a', 5)", "'{a.b}'.format(a=missing)", "'{a}'.format(a=missing)", "'{}'.format()",
    "'{5}'.format(1)", "'{a}'.format()", "'{.x}'.format(1)", "'{a[x}'.format(a=1)", "'{a[x]y}'.format(a={'x': 1})", "'{a[]}'.format(a={})", "'{a.}'.format(a={})", "'{a..b}'.format(a={})", "'{a[x:y]}'.format(a={'x:y': 4})",
    "'{a[x!r]}'.format(a={'x!r': 4})", "'{x}{y}'.format_map({'x': 1, 'y': 2})", "'{x}'.format_map({})", "'{0}'.format_map({'0': 1})", "'{x}'.format_map(1)", "'{:>{}}{}'.format(1, 4, 9)", "'{ 0}'.format(1)", "'{00}'.format(1)",
    "'%c%c' | format(65, 'b')", "'%a' | format('\u00e9')", "'%5c|' | format(66)", "'%c' | format('ab')", "'%c' | format(-1)", "('<{}>' | safe).format('&')", "('{:>5}' | safe).format('x')", "'{:>5} {:<5}|'.format('b', 'c')"]
CALLS = ["{{ f(*[1]) }}", "{{ f(*[1, 2, 3]) }}", "{{ f(1, *[2]) }}", "{{ f(*[1], **{'c': 9}) }}", "{{ f(a=1, *[2]) }}", "{{ f(b=1, *[2]) }}", "{{ f(*[1], b=5) }}", "{{ f(**{'a': 1}, **{'b': 2}) }}", "{{ f(*[1], *[2]) }}",
         "{{ f(*[1, 2, 3, 4]) }}", "{{ f(**{'x': 1}) }}", "{{ f(*'xyz') }}", "{{ f(*{'p': 1, 'q': 2}) }}", "{{ f(*missing) }}", "{{ f(**missing) }}", "{{ f(*5) }}", "{{ f(**[1]) }}", "{{ f(1, **{'a': 1}) }}", "{{ f(**{1: 2}) }}",
         "{{ f(a=1, **{'a': 2}) }}", "{{ f(*(1, 2),) }}", "{{ f(*[], **{}) }}", "{{ f(**{'a': 1}, b=2) }}", "{{ f(**{'a': 1}, 3) }}", "{{ f(*[1], 3) }}", "{{ f(* [1] if n else [2]) }}", "{{ range(*[1, 4]) | list }}",
         "{{ dict(**{'x': 1}) | tojson }}", "{{ namespace(**{'x': 1}).x }}", "{{ 'a-b'.split(*['-']) }}", "{{ '{}{a}'.format(*[1], **{'a': 2}) }}", "{{ long | truncate(*[9, true]) }}", "{{ l | map(**{'attribute': 'name'}) | list }}",
         "{{ 4 is divisibleby(*[2]) }}", "{% call f(*[1, 2]) %}x{% endcall %}", "{{ [3, 1] | sort(**{'reverse': true}) }}", "{% filter replace(*['a', 'b']) %}abc{% endfilter %}", "{{ f(2**3) }}", "{{ f(**none) }}",
         "{% macro v() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ v(1, 2, x=3) }}{{ v() }}", "{% macro v(a) %}{{ a }}{{ kwargs | tojson }}{% endmacro %}{{ v(1, b=3) }}|{{ v(a=1, b=2) }}", "{% macro v(a) %}{{ kwargs }}{% endmacro %}{{ v(1, 2) }}",
         "{% macro v(a) %}{{ varargs }}{% endmacro %}{{ v(1, b=2) }}", "{% macro v() %}{{ f(*varargs, **kwargs) }}{% endmacro %}{{ v(1, 2) }}{{ v(1, b=7) }}", "{{ varargs }}", "{% macro v(kwargs) %}{{ kwargs }}{% endmacro %}{{ v(kwargs=2) }}",
         "{% macro v(a) %}{{ caller(*varargs) }}{% endmacro %}{% call(x, y) v(1, 2, 3) %}{{ x }}/{{ y }}{% endcall %}", "{% macro v(a) %}{{ kwargs | tojson }}{% endmacro %}{{ v(1, a=3) }}", "{% macro v() %}{{ caller }}{% endmacro %}{{ v(caller=1) }}"]
HELPERS = ["{% set j = joiner() %}{% for i in l %}{{ j() }}{{ i.name }}{% endfor %}", "{% set j = joiner('|') %}{{ j() }}a{{ j() }}b{{ j.used }}{{ j.sep }}{{ j.x is defined }}", "{% set j = joiner(sep=1) %}{{ j() }}{{ j() }}", "{{ joiner(1, 2) }}",
           "{% set j = joiner() %}{{ j(1) }}", "{% set j = joiner() %}{{ j is callable }}{{ j is mapping }}{{ j is string }}{{ j is iterable }}", "{% set j = joiner() %}{% set j.sep = 'x' %}", "{{ joiner(*['x'])() }}",
           "{% set c = cycler('a', 'b', 'c') %}{{ c.next() }}{{ c.next() }}{{ c.current }}{{ c.next() }}{{ c.next() }}{{ c.reset() }}{{ c.current }}{{ c.pos }}{{ c.items }}", "{{ cycler() }}", "{{ cycler(a=1) }}",
           "{% set c = cycler(1) %}{{ c.next() }}{{ c.next() }}{{ c is callable }}"] + [
    f"{{{{ {name!r} is filter }}}} {{{{ {name!r} is test }}}}" for name in ("upper", "foo", "tojson", "pprint", "wordwrap", "defined", "in", "==", "filter", "test", "")] + [
    "{{ none is filter }}", "{{ [1] is filter }}", "{{ 5 is test }}", "{{ ['upper', 'x'] | select('filter') | list }}", "{{ missing is filter }}"]
SUBJECTS = ["long", "d", "l", "hyphens", "n", "html", "lines", "words", "''", "[]", "{}", "none", "missing", "(1,)", "(long,)", "[long, long]", "range(60)", "{2: 'x', 'a': 1, none: 3, 1.5: []}", "true", "'x' * 100", "['x' * 90]",
            "{'k': 'y ' * 60}", "d.items()", "1e30", "'12'", "namespace(a=1)", "[missing]", "'\\n' * 100", "'word ' * 16 ~ '\\n' ~ 'x' * 85", "dict(l[2], z=long)", "[[[[long]]]]", "[(1,), ('a' * 80,)]"] + [
    str(size) for size in (0, 1, 1.0, 2, 999, 1000, 1023, 1024, 999999, 1e6, 1e9, 1e12, 1e15, 1e18, 1e21, 1e24, 1e27, 1e30, 1e300, -5, -5.7, 0.5)] + ["'1e24'", "infinity", "no_number"]
FILTERS = ["pprint", "striptags", "wordwrap", "wordwrap(10)", "wordwrap(5, false)", "wordwrap(1)", "wordwrap(7, true, '|', false)", "wordwrap(width=12, break_on_hyphens=false, wrapstring='\\n> ')", "wordwrap(0)", "wordwrap(3)",
           "filesizeformat", "filesizeformat(true)", "filesizeformat(binary=true)", "xmlattr", "xmlattr(false)"]
PIECES = ["a", "bb", "well-known", "x--y", "--", "e.g.,", "'tis", "\t", " ", "  ", "\n", "\u00a0", "\u00e9", "\u6f22\u5b57", "word" * 9, "1-2", "a-1b", "ab-cd", "<b>", "</b>", "&amp;", "&lt", "&#65;", "&ampx", "<!--", "-->", ">", "<", '"q"', "\\", "'",
          "\u200b", "-"]


def check(tool, templates):
    return compare(tool, [jinja.request(template, [{"role": "user", "content": "hi"}], None, VARIABLES) for template in templates])


def test_format_specifications(template_tool):
    assert check(template_tool, [f"{{{{ '[{{:{spec}}}]'.format({value}, n=8) }}}}" for spec in SPECIFICATIONS for value in VALUES]) > 1000


def test_format_fields(template_tool):
    assert check(template_tool, [f"{{{{ {field} }}}}" for field in FIELDS]) > 20


def test_unpacked_arguments(template_tool):
    assert check(template_tool, ["{% macro f(a, b=2, c=3) %}{{ a }}|{{ b }}|{{ c }}{% endmacro %}" + call for call in CALLS]) > 25


def test_joiner_cycler_and_names_of_filters_and_tests(template_tool):
    assert check(template_tool, HELPERS) > 18


def test_layout_filters(template_tool):
    assert check(template_tool, [f"{{{{ ({subject}) | {name} }}}}" for subject in SUBJECTS for name in FILTERS]) > 200


def literal(text):
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def random_value(source, depth):
    pick = source.random()
    if depth == 0 or pick < 0.4:
        return source.choice([literal(random_text(source)), "3", "none", "2.5", "'a'", "missing", "true"])
    items = [random_value(source, depth - 1) for _ in range(source.randint(0, 6))]
    if pick < 0.6:
        return "[" + ", ".join(items) + "]"
    if pick < 0.7:
        return "(" + "".join(item + "," for item in items) + ")"
    return "{" + ", ".join(f"{source.choice([literal('k%d' % i), str(i), literal('key ' * i)])}: {item}" for i, item in enumerate(items)) + "}"


def random_text(source):
    return "".join(source.choice(PIECES) + source.choice(["", " ", ""]) for _ in range(source.randint(1, 40)))


@pytest.mark.parametrize("seed", range(2))
def test_layout_of_random_text(template_tool, seed):
    source = random.Random(seed)
    filters = ["striptags", "wordwrap({})", "wordwrap({}, false)", "wordwrap({}, true, none, false)", "pprint"]
    texts = [f"{{{{ {literal(random_text(source))} | {source.choice(filters).format(source.randint(1, 30))} }}}}" for _ in range(600)]
    values = [f"{{{{ {random_value(source, 3)} | pprint }}}}" for _ in range(400)]
    assert check(template_tool, texts + values) == 1000


def test_templates_of_vision_models_read_long_texts(template_tool):
    """They go through the parts of a message, which are the characters of one that is a plain text."""
    template = ("{% set images = namespace(n=0) %}{% for message in messages %}{{ message.role }}:{% for part in message['content'] %}"
                "{% if part['type'] == 'image' or 'image' in part or 'image_url' in part %}{% set images.n = images.n + 1 %}<image>{% elif part['type'] == 'video' or 'video' in part %}<video>"
                "{% elif 'text' in part %}{{ part['text'] }}{% endif %}{% endfor %}{% endfor %}{{ images.n }}")
    assert compare(template_tool, [jinja.request(template, [{"role": "user", "content": "word and " * 50000}])]) == 1


def test_limits_grow_with_the_text_only(template_tool):
    endless = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
    ours = jinja.render_ours(template_tool, [jinja.request(endless, [{"role": "user", "content": "hi"}])])
    assert "too many steps" in ours[0]["error"]
