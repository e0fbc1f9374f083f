"""The program from the outside: exit codes, sentences, streams, records."""

import json
import os
import pty
import re
import resource
import shutil
import signal
import struct
import subprocess
import time

import pytest

PROMPT = "The three primary colours are"
GREEDY = ["-n", "8", "--temp", "0"]


@pytest.fixture
def run(lazyfill):
    """Calls the program; variables of this shell do not reach it."""

    def call(*args, stdin="", limit_bytes=None, **variables):
        environment = {key: value for key, value in os.environ.items()
                       if not key.startswith("LAZYFILL_") or key == "LAZYFILL_ISA"}

        def limit():
            if limit_bytes:
                resource.setrlimit(resource.RLIMIT_AS, (limit_bytes, limit_bytes))

        data = stdin if isinstance(stdin, bytes) else stdin.encode()
        return subprocess.run([lazyfill, *map(str, args)], input=data, capture_output=True, timeout=600,
                              env=environment | variables, preexec_fn=limit)

    return call


def text_of(stream):
    return stream.decode("utf-8")


def assert_fails(result, exit_code, *parts):
    """One sentence with these parts (and, for wrong usage, a hint), nothing on standard output, no crash."""
    error = text_of(result.stderr)
    assert result.returncode == exit_code, error
    assert result.stdout == b""
    lines = error.strip().splitlines()
    assert len(lines) == (2 if exit_code == 2 else 1), error
    for part in parts:
        assert part in lines[0], error
    if exit_code == 2:
        assert lines[1].startswith("Try 'lazyfill")


def gguf_string(text):
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


@pytest.fixture
def unknown_architecture(tmp_path):
    """A well-formed GGUF file without tensors whose architecture nobody has."""
    path = tmp_path / "unknown.gguf"
    value = gguf_string("general.architecture") + struct.pack("<I", 8) + gguf_string("quokka")
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + value + b"\0" * 64)
    return path


# --- wrong usage ---

@pytest.mark.parametrize("args, parts", [
    (["rnu"], ["unknown command 'rnu'"]),
    (["tokenise"], ["did you mean tokenize?"]),
    ([], ["no command given"]),
    (["run", "--lazzy", "off"], ["unknown flag '--lazzy'", "--lazy"]),
    (["run", "-n", "-2"], ["--max-tokens takes a whole number"]),
    (["run", "--temp", "-1"], ["--temp takes a number from 0"]),
    (["run", "--top-p", "2"], ["--top-p takes a number from 0 to 1"]),
    (["run", "--policy", "best"], ["--policy is one of"]),
    (["run", "-p"], ["needs a value"]),
    (["run", "some", "words"], ["unexpected argument 'words'", "quotation marks"]),
    (["chat", "words"], ["unexpected argument 'words'", "-m MODEL.gguf"]),
    (["generate"], ["unknown command 'generate'", "run"]),
    (["-m", "model.gguf"], ["comes after a command", "lazyfill run"]),
    (["help", "dance"], ["unknown command 'dance'"]),
    (["run", "--jsonl", "x", "-p", "y"], ["--jsonl"]),
    (["bench", "--lengths", "12,x"], ["--lengths takes a whole number"]),
])
def test_wrong_usage(run, args, parts):
    assert_fails(run(*args), 2, *parts)


@pytest.mark.parametrize("spec", ["9", "9:0", "9:1.5", "x:0.5", "9:0.5,", "9:@0", "9:0.5,5:0.5", "99:0.5", "29:0.5", "9:nan", "200%:0.5"])
def test_wrong_schedule(run, smollm2, spec):
    assert_fails(run("run", "-m", smollm2, "-p", PROMPT, "--lazy", spec), 2)


def test_schedule_on_a_layer_that_cannot_prune_lists_those_that_can(run, gemma3):
    assert_fails(run("run", "-m", gemma3, "-p", PROMPT, "--lazy", "6:0.5"), 2, "6", "5", "11")


@pytest.mark.parametrize("command", ["run", "chat", "bench", "explain", "tokenize", "inspect"])
def test_help_shows_examples_first(run, command):
    result = run(command, "--help")
    help_text = text_of(result.stdout)
    assert result.returncode == 0 and result.stderr == b""
    assert 0 < help_text.index("Examples:") < help_text.index("Usage:")


def test_version(run):
    assert re.fullmatch(r"lazyfill \d+\.\d+\.\d+\n", text_of(run("--version").stdout))


