"""Small random templates: expressions over values of every type, statements around them, and whitespace control.

Expressions mostly fit the types they are used with, so that most templates render; now and then they do not, and then
jinja2 and our interpreter must both refuse.
"""

import random

LITERALS = {
    "text": ["''", "'a'", "'A b'", "'h\u00e9llo'", "' x '", "'a,b,,c'", "'line\\nend\\n'", "'12'", "' 42 '", "'3.7'", "'<&>'", "'\u6f22\u5b57'", "'\\t\\x41'",
             "x", "s", "bos_token", "messages[-1].content", "messages[0]['role']", "tools[0].function.name", "\"it's\"", "'a' 'b'", "'l\\x0bm\\u2028n\\r\\no'"],
    "number": ["0", "1", "2", "-1", "7", "3.5", "0.0", "-0.0", "2.5", "1e2", "1e20", "0.1", "0x1F", "1_00", "y", "n", "ns.v", "messages | length", "loop.index0", "1.005", "2.675"],
    "list": ["[]", "[1]", "[3, 1, 2]", "['b', 'A']", "[1, 'a', none]", "[[1, 2], [3]]", "()", "(1,)", "(1, 'x')", "[{'n': 2, 's': 'x'}, {'n': 1, 's': 'Y'}]", "range(3)", "range(5, 0, -2)",
             "l", "messages", "tools", "d.items()", "d.keys()", "messages[1:]", "['x', 'Y', 'x']"],
    "dict": ["{}", "{'a': 1}", "{'b': [1, 2], 'a': none}", "{1: 'one', none: 2, true: 3}", "d", "messages[0]", "tools[0].function", "tools[0]['function']['parameters']", "messages[2]", "dict(a=1, b='x')"],
    "flag": ["true", "false", "add_generation_prompt", "flag", "loop.last", "not x"],
    "other": ["none", "missing", "m", "m.content", "k", "v", "q", "loop.first", "ns", "missing.x", "f", "d.missing"],
}
# (filter, type of its result) by the type that goes in.
FILTERS = {
    "text": [("trim", "text"), ("length", "number"), ("upper", "text"), ("lower", "text"), ("capitalize", "text"), ("title", "text"), ("list", "list"), ("first", "text"), ("last", "text"),
             ("int", "number"), ("int(7)", "number"), ("int(0, 16)", "number"), ("float", "number"), ("reverse", "text"), ("join('-')", "text"), ("replace('a', 'b')", "text"),
             ("replace('l', 'L', 1)", "text"), ("indent", "text"), ("indent(2, true)", "text"), ("indent(width=1, blank=true)", "text"), ("e", "text"), ("safe", "text"), ("escape", "text"),
             ("tojson", "text"), ("tojson(ensure_ascii=true)", "text"), ("center(9)", "text"), ("truncate(5)", "text"), ("truncate(5, true, '')", "text"), ("trim('a ')", "text"),
             ("wordcount", "number"), ("urlencode", "text"), ("string", "text"), ("default('d')", "text"), ("default('d', true)", "text"), ("map('upper') | join", "text"), ("sort | join", "text"),
             ("unique | join", "text"), ("forceescape", "text"), ("batch(2) | list", "list"), ("min", "text"), ("max", "text"), ("count", "number"), ("select('in', 'aeiou') | list", "list")],
    "number": [("string", "text"), ("abs", "number"), ("round", "number"), ("round(1)", "number"), ("round(2)", "number"), ("round(-1)", "number"), ("round(2, 'ceil')", "number"),
               ("round(method='floor')", "number"), ("int", "number"), ("float", "number"), ("tojson", "text"), ("default(5)", "number"), ("d(5, true)", "number"), ("upper", "text")],
    "list": [("length", "number"), ("first", "other"), ("last", "other"), ("list", "list"), ("join(', ')", "text"), ("join('-', attribute='n')", "text"), ("tojson", "text"), ("tojson(indent=2)", "text"),
             ("reverse | list", "list"), ("sort", "list"), ("sort(reverse=true)", "list"), ("sort(attribute='n')", "list"), ("sort(attribute='s,n')", "list"), ("unique | list", "list"),
             ("min", "other"), ("max", "other"), ("sum", "number"), ("sum(attribute='n')", "number"), ("sum(start=10)", "number"), ("map('string') | list", "list"), ("map('length') | list", "list"),
             ("map(attribute='n') | list", "list"), ("map(attribute='role') | join(',')", "text"), ("map(attribute='function.name', default='?') | list", "list"), ("map(attribute='0') | list", "list"),
             ("select | list", "list"), ("select('string') | list", "list"), ("select('gt', 1) | list", "list"), ("reject('none') | list", "list"), ("selectattr('n') | list", "list"),
             ("selectattr('role', 'equalto', 'user') | list", "list"), ("selectattr('n', 'defined') | map(attribute='n') | list", "list"), ("rejectattr('n', 'gt', 1) | list", "list"),
             ("selectattr('role', 'in', ['user', 'tool'])", "list"), ("map('upper')", "list"), ("batch(2) | list", "list"), ("batch(2, 'x') | list", "list"), ("slice(2) | list", "list"), ("slice(3, 0) | list", "list"),
             ("groupby('n')", "list"), ("groupby('role', default='none')", "list"), ("string", "text"), ("default([])", "list"), ("min(attribute='n')", "other"), ("count", "number"), ("reject | list", "list")],
    "dict": [("length", "number"), ("tojson", "text"), ("tojson(indent=1)", "text"), ("tojson(sort_keys=true)", "text"), ("tojson(separators=(',', ':'))", "text"), ("tojson(indent='\\t')", "text"),
             ("items | list", "list"), ("dictsort", "list"), ("dictsort(by='value')", "list"), ("dictsort(true, reverse=true)", "list"), ("list", "list"), ("first", "text"), ("string", "text"), ("join(',')", "text"), ("attr('x')", "other")],
    "flag": [("string", "text"), ("int", "number"), ("tojson", "text"), ("default(true)", "flag"), ("lower", "text")],
    "other": [("default('d')", "text"), ("d(none)", "other"), ("default('d', true)", "text"), ("string", "text"), ("list", "list"), ("trim", "text"), ("length", "number"), ("tojson", "text"), ("first", "other")],
}
METHODS = {
    "text": [("strip()", "text"), ("lstrip()", "text"), ("rstrip()", "text"), ("strip('a ')", "text"), ("rstrip('\\n')", "text"), ("split()", "list"), ("split(',')", "list"), ("split(',', 1)", "list"),
             ("rsplit(',', 1)", "list"), ("split(none, 1)", "list"), ("split(sep=',', maxsplit=2)", "list"), ("splitlines()", "list"), ("splitlines(true)", "list"), ("upper()", "text"), ("lower()", "text"), ("title()", "text"),
             ("capitalize()", "text"), ("swapcase()", "text"), ("startswith('a')", "flag"), ("startswith(('a', ' '))", "flag"), ("startswith('b', 2)", "flag"), ("endswith('c')", "flag"), ("find('b')", "number"),
             ("rfind('l')", "number"), ("find('l', 3)", "number"), ("find('', 1, 4)", "number"), ("count('a')", "number"), ("count('')", "number"), ("replace('a', 'bb')", "text"), ("replace('', '-')", "text"),
             ("replace('l', '', 1)", "text"), ("join(['x', 'y'])", "text"), ("join('ab')", "text"), ("isdigit()", "flag"), ("isalpha()", "flag"), ("isalnum()", "flag"), ("isspace()", "flag"), ("isupper()", "flag"),
             ("islower()", "flag"), ("istitle()", "flag"), ("isascii()", "flag"), ("isnumeric()", "flag"), ("removeprefix('a')", "text"), ("removesuffix('c')", "text"), ("zfill(5)", "text"), ("ljust(6, '.')", "text"),
             ("rjust(6)", "text"), ("center(7, '*')", "text"), ("center(6)", "text"), ("partition(',')", "list"), ("rpartition(',')", "list"), ("format(1, 'z')", "text"), ("index('a')", "number"), ("nosuch", "other")],
    "list": [("count(1)", "number"), ("index(1)", "number"), ("copy()", "list"), ("0", "other"), ("append(1)", "other"), ("nosuch", "other")],
    "dict": [("items()", "list"), ("keys()", "list"), ("values()", "list"), ("items() | list", "list"), ("values() | list", "list"), ("get('a')", "other"), ("get('zz')", "other"), ("get('zz', 5)", "number"),
             ("a", "other"), ("content", "text"), ("role", "text"), ("type", "text"), ("copy()", "dict"), ("pop('a')", "other"), ("__class__", "other"), ("items", "other")],
    "number": [("nosuch", "other")],
    "flag": [("nosuch", "other")],
    "other": [("a", "other"), ("index", "number"), ("cycle('a', 'b')", "text"), ("changed(1)", "flag"), ("previtem", "other"), ("nextitem", "other"), ("length", "number"), ("v", "number")],
}
TESTS = ["defined", "undefined", "none", "string", "number", "integer", "float", "boolean", "mapping", "sequence", "iterable", "callable", "true", "false", "in([1, 2, 'a'])", "eq 1", "equalto('a')",
         "ne none", "sameas none", "upper", "lower", "escaped", "==('a')"]
