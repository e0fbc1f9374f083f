#!/usr/bin/env python3
"""The requests that an agent sends in a day's work, a line each, for `lazyfill run --jsonl TRACE --batch 1 --prefix-cache`.

    python3 scripts/make_agent_trace.py > trace.jsonl        # 37 requests of up to 6,000 tokens

Every line has the whole conversation so far in "messages", as agents send it, and an "id" that names its kind. The system message
is, from its head: instructions with an example, tools, the environment with the date, notes on the project. Kinds, in the order in which they come:

    first                the first question
    title                a title for the conversation, asked under a system message of its own
    turn                 the conversation goes on: the last answer, and the result of a tool or a new wish
    sub-agent            the first question of another agent, with fewer tools; the second one has the same system message
    turn of a sub-agent
    retry                the last request once more
    branch               an earlier turn is asked otherwise
    changed date         the next day
    edited notes         the tail of the system message is another
    reordered tools      the same tools, as a table without order lists them

A turn follows each break. What is aborted in the middle cannot be said in a file, so there is none. The answers are written here and not
the model's, so they are new to a store that has kept the model's. The same arguments make the same bytes.
"""

import argparse
import json
import pathlib
import random

TEXTS = pathlib.Path(__file__).resolve().parents[1] / "src" / "cli" / "calibration"
STYLE = "code.txt"  # stands in the system message; the others are what tools return

RULES = [
    "You are an agent that works on a repository of software through the tools below.",
    "Read a file before you change it, and change as little as the task needs.",
    "Follow the style of the code around: its names, its comments and the libraries that it uses already.",
    "Never guess a path. Search for it, or list the folder.",
    "Run the tests that concern a change, and say plainly when they fail or when there are none.",
    "Commit only when you are asked to. Write why in the message, not what.",
    "Refuse to write down secrets, keys and passwords, and do not print them.",
    "A command that deletes or overwrites what is not under version control needs a confirmation.",
    "Answer in at most four lines unless more is asked for. No preamble, no summary of what the reader has just seen.",
    "When several calls of tools do not depend on each other, make them together.",
    "Keep a list of what is to be done for work of more than three steps, and tick off each step when it is finished.",
    "If something stays unclear after a search, ask one question rather than three.",
]

# name: what it does, and its arguments.
TOOLS = {
    "read_file": ("Reads a text file, whole or from one line to another. Long lines are cut. A file that does not exist is an error.",
                  {"path": "absolute path of the file", "first_line": "where to begin, from 1", "n_lines": "how many lines at most"}),
    "write_file": ("Writes a file and replaces what was there. The file must have been read before if it exists.",
                   {"path": "absolute path of the file", "content": "the whole new content"}),
    "edit_file": ("Replaces one passage of a file by another. The passage must occur once, blanks and line ends included.",
                  {"path": "absolute path of the file", "old_text": "what is there", "new_text": "what shall be there instead",
                   "all": "replace every occurrence"}),
    "list_folder": ("Lists the files of a folder with their sizes, and its folders, in the order of their names.",
                    {"path": "absolute path of the folder", "ignore": "patterns of names to leave out"}),
    "find_files": ("Finds files whose path fits a pattern such as src/**/*.cc, the newest first, a hundred at most.",
                   {"pattern": "the pattern", "path": "the folder to search; the working folder if it is left out"}),
    "search_text": ("Searches the contents of files for a regular expression, and gives paths with numbers of lines.",
                    {"pattern": "the expression", "path": "file or folder", "include": "pattern of names", "context": "lines around each hit"}),
    "run_command": ("Runs a command in a shell and gives what it printed. It is ended after the time limit. Not for reading or searching files.",
                    {"command": "the command", "time_limit_s": "seconds, 120 if it is left out", "description": "what it does, in five words"}),
    "fetch_page": ("Fetches a page of the web and gives its text. Pages that need a login cannot be fetched.",
                   {"address": "where it is, with https", "question": "what you want to know from it"}),
    "start_agent": ("Starts another agent for a search or a task of many steps. It sees nothing of this conversation and reports once.",
                    {"task": "all that it must know", "kind": "explorer or worker"}),
    "write_list": ("Replaces the list of what is to be done. One item at a time is in progress.",
                   {"items": "the items in order, each with its state: open, in progress or done"}),
    "ask_user": ("Asks a question with two to four answers to choose from. Only where the work cannot go on without.",
                 {"question": "one sentence", "answers": "the answers, the recommended one first"}),
    "show_diff": ("Shows what was changed since the last commit, or between two commits, as a unified diff.",
                  {"path": "file or folder, all if it is left out", "from": "a commit", "to": "a commit"}),
    "diagnostics": ("Asks the compiler's server for the errors and warnings of a file or of all open files.",
                    {"path": "the file", "severity": "error, warning or all"}),
    "remember": ("Writes a sentence into the notes on the project, which every later conversation begins with.",
                 {"sentence": "what to remember", "section": "under which title"}),
}

NOTES = [
    "The build needs CMake; the tests run with ctest and take two minutes.",
    "Modules under src/core have no dependencies on those under src/app.",
    "Errors are values. Exceptions end at the interface of the library.",
    "The formatter runs before every commit and breaks lines at 100 characters.",
    "Names of tests are sentences that say what holds.",
]
LATER_NOTE = "The parser's tests are slow since last week; run them with the filter for the case at hand."