# --- bad files ---

def test_missing_model(run, tmp_path):
    assert_fails(run("run", "-m", tmp_path / "none.gguf", "-p", "x"), 1, "cannot open the model", "No such file")


def test_no_default_model(run, tmp_path):
    assert_fails(run("run", "-p", "x", XDG_CACHE_HOME=str(tmp_path)), 1, "-m MODEL.gguf")


@pytest.mark.parametrize("command", [["run", "-p", "x", "-m"], ["inspect"], ["tokenize", "-p", "x", "-m"]])
def test_no_gguf(run, tmp_path, command):
    path = tmp_path / "text.gguf"
    path.write_text("this is a text, and quite a long one at that" * 10)
    assert_fails(run(*command, path), 1, "GGUF")


def test_truncated_gguf(run, smollm2, tmp_path):
    path = tmp_path / "short.gguf"
    for n_bytes in (3, 23, 1000, 1_000_000, 50_000_000):
        with open(smollm2, "rb") as model:
            path.write_bytes(model.read(n_bytes))
        assert_fails(run("run", "-m", path, "-p", "x"), 1)


def test_unsupported_architecture(run, unknown_architecture):
    assert_fails(run("run", "-m", unknown_architecture, "-p", "x"), 1, "quokka", "llama", "gemma3")


def test_inspect_works_for_unsupported_architectures(run, unknown_architecture):
    result = run("inspect", unknown_architecture, "--json")
    assert result.returncode == 0, result.stderr
    description = json.loads(result.stdout)
    assert description["architecture"] == "quokka"
    assert description["model"]["can_run"] is False


def test_out_of_memory(run, smollm2, build_dir):
    if "-fsanitize=" in (build_dir / "CMakeCache.txt").read_text():
        pytest.skip("a sanitiser reserves more address space than the limit leaves")
    result = run("run", "-m", smollm2, "-p", "x", "--threads", "1", limit_bytes=110_000_000)
    assert_fails(result, 1)


# --- bad prompts ---

def test_missing_prompt_file(run, smollm2, tmp_path):
    assert_fails(run("run", "-m", smollm2, "-f", tmp_path / "none.txt"), 1, "cannot open", "No such file")


@pytest.mark.parametrize("stdin", ["", b"\xef\xbb\xbf"])
def test_empty_prompt(run, smollm2, stdin):
    assert_fails(run("run", "-m", smollm2, stdin=stdin), 1, "empty")


def test_prompt_longer_than_the_context(run, smollm2):
    result = run("run", "-m", smollm2, "--ctx", 16, "--quiet", stdin="word " * 40)
    assert_fails(result, 1, "tokens", "16", "--ctx")
    result = run("run", "-m", smollm2, "--quiet", stdin="word " * 9000)
    assert_fails(result, 1, "9,00", "8,192", "shorten")


def test_context_above_the_models(run, smollm2):
    assert_fails(run("run", "-m", smollm2, "-p", "x", "--ctx", 100000), 2, "8,192")


def test_unwritable_record_is_found_before_the_work(run, tmp_path):
    # No model is there either: the record's path is looked at first.
    result = run("run", "-m", tmp_path / "none.gguf", "-p", "x", "--json", tmp_path / "no" / "folder.json")
    assert_fails(result, 1, "cannot write")


# --- results ---

def test_streamed_text_is_the_records_text(run, smollm2, tmp_path):
    path = tmp_path / "out.json"
    result = run("run", "-m", smollm2, "-p", PROMPT, *GREEDY, "--json", path)
    assert result.returncode == 0, result.stderr
    assert text_of(result.stdout) == json.loads(path.read_text())["text"] + "\n"


