#!/usr/bin/env python3
"""Checks two rules of the house that no compiler knows: which folder may include which, and how long a file or a function
may be.

    scripts/check_layers.py [ROOT]

A folder of src/ includes only from itself, from the folders below it and from the public headers. What it finds is
printed as FILE:LINE: sentence, and the exit code is 1.
"""

import pathlib
import re
import sys

# Bottom to top. Folders in one tuple stand side by side and do not see each other. A folder may have its place before it
# has files; one that has files and no place is a finding.
LAYERS = [("base",), ("gguf",), ("tokenizer",), ("kernels",), ("model",), ("cache",), ("pruning",), ("decoding",),
          ("engine",), ("conversation",), ("server", "python"), ("cli",)]
LEVEL = {folder: level for level, folders in enumerate(LAYERS) for folder in folders}
MAX_LINES = 499
# The core is read by everyone who changes anything: its files are shorter, tests included, and so are its functions.
CORE_FOLDERS = ["src/engine", "src/cache", "src/model"]
MAX_CORE_LINES = 350
MAX_FUNCTION_LINES = 60
SOURCE_SUFFIXES = {".h", ".cc", ".inc", ".py", ".sh"}
CHECKED_FOLDERS = ["src", "include", "python", "tests", "scripts", "examples"]
INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"')


def may_include(folder, target):
    """Whether a file in src/`folder` may include a file of src/`target`."""
    return folder == target or (target in LEVEL and LEVEL[target] < LEVEL[folder])


def check_includes(root):
    for path in sorted((root / "src").rglob("*")):
        if path.suffix not in {".h", ".cc", ".inc"}:
            continue
        folder = path.relative_to(root / "src").parts[0]
        if folder not in LEVEL:
            yield f"{path.relative_to(root)}:1: the folder '{folder}' has no place in the layers; give it one in {__file__}"
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            match = INCLUDE.match(line)
            if not match or match[1].startswith("lazyfill/"):
                continue
            place = f"{path.relative_to(root)}:{number}"
            target = match[1].split("/")[0]
            if not (root / "src" / match[1]).is_file():
                yield f'{place}: "{match[1]}" is not written relative to src/ (use <> for what is not ours)'
            elif not may_include(folder, target):
                yield f'{place}: {folder}/ must not know {target}/, which lies above it or beside it'


def check_lengths(root):
    core = tuple(root / folder for folder in CORE_FOLDERS)
    for folder in CHECKED_FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix not in SOURCE_SUFFIXES or not path.is_file():
                continue
            is_core = any(path.is_relative_to(core_folder) for core_folder in core)
            lines = path.read_text(encoding="utf-8").splitlines()
            name = path.relative_to(root)
            limit = MAX_CORE_LINES if is_core else MAX_LINES
            if len(lines) > limit:
                yield f"{name}:{len(lines)}: {len(lines)} lines are too many to read at once (limit {limit}); split it"
            for first, n_lines in functions(lines) if is_core else []:
                if n_lines > MAX_FUNCTION_LINES:
                    yield f"{name}:{first}: a function of {n_lines} lines (limit {MAX_FUNCTION_LINES}); split it"


def functions(lines):
    """Where functions begin, and how many lines they have. Goes by the layout that clang-format gives: what a lone brace
    ends began at the last line before it that is not indented deeper. Blocks inside of functions come out too; they are shorter."""
    openers = []  # (indentation, line number) of the lines that something may yet belong to
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        indentation = len(line) - len(line.lstrip())
        while openers and openers[-1][0] > indentation:
            openers.pop()
        if text == "}" and openers and openers[-1][0] == indentation:
            yield openers[-1][1], number - openers[-1][1] + 1
        if openers and openers[-1][0] == indentation:
            openers.pop()
        openers.append((indentation, number))


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parents[1]).resolve()
    findings = [*check_includes(root), *check_lengths(root)]
    for finding in findings:
        print(finding)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
