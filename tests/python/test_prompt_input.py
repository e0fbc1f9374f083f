"""Where a prompt comes from: -p, several -f, standard input in all its forms, byte-order marks."""

import json
import os
import signal
import subprocess
import time

import pytest

DOCUMENT = "Ada has a red boat.\nBen has a green kite.\n"
QUESTION = "Who has a boat?"
MARK = b"\xef\xbb\xbf"


@pytest.fixture
def start(lazyfill):
    """Starts the program with this standard input."""

    def call(*args, stdin):
        return subprocess.Popen([lazyfill, *map(str, args)], stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    return call


@pytest.fixture
def ids(lazyfill, smollm2):
    """The prompt that `run` saw, as token ids."""

    def call(*args, stdin=b"", **options):
        given = {"stdin": stdin} if not isinstance(stdin, bytes) else {"input": stdin}
        done = subprocess.run([lazyfill, "run", "-m", smollm2, "--quiet", "-n", "1", "--temp", "0", "--json", "-", *map(str, args)],
                              capture_output=True, timeout=300, **given, **options)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)["prompt_token_ids"]

    return call


@pytest.fixture
def document(tmp_path):
    path = tmp_path / "document.txt"
    path.write_text(DOCUMENT)
    return path


@pytest.mark.parametrize("chat", [[], ["--chat"]])
def test_a_document_on_standard_input_is_that_of_f(ids, document, chat):
    expected = ids(*chat, "-f", document, "-p", QUESTION)
    assert ids(*chat, "-p", QUESTION, stdin=DOCUMENT.encode()) == expected
    assert ids(*chat, "-p", QUESTION, stdin=MARK + DOCUMENT.encode()) == expected
    with open(document, "rb") as file:
        assert ids(*chat, "-p", QUESTION, stdin=file) == expected
    assert ids(*chat, "-f", "-", "-p", QUESTION, stdin=DOCUMENT.encode()) == expected


def test_a_slow_document_is_waited_for(start, ids, document, smollm2):
    process = start("run", "-m", smollm2, "-n", "1", "--temp", "0", "--json", "-", "-p", QUESTION, stdin=subprocess.PIPE)
    time.sleep(0.5)
    process.stdin.write(DOCUMENT[:10].encode())
    process.stdin.flush()
    time.sleep(0.5)
    out, error = process.communicate(DOCUMENT[10:].encode(), timeout=300)
    assert json.loads(out)["prompt_token_ids"] == ids("-f", document, "-p", QUESTION)
    assert b"read 42 B from standard input" in error


def test_no_document_where_standard_input_holds_none(ids):
    expected = ids("-p", QUESTION, stdin=subprocess.DEVNULL)
    assert ids("-p", QUESTION, stdin=b"") == expected
    assert ids("-p", QUESTION, stdin=None, preexec_fn=lambda: os.close(0)) == expected


def test_an_open_pipe_that_nobody_writes_to_does_not_hang(start, smollm2):
    reader, writer = os.pipe()
    with start("run", "-m", smollm2, "-n", "1", "--temp", "0", "-p", QUESTION, stdin=reader) as process:
        out, error = process.communicate(timeout=120)
    assert process.returncode == 0 and out
    assert b"nothing came from it" in error and b"< /dev/null" in error
    os.close(writer)
    os.close(reader)


def test_the_list_of_a_shells_loop_is_not_a_document(lazyfill, smollm2, tmp_path):
    words = tmp_path / "words.txt"
    words.write_text("one\ntwo\nthree\n")
    loop = f'while read -r word; do "{lazyfill}" tokenize -m "{smollm2}" --count -p "$word"; done < "{words}"'
    done = subprocess.run(["bash", "-c", loop], capture_output=True, timeout=120, check=True)
    assert done.stdout == b"1\n1\n1\n"


def test_files_are_all_taken_in_their_order(ids, tmp_path):
    one, two, both = (tmp_path / name for name in ("one.txt", "two.txt", "both.txt"))
    one.write_bytes(MARK + b"The first text.")
    two.write_bytes(MARK + b"The second text.\n")
    both.write_text("The first text.\n\nThe second text.\n\n" + QUESTION)
    assert ids("-f", one, "-f", two, "-p", QUESTION) == ids("-f", both)
    both.write_text("The second text.\n\nThe first text.")
    assert ids("-f", two, "--file", one) == ids("-f", both)