def test_record(run, smollm2, tmp_path):
    path = tmp_path / "out.json"
    assert run("run", "-m", smollm2, "-p", PROMPT * 3, *GREEDY, "--lazy", "9:0.5,15:@4", "--json", path).returncode == 0
    record = json.loads(path.read_text())
    assert record["version"] == 1
    assert record["prompt_tokens"] == len(record["prompt_token_ids"])
    assert len(record["token_ids"]) == 8 and record["finish_reason"] == "length"
    assert [len(list_) for list_ in record["top_logprobs"]] == [20] * 8
    for token, candidates in zip(record["token_ids"], record["top_logprobs"]):
        logprobs = [candidate["logprob"] for candidate in candidates]
        assert candidates[0]["id"] == token and logprobs == sorted(logprobs, reverse=True) and logprobs[0] <= 0
    assert all(record["timings"][key] > 0 for key in ("load_ms", "ttft_ms", "prefill_ms", "prefill_tokens_per_s",
                                                      "decode_tokens_per_s", "total_ms"))
    assert record["memory"]["peak_rss_bytes"] > record["memory"]["kv_bytes"] > 0
    lazy = record["lazy"]
    assert lazy["schedule"] == [{"layer": 9, "keep": 0.5}, {"layer": 15, "keep_tokens": 4}]
    first, second = (stage["positions"] for stage in lazy["kept"])
    n_tokens = record["prompt_tokens"]
    assert len(first) == (n_tokens + 1) // 2 and len(second) == 4
    assert set(second) <= set(first) and second[-1] == n_tokens - 1
    assert len(lazy["computed_fraction"]) == 30 and lazy["computed_fraction"][:10] == [1] * 10


def test_keys_and_values_in_eight_bits(run, smollm2, tmp_path):
    kept = {}
    for kv in ("f16", "q8_0"):
        path = tmp_path / f"{kv}.json"
        done = run("run", "-m", smollm2, "-p", PROMPT, *GREEDY, "--lazy", "off", "--kv", kv, "--json", path,
                   LAZYFILL_ISA="reference")
        assert done.returncode == 0
        kept[kv] = json.loads(path.read_text())["memory"]["kv_bytes"]
    assert kept["q8_0"] / kept["f16"] == pytest.approx(17 / 64)  # the reference kernels keep 32 bits where others keep 16
    wrong = run("run", "-m", smollm2, "-p", PROMPT, "--kv", "q4_0")
    assert wrong.returncode == 2 and "--kv is one of f16, q8_0, not 'q4_0'" in text_of(wrong.stderr)


def test_dense_record_has_no_lazy_part(run, smollm2):
    result = run("run", "-m", smollm2, "--quiet", "-p", PROMPT, *GREEDY, "--lazy", "off", "--json", "-")
    assert json.loads(result.stdout)["lazy"] is None


def test_jsonl_keeps_what_is_finished(run, smollm2, tmp_path):
    prompts, answers = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    prompts.write_text('{"prompt": "One", "id": "a"}\n\n{"prompt": "Two"}\n{"prompt": 3}\n{"prompt": "Four"}\n')
    result = run("run", "-m", smollm2, "--quiet", *GREEDY, "--jsonl", prompts, "--json", answers)
    assert_fails(result, 1, "line 4, column 12", "prompt")
    records = [json.loads(line) for line in answers.read_text().splitlines()]
    assert len(records) == 4 and records[0]["id"] == "a" and "id" not in records[1]
    assert "error" in records[2] and records[3]["text"]