WISHES = ["Why does the reader give up at the second record? Find the place and mend it.", "Now write a test that fails without the change.",
          "Is there another caller that relies on the old behaviour?", "Rename the helper; its name says too little.",
          "What did the last run of the tests print?", "Update the notes of the release."]
CALLS = ["I look at the file first.", "The loop ends one record early. I read what calls it.", "I search for the other callers.",
         "This is the place; I change the condition.", "I run the tests that concern it.", "All pass. I show the difference."]


def schema(name):
    what, arguments = TOOLS[name]
    properties = {argument: {"type": "string", "description": text} for argument, text in arguments.items()}
    return {"type": "function", "function": {"name": name, "description": what, "parameters": {
        "type": "object", "properties": properties, "required": [next(iter(arguments))], "additionalProperties": False}}}


def system_message(tools, date, notes, n_example):
    text = (TEXTS / STYLE).read_text(encoding="utf-8")[:n_example].strip()
    example = ["", "# An example of the style", text] if text else []
    return "\n".join([*RULES, *example, "", "# Tools", *(json.dumps(schema(name)) for name in tools), "",
                      "# Environment", "Folder: /home/user/project", "Platform: linux", f"Today's date: {date}", "", "# Notes on the project", *notes])


class Results:
    """What tools return: passages of the calibration's texts, none twice."""

    def __init__(self, seed):
        texts = [path.read_text(encoding="utf-8") for path in sorted(TEXTS.glob("*.txt")) if path.name != STYLE]
        self.lines = [line for text in texts for line in text.splitlines() if line.strip()]
        self.random = random.Random(seed)
        self.random.shuffle(self.lines)

    def next(self, n_chars):
        text = ""
        while len(text) < n_chars:
            if not self.lines:
                raise SystemExit("the calibration's texts are used up: ask for fewer turns")
            text += self.lines.pop()[:160] + "\n"
        return text


class Trace:
    def __init__(self, n_tools, n_example, seed):
        self.tools = list(TOOLS)[:n_tools]
        self.n_example = n_example
        self.results = Results(seed)
        self.random = random.Random(seed)
        self.date, self.notes = "2026-03-02", list(NOTES)
        self.lines = []
        self.talk = []  # without the system message

    def send(self, kind, messages=None):
        number = sum(line["id"]["kind"] == kind for line in self.lines)
        messages = messages or [{"role": "system", "content": system_message(self.tools, self.date, self.notes, self.n_example)}, *self.talk]
        self.lines.append({"id": {"kind": kind, "number": number}, "messages": [dict(message) for message in messages]})

    def go_on(self, talk, n, wishes=WISHES):
        """An answer, and what the user or a tool says to it."""
        talk.append({"role": "assistant", "content": CALLS[n % len(CALLS)]})
        is_wish = n % 3 == 2
        talk.append({"role": "user", "content": wishes[n // 3 % len(wishes)] if is_wish else
                     f"<result of=\"{self.tools[n % len(self.tools)]}\">\n{self.results.next(self.random.randrange(150, 450))}</result>"})

    def turns(self, n):
        for _ in range(n):
            self.go_on(self.talk, len(self.talk) // 2)
            self.send("turn")

    def sub_agent(self, task, n_turns):
        rules = system_message(self.tools[:max(2, len(self.tools) // 3)], self.date, [], 0)
        talk = [{"role": "system", "content": "You are a sub-agent. Report once, in full.\n" + rules}, {"role": "user", "content": task}]
        self.send("sub-agent", talk)
        for n in range(n_turns):
            self.go_on(talk, 3 * n)
            self.send("turn of a sub-agent", talk)


def make(n_turns, n_tools, n_example, seed):
    """n_turns: of each of the six pieces of the conversation but the first, which has twice as many."""
    trace = Trace(n_tools, n_example, seed)
    trace.talk.append({"role": "user", "content": WISHES[0]})
    trace.send("first")
    trace.send("title", [{"role": "system", "content": "Give the conversation a title of at most six words. Answer with the title alone."},
                         {"role": "user", "content": WISHES[0]}])
    trace.turns(2 * n_turns)
    trace.sub_agent("Find every place where a record is read, and list the paths.", n_turns)
    trace.turns(n_turns)
    trace.send("retry")
    trace.turns(1)
    trace.sub_agent("Find out which tests cover the reader, and which of its branches none covers.", n_turns)
    del trace.talk[-2 * min(3, n_turns):]
    trace.talk[-1] = {"role": "user", "content": "No, leave that as it is. Show me the difference first."}
    trace.send("branch")
    trace.turns(n_turns)
    trace.date = "2026-03-03"
    trace.send("changed date")
    trace.turns(n_turns)
    trace.notes[-1:] = [LATER_NOTE]
    trace.send("edited notes")
    trace.turns(n_turns)
    trace.random.shuffle(trace.tools)
    trace.send("reordered tools")
    trace.turns(n_turns)
    return trace.lines


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=3, help="in a piece of the conversation, of which there are seven; default 3")
    parser.add_argument("--tools", type=int, default=len(TOOLS), help=f"how many, default {len(TOOLS)}, from 2")
    parser.add_argument("--example", type=int, default=6000, metavar="N", help="characters of the example in the system message; default 6000: all")
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()
    if not 2 <= args.tools <= len(TOOLS) or args.turns < 1 or args.example < 0:
        parser.error(f"--tools takes 2 to {len(TOOLS)}, --turns at least 1, --example at least 0")
    for line in make(args.turns, args.tools, args.example, args.seed):
        print(json.dumps(line))


if __name__ == "__main__":
    main()
