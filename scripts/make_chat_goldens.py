#!/usr/bin/env python3
"""Writes tests/golden/chat_templates.json: what Python's jinja2 makes of templates, set up as transformers sets it up.

    scripts/make_chat_goldens.py [--model MODEL.gguf]

With a model, its own chat template is among the cases; without one, those that stand in the file already are kept.
"""

import argparse
import json
import pathlib
import sys

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "tests" / "python"))
from reference import jinja  # noqa: E402

GOLDEN = pathlib.Path(__file__).resolve().parents[1] / "tests" / "golden" / "chat_templates.json"

HELLO = [{"role": "user", "content": "Hello"}]
TALK = [{"role": "system", "content": "  You are terse.\n"}, {"role": "user", "content": "What's 6 x 7?\n"},
        {"role": "assistant", "content": " 42 "}, {"role": "user", "content": "h\u00e9llo \u6f22\u5b57 \U0001f600 {{ 'x' }} {% y %}"}]

# Whole templates in the styles of published chat formats.
FORMATS = {
    "chatml": "{%- for m in messages %}\n    {{- '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}\n{%- endfor %}\n"
              "{%- if add_generation_prompt %}\n    {{- '<|im_start|>assistant\\n' }}\n{%- endif %}\n",
    "headers": "{{- bos_token }}\n{%- if messages[0]['role'] == 'system' %}\n    {%- set system = messages[0]['content']|trim %}\n"
               "    {%- set messages = messages[1:] %}\n{%- else %}\n    {%- set system = '' %}\n{%- endif %}\n"
               "{{- '<|header|>system<|end|>\\n\\n' + system }}\n{%- for message in messages %}\n"
               "    {{- '<|header|>' + message['role'] + '<|end|>\\n\\n' + message['content'] | trim + '<|eot|>' }}\n"
               "{%- endfor %}\n{%- if add_generation_prompt %}\n{{- '<|header|>assistant<|end|>\\n\\n' }}\n{%- endif %}",
    "turns": "{{ bos_token }}{%- if messages[0].role == 'system' -%}{%- set first = messages[0].content + '\\n\\n' -%}"
             "{%- set loop_messages = messages[1:] -%}{%- else -%}{%- set first = '' -%}{%- set loop_messages = messages -%}{%- endif -%}"
             "{%- for message in loop_messages -%}{%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}"
             "{{ raise_exception('Roles must alternate') }}{%- endif -%}"
             "{%- if message.role == 'assistant' -%}{%- set role = 'model' -%}{%- else -%}{%- set role = message.role -%}{%- endif -%}"
             "{{ '<turn>' + role + '\\n' + (first if loop.first else '') }}"
             "{%- if message.content is string -%}{{ message.content | trim }}{%- elif message.content is iterable -%}"
             "{%- for item in message.content -%}{{ item.text | trim }}{%- endfor -%}{%- endif -%}{{ '</turn>\\n' }}{%- endfor -%}"
             "{%- if add_generation_prompt -%}{{ '<turn>model\\n' }}{%- endif -%}",
    "instructions": "{%- set ns = namespace(system='', n=0) %}{%- for m in messages if m.role == 'system' %}{%- set ns.system = ns.system ~ m.content|trim %}"
                    "{%- endfor %}{%- for m in messages if m.role != 'system' %}{%- if m['role'] == 'user' %}"
                    "{{ '[INST] ' ~ (ns.system ~ '\\n\\n' if loop.first and ns.system) ~ m.content ~ ' [/INST]' }}{%- set ns.n = ns.n + 1 %}"
                    "{%- else %}{{ ' ' ~ m['content']|trim ~ eos_token }}{%- endif %}{%- endfor %} turns={{ ns.n }}",
    "date": "{%- if not date_string is defined %}{%- if strftime_now is defined %}{%- set date_string = strftime_now('%d %b %Y') %}"
            "{%- else %}{%- set date_string = '26 Jul 2024' %}{%- endif %}{%- endif %}Today: {{ date_string }}\n{{ messages[-1].content }}",
    "think": "{%- for m in messages %}{%- set content = m.content %}{%- if '</think>' in content %}{%- set content = content.split('</think>')[-1].lstrip('\\n') %}"
             "{%- endif %}{{ m.role | upper }}: {{ content }}{% if not loop.last %}\n\n{% endif %}{%- endfor %}",
    "macro": "{%- macro turn(role, text, close=true) -%}<{{ role }}>{{ text|trim }}{% if close %}</{{ role }}>{% endif %}{%- endmacro -%}"
             "{% for m in messages %}{{ turn(m.role, m.content) }}{% endfor %}{{ turn('assistant', '', close=false) }}",
    "tools": "{%- if tools %}tools{%- elif tools is not none and tools is defined %}empty{%- else %}no tools{%- endif %}"
             "{%- if documents is defined and documents %}docs{% endif %}{{ messages | tojson }}\n{{ messages|tojson(indent=2) }}",
    "generation": "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{% endgeneration %}{% else %}{{ m.content }}{% endif %}{% endfor %}",
    "strict": "{% if messages|length > 1 %}{{ raise_exception('One message only') }}{% endif %}ok",
}

