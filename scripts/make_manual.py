#!/usr/bin/env python3
"""Writes the man page and the shell completions from what the program itself says in its --help.

    scripts/make_manual.py PROGRAM TEMPLATE OUTPUT_DIR

The build calls it, so that a new flag is documented and completed the moment it exists. TEMPLATE is docs/lazyfill.1.in,
the hand-written part of the man page. Written into OUTPUT_DIR: lazyfill.1, lazyfill.bash, _lazyfill, lazyfill.fish.
"""

import dataclasses
import os
import pathlib
import re
import subprocess
import sys

FLAG_LINE = re.compile(r"^  (?:(-\w),)?(--[\w-]+)(?: (\S+))?(?:\s{2,}(.*)| *)$")
FILE_PLACEHOLDERS = ("FILE", "MODEL.gguf", "FOLDER")


@dataclasses.dataclass
class Flag:
    short: str
    name: str
    placeholder: str  # "" for a switch
    help: str
    group: str

    def choices(self):
        """The words that can be given; what stands in capitals is to be filled in."""
        words = self.placeholder.split("|") if "|" in self.placeholder else []
        return [word for word in words if word == word.lower()]

    def takes_file(self):
        return self.placeholder.startswith(FILE_PLACEHOLDERS)

    def names(self):
        return [name for name in (self.short, self.name) if name]


@dataclasses.dataclass
class Command:
    name: str
    title: str  # a few words, from the list of commands
    summary: str  # from its own help
    examples: list
    usage: str
    flags: list


def help_of(program, *command):
    # Only the plain text is wanted, whatever the variables of this shell say.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("LAZYFILL_")}
    return subprocess.run([program, *command, "--help"], check=True, capture_output=True, text=True,
                          env=environment).stdout


def parse_command(name, title, text):
    summary, _, rest = text.partition("\n\nExamples:\n")
    examples, _, rest = rest.partition("\nUsage: ")
    usage, _, rest = rest.partition("\n")
    flags, group = [], ""
    for line in rest.splitlines():
        flag = FLAG_LINE.match(line)
        if flag:
            short, long_name, placeholder, description = flag.groups(default="")
            flags.append(Flag(short, long_name, placeholder, description, group))
        elif line.startswith("   ") and flags:  # a description goes on
            flags[-1].help = f"{flags[-1].help} {line.strip()}".strip()
        elif line.endswith(":") and not line.startswith(" "):
            group = line[:-1]
    if not flags or not examples.strip():
        sys.exit(f"make_manual.py: cannot read the help of '{name}'; its layout has changed (see src/cli/flags.cc)")
    return Command(name, title, summary.strip(), [line.strip() for line in examples.splitlines() if line.strip()], usage, flags)


def read_commands(program):
    listed = help_of(program).partition("\nCommands:\n")[2].partition("\n\n")[0]
    entries = [line.split(maxsplit=1) for line in listed.splitlines() if line.startswith("  ")]
    return [parse_command(name, title, help_of(program, name)) for name, title in entries]


# --- man page ---

def roff(text):
    """Text as roff takes it: no line may begin with a control character, and a hyphen is a minus."""
    return re.sub(r"^([.'])", r"\\&\1", text.replace("\\", "\\e").replace("-", "\\-"))


def man_command(command):
    lines = [f'.SS "{roff(command.name)}"', roff(command.summary), ".PP", ".nf", ".RS"]
    lines += [roff(example) for example in command.examples]
    lines += [".RE", ".fi"]
    for flag in command.flags:
        placeholder = f" \\fI{roff(flag.placeholder)}\\fR" if flag.placeholder else ""
        lines += [".TP", ", ".join(f"\\fB{roff(name)}\\fR" for name in flag.names()) + placeholder, roff(flag.help)]
    return "\n".join(lines)


def man_page(commands, template, version):
    return (template.replace("@VERSION@", version)
            .replace("@COMMANDS@", "\n".join(man_command(command) for command in commands)))


# --- completions ---

def bash_value(flag):
    if flag.takes_file():
        return "compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")"
    if flag.choices():
        return f"mapfile -t COMPREPLY < <(compgen -W '{' '.join(flag.choices())}' -- \"$cur\")"
    return ":"


