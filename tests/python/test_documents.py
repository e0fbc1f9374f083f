"""The documents themselves: their links hold, and they leave nothing out that a reader would look for."""

import json
import re
import shlex
import shutil
import subprocess
import sys

import pytest

DOCUMENT = "The harbour of Selm has two piers. The lamp on the old pier is green. " * 4


@pytest.fixture
def check(root, tmp_path):
    def run(**files):
        for name, text in files.items():
            path = tmp_path / (name.replace("__", "/") + (".h" if name.startswith("src") else ".md"))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text.replace("DOCS", "docs"))  # in this file they would be links of our own
        return subprocess.run([sys.executable, root / "scripts" / "check_links.py", tmp_path],
                              capture_output=True, text=True, check=False)
    return run


def test_links_to_files_and_headings_pass(check):
    result = check(README="[a](DOCS/a.md) [b](DOCS/a.md#what-it-does---x) [c](#two) [d](https://example.org/x)\n# Two\n",
                   docs__a="# A\n## What it does: `--x`\n[back](../README.md#two)\n", src__base__a="// DOCS/a.md\n")
    assert (result.returncode, result.stdout) == (0, "")


@pytest.mark.parametrize("text, sentence", [
    ("\n[a](DOCS/b.md)", "README.md:2: there is no file DOCS/b.md"),
    ("[a](DOCS/a.md#three)", "README.md:1: DOCS/a.md has no heading for #three"),
    ("# One\n[a](#two)", "README.md:2: this file has no heading for #two"),
    ("![picture](DOCS/a.svg)", "README.md:1: there is no file DOCS/a.svg"),
    ("```\n# Two\n```\n[a](#two)", "README.md:4: this file has no heading for #two"),
])
def test_what_leads_nowhere_is_found(check, text, sentence):
    result = check(README=text, docs__a="# Two\n")
    assert result.returncode == 1 and result.stdout == sentence.replace("DOCS", "docs") + "\n"


def test_the_second_of_two_equal_headings_has_a_number(check):
    assert check(README="# One\n# One\n[a](#one-1)\n").returncode == 0
    assert check(README="# One\n# One\n[a](#one-2)\n").returncode == 1


def test_code_is_no_link(check):
    assert check(README="`a[0](x)`\n```\n[a](b.md)\n```\n").returncode == 0


def test_a_source_that_names_a_missing_document_is_found(check):
    assert check(src__base__a="\n// see DOCS/b.md\n").stdout == "src/base/a.h:2: there is no file DOCS/b.md\n".replace("DOCS", "docs")


def test_the_readme_fits_on_two_screens(root):
    assert len((root / "README.md").read_text(encoding="utf-8").splitlines()) <= 90


def test_what_holds_now_is_short(root):
    assert len((root / "docs" / "performance.md").read_text(encoding="utf-8").splitlines()) < 200