# Small cases, each about one part of the language.
CASES = r"""
a{% if true %} b {% endif %} c
a {%- if true -%} b {%- endif -%} c
  {% if true %}x{% endif %}  y
{{ 1 }}  {{- 2 }} {{ 3 -}}   {{ 4 }}
a{# comment #}b{#- comment -#} c
{% raw %}{{ not this }} {% nor this %}{% endraw %}!
{{ 'a' 'b' "c" }}{{ "it's" }}{{ '\t\\\'\"\x41\u00e9\q' }}
{{ 1 + 2 * 3 - 4 }} {{ (1 + 2) * 3 }} {{ 7 // 2 }} {{ -7 // 2 }} {{ 7 % 3 }} {{ -7 % 3 }} {{ 7 / 2 }} {{ 6 / 2 }} {{ 2 ** 10 }} {{ 2 ** -1 }}
{{ 1.0 }} {{ 1.5e3 }} {{ 1e100 }} {{ 1e16 }} {{ 1e15 }} {{ 0.1 + 0.2 }} {{ 1e-5 }} {{ 0.0001 }} {{ 1_000 }} {{ 3.0 * 2 }}
{{ 'a' ~ 1 ~ none ~ true ~ 1.5 ~ [1, 'x'] }} {{ 'ab' * 3 }} {{ [0] * 2 }} {{ (1 ~ 2) + '3' }}
{{ 1 ~ 2 + 3 }}
{{ 'a' + 'b' }} {{ [1] + [2, 3] }} {{ (1, 2) + (3,) }} {{ () }} {{ (1,) }}
{{ 1 == 1.0 }} {{ true == 1 }} {{ '1' == 1 }} {{ none == none }} {{ [1, 2] == [1, 2] }} {{ {'a': 1} == {'a': 1.0} }} {{ (1, 2) == [1, 2] }}
{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 'a' < 'b' }} {{ [1, 2] < [1, 3] }} {{ 2 >= 2 }} {{ 'é' > 'z' }}
{{ 1 in [1, 2] }} {{ 3 not in [1, 2] }} {{ 'a' in 'cat' }} {{ 'k' in {'k': 1} }} {{ 'x' in undefined_name }}
{{ not true }} {{ not 0 }} {{ true and 'yes' }} {{ 0 or 'other' }} {{ '' and 1 }}| {{ none or none }} {{ 1 and 2 or 3 }} {{ not 1 == 2 }}
{{ 'a' if true else 'b' }}{{ 'a' if false }}{{ 'x' if false else 'y' if false else 'z' }}
{{ -1 }} {{ - 2 | abs }} {{ +3 }} {{ -(2 + 3) }} {{ 5 - -2 }} {{ -2 ** 2 }}
{{ [1, 2, 3][0] }} {{ [1, 2, 3][-1] }} {{ [1, 2, 3][7] }}| {{ 'héllo'[1] }} {{ {'a': {'b': 2}}.a.b }} {{ {'a': 1}['a'] }} {{ {'x': 1}.y }}| {{ [1, [2, 3]].1.0 }}
{{ [1, 2, 3, 4][1:3] }} {{ 'abcdef'[::2] }} {{ 'abc'[::-1] }} {{ [1, 2, 3][-2:] }} {{ 'héllo'[1:3] }} {{ [1, 2, 3][:-1] }} {{ 'abc'[5:] }}| {{ 'abcdef'[4:1:-1] }} {{ (1, 2, 3)[1:] }}
{{ {'a': 1, "b": [true, none], 'c': {'d': 'e\n"\''}} }} {{ ['it\'s', "q\"", 'é', '\u200b', '\x01'] }}
{% for i in [1, 2, 3] %}{{ loop.index }}{{ loop.index0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.revindex }}{{ loop.revindex0 }};{% endfor %}
{% for i in [] %}x{% else %}empty{% endfor %} {% for i in [1] %}x{% else %}empty{% endfor %}
{% for k, v in {'a': 1, 'b': 2}.items() %}{{ k }}={{ v }} {% endfor %}{% for k in {'a': 1} %}{{ k }}{% endfor %}{% for c in 'hé' %}{{ c }}.{% endfor %}
{% for i in range(6) if i is even %}{{ i }}/{{ loop.length }} {% endfor %}{% for i in range(5, 0, -2) %}{{ i }}{% endfor %}
{% for i in range(5) %}{% if i == 1 %}{% continue %}{% endif %}{% if i == 3 %}{% break %}{% endif %}{{ i }}{% endfor %}
{% for i in [1, 2] %}{% for j in 'ab' %}{{ i }}{{ j }}{{ loop.index }} {% endfor %}{{ loop.index }};{% endfor %}
{% for i in [1, 2, 3] %}{{ loop.previtem }}<{{ i }}>{{ loop.nextitem }} {{ loop.cycle('odd', 'even') }};{% endfor %}
{% set x = 1 %}{% for i in [1, 2] %}{% set x = x + 10 %}{{ x }} {% endfor %}{{ x }}
{% set ns = namespace(found=false, n=1) %}{% for i in [1, 2] %}{% set ns.found = true %}{% set ns.n = ns.n * 3 %}{% endfor %}{{ ns.found }} {{ ns.n }} {{ ns.other }}|
{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set t = 1, 2 %}{{ t }}{% if true %}{% set c = 3 %}{% endif %}{{ c }}
{% set x %}block {{ 1 + 1 }}{% endset %}[{{ x }}]{% set y | upper %}shout{% endset %}[{{ y }}]
{% filter upper %}abc {{ 'def' }}{% endfilter %} {% filter trim | replace('a', 'b') %}  aaa  {% endfilter %}|
{% with a = 1, b = 'x' %}{{ a }}{{ b }}{% endwith %}{{ a }}|
{% macro f(a, b=2, c='z') %}{{ a }}-{{ b }}-{{ c }};{% endmacro %}{{ f(1) }}{{ f(1, c=3) }}{{ f(1, 5) }}{{ f() }}
{% macro fact(n) %}{{ 1 if n <= 1 else n * (fact(n - 1) | int) }}{% endmacro %}{{ fact(10) }}
{% if 1 > 2 %}a{% elif 2 > 1 %}b{% else %}c{% endif %}{% if '' %}a{% elif [] %}b{% elif {} %}c{% elif 0.0 %}d{% else %}e{% endif %}
{{ missing is defined }} {{ missing is undefined }} {{ none is none }} {{ 1 is not none }} {{ 'a' is string }} {{ 1 is number }} {{ true is number }} {{ 1.5 is float }} {{ 1 is integer }} {{ true is integer }} {{ true is boolean }}
{{ {} is mapping }} {{ [] is iterable }} {{ 'a' is sequence }} {{ 1 is iterable }} {{ [] is sequence }} {{ true is true }} {{ 0 is false }} {{ 4 is divisibleby 2 }} {{ 3 is odd }} {{ 1 is in [1, 2] }} {{ 'a' is eq 'a' }} {{ 1 is lt(2) }} {{ range is callable }}
{{ 'ABC' is upper }} {{ 'aBC' is lower }} {{ 1 is sameas 1 }} {{ 2 is ge 2 }} {{ 1 is equalto 1.0 }} {{ 3 is not divisibleby(2) }}
{{ '  a b  ' | trim }}| {{ 'xxaxx' | trim('x') }} {{ 'abc' | length }} {{ 'héé' | length }} {{ [1, 2] | count }} {{ {'a': 1} | length }} {{ missing | length }}
{{ 'Straße é' | upper | length }} {{ 'ÀÉ' | lower }} {{ 'hELLO wORLD' | capitalize }} {{ 'hello big-world (x)' | title }} {{ "they're bill's" | title }}
{{ [1, 2, 3] | join(', ') }} {{ [1, 2] | join }} {{ 'abc' | join('-') }} {{ [{'a': 1}, {'a': 2}] | join('+', attribute='a') }}
{{ missing | default('d') }} {{ '' | default('d') }}| {{ '' | default('d', true) }} {{ none | default('x') }} {{ none | d('x', boolean=true) }} {{ missing | default }}|
{{ 'aXbXc' | replace('X', '-') }} {{ 'aaa' | replace('a', 'b', 2) }} {{ 'abc' | replace('', '.') }} {{ 123 | replace('2', 'x') }}
{{ 'abc' | list }} {{ {'a': 1, 'b': 2} | list }} {{ {'a': 1} | items | list }} {{ (1, 2) | list }} {{ 'abc' | first }} {{ [1, 2] | last }} {{ [] | first }}|
{{ [1, 2, 3] | map('string') | list }} {{ [{'a': 1}, {'a': 2}] | map(attribute='a') | list }} {{ ['a', 'b'] | map('upper') | join }} {{ [{'a': 1}, {}] | map(attribute='a', default=0) | list }} {{ ['xa'] | map('replace', 'x', 'y') | list }}
{{ [0, 1, 2, none] | select | list }} {{ [1, 2, 3] | select('odd') | list }} {{ [1, 2, 3] | reject('equalto', 2) | list }} {{ [1, 2, 3] | select('gt', 1) | list }}
{{ [{'r': 'u', 'n': 1}, {'r': 'a', 'n': 2}] | selectattr('r', 'equalto', 'u') | map(attribute='n') | list }} {{ [{'r': 0}, {'r': 1}] | rejectattr('r') | list }} {{ [{'a': 1}, {}] | selectattr('a', 'defined') | list }}
{{ '42' | int }} {{ 'x' | int }} {{ 'x' | int(7) }} {{ 3.9 | int }} {{ '3.7' | int }} {{ '1.5' | float }} {{ 2 | float }} {{ -3 | abs }} {{ 2.567 | round(2) }} {{ 2.5 | round }} {{ 2.1 | round(0, 'ceil') }} {{ true | int }}
{{ [3, 1, 2] | sort }} {{ ['b', 'A', 'c'] | sort }} {{ [3, 1, 2] | sort(reverse=true) }} {{ [{'n': 2}, {'n': 1}] | sort(attribute='n') }} {{ [1, 1, 2] | unique | list }} {{ ['a', 'A'] | unique | list }}
{{ [3, 1, 2] | min }} {{ [3, 1, 2] | max }} {{ [1, 2, 3] | sum }} {{ [1, 2] | sum(start=10) }} {{ [{'n': 1}, {'n': 2}] | sum('n') }} {{ [1, 2] | reverse | list }} {{ 'abc' | reverse }} {{ {'b': 1, 'a': 2} | dictsort }}
{{ 'a\nb\n\nc' | indent }}|{{ 'a\nb' | indent(2, true) }}|{{ 'a\n\nb' | indent(width=1, blank=true) }}| {{ '<a href="x">&\'' | e }} {{ 'x' | safe }} {{ 5 | string + '!' }}
{{ {'a': [1, 2.5, true, none, 'x"\\/\n\u00e9\x7f\x01']} | tojson }} {{ [] | tojson }} {{ {} | tojson }} {{ 'é' | tojson }} {{ {1: 2, none: 3} | tojson }} {{ [1, [2], {}] | tojson(indent=2) }}
{{ ' x '.strip() }}|{{ ' x '.lstrip() }}|{{ ' x '.rstrip() }}|{{ 'xyax'.strip('xy') }}|{{ 'a'.upper() }} {{ 'A'.lower() }} {{ 'hello world'.title() }} {{ "they're".title() }} {{ 'hELLO'.capitalize() }}
{{ 'a b  c'.split() }} {{ 'a,b,,c'.split(',') }} {{ 'a,b,c'.split(',', 1) }} {{ 'a,b,c'.rsplit(',', 1) }} {{ ''.split() }} {{ ''.split(',') }} {{ ' a  b '.split(none, 1) }} {{ 'a  b c'.rsplit(none, 1) }} {{ 'a\nb\n'.splitlines() }}
{{ 'hello'.startswith('he') }} {{ 'hello'.endswith(('x', 'lo')) }} {{ 'hello'.replace('l', 'L') }} {{ 'hello'.replace('l', 'L', 1) }} {{ 'hello'.find('l') }} {{ 'hello'.rfind('l') }} {{ 'x'.find('y') }} {{ 'hello'.count('l') }} {{ '-'.join(['a', 'b']) }}
{{ '12'.isdigit() }} {{ 'a1'.isalpha() }} {{ 'a1'.isalnum() }} {{ ' '.isspace() }} {{ ''.isdigit() }} {{ 'AB'.isupper() }} {{ 'ab'.islower() }} {{ 'unhappy'.removeprefix('un') }} {{ 'cats'.removesuffix('s') }} {{ '7'.zfill(3) }}
{{ {'a': 1}.get('a') }} {{ {'a': 1}.get('b') }} {{ {'a': 1}.get('b', 'z') }} {{ {'a': 1}.keys() | list }} {{ {'a': 1}.values() | list }} {{ [1, 2, 1].count(1) }} {{ [1, 2].index(2) }} {{ dict(a=1, b='x') }}
{{ messages[0].role }} {{ messages[0]['content'] }} {{ messages | length }} {{ messages[0] }} {{ messages[0].nothing }}|
{{ bos_token }}{{ eos_token }}{{ add_generation_prompt }} {{ 'items' in messages[0] }} {{ messages[0].items() | list }}
{{ {'a': {'b': 1}}['a']['b'] }}{{ {'x': {'y': {}}} }}{{ '}}' }}{{ "%}" }}
{{ missing }}|{{ missing is defined and missing.x }}|{{ (missing | default({})).x }}|{% for x in missing %}{% endfor %}{% if missing %}{% endif %}
{{ missing.attribute }}
{{ missing['item'] }}
{{ missing + 'x' }}
{{ 'a' + 1 }}
{{ 1 < 'a' }}
{{ 1 / 0 }}
{{ none.x }}|{{ none.x is defined }}
{{ missing() }}
{{ 'a' | nosuchfilter }}
{{ 'a' is nosuchtest }}
{{ raise_exception('stop') }}
{{ [1, 2
{% if true %}
{% endif %}
{% nosuchtag %}
{{ 'open }}
{{ 1 + }}
{{ a b }}
{{ (1, 2 }}
{% for %}{% endfor %}
{% set a, b = [1] %}
{{ [].append(1) }}
""".strip("\n").split("\n") + [
    "line one\n{% if true %}\n  inside\n{% endif %}\nafter\n", "  {%+ if true %}x{% endif +%}\n y", "{% if true -%}\n\n  x\n{%- endif %}\n\n",
    "a\r\nb\rc\n", "x\n\n", "  {# c #}\n  y", "{{ 'a' }}\n{{ 'b' }}\n", "{%- set x = 1 -%}\n\n  {{ x }}  \n", "{{ 'two\nlines' }}",
    "{% for i in [1, 2] %}\n  - {{ i }}\n{% endfor %}\nend", "\t {% if true %} \t{% endif %}\t x", "{% raw -%}\n a {%- endraw %} b", "",
    "{{ 1 }}\n  {% if true %}\n    {{ 2 }}\n  {% endif %}\n{{ 3 }}", "{{\n 1\n+\n2 }}{% \n if true \n %}x{% endif %}", "a\u00a0{%- if true %}b{% endif -%}\u3000c",
]


