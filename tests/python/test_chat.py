"""A conversation at a terminal: editing, pastes, history, commands; and the same commands from a pipe."""

import json
import os
import pty
import select
import signal
import subprocess
import termios
import time

import pytest
from chain_model import CONTROL, ChainModel


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Answers "ok" to everything; its template spells roles out."""
    chain = ChainModel()
    end = chain.add("<fin>", CONTROL)
    chain.values["tokenizer.ggml.eos_token_id"] = end
    chain.values["tokenizer.chat_template"] = (
        "{% for m in messages %}{{ m.role }}={{ m.content }}\n{% endfor %}{% if add_generation_prompt %}:{% endif %}")
    chain.say(ord(":"), [*b"OK", end])
    return chain.write(tmp_path_factory.mktemp("chat") / "model.gguf", n_context=20000)


class Terminal:
    def __init__(self, lazyfill, model, home, *flags, **variables):
        controller, terminal = pty.openpty()
        environment = {**os.environ, "HOME": str(home), "TERM": "xterm", **variables}
        environment.pop("XDG_STATE_HOME", None)
        self.process = subprocess.Popen([lazyfill, "chat", "-m", model, "--temp", "0", *flags], stdin=terminal, stdout=terminal,
                                        stderr=terminal, env=environment, start_new_session=True)
        self.slave = terminal  # open, so that its settings outlive the program
        self.controller, self.shown = controller, b""
        self.wait_for(b"> ")

    def wait_for(self, text, seconds=60):
        """All that is shown up to this text."""
        deadline = time.monotonic() + seconds
        while text not in self.shown:
            assert select.select([self.controller], [], [], max(0, deadline - time.monotonic()))[0], (text, self.shown[-2000:])
            try:
                self.shown += os.read(self.controller, 65536)
            except OSError:
                raise AssertionError((text, self.shown[-2000:])) from None
        before, _, self.shown = self.shown.partition(text)
        return before

    def type(self, data):
        while data:
            _, ready, _ = select.select([], [self.controller], [], 10)
            if select.select([self.controller], [], [], 0)[0]:
                self.shown += os.read(self.controller, 65536)
            if ready:
                data = data[os.write(self.controller, data[:512]):]

    def ask(self, data):
        self.type(data + b"\r")
        self.wait_for(b"TTFT")
        self.wait_for(b"> ")

    def end(self):
        self.type(b"/bye\r")
        return self.process.wait(timeout=30)

    def saved(self, path):
        self.type(f"/save {path}\r".encode())
        self.wait_for(b"saved")
        self.wait_for(b"> ")
        return json.loads(path.read_text())["messages"]


@pytest.fixture(params=["editor", "plain"])
def chat(request, lazyfill, model, tmp_path):
    """A terminal with editing, and one that knows no escape codes."""
    opened = []

    def start(*flags, **variables):
        if request.param == "plain":
            variables["TERM"] = "dumb"
        opened.append(Terminal(lazyfill, model, tmp_path, *flags, **variables))
        return opened[-1]

    start.has_editor = request.param == "editor"
    yield start
    for terminal in opened:
        if terminal.process.poll() is None:
            terminal.process.kill()
            terminal.process.wait()


def questions(messages):
    return [message["content"] for message in messages if message["role"] == "user"]


def test_a_paste_of_several_lines_is_one_question(chat, tmp_path):
    terminal = chat()
    terminal.ask(b"\x1b[200~one\rtwo\r\rthree\r\x1b[201~")
    assert questions(terminal.saved(tmp_path / "saved.json")) == ["one\ntwo\n\nthree"]
    assert terminal.end() == 0


def test_long_lines_arrive_whole(chat, tmp_path):
    terminal = chat()
    text = "".join(f"{i} " for i in range(1200)).strip()
    assert len(text) > 4096
    terminal.ask(text.encode())
    assert questions(terminal.saved(tmp_path / "saved.json")) == [text]
    assert terminal.end() == 0


def test_several_lines_by_quotes_and_backslashes(chat, tmp_path):
    terminal = chat()
    terminal.ask(b'"""one\rtwo"""')
    terminal.ask("d\u00e9j\u00e0\\\rvu".encode())
    assert questions(terminal.saved(tmp_path / "saved.json")) == ["one\ntwo", "d\u00e9j\u00e0\nvu"]
    assert terminal.end() == 0


def test_backspace_erases_a_character(chat, tmp_path):
    terminal = chat()
    terminal.ask("ab\u00e9\x7f\x7fc".encode())
    assert questions(terminal.saved(tmp_path / "saved.json")) == ["ac"]


def test_a_dumb_terminal_gets_no_escape_codes(chat):
    terminal = chat()
    if chat.has_editor:
        pytest.skip("the other terminal is meant")
    terminal.type(b"a\r")
    assert b"\x1b" not in terminal.wait_for(b"TTFT")


def test_ctrl_c_at_the_prompt_ends_the_program_and_mends_the_terminal(chat):
    terminal = chat()
    terminal.type(b"half")
    terminal.wait_for(b"half")
    os.kill(terminal.process.pid, signal.SIGINT)
    assert terminal.process.wait(timeout=30) == -signal.SIGINT
    assert termios.tcgetattr(terminal.slave)[3] & (termios.ICANON | termios.ECHO) == termios.ICANON | termios.ECHO


def test_history_outlives_the_program(lazyfill, model, tmp_path):
    first = Terminal(lazyfill, model, tmp_path)
    first.ask(b"\x1b[200~kept\rlines\x1b[201~")
    assert first.end() == 0
    second = Terminal(lazyfill, model, tmp_path)
    second.ask(b"\x1b[A\x1b[A")  # over /bye
    assert questions(second.saved(tmp_path / "saved.json")) == ["kept\nlines"]
    assert second.end() == 0


def test_tab_completes_commands(lazyfill, model, tmp_path):
    terminal = Terminal(lazyfill, model, tmp_path)
    terminal.type(b"/st\t\r")
    terminal.wait_for(b"0 messages")
    terminal.type(b"/s\t\t")
    terminal.wait_for(b"/system  /save  /stats")
    terminal.type(b"\x15")
    assert terminal.end() == 0


# --- commands, from a pipe ---

@pytest.fixture
def converse(lazyfill, model):
    def call(text, *flags):
        return subprocess.run([lazyfill, "chat", "-m", model, "--temp", "0", *flags], input=text.encode(), capture_output=True, timeout=60)

    return call


def test_commands_say_what_they_did(converse, tmp_path):
    path = tmp_path / "saved.json"
    done = converse(f"a\n/retry\n/system Be brief\n/save {path}\n/clear\n/stats\n/load {path}\n/stats\n/system\n/bye\nnever\n")
    assert done.returncode == 0, done.stderr
    told = done.stderr.decode()
    for part in ("the system message is set", "saved 2 messages and the system message", "forgot 2 messages", "0 messages, ",
                 "loaded 2 messages and a system message", "2 messages, ", "the system message: Be brief"):
        assert part in told
    assert done.stdout == b"OK\nOK\n"
    assert json.loads(path.read_text())["messages"] == [{"role": "system", "content": "Be brief"}, {"role": "user", "content": "a"},
                                                        {"role": "assistant", "content": "OK"}]


def test_a_saved_system_message_reaches_run(converse, lazyfill, model, tmp_path):
    path = tmp_path / "saved.json"
    assert converse(f"a\n/save {path}\n", "--system", "Be brief").returncode == 0
    tokens = [json.loads(subprocess.run([lazyfill, command, "-m", model, "--json", *flags], stdin=subprocess.DEVNULL,
                                        capture_output=True, check=True).stdout)[key]
              for command, flags, key in (("run", ["--chat", "--messages", path, "-n", "1"], "prompt_token_ids"),
                                          ("tokenize", ["-p", "system=Be brief\nuser=a\nassistant=OK\n:"], "token_ids"))]
    assert tokens[0] == tokens[1]


def test_blanks_and_slashes(converse, tmp_path):
    path = tmp_path / "saved.json"
    done = converse(f"  /stats\n//etc is a folder\n\t/save {path}\n")
    assert done.returncode == 0, done.stderr
    assert questions(json.loads(path.read_text())["messages"]) == ["/etc is a folder"]


def test_what_is_no_command_is_told(converse, tmp_path):
    done = converse("/claer\n/save\n/load none.json\n/retry\n")
    assert done.returncode == 1 and done.stdout == b""
    for part in ("did you mean /clear?", "/save needs the name of a file", "none.json", "no question to answer again"):
        assert part in done.stderr.decode()


def test_a_full_context_names_clear(converse):
    done = converse("one two three four\n" * 4, "-c", "64")
    assert b"/clear" in done.stderr


def test_a_conversation_with_calls_is_not_loaded(converse, tmp_path):
    path = tmp_path / "calls.json"
    path.write_text(json.dumps([{"role": "user", "content": [{"type": "text", "text": "a"}]}]))
    done = converse(f"/load {path}\n")
    assert done.returncode == 1 and b"--messages" in done.stderr