def bash(commands):
    names = " ".join(command.name for command in commands)
    lines = ["# bash completion for lazyfill; made from its --help", "_lazyfill() {",
             "  local cur=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} command=${COMP_WORDS[1]} flags",
             "  COMPREPLY=()",
             '  if [ "$COMP_CWORD" -eq 1 ]; then',
             f"    mapfile -t COMPREPLY < <(compgen -W '{names} --help --version' -- \"$cur\")",
             "    return", "  fi", '  case "$command $previous" in']
    for command in commands:
        for flag in command.flags:
            if flag.placeholder:
                pattern = "|".join(f"'{command.name} {name}'" for name in flag.names())
                lines.append(f"    {pattern}) {bash_value(flag)}; return ;;")
    lines += ["  esac", '  case "$command" in']
    lines += [f"    {c.name}) flags='{' '.join(name for f in c.flags for name in f.names())}' ;;" for c in commands]
    lines += ["  esac", '  case "$cur" in',
              "    -*) mapfile -t COMPREPLY < <(compgen -W \"$flags\" -- \"$cur\") ;;",
              "    *) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- \"$cur\") ;;", "  esac", "}",
              "complete -F _lazyfill lazyfill"]
    return "\n".join(lines) + "\n"


def zsh_flag(flag):
    text = re.sub(r"([\[\]:'])", lambda match: {"'": "'\\''"}.get(match[1], "\\" + match[1]), flag.help)
    value = ""
    if flag.placeholder:
        action = "_files" if flag.takes_file() else f"({' '.join(flag.choices())})" if flag.choices() else " "
        value = f":{flag.placeholder.split('|')[0]}:{action}"
    if flag.short:
        return f"    '({flag.short} {flag.name})'{{{flag.short},{flag.name}}}'[{text}]{value}'"
    return f"    '{flag.name}[{text}]{value}'"


def zsh(commands):
    lines = ["#compdef lazyfill", "# zsh completion for lazyfill; made from its --help", "local -a flags", "if (( CURRENT == 2 )); then",
             "  local -a commands=("]
    lines += [f"    '{c.name}:{c.title.replace(chr(39), '')}'" for c in commands]
    lines += ["  )", "  _describe command commands", "  return", "fi", "case $words[2] in"]
    for command in commands:
        lines += [f"  {command.name}) flags=("] + [zsh_flag(flag) for flag in command.flags] + ["  ) ;;"]
    return "\n".join(lines + ["esac", "shift words", "(( CURRENT-- ))", "_arguments $flags '*:file:_files'"]) + "\n"


def fish(commands):
    quoted = lambda text: "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
    lines = ["# fish completion for lazyfill; made from its --help"]
    for command in commands:
        lines.append(f"complete -c lazyfill -f -n __fish_use_subcommand -a {command.name} -d {quoted(command.title)}")
        for flag in command.flags:
            parts = [f"complete -c lazyfill -n '__fish_seen_subcommand_from {command.name}' -l {flag.name[2:]}"]
            if flag.short:
                parts.append(f"-s {flag.short[1:]}")
            if flag.takes_file():
                parts.append("-r -F")
            elif flag.placeholder:
                parts.append(f"-x -a {quoted(' '.join(flag.choices()))}" if flag.choices() else "-x")
            lines.append(" ".join(parts) + f" -d {quoted(flag.help)}")
    return "\n".join(lines) + "\n"


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    program, template, output_dir = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
    commands = read_commands(program)
    version = subprocess.run([program, "--version"], check=True, capture_output=True, text=True).stdout.split()[-1]
    output_dir.mkdir(parents=True, exist_ok=True)
    (output_dir / "lazyfill.1").write_text(man_page(commands, template.read_text(encoding="utf-8"), version), encoding="utf-8")
    (output_dir / "lazyfill.bash").write_text(bash(commands), encoding="utf-8")
    (output_dir / "_lazyfill").write_text(zsh(commands), encoding="utf-8")
    (output_dir / "lazyfill.fish").write_text(fish(commands), encoding="utf-8")


if __name__ == "__main__":
    main()