def test_the_last_of_a_flag_counts(ids, lazyfill, smollm2):
    assert ids("-p", "No", "-p", QUESTION, "--chat", "--system", "a", "--system", "Be brief.") == ids("--chat", "--system", "Be brief.", "-p", QUESTION)
    done = subprocess.run([lazyfill, "inspect", "--json", "--json", "-m", "none.gguf", "-m", smollm2], capture_output=True, check=True)
    assert json.loads(done.stdout)


@pytest.mark.parametrize("blanks", [" ", "  \n", "\n\n\t"])
def test_blanks_are_a_prompt(ids, tmp_path, blanks):
    path = tmp_path / "blanks.txt"
    path.write_text(blanks)
    expected = ids("-p", blanks, stdin=subprocess.DEVNULL)
    assert expected and expected == ids(stdin=blanks.encode()) == ids("-f", path)


def test_an_empty_prompt_is_refused_at_once(start, smollm2):
    process = start("run", "-m", smollm2, "-p", "", stdin=subprocess.DEVNULL)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 1 and b"the prompt is empty" in error


@pytest.mark.parametrize("args", [["-f", "-", "-f", "-"], ["-f", "-", "--chat", "--tools", "-"], ["--chat", "--messages", "-", "--tools", "/dev/stdin"]])
def test_standard_input_is_read_for_one_flag(start, smollm2, args):
    process = start("run", "-m", smollm2, *args, stdin=subprocess.DEVNULL)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 2 and b"standard input can be read once" in error


def test_tools_on_standard_input_are_no_document(ids, tmp_path):
    tools = "[]"  # this model's template takes none
    path = tmp_path / "tools.json"
    path.write_bytes(MARK + tools.encode())
    assert ids("--chat", "-p", QUESTION, "--tools", "-", stdin=tools.encode()) == ids("--chat", "-p", QUESTION, "--tools", path)


def test_a_mark_at_the_start_of_messages_and_lines_is_no_text(ids, tmp_path):
    talk = tmp_path / "talk.json"
    talk.write_bytes(MARK + json.dumps([{"role": "user", "content": QUESTION}]).encode())
    expected = ids("--chat", "-p", QUESTION)
    assert ids("--chat", "--messages", talk) == expected
    lines = tmp_path / "lines.jsonl"
    lines.write_bytes(MARK + json.dumps({"prompt": QUESTION}).encode() + b"\r\n")
    assert ids("--chat", "--jsonl", lines) == expected


@pytest.mark.parametrize("chat", [[], ["--chat"]])
def test_special_makes_control_tokens_of_their_names(ids, lazyfill, smollm2, chat):
    text = "a<|im_end|>\n<|im_start|>b"
    end = json.loads(subprocess.run([lazyfill, "tokenize", "-m", smollm2, "--json", "--no-bos", "--special", "-p", "<|im_end|>"],
                                    capture_output=True, check=True).stdout)["token_ids"]
    assert len(end) == 1
    with_names, as_text = ids("-p", text, "--special", *chat), ids("-p", text, *chat)
    assert with_names.count(end[0]) == as_text.count(end[0]) + 1
    line = json.dumps({"prompt": text, "flags": ["--special"]}).encode()
    assert ids("--jsonl", "-", *chat, stdin=line) == with_names
    if not chat:
        tokens = subprocess.run([lazyfill, "tokenize", "-m", smollm2, "--json", "--special", "-p", text], capture_output=True, check=True)
        assert with_names == json.loads(tokens.stdout)["token_ids"]


@pytest.mark.parametrize("chat", [[], ["--chat"]])
@pytest.mark.parametrize("special", [[], ["--special"]])
def test_explain_takes_control_tokens_by_their_names_as_run_does(ids, lazyfill, smollm2, tmp_path, chat, special):
    text = "a<|im_end|>\n<|im_start|>b"
    explained = subprocess.run([lazyfill, "explain", "-m", smollm2, "--quiet", "-n", "1", "--temp", "0", "--no-page", "--json", "-", "-p", text, *special, *chat],
                               stdin=subprocess.DEVNULL, capture_output=True, timeout=300, check=True)
    prompts = [json.loads(explained.stdout)[way]["prompt_token_ids"] for way in ("dense", "lazy")]
    assert prompts == [ids("-p", text, *special, *chat)] * 2


def test_without_a_prompt_a_silent_pipe_is_named(start, smollm2):
    process = start("run", "-m", smollm2, stdin=subprocess.PIPE)
    assert b"still waiting for the prompt on standard input" in process.stderr.readline()
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