def case(template, messages, add_generation_prompt):
    record = {"template": template, "messages": messages, "add_generation_prompt": add_generation_prompt}
    text, error = jinja.render_reference(jinja.request(template, messages, add_generation_prompt=add_generation_prompt), jinja.environment())
    if error is None:
        record["expected"] = text
    else:  # what jinja2 refuses we refuse; the sentences differ
        record["error"] = error.partition(":")[0]
    return record


def default_template(model):
    if model is None:
        return json.loads(GOLDEN.read_text(encoding="utf-8"))["default_model"]
    import gguf

    return gguf.GGUFReader(model).fields["tokenizer.chat_template"].contents()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="a GGUF file whose chat template becomes the first case")
    own = default_template(parser.parse_args().model)
    cases = [case(template, messages, prompt) for template in [own, *FORMATS.values()] for messages in (HELLO, TALK)
             for prompt in (True, False)]
    cases += [case(template, HELLO, True) for template in CASES]
    record = {"now_s": jinja.NOW_S, "default_model": own, "cases": cases}
    GOLDEN.write_text(json.dumps(record, ensure_ascii=True, indent=1) + "\n", encoding="utf-8")
    print(f"{len(cases)} cases, {sum('error' in c for c in cases)} of them refused")


if __name__ == "__main__":
    main()
