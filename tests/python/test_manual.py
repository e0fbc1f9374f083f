"""Man page and completions: made by the build from --help, and understood by those that read them."""

import shutil
import subprocess

import pytest

COMMANDS = ["run", "chat", "serve", "bench", "explain", "calibrate", "pull", "models", "doctor", "tokenize", "inspect"]


@pytest.fixture(scope="module")
def manual(build_dir):
    path = build_dir / "manual"
    if not path.is_dir():
        pytest.skip("this build made no manual (no program yet, or no Python when it was configured)")
    return path


def flags_of(lazyfill, command):
    text = subprocess.run([lazyfill, command, "--help"], check=True, capture_output=True, text=True).stdout
    words = (word.split(",")[-1] for line in text.splitlines() if line.startswith("  -") for word in line.split()[:1])
    return list(words)


def complete_in_bash(manual, *words):
    """What bash offers after `words`, the last of which is being typed."""
    script = (f'source "{manual}/lazyfill.bash"; compopt() {{ :; }}; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); '
              'COMPREPLY=(); _lazyfill; printf "%s\\n" "${COMPREPLY[@]}"')
    result = subprocess.run(["bash", "-c", script, "bash", "lazyfill", *words], check=True, capture_output=True, text=True)
    return result.stdout.split()


def test_every_command_is_looked_at(lazyfill):
    text = subprocess.run([lazyfill, "--help"], check=True, capture_output=True, text=True).stdout
    listed = text.partition("\nCommands:\n")[2].partition("\n\n")[0]
    assert [line.split()[0] for line in listed.splitlines()] == COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_every_flag_is_in_the_man_page(manual, lazyfill, command):
    page = (manual / "lazyfill.1").read_text()
    section = page.partition(f'.SS "{command}"')[2].partition(".SS ")[0].replace("\\-", "-")
    flags = flags_of(lazyfill, command)
    assert len(flags) >= 2
    assert [flag for flag in flags if f"\\fB{flag}\\fR" not in section] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_bash_offers_every_flag(manual, lazyfill, command):
    offered = complete_in_bash(manual, command, "--")
    assert sorted(offered) == sorted(flags_of(lazyfill, command))


def test_bash_offers_commands_and_choices(manual):
    assert complete_in_bash(manual, "ex") == ["explain"]
    assert complete_in_bash(manual, "run", "--policy", "r") == ["random", "recent"]
    assert complete_in_bash(manual, "run", "--lazy", "") == complete_in_bash(manual, "bench", "--lazy", "") == ["off", "auto", "fast"]
    assert complete_in_bash(manual, "calibrate", "--preset", "f") == ["fast"]
    assert complete_in_bash(manual, "run", "--threads", "") == []


def test_man_page_has_no_roff_errors(manual):
    if not shutil.which("groff"):
        pytest.skip("groff is not installed")
    result = subprocess.run(["groff", "-man", "-ww", "-Tutf8", manual / "lazyfill.1"], capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")


def test_zsh_and_fish_know_every_flag(manual, lazyfill):
    for command in COMMANDS:
        zsh = (manual / "_lazyfill").read_text().partition(f"  {command}) flags=(")[2].partition("  ) ;;")[0]
        fish = [line for line in (manual / "lazyfill.fish").read_text().splitlines() if f"from {command}'" in line]
        for flag in flags_of(lazyfill, command):
            assert flag in zsh, (command, flag)
            assert any(f" -l {flag[2:]} " in line + " " for line in fish), (command, flag)


@pytest.mark.parametrize("shell, file", [("zsh", "_lazyfill"), ("fish", "lazyfill.fish")])
def test_other_shells_can_read_theirs(manual, shell, file):
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    result = subprocess.run([shell, "-n", manual / file], capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")