def test_a_model_file_that_shrinks_is_an_error(lazyfill, smollm2, tmp_path):
    model = tmp_path / "model.gguf"
    shutil.copy(smollm2, model)
    arguments = ["run", "-m", str(model), "--quiet", *GREEDY, "--jsonl", "-", "--json", "-"]
    with subprocess.Popen([lazyfill, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as program:
        program.stdin.write(b'{"prompt": "One"}\n')
        program.stdin.flush()
        assert json.loads(program.stdout.readline())["token_ids"]
        os.truncate(model, 4096)
        _, errors = program.communicate(b'{"prompt": "Two other words"}\n', timeout=60)
    assert program.returncode == 1
    assert re.fullmatch(r"lazyfill run: .*model\.gguf has become shorter while it was in use.*\n", text_of(errors))


def test_stop_text_ends_the_answer(run, smollm2):
    full = text_of(run("run", "-m", smollm2, "--quiet", "-p", PROMPT, "-n", 12, "--temp", 0).stdout).rstrip("\n")
    stop = full[6:9]
    result = run("run", "-m", smollm2, "--quiet", "-p", PROMPT, "-n", 12, "--temp", 0, "--stop", stop, "--stop", "never there")
    assert text_of(result.stdout).rstrip("\n") == full[:full.index(stop)]


def test_seeds(run, smollm2):
    def answer(seed):
        return run("run", "-m", smollm2, "--quiet", "-p", PROMPT, "-n", 16, "--temp", 1.5, "--seed", seed).stdout

    assert answer(7) == answer(7)
    assert len({answer(seed) for seed in (1, 2, 3)}) > 1


def test_variables_stand_in_for_flags(run, smollm2):
    by_flag = run("run", "-m", smollm2, "--quiet", "-p", PROMPT, "-n", 4, "--temp", 0)
    by_variable = run("run", LAZYFILL_MODEL=str(smollm2), LAZYFILL_QUIET="1", LAZYFILL_PROMPT=PROMPT,
                      LAZYFILL_MAX_TOKENS="4", LAZYFILL_TEMP="0")
    assert by_variable.returncode == 0, by_variable.stderr
    assert by_variable.stdout == by_flag.stdout and by_variable.stderr == b""


def test_no_colours_without_a_terminal(run, smollm2):
    result = run("run", "-m", smollm2, "-p", PROMPT, *GREEDY)
    assert b"\033" not in result.stdout + result.stderr
    assert b"\r" not in result.stderr


def test_tokenize_round_trip(run, smollm2):
    text = "Gr\u00fc\u00dfe, caf\u00e9 12345 tabs\tand  spaces"
    tokens = json.loads(run("tokenize", "-m", smollm2, "-p", text, "--json").stdout)
    assert tokens["n_tokens"] == len(tokens["token_ids"]) == len(tokens["pieces"])
    assert int(run("tokenize", "-m", smollm2, "-p", text, "--count").stdout) == tokens["n_tokens"]


def test_inspect(run, smollm2):
    description = json.loads(run("inspect", smollm2, "--json", "--tensors", "--metadata").stdout)
    assert description["model"]["n_layers"] == 30 and description["model"]["prunable_layers"] == list(range(29))
    assert len(description["tensors"]) == description["n_tensors"]
    assert sum(entry["n_tensors"] for entry in description["tensor_types"]) == description["n_tensors"]
    assert run("inspect", smollm2, "--tensors", "--metadata").returncode == 0


def test_inspect_tells_memory(run, smollm2, tmp_path):
    """The figure for a context is what a session of that many tokens really takes."""
    memory = json.loads(run("inspect", smollm2, "--json", "--ctx", "512").stdout)["memory"]
    assert [entry["context_tokens"] for entry in memory["at"]] == [512]
    record_path = tmp_path / "record.json"
    prompt = "word " * 200
    assert run("run", "-m", smollm2, "-p", prompt, "-n", "1", "--temp", "0", "--lazy", "off", "--json", record_path).returncode == 0
    record = json.loads(record_path.read_text())
    assert record["memory"]["kv_bytes"] == memory["kv_bytes_per_token"] * record["prompt_tokens"]
    assert memory["at"][0]["kv_bytes"] == memory["at"][0]["seen_bytes"] == 512 * memory["kv_bytes_per_token"]
    lengths = [entry["context_tokens"] for entry in json.loads(run("inspect", smollm2, "--json").stdout)["memory"]["at"]]
    assert lengths == [2048, 8192]
    assert_fails(run("inspect", smollm2, "--ctx", "9000"), 2, "9,000", "8,192")


def test_inspect_tells_what_windows_leave_to_be_read(run, gemma3):
    """Fifteen of Gemma's 18 layers see 512 tokens."""
    memory = json.loads(run("inspect", gemma3, "--json", "--ctx", "2048").stdout)["memory"]
    per_layer = memory["kv_bytes_per_token"] // 18
    assert memory["at"][0]["seen_bytes"] == per_layer * (15 * 512 + 3 * 2048)


def test_inspect_as_text(run, smollm2):
    out = text_of(run("inspect", smollm2, "--ctx", "4096").stdout)
    for part in ("llama", "bpe (smollm)", "bos ", "ChatML", "0-28", "Q4_1", "4,096 tokens", "together", "%"):
        assert part in out, part
    assert "\033" not in out
    template = text_of(run("inspect", smollm2, "--template").stdout)
    assert template.startswith("{% for message in messages %}")


def test_inspect_json_describes_tokeniser_and_template(run, smollm2):
    description = json.loads(run("inspect", smollm2, "--json").stdout)
    assert description["tokenizer"]["pre"] == "smollm" and description["tokenizer"]["special_tokens"]["eos"]["piece"] == "<|im_end|>"
    assert description["chat_template"]["format"] == "ChatML" and description["chat_template"]["can_run"]
    assert abs(sum(entry["share"] for entry in description["tensor_types"]) - 1) < 1e-6


def test_inspect_shows_no_escapes_of_a_hostile_file(run, tmp_path):
    """Names, templates and keys that would steer a terminal come out without their control characters."""
    hostile = "\033]0;owned\007\033[2J\u009b31m\nparameters        1 M"
    path = tmp_path / "hostile.gguf"
    texts = {"general.architecture": "quokka", "general.name": hostile, "general.license": hostile, "tokenizer.chat_template": hostile + "{{",
             "tokenizer.ggml.model": hostile, "tokenizer.ggml.pre": hostile, "evil\033[1m": hostile}
    keys = b"".join(gguf_string(key) + struct.pack("<I", 8) + gguf_string(value) for key, value in texts.items())
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, len(texts)) + keys + b"\0" * 64)
    for flags in ([], ["--metadata", "--tensors"], ["--json", "--metadata"]):
        result = run("inspect", path, *flags)
        assert result.returncode == 0, result.stderr
        assert not re.search(rb"[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]", result.stdout + result.stderr), flags
    assert text_of(run("inspect", path).stdout).count("\nparameters ") == 1


