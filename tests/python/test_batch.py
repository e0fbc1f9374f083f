"""Many lines of --jsonl at a time: the records of the lines one after another, in their order."""

import json
import os
import subprocess

import pytest

TEXT = "The harbour of Selm has two piers. The lamp on the old pier is green and the other one is red. "
# Of every kind of length: one row, few rows, and many, which the threads share.
PROMPTS = [TEXT[:2], "Water boils at", TEXT, (TEXT * 5)[:150], (TEXT * 5)[20:420], (TEXT * 14)[:1000]]
SAME = ["id", "prompt_token_ids", "token_ids", "text", "finish_reason", "top_logprobs", "lazy", "error", "turn", "continuation_logprobs",
        "prompt_logprobs"]


@pytest.fixture
def run(lazyfill, smollm2, tmp_path):
    """The records of lines, and the exit code."""

    def call(lines, *args, isa="", model=smollm2):
        path = tmp_path / "lines.jsonl"
        path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
        env = {**os.environ, **({"LAZYFILL_ISA": isa} if isa else {})}
        done = subprocess.run([lazyfill, "run", "-m", model, "--quiet", "--temp", "0", "--jsonl", path, *map(str, args)],
                              capture_output=True, text=True, timeout=600, check=False, env=env)
        return [json.loads(line) for line in done.stdout.splitlines()], done

    return call


def same(records):
    return [{key: record[key] for key in SAME if key in record} for record in records]


def lines_of(prompts, **more):
    return [{"id": number, "prompt": prompt, **more} for number, prompt in enumerate(prompts)]


@pytest.mark.parametrize("isa", ["avx512", "avx2"])
@pytest.mark.parametrize("lazy", ["off", "9:0.5,20:0.5"])
def test_bits_do_not_depend_on_company_threads_or_form(run, isa, lazy):
    lines = lines_of(PROMPTS)
    alone, done = run(lines, "-n", 4, "--lazy", lazy, isa=isa)
    if done.returncode == 2 and isa in done.stderr:
        pytest.skip("this machine lacks the instruction set")
    assert done.returncode == 0, done.stderr
    for args in (["--threads", 1], ["--threads", 3], ["--batch", 8], ["--batch", 3, "--turn-ms", 1],
                 ["--batch", 8, "--batch-form", "padded"], ["--batch", 4, "--batch-form", "sorted", "--threads", 1]):
        assert same(run(lines, "-n", 4, "--lazy", lazy, *args, isa=isa)[0]) == same(alone), args


def test_another_model(run, gemma3):
    lines = lines_of(PROMPTS[:5])
    alone, done = run(lines, "-n", 4, "--lazy", "11:0.5", model=gemma3)
    assert done.returncode == 0, done.stderr
    assert same(run(lines, "-n", 4, "--lazy", "11:0.5", "--batch", 8, "--batch-form", "padded", model=gemma3)[0]) == same(alone)


LINES = [
    {"id": "a", "prompt": "The three primary colours are", "flags": ["-n", "12"]},
    "nonsense",
    {"id": {"q": 1}, "document": "Anna lives in Rome.", "questions": ["Where does Anna live?", "Who lives in Rome?"]},
    {"id": "c", "prompt": "Water boils at", "continuation": " 100 degrees"},
    "",
    {"id": "m", "messages": [{"role": "user", "content": "Say hi"}]},
    {"id": "r", "prompt": TEXT, "flags": ["--policy", "gemfilter", "--lazy", "9:0.5"]},
    {"id": "long", "prompt": TEXT * 500},
    {"id": "f", "prompt": TEXT, "flags": ["--fidelity", "3"]},
    {"id": "e", "prompt": ""},
    {"id": "z", "prompt": "Once upon a time"},
]


@pytest.mark.parametrize("args", [["--batch", 4], ["--batch", 1, "--queue", 1], ["--batch", 2, "--batch-form", "padded"],
                                  ["--batch", 3, "--batch-form", "sorted"]])
def test_every_kind_of_line_has_its_records_in_order(run, args):
    expected, one = run(LINES, "-n", 6)
    got, many = run(LINES, "-n", 6, *args)
    assert one.returncode == many.returncode == 1
    assert same(got) == same(expected)
    assert [record["id"] for record in got if "error" in record and "id" in record] == ["long", "e"]


def test_prompt_logprobs_beside_a_batch(run):
    expected, _ = run(lines_of(PROMPTS[:4]), "-n", 1, "--prompt-logprobs")
    got, done = run(lines_of(PROMPTS[:4]), "-n", 1, "--prompt-logprobs", "--batch", 4)
    assert done.returncode == 0, done.stderr
    assert same(got) == same(expected)


