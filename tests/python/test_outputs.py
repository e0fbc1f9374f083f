"""What is written where: no result takes the place of what is read, and nothing is lost on a failure."""

import json
import os
import resource
import shutil
import signal
import subprocess

import pytest

GREEDY = ["-n", "2", "--temp", "0", "--quiet"]


@pytest.fixture
def call(lazyfill, tmp_path):
    """Calls the program in a folder of its own."""

    def run(*args, **options):
        options = {"stdin": subprocess.DEVNULL, "cwd": tmp_path, "timeout": 300} | options
        if "input" in options:
            del options["stdin"]
        return subprocess.run([lazyfill, *map(str, args)], capture_output=True, check=False, **options)

    return run


@pytest.fixture
def inputs(tmp_path, smollm2):
    """Every kind of input under its own name; the model's content does not matter, nobody comes to read it."""
    (tmp_path / "model.gguf").write_bytes(b"GGUF and so on")
    (tmp_path / "model.gguf.preset.json").write_text("{}")
    (tmp_path / "text.txt").write_text("A text. " * 20)
    (tmp_path / "more.txt").write_text("More of it. " * 20)
    (tmp_path / "lines.jsonl").write_text('{"prompt": "One"}\n')
    (tmp_path / "talk.json").write_text(json.dumps([{"role": "user", "content": "Hello"}]))
    (tmp_path / "tools.json").write_text("[]")
    os.link(tmp_path / "text.txt", tmp_path / "hard link")
    os.symlink("text.txt", tmp_path / "soft link")
    return {path.name: path.read_bytes() for path in tmp_path.iterdir()}


def assert_untouched(folder, inputs):
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == inputs


@pytest.mark.parametrize("args", [
    ["run", "-p", "x", "-m", "model.gguf", "--json", "model.gguf"],
    ["run", "-p", "x", "-m", "model.gguf", "--json", "model.gguf.preset.json"],
    ["run", "-m", "model.gguf", "-f", "more.txt", "-f", "text.txt", "--json", "./text.txt"],
    ["run", "-m", "model.gguf", "-f", "text.txt", "--json", "hard link"],
    ["run", "-m", "model.gguf", "-f", "text.txt", "--json", "soft link"],
    ["run", "-m", "model.gguf", "-f", "soft link", "--json", "hard link"],
    ["run", "-m", "model.gguf", "--jsonl", "lines.jsonl", "--json", "lines.jsonl"],
    ["run", "-m", "model.gguf", "--chat", "--messages", "talk.json", "--json", "talk.json"],
    ["run", "-m", "model.gguf", "--chat", "-p", "x", "--tools", "tools.json", "--json", "tools.json"],
    ["explain", "-m", "model.gguf", "-f", "text.txt", "-o", "text.txt"],
    ["explain", "-m", "model.gguf", "-p", "x", "-o", "model.gguf"],
    ["calibrate", "-m", "model.gguf", "--out", "model.gguf"],
    ["calibrate", "-m", "model.gguf", "-f", "text.txt", "--json", "hard link"],
    ["bench", "-m", "model.gguf", "--json", "model.gguf"],
    ["bench", "-m", "model.gguf", "-f", "text.txt", "--json", "text.txt"],
])
def test_no_result_takes_the_place_of_an_input(call, tmp_path, inputs, args):
    done = call(*args)
    assert done.returncode == 1 and done.stdout == b"", done.stderr
    if args[0] != "calibrate" or "--json" in args:  # where the preset goes is looked at after the model
        assert b"is read as" in done.stderr
    assert_untouched(tmp_path, inputs)


@pytest.mark.parametrize("given, result", [
    ("text.txt", "folder link/text.txt"), ("folder link/soft link", "text.txt"), ("text.txt", "folder link/./hard link"), ("text.txt", "link of a link"),
    ("text.txt", "/proc/self/cwd/text.txt"), ("text.txt", "/dev/fd/3"), ("text.txt", "/proc/self/fd/3"), ("/dev/fd/4", "text.txt"), ("/dev/fd/4", "/dev/fd/3")])
