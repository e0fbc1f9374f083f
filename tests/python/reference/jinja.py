"""Python's jinja2, set up as transformers sets it up for chat templates, and the tool that renders with ours."""

import datetime
import json
import subprocess

import jinja2
import jinja2.ext
import jinja2.sandbox

NOW_S = 1753526096  # 2025-07-26 10:34:56 UTC


class Generation(jinja2.ext.Extension):
    """{% generation %}: marks what an assistant said, for training; renders as what it holds."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_support"), [], [], body).set_lineno(line)

    def _support(self, caller):
        return caller()


def environment():
    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    env = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True,
                                                       extensions=[Generation, jinja2.ext.loopcontrols])
    env.compiled = {}  # the latest template
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    now = datetime.datetime.fromtimestamp(NOW_S, datetime.timezone.utc)
    env.globals["strftime_now"] = lambda text: now.strftime(text)
    return env


def request(template, messages=(), tools=None, variables=None, add_generation_prompt=True):
    return {"template": template, "messages": list(messages), "tools": tools, "variables": variables or {},
            "add_generation_prompt": add_generation_prompt, "now_s": NOW_S}


def render_reference(case, env):
    """The text, or None where jinja2 refuses, and the name of its error. `env` keeps what it has compiled."""
    given = {"bos_token": "<s>", "eos_token": "</s>", "tools": None, "documents": None, **case["variables"]}
    if case["tools"] is not None:
        given["tools"] = case["tools"]
    try:
        if case["template"] not in env.compiled:
            env.compiled = {case["template"]: env.from_string(case["template"])}
        text = env.compiled[case["template"]].render(
            messages=case["messages"], add_generation_prompt=case["add_generation_prompt"], **given)
        text.encode("utf-8")  # lone surrogates are no text
        return text, None
    except Exception as error:  # pylint: disable=broad-except
        return None, f"{type(error).__name__}: {error}"


def render_ours(tool, cases):
    """[{"text": ...} or {"error": ...}] of all cases by one run of template_tool."""
    lines = "".join(json.dumps(case) + "\n" for case in cases)
    result = subprocess.run([tool], input=lines, capture_output=True, text=True, encoding="utf-8", check=True,
                            env={"TZ": "UTC"}, timeout=300)
    return [json.loads(line) for line in result.stdout.splitlines()]