# --- conversations ---

TALK = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi."}, {"role": "user", "content": "Bye"}]


def prompt_text(run, tmp_path, *args):
    """The prompt that the model got, its control tokens written out."""
    record_path = tmp_path / "record.json"
    result = run("run", "-n", "1", "--temp", "0", "--json", record_path, *args)
    assert result.returncode == 0, result.stderr
    return json.loads(record_path.read_text())["prompt_token_ids"]


def test_messages_are_a_whole_conversation(run, smollm2, tmp_path):
    path = tmp_path / "talk.json"
    path.write_text(json.dumps(TALK))
    saved = tmp_path / "saved.json"
    saved.write_text(json.dumps({"messages": TALK}))
    ids = prompt_text(run, tmp_path, "-m", smollm2, "--chat", "--messages", path)
    assert ids == prompt_text(run, tmp_path, "-m", smollm2, "--chat", "--messages", saved)
    parts = "".join(f"<|im_start|>{message['role']}\n{message['content']}<|im_end|>\n" for message in TALK) + "<|im_start|>assistant\n"
    tokens = json.loads(run("tokenize", "-m", smollm2, "-p", parts, "--json", "--special", "--no-bos").stdout)
    assert ids == tokens["token_ids"]


def test_control_tokens_in_messages_stay_text(run, smollm2, tmp_path):
    path = tmp_path / "talk.json"
    path.write_text(json.dumps([{"role": "user", "content": [{"type": "text", "text": "x"}]}]))
    assert run("run", "-m", smollm2, "--chat", "--messages", path, "-n", "1").returncode == 1  # this template wants a text
    path.write_text(json.dumps([{"role": "user", "content": "a<|im_end|>b"}]))
    ids = prompt_text(run, tmp_path, "-m", smollm2, "--chat", "--messages", path)
    assert ids == prompt_text(run, tmp_path, "-m", smollm2, "--chat", "-p", "a<|im_end|>b")
    end = json.loads(run("tokenize", "-m", smollm2, "-p", "<|im_end|>", "--json", "--special", "--no-bos").stdout)["token_ids"]
    assert len(end) == 1
    path.write_text(json.dumps([{"role": "user<|im_end|>", "content": "ab"}]))
    spelled = prompt_text(run, tmp_path, "-m", smollm2, "--chat", "--messages", path)
    path.write_text(json.dumps([{"role": "user", "content": "ab"}]))
    assert spelled.count(end[0]) == prompt_text(run, tmp_path, "-m", smollm2, "--chat", "--messages", path).count(end[0])


def test_wrong_tools_and_messages(run, smollm2, tmp_path):
    bad = tmp_path / "bad.json"
    bad.write_text("{\"a\": ")
    assert_fails(run("run", "-m", smollm2, "--chat", "-p", "x", "--tools", bad), 1, "no JSON array of tools")
    assert_fails(run("run", "-m", smollm2, "--chat", "--messages", bad), 1, "no JSON array of messages")
    assert_fails(run("run", "-m", smollm2, "--chat", "-p", "x", "--template-vars", "[1]"), 1, "--template-vars takes a JSON object")
    assert_fails(run("run", "-m", smollm2, "-p", "x", "--tools", bad), 2, "--chat")
    assert_fails(run("run", "-m", smollm2, "--messages", bad), 2, "--chat")
    assert_fails(run("run", "-m", smollm2, "--chat", "--messages", bad, "-p", "x"), 2, "--messages")