@pytest.mark.parametrize("command", [["run", "--json"], ["explain", "-o"]])
def test_other_ways_to_an_input_are_found(lazyfill, tmp_path, inputs, command, given, result):
    os.symlink(".", tmp_path / "folder link")
    os.symlink("soft link", tmp_path / "link of a link")
    name, flag = command
    done = subprocess.run(["bash", "-c", 'exec "$0" "$@" 3>> text.txt 4< text.txt', lazyfill, name, "-m", "model.gguf", "-f", given, flag, result], cwd=tmp_path,
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
    assert done.returncode == 1 and b"is read as" in done.stderr
    assert (tmp_path / "text.txt").read_bytes() == inputs["text.txt"] and os.path.samefile(tmp_path / "text.txt", tmp_path / "hard link")


def test_calibrate_keeps_its_texts_and_its_model(call, tmp_path, smollm2):
    model = tmp_path / "model.gguf"
    shutil.copy(smollm2, model)
    (tmp_path / "text.txt").write_text("A text. " * 20)
    for out in ("model.gguf", "text.txt"):
        done = call("calibrate", "-m", model, "-f", "text.txt", "--out", out)
        assert done.returncode == 1 and b"is read as" in done.stderr
    done = call("calibrate", "-m", model, "--out", "new.json", "--json", "./new.json")
    assert done.returncode == 2 and b"name one file" in done.stderr
    assert (tmp_path / "text.txt").read_text() == "A text. " * 20 and model.stat().st_size == smollm2.stat().st_size


def test_standard_streams_are_inputs_and_outputs_too(call, lazyfill, tmp_path, smollm2):
    lines = tmp_path / "lines.jsonl"
    lines.write_text('{"prompt": "One"}\n')
    with open(lines, "rb") as stdin:
        done = call("run", "-m", smollm2, "--jsonl", "-", "--json", lines, stdin=stdin)
    assert done.returncode == 1 and b"is read as standard input" in done.stderr
    # `>> lines.jsonl` would read what it writes, without an end.
    done = subprocess.run(["bash", "-c", f'exec "$0" "$@" --jsonl "{lines}" >> "{lines}"', lazyfill, "run", "-m", smollm2, *GREEDY],
                          capture_output=True, timeout=120, check=False)
    assert done.returncode == 1 and b"cannot write to standard output" in done.stderr
    assert lines.read_text() == '{"prompt": "One"}\n'


def test_save_of_chat_spares_the_document(call, tmp_path, smollm2):
    document = tmp_path / "document.txt"
    document.write_text("Ada has a red boat.")
    done = call("chat", "-m", smollm2, "-f", document, *GREEDY, input=f"Who?\n/save {document}\n/save {tmp_path}/talk.json\n".encode())
    assert b"is read as" in done.stderr and document.read_text() == "Ada has a red boat."
    assert len(json.loads((tmp_path / "talk.json").read_text())["messages"]) == 2


@pytest.mark.parametrize("args", [["run", "-p", "word " * 9000, "--json"], ["explain", "-p", "word " * 9000, "-o"]])
def test_a_failure_leaves_the_old_result(call, tmp_path, smollm2, args):
    (tmp_path / "out").write_text("from before")
    done = call(*args, "out", "-m", smollm2)
    assert done.returncode == 1
    assert_untouched(tmp_path, {"out": b"from before"})


def test_a_full_disk_leaves_the_old_result(call, tmp_path, smollm2):
    (tmp_path / "out.html").write_text("from before")

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    done = call("explain", "-m", smollm2, "-p", "Some words", *GREEDY, "-o", "out.html", preexec_fn=limit)
    assert done.returncode == 1 and b"cannot write" in done.stderr
    assert_untouched(tmp_path, {"out.html": b"from before"})


def test_an_interrupted_run_leaves_the_finished_lines(lazyfill, tmp_path, smollm2):
    out = tmp_path / "out.jsonl"
    out.write_text("from before")
    with subprocess.Popen([lazyfill, "run", "-m", smollm2, *GREEDY, "--jsonl", "-", "--json", out], stdin=subprocess.PIPE) as program:
        program.stdin.write(b'{"prompt": "One"}\n{"prompt": "Two"}\n')
        program.stdin.flush()
        while out.read_bytes().count(b"\n") < 2:
            assert program.poll() is None
        program.kill()
        program.stdin.close()
    assert [json.loads(line)["prompt_tokens"] for line in out.read_text().splitlines()] == [1, 1]
    assert os.listdir(tmp_path) == ["out.jsonl"]


def test_results_go_to_what_the_shell_opened(lazyfill, tmp_path, smollm2):
    def shell(command):
        done = subprocess.run(["bash", "-c", f'"$0" run -m "{smollm2}" -p One {" ".join(GREEDY)} --lazy off {command}', lazyfill], cwd=tmp_path,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert json.loads(shell("--json /dev/stdout"))["text"]  # a record there stands alone, as with --json -
    assert json.loads(shell("--json /dev/stdout | cat"))["text"]
    (tmp_path / "log").write_text("before\n")
    shell("--json /dev/stdout >> log")
    first, second = (tmp_path / "log").read_text().splitlines()
    assert first == "before" and json.loads(second)["text"]
    shell("--json /dev/fd/3 3> third")
    assert json.loads((tmp_path / "third").read_text())["text"]
    os.mkfifo(tmp_path / "pipe")
    assert json.loads(shell("--json pipe > text & cat pipe; wait"))["text"] and (tmp_path / "text").read_text()
    assert shell("--json /dev/null") and os.path.exists("/dev/null") and not os.path.isfile("/dev/null")


def test_a_closed_stream_is_no_file(lazyfill, tmp_path, smollm2):
    out = tmp_path / "out.json"
    done = subprocess.run(["bash", "-c", f'"$0" run -m "{smollm2}" -p One {" ".join(GREEDY)} --json "{out}" >&- <&-', lazyfill], capture_output=True,
                          timeout=120, check=False)
    assert done.returncode == 1 and b"cannot write to standard output" in done.stderr
    assert json.loads(out.read_text())["text"]
