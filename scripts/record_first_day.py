#!/usr/bin/env python3
"""Records docs/first-day.md and docs/first-day.svg: types into a terminal (tmux), waits, and keeps what it shows.

    scripts/record_first_day.py [--program build/release/bin/lazyfill]

Nothing of what the program says is changed but the home folder, which becomes "~". The model must be there already:
scripts/quickstart.sh brings it.
"""

import argparse
import html
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
DOCUMENT = "examples/persuasion-1-2.txt"
WIDTH, HEIGHT = 100, 50
PATIENCE_S = 120
PORT = 8177
SHELL = "$ "  # the prompt of the shell, which ends a command
CHAT = "> "   # that of chat

QUESTION = "What is the name of Sir Walter Elliot's house? Answer in one sentence."
# heading, what is said about it, [(what is typed, the prompt that ends it)]
SCENES = [
    ("Ask a document", "The first line of numbers says how long the first word took, and why.",
     [(f'lazyfill run --chat -f {DOCUMENT} -p "{QUESTION}" -n 32 --temp 0', SHELL)]),
    ("Chat", "The second question is two lines, pasted at once: they arrive as one. `/stats` says where the time went, "
     "`/retry` asks again. The long answer is ended with Ctrl-C, and the conversation goes on.",
     [(f"lazyfill chat -f {DOCUMENT} -n 80", CHAT), ("Who is Elizabeth?", CHAT),
      ("PASTE Name her father.\nAnswer with the name alone.", CHAT), ("/stats", CHAT), ("/retry", CHAT),
      ("INTERRUPT Tell the whole story again, slowly.", CHAT), ("/bye", SHELL)]),
    ("See what was kept", "The page `explain.html` shows the words that each pruning layer kept.",
     [(f'lazyfill explain --chat -f {DOCUMENT} -p "{QUESTION}" -n 32 -o explain.html', SHELL)]),
    ("What this machine can do", "", [("lazyfill doctor", SHELL)]),
    ("Serve it", "",
     [(f"lazyfill serve --port {PORT} > serve.log 2>&1 &", SHELL),
      (f"curl -s --retry 20 --retry-connrefused localhost:{PORT}/health; echo", SHELL),
      (f"curl -s localhost:{PORT}/v1/completions -d '{{\"prompt\": \"Two and two are\", \"max_tokens\": 8}}'; echo", SHELL),
      ("kill %1", SHELL)]),
]


class Terminal:
    def __init__(self, program):
        self.socket = f"first-day-{os.getpid()}"
        self.folder = tempfile.TemporaryDirectory()
        pathlib.Path(self.folder.name, "lazyfill").symlink_to(program)
        path = f"{self.folder.name}:{os.environ['PATH']}"
        shell = f"env PATH={shlex.quote(path)} PS1='$ ' bash --norc --noprofile"
        self.tmux("-f", "/dev/null", "new-session", "-d", "-x", str(WIDTH), "-y", str(HEIGHT), "-s", "day", shell)
        self.wait_for(SHELL, 0)

    def tmux(self, *words, **more):
        return subprocess.run(["tmux", "-L", self.socket, *words], check=True, capture_output=True, text=True, **more).stdout

    def close(self):
        self.tmux("kill-server")
        self.folder.cleanup()

    def text(self):
        shown = self.tmux("capture-pane", "-p", "-J", "-S", "-2000", "-t", "day")
        return "\n".join(line.rstrip() for line in shown.split("\n")).rstrip()

    def wait_for(self, prompt, n_before):
        """Until the last line is the bare `prompt` in a text longer than that of before, and stays so."""
        end = time.monotonic() + PATIENCE_S
        last = None
        while time.monotonic() < end:
            time.sleep(0.4)
            text = self.text()
            is_at_prompt = text.split("\n")[-1].strip() == prompt.strip()
            if is_at_prompt and text == last and len(text) > n_before:
                return
            last = text
        sys.exit(f"no prompt {prompt!r} within {PATIENCE_S} s; the terminal shows:\n{self.text()}")

    def type(self, line, prompt):
        before = len(self.text())
        if line.startswith("PASTE "):
            self.tmux("load-buffer", "-", input=line.removeprefix("PASTE "))
            self.tmux("paste-buffer", "-p", "-t", "day")  # -p: as terminals do, between brackets
        else:
            self.tmux("send-keys", "-t", "day", "-l", line.removeprefix("INTERRUPT "))
        time.sleep(0.3)
        self.tmux("send-keys", "-t", "day", "Enter")
        if line.startswith("INTERRUPT "):
            time.sleep(0.7)
            self.tmux("send-keys", "-t", "day", "C-c")
        self.wait_for(prompt, before)


def record(program):
    """[text of a scene]"""
    terminal = Terminal(program)
    try:
        scenes = []
        for _, _, steps in SCENES:
            for line, prompt in steps:
                terminal.type(line, prompt)
            text = terminal.text().replace(str(pathlib.Path.home()), "~")
            scenes.append(re.sub(r"\n\$ *$", "", text))
            terminal.tmux("send-keys", "-t", "day", "clear", "Enter")
            time.sleep(0.5)
            terminal.tmux("clear-history", "-t", "day")
        return scenes
    finally:
        terminal.close()


def page(scenes):
    parts = ["# The first day",
             "What a terminal shows, written by `scripts/record_first_day.py`, which types the commands. The times are of one run on\n"
             "a machine with two cores; the home folder is written as `~`.",
             "## Install\n\nOn Debian 12. It brings what is missing, builds, fetches the small model that all the rest here uses, and asks a\n"
             "first question. Its output is long and not shown.\n\n```\n./scripts/quickstart.sh\nexport PATH=\"$PWD/build/release/bin:$PATH\"\n```\n\n"
             "[Another model by its name](cli.md#a-model-by-name) comes with `lazyfill pull`."]
    for (heading, words, _), text in zip(SCENES, scenes, strict=True):
        parts.append(f"## {heading}" + (f"\n\n{words}" if words else "") + f"\n\n```\n{text}\n```")
    return "\n\n".join(parts) + "\n"


def picture(text):
    lines = [line[i:i + WIDTH] for line in text.split("\n") for i in range(0, max(len(line), 1), WIDTH)]
    step, left = 18, 16
    height = step * len(lines) + 2 * left
    bold = ' font-weight="bold"'
    rows = "\n".join(f'<text x="{left}" y="{left + step * (i + 1) - 5}" xml:space="preserve"'
                     f'{bold if line.startswith(SHELL) else ""}>{html.escape(line)}</text>'
                     for i, line in enumerate(lines) if line)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH * 8 + 2 * left} {height}" '
            'font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" font-size="13" fill="#e6e6e6">\n'
            f'<rect width="100%" height="100%" rx="8" fill="#1e2127"/>\n{rows}\n</svg>\n')


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--program", type=pathlib.Path, default=ROOT / "build/release/bin/lazyfill")
    program = parser.parse_args().program.resolve()
    if shutil.which("tmux") is None:
        sys.exit("tmux is missing: apt install tmux")
    os.chdir(ROOT)
    scenes = record(program)
    for name in ("explain.html", "serve.log"):
        (ROOT / name).unlink(missing_ok=True)
    (ROOT / "docs/first-day.md").write_text(page(scenes), encoding="utf-8")
    (ROOT / "docs/first-day.svg").write_text(picture(scenes[0]), encoding="utf-8")


if __name__ == "__main__":
    main()
