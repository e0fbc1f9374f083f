#!/usr/bin/env python3
"""Checks that what the documents name is there: files, and headings within them.

    scripts/check_links.py [ROOT]

Looks at every link of the Markdown files that stays within the project, and at every document under docs/ that a source or a
script mentions (as docs/lazy.md). What it finds is printed as FILE:LINE: sentence, and the exit code is 1.
"""

import pathlib
import re
import sys
import unicodedata

NOT_OURS = {".git", "build", ".venv", ".cache", ".evals", "__pycache__"}
SOURCES = {".h", ".cc", ".inc", ".py", ".sh", ".txt", ".in"}
LINK = re.compile(r"\]\(([^()\s]+)\)")
FENCE = re.compile(r"^\s*(```|~~~)")
HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*$")
DOCUMENT = re.compile(r"\bdocs/[\w./-]+\.md\b")
ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:|//")  # another scheme: not looked up


def files(root, suffixes):
    for path in sorted(root.rglob("*")):
        if path.suffix in suffixes and path.is_file() and not NOT_OURS & set(path.relative_to(root).parts):
            yield path


def prose(path):
    """(number, line) of what is not in a block of code."""
    fenced = False
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if FENCE.match(line):
            fenced = not fenced
        elif not fenced:
            yield number, line


def slug(heading):
    """The anchor that a heading gets: its text in small letters, without signs, with - for spaces."""
    text = LINK.sub("]", heading).replace("[", "").replace("]", "")
    kept = (c for c in text.lower() if c in " -_" or unicodedata.category(c)[0] in "LN")
    return "".join(kept).replace(" ", "-")


def anchors(path, known={}):
    if path not in known:
        found = {}
        for _, line in prose(path):
            if match := HEADING.match(line):
                name = slug(match[1])
                found[name] = found.get(name, -1) + 1
        known[path] = {f"{name}-{i}" if i else name for name, n in found.items() for i in range(n + 1)}
    return known[path]


def check_documents(root):
    for path in files(root, {".md"}):
        for number, line in prose(path):
            for target in LINK.findall(re.sub(r"`[^`]*`", "", line)):
                if ELSEWHERE.match(target):
                    continue
                place = f"{path.relative_to(root)}:{number}"
                name, _, anchor = target.partition("#")
                file = path.parent / name if name else path
                if not file.exists():
                    yield f"{place}: there is no file {name}"
                elif anchor and file.suffix == ".md" and anchor not in anchors(file.resolve()):
                    yield f"{place}: {name or 'this file'} has no heading for #{anchor}"


def check_sources(root):
    for folder in ("src", "include", "scripts", "bench", "evals", "fuzz", "python", "tests", "examples", "cmake"):
        for path in files(root / folder, SOURCES):
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
                for name in DOCUMENT.findall(line):
                    if not (root / name).is_file():
                        yield f"{path.relative_to(root)}:{number}: there is no file {name}"


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parents[1]).resolve()
    findings = [*check_documents(root), *check_sources(root)]
    for finding in findings:
        print(finding)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