def test_every_architecture_has_a_row_in_the_readme(root):
    table = (root / "src" / "model" / "config.cc").read_text(encoding="utf-8")
    names = re.findall(r'{"(\w+)", architectures::', table)
    rows = [line for line in (root / "README.md").read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    assert len(names) >= 9 and set(names) <= set(re.findall(r"`(\w+)`", " ".join(row.split("|")[1] for row in rows)))


def test_contributing_names_every_folder(root):
    tree = (root / "CONTRIBUTING.md").read_text(encoding="utf-8").split("## The tree")[1].split("\n## ")[0]
    folders = {folder.name for folder in (root / "src").iterdir() if folder.is_dir()}
    assert len(folders) >= 9 and folders <= set(re.findall(r"`(\w+)/`", tree))


def documented_fields(root):
    """field -> its own fields, as docs/record.md and, for those of lazy_choice, docs/lazy.md name them."""
    fields = {}
    for line in (root / "docs" / "record.md").read_text(encoding="utf-8").splitlines():
        cells = line.split("|")
        if len(cells) > 3 and "`" in cells[1]:
            for name in re.findall(r"`(\w+)`", cells[1]):
                fields[name] = set(re.findall(r"`(\w+)`", cells[-2]))
    report = (root / "docs" / "lazy.md").read_text(encoding="utf-8").split("## Reading the report")[1]
    fields["lazy_choice"] |= set(re.findall(r"`(\w+)`", report))
    return fields


def test_every_rule_of_scheduling_has_its_test(root):
    page = (root / "docs" / "scheduling.md").read_text()
    rules = page.split("## The rules")[1].split("##")[0]
    rules = {line[2:] for line in rules.splitlines() if line.startswith("- ")}
    tests = (root / "src" / "engine" / "scheduling_test.cc").read_text()
    assert len(rules) > 8
    assert rules == set(re.findall(r'^// "(.*)"\nTEST', tests, flags=re.MULTILINE))


def test_every_field_of_the_record_is_documented(root, lazyfill, smollm2):
    lines = [{"prompt": DOCUMENT, "id": 1, "flags": ["--fidelity", "2"]},
             {"prompt": DOCUMENT, "flags": ["--lazy", "auto", "--sparse-attention", "0.9"]},
             {"prompt": DOCUMENT, "flags": ["--compress", "0.5"]},
             {"prompt": DOCUMENT, "continuation": "It is green."},
             {"document": DOCUMENT, "questions": ["Which?"], "flags": ["--fidelity", "2"]},
             {"prompt": 3, "id": 2}]
    done = subprocess.run([lazyfill, "run", "-m", smollm2, "--quiet", "-n", "2", "--lazy", "9:0.5", "--jsonl", "-"],
                          input="".join(json.dumps(line) + "\n" for line in lines), capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr  # of the line that fails
    documented = documented_fields(root)
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(records) == len(lines)
    for record in records:
        assert set(record) <= set(documented)
        for name, value in record.items():
            if isinstance(value, dict):
                assert set(value) <= documented[name], name
    assert set().union(*records) == set(documented) - {"prompt_logprobs"}  # it needs a flag for the whole run


def test_the_example_of_the_architecture_is_what_happens(root, lazyfill, smollm2, probe):
    text = " ".join((root / "docs" / "architecture.md").read_text(encoding="utf-8").split())
    prompt, schedule = re.search(r'lazyfill run -p "(.*?)" --lazy (\S+) --temp 0', text).groups()
    numbers = [[int(number) for number in re.findall(r"\d+", re.search(pattern, text)[1])] for pattern in (
        r"Tokens ([\d, and]+) stay\.", r"stay\. Tokens ([\d, and]+) leave", r"eight tokens now: ([\d, and]+) are to stay",
        r"are to stay\. Token (\d+)", r"Aux Cache holds tokens ([\d, and]+)\.")]
    said = subprocess.run([lazyfill, "tokenize", "-m", smollm2, "--json", "-p", prompt], capture_output=True, text=True, check=True)
    ids = json.loads(said.stdout)["token_ids"]
    kept, left, kept_then, revived, left_then = numbers
    answer = ids[revived[0]]  # "the earlier" one
    ran = probe.run(smollm2, [{"tokens": ids, "prompt_end": len(ids)}, {"tokens": [answer], "prompt_end": len(ids)}],
                    lazy={"schedule": schedule, "max_revived": 1})
    first, second = (step["stages"][0] for step in ran.steps)
    assert (first["kept"], second["kept"], second["revived"]) == (kept, kept_then, revived)
    assert sorted(kept + left) == list(range(len(ids))) and ran.dropped[first["layer"]] == left_then
    assert ran.steps[0]["logits"][-1].argmax() == answer


def test_the_librarys_example_compiles(root, tmp_path):
    compiler = shutil.which("c++")
    if not compiler:
        pytest.skip("there is no C++ compiler")
    blocks = re.findall(r"```cpp\n(.*?)```", (root / "docs" / "library.md").read_text(encoding="utf-8"), re.DOTALL)
    program = tmp_path / "example.cc"
    program.write_text(next(block for block in blocks if "int main" in block), encoding="utf-8")
    done = subprocess.run([compiler, "-std=c++20", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-I", root / "include", program],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_first_day_types_what_the_program_understands(lazyfill, root):
    """docs/first-day.md is a recording: its commands and flags must still be there."""
    page = (root / "docs" / "first-day.md").read_text(encoding="utf-8")
    lines = [shlex.split(line.removeprefix("$ ").split(" > ")[0]) for line in page.splitlines() if line.startswith("$ lazyfill ")]
    assert {words[1] for words in lines} == {"run", "chat", "explain", "doctor", "serve"}
    for words in lines:
        told = subprocess.run([lazyfill, words[1], "--help"], capture_output=True, text=True, check=True).stdout
        flags = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", told))
        assert {word for word in words[2:] if re.fullmatch(r"--?[a-z][a-z-]*", word)} <= flags, words