def test_explain_page(run, smollm2, tmp_path):
    page = tmp_path / "page.html"
    prompt = "</script><script>alert(1)</script> \U0001F642 " * 6 + PROMPT
    result = run("explain", "-m", smollm2, "-p", prompt, "-n", 4, "--lazy", "9:0.5,15:0.5", "-o", page, "--color")
    assert result.returncode == 0, result.stderr
    out = text_of(result.stdout)
    assert "dense    TTFT" in out and "ratio" in out and str(page) in out and "\033[" in out
    html = page.read_text(encoding="utf-8")
    assert "alert(1)</script>" not in html and "%LAZYFILL_DATA%" not in html
    data = json.loads(re.search(r'<script id="data" type="application/json">(.*?)</script>', html, re.S).group(1))
    assert "".join(data["text"]) == prompt
    assert sum(data["tokens"]) == data["prompt_tokens"] and len(data["survived"]) == len(data["text"])
    assert [stage["layer"] for stage in data["stages"]] == [9, 15]


# GemFilter holds fewer tokens than were given: what is taken back is counted in those that were.
@pytest.mark.parametrize("policy", ["lazy", "snapkv", "gemfilter"])
def test_chat_answers_every_question_and_saves(run, smollm2, tmp_path, policy):
    document, saved = tmp_path / "doc.txt", tmp_path / "chat.json"
    document.write_text("Ada has a red boat. Ben has a green kite. <|im_end|> is only text here.\n")
    result = run("chat", "-m", smollm2, "-f", document, *GREEDY, "--lazy", "9:0.5", "--policy", policy,
                 stdin=f"Who has a boat?\nAnd who has a kite?\n/save {saved}\n/clear\nWho?\n/quit\n")
    assert result.returncode == 0, result.stderr
    messages = json.loads(saved.read_text())["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant"] * 2
    assert messages[0]["content"].startswith("Ada") and messages[2]["content"] == "And who has a kite?"
    notes = re.findall(r"TTFT .*?, (\d+) new tokens", text_of(result.stderr))
    assert len(notes) == 3 and all(int(n) < 30 for n in notes), "the document is read once"


def test_bench(run, smollm2, tmp_path):
    path = tmp_path / "bench.json"
    result = run("bench", "-m", smollm2, "--lengths", "16,32", "--lazy", "off", "--lazy", "9:0.5", "--repeat", 2, "-n", 3,
                 "--json", path)
    assert result.returncode == 0, result.stderr
    cases = json.loads(path.read_text())["cases"]
    assert [(case["prompt_tokens"], case["lazy"]) for case in cases] == [(16, "off"), (16, "9:0.5"), (32, "off"), (32, "9:0.5")]
    assert all(case["ttft_ms"]["min"] <= case["ttft_ms"]["median"] and len(case["ttft_ms"]["all"]) == 2 for case in cases)
    assert len(text_of(result.stdout).splitlines()) == 5


# --- terminals and signals ---

def test_progress_on_a_terminal_is_removed_before_the_text(lazyfill, smollm2):
    controller, terminal = pty.openpty()
    process = subprocess.Popen([lazyfill, "run", "-m", smollm2, "-n", "2", "--temp", "0", "-p", "word " * 600],
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=terminal,
                               env=os.environ | {"TERM": "xterm"})
    os.close(terminal)
    shown = b""
    while True:
        try:
            part = os.read(controller, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        shown += part
    os.close(controller)
    assert process.wait() == 0
    assert b"layer" in shown and b"rows" in shown
    assert shown.rindex(b"\r\x1b[K") > shown.rindex(b"rows")


def test_ctrl_c_stops_cleanly(lazyfill, smollm2):
    process = subprocess.Popen([lazyfill, "run", "-m", smollm2, "--temp", "0", "-n", "4000", "--threads", "1",
                                "-p", "Count: 1 2 3 4"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE)
    process.stdout.read(1)  # it is generating
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 1
    assert b"stopped after" in error.splitlines()[-1]


def test_a_second_ctrl_c_ends_the_program(lazyfill, smollm2):
    process = subprocess.Popen([lazyfill, "run", "-m", smollm2, "--temp", "0", "--lazy", "off", "--threads", "1"],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdin.write(b"word " * 8000)
    process.stdin.close()
    time.sleep(2)
    process.send_signal(signal.SIGINT)
    time.sleep(0.001)
    process.send_signal(signal.SIGINT)
    # The first one may have been enough: between two blocks is at most a moment.
    assert process.wait(timeout=60) in (1, -signal.SIGINT)