def test_more_lines_than_the_queue_holds(run):
    lines = lines_of([f"{number} and {number + 1} are" for number in range(40)])
    got, done = run(lines, "-n", 2, "--batch", 3, "--queue", 3)
    assert done.returncode == 0, done.stderr
    assert [record["id"] for record in got] == list(range(40))
    assert all("queue_ms" in record["timings"] for record in got)


def test_a_line_that_never_fits_into_the_memory(run):
    lines = lines_of(["Water boils at", TEXT * 14, "Once upon a time"])
    got, done = run(lines, "-n", 2, "--batch", 2, "--kv-memory", 4)
    assert done.returncode == 1
    assert ["error" in record for record in got] == [False, True, False]
    assert got[1]["error"]["code"] == "out_of_memory"
    assert "--kv-memory" in got[1]["error"]["message"]


@pytest.mark.parametrize("lazy", ["off", "9:0.5,20:0.5"])
def test_lines_take_what_earlier_ones_computed(run, lazy):
    lines = lines_of([TEXT * 8 + question for question in ("Who?", "Where is it?", "Who?")])
    got, done = run(lines, "-n", 4, "--lazy", lazy, "--batch", 1, "--prefix-cache")
    assert done.returncode == 0, done.stderr
    assert [record["cached_tokens"] for record in got][0] == 0
    n_prompt = got[1]["prompt_tokens"]
    # An answer may begin as the question goes on, and the newest tokens are computed in any case.
    assert all(n_prompt - 20 < record["cached_tokens"] <= record["agreeing_tokens"] for record in got[1:])
    assert got[2]["agreeing_tokens"] >= got[2]["prompt_tokens"]
    fresh, _ = run(lines, "-n", 4, "--lazy", lazy)
    assert got[0]["token_ids"] == fresh[0]["token_ids"]
    if lazy == "off":  # rounded columns, but the same words
        assert [record["token_ids"] for record in got] == [record["token_ids"] for record in fresh]
    salted, _ = run(lines, "-n", 4, "--lazy", lazy, "--batch", 1, "--prefix-cache", "--cache-salt", "me")
    assert salted[1]["cached_tokens"] > n_prompt - 20
    if lazy != "off":  # it goes on with what the first question chose
        assert salted[1]["lazy"]["revived_rows"] < got[1]["lazy"]["revived_rows"]


def test_the_next_run_goes_on_from_the_folder(run, tmp_path):
    lines = lines_of([TEXT * 8 + "Who?"])
    flags = ["-n", 4, "--lazy", "9:0.5,20:0.5", "--batch", 1, "--prefix-cache", "--state", tmp_path / "state"]
    first, done = run(lines, *flags)
    assert done.returncode == 0, done.stderr
    second, done = run(lines, *flags)
    assert (first[0]["cached_tokens"], second[0]["cached_tokens"]) == (0, first[0]["prompt_tokens"] - 8)
    assert done.stderr == ""
    other, done = run(lines, *flags, "--ctx", 4000)
    assert other[0]["cached_tokens"] == 0
    assert "another build" in done.stderr


@pytest.mark.parametrize("args, sentence", [
    (["--jsonl", "x", "--batch", "1", "--state", "y"], "--cache-salt and --state need --prefix-cache"),
    (["--jsonl", "x", "--prefix-cache"], "--prefix-cache needs --batch N"),
    (["--batch", "2", "-p", "hi"], "--batch answers the lines of --jsonl FILE: give one"),
    (["--jsonl", "x", "--batch-form", "padded"], "--batch-form needs --batch N"),
    (["--jsonl", "x", "--batch", "2", "--batch-form", "round"], "round"),
])
def test_wrong_usage(lazyfill, args, sentence):
    done = subprocess.run([lazyfill, "run", *args], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert sentence in done.stderr


def test_a_full_disk_ends_the_batch(lazyfill, smollm2, tmp_path):
    if not os.path.exists("/dev/full"):
        pytest.skip("this system has no /dev/full")
    path = tmp_path / "lines.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines_of(PROMPTS[:3] * 5)))
    done = subprocess.run([lazyfill, "run", "-m", smollm2, "--quiet", "--jsonl", path, "-n", "20", "--batch", "4", "--json", "/dev/full"],
                          capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 1
    assert done.stderr.startswith("lazyfill run: ")