NUMBER_TESTS = ["odd", "even", "divisibleby(2)", "divisibleby 3", "lt(2)", "ge 1", "gt 0", "lessthan 3"]
TEXTS = ["", " ", "\n", "text", "\n  ", "  \n\n", "a{b}", "\t", "\u00a0", "x\r\ny", "% }", "{ { ", "#"]
KINDS = ["text", "number", "list", "dict", "flag", "other"]


class Generator:
    def __init__(self, seed):
        self.random = random.Random(seed)

    def choice(self, options):
        return self.random.choice(options)

    def any(self, depth):
        return self.expression(self.choice(KINDS), depth)

    def expression(self, kind, depth):
        """Of the kind, if nothing went wrong on purpose."""
        if self.random.random() < 0.01:
            kind = self.choice(KINDS)
        if depth <= 0 or self.random.random() < 0.2:
            return self.choice(LITERALS[kind])
        makers = [self.filtered, self.filtered, self.method, self.conditional]
        makers += {"text": [self.text, self.text, self.sliced], "number": [self.number, self.number], "list": [self.list, self.sliced], "dict": [self.dict],
                   "flag": [self.flag] * 5, "other": [self.item, self.item]}[kind]
        return self.choice(makers)(kind, depth - 1)

    def operand(self, text):
        return f"({text})" if " " in text and self.random.random() < 0.9 else text

    def chosen(self, table, kind, depth, link):
        options = [(source, name) for source in KINDS for name, result in table[source] if result == kind]
        if not options:
            return self.choice(LITERALS[kind])
        source, name = self.choice(options)
        return f"{self.operand(self.expression(source, depth))}{link}{name}"

    def condition(self, depth):
        return self.operand(self.expression("flag", depth))

    def filtered(self, kind, depth):
        return self.chosen(FILTERS, kind, depth, " | ")

    def method(self, kind, depth):
        return self.chosen(METHODS, kind, depth, ".")

    def conditional(self, kind, depth):
        otherwise = f" else {self.expression(kind, depth)}" if self.random.random() < 0.9 else ""
        return f"{self.operand(self.expression(kind, depth))} if {self.operand(self.any(depth))}{otherwise}"

    def text(self, kind, depth):
        one, other = self.operand(self.expression("text", depth)), self.operand(self.expression("text", depth))
        return self.choice([f"{one} + {other}", f"{one} ~ {self.operand(self.any(depth))} ~ {other}", f"{one} * {self.choice('0123')}", f"f({one})", f"g({one}, b={other})", f"'%s:%d' % ({one}, 3)",
                            f"'%5.2f|%-4s|' % (2.5, {one})", f"'{{}}-{{}}'.format({one}, {other})", f"{one} or {other}", f"{one} and {other}"])

    def number(self, kind, depth):
        one, other = self.operand(self.expression("number", depth)), self.operand(self.expression("number", depth))
        return self.choice([f"{one} {self.choice(['+', '-', '*', '/', '//', '%'])} {other}", f"{one} ** {self.choice(['2', '0', '-1', '0.5'])}", f"-{one}", f"+{one}", f"{one} + {other} * 2"])

    def list(self, kind, depth):
        one = self.operand(self.expression("list", depth))
        return self.choice([f"{one} + [{self.any(depth)}]", f"[{self.any(depth)}, {self.any(depth)}]", f"({self.any(depth)},)", f"{one} * 2", f"{one} or [1]"])

    def dict(self, kind, depth):
        return self.choice([f"{{'k': {self.any(depth)}, 'l': 1}}", f"dict(a={self.any(depth)})", f"{{{self.operand(self.expression('text', depth))}: {self.any(depth)}}}"])

    def flag(self, kind, depth):
        number = lambda: self.operand(self.expression("number", depth))
        maybe_not = self.choice(["", "", "not "])
        return self.choice([
            f"{self.operand(self.any(depth))} is {maybe_not}{self.choice(TESTS)}", f"{number()} is {self.choice(NUMBER_TESTS)}", f"{number()} {self.choice(['<', '>', '<=', '>='])} {number()}",
            f"{number()} < {number()} <= {number()}", f"{self.operand(self.any(depth))} {self.choice(['==', '!='])} {self.operand(self.any(depth))}",
            f"{self.operand(self.expression('text', depth))} {maybe_not}in {self.operand(self.expression(self.choice(['text', 'list', 'dict']), depth))}",
            f"{self.any(depth)} {self.choice(['and', 'or'])} {self.any(depth)}", f"not {self.operand(self.any(depth))}",
            f"{self.operand(self.expression('text', depth))} < {self.operand(self.expression('text', depth))}"])

    def sliced(self, kind, depth):
        part = self.choice(["[1:]", "[:-1]", "[::-1]", "[::2]", "[1:3]", "[-2:]", "[4:1:-1]", "[:]", "[-9:9]", "[:none]", "[9999999999999:]", "[::-9999999999999]", "[n:]"])
        # Not of a value of another kind: jinja2 computes slices of constants in advance, and then they never fail.
        return f"{self.operand(self.choice(LITERALS[kind]))}{part}"

    def item(self, kind, depth):
        source = self.choice(["text", "list", "dict", "dict", "list"])
        part = self.choice(["['a']", "['role']", "['n']", "[none]", "[1]"] if source == "dict" else ["[0]", "[-1]", "[9]", "[1.5]", "[true]", "['x']", "[n]", "[-1]", "[0]"])
        return f"{self.operand(self.expression(source, depth))}{part}"

    def tag(self, kind, body):
        begin = self.choice(["", "", "", "-", "-", "+"])
        end = self.choice(["", "", "", "-", "-", "+"] if kind == "%" else ["", "", "-"])
        return f"{{{kind}{begin} {body} {end}{'}}' if kind == '{' else '%}'}"

    def statements(self, depth):
        return "".join(self.statement(depth - 1) for _ in range(self.random.randint(1, 2)))

    def statement(self, depth):
        tag = self.tag
        pick = self.random.random()
        text = self.choice(TEXTS)
        if depth <= 0 or pick < 0.4:
            return text + tag("{", self.any(2))
        if pick < 0.5:
            otherwise = tag("%", "else") + self.statements(depth) if self.random.random() < 0.5 else ""
            return text + tag("%", f"if {self.condition(2)}") + self.statements(depth) + otherwise + tag("%", "endif")
        if pick < 0.68:
            return text + self.loop(depth)
        if pick < 0.8:
            name, kind = self.choice([("x", "text"), ("s", "text"), ("y", "number"), ("l", "list"), ("d", "dict"), ("ns.v", "number"), ("m", "other")])
            return text + tag("%", f"set {name} = {self.expression(kind, 2)}")
        if pick < 0.82:
            return text + tag("%", f"set {self.choice(['y, n', '(y, n)'])} = 1, {self.expression('number', 1)}")
        if pick < 0.86:
            return tag("%", f"set {self.choice('xs')}{self.choice(['', ' | upper', ' | trim'])}") + self.statements(depth) + tag("%", "endset")
        if pick < 0.9:
            return tag("%", f"macro {self.choice('fh')}({self.choice(['x', 'x, b=2', 'a, b=n'])})") + self.statements(depth) + tag("%", "endmacro")
        if pick < 0.92:
            return tag("%", f"filter {self.choice(['upper', 'trim', 'indent(2)', 'replace(1, 2) | trim'])}") + self.statements(depth) + tag("%", "endfilter")
        if pick < 0.94:
            return tag("%", f"with {self.choice('xyz')} = {self.any(1)}, q = 1") + self.statements(depth) + tag("%", "endwith")
        if pick < 0.96:
            return self.choice(["{# c #}", "{#- c -#}", "{% raw %}\n{{ x }}{% endraw %}", "{%- raw -%} {% x {%- endraw +%}\n", "  {# c #}\n", "\n  {%+ raw %} {% endraw -%}\n"])
        if pick < 0.98:
            return tag("%", "generation") + self.statements(depth) + tag("%", "endgeneration")
        return tag("%", "call(q) g(1)") + self.statements(depth) + tag("%", "endcall")

    def loop(self, depth):
        tag = self.tag
        target, over = self.choice([("m", "messages"), ("m", self.operand(self.expression("list", 2))), ("k, v", "d.items()"), ("v", "'h\u00e9'"), ("y", "range(4)"), ("k, v", "d | dictsort"),
                                    ("k", self.operand(self.expression("dict", 1))), ("a, (b, c)", "[(1, (2, 3))]"), ("m", "messages | selectattr('role', 'ne', 'system')"), ("v", self.operand(self.expression("text", 1)))])
        where = f" if {self.condition(1)}" if self.random.random() < 0.2 else ""
        jump = ""
        if self.random.random() < 0.2:
            jump = tag("%", f"if {self.condition(1)}") + tag("%", self.choice(["break", "continue"])) + tag("%", "endif")
        otherwise = tag("%", "else") + self.choice(TEXTS) if self.random.random() < 0.2 else ""
        show = tag("{", self.choice(["loop.index", "loop.last", "loop.revindex0", "loop.cycle(1, 2)", "loop.length", "loop.previtem is defined"])) if self.random.random() < 0.4 else ""
        return tag("%", f"for {target} in {over}{where}") + show + jump + self.statements(depth) + otherwise + tag("%", "endfor")

    def template(self):
        before = ("{% set x = 'Ab c' %}{% set y = 3 %}{% set n = 2 %}{% set s = ' text, more ' %}{% set l = [3, 1, 2] %}{% set d = {'b': 1, 'a': 7} %}"
                  "{% set ns = namespace(v=1) %}{% macro f(a) %}<{{ a }}>{% endmacro %}{% macro g(a, b=2) %}{{ a ~ b }}{% if caller %}{{ caller(1) }}{% endif %}{% endmacro %}")
        before = before if self.random.random() < 0.95 else ""
        return before + "".join(self.statement(3) for _ in range(self.random.randint(1, 3)))
