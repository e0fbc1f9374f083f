"""The walkthroughs quote the tree: what they show must still be there."""

import re
import textwrap


def test_quoted_code_is_in_the_named_files(root):
    text = (root / "CONTRIBUTING.md").read_text(encoding="utf-8")
    quotes = re.findall(r"^ *`([\w/.]+)`\n *```\w+\n(.*?)^ *```", text, flags=re.MULTILINE | re.DOTALL)
    assert len(quotes) >= 4
    for path, code in quotes:
        source = textwrap.dedent((root / path).read_text(encoding="utf-8"))
        code = textwrap.dedent(code)
        lines = [line.strip() for line in source.splitlines()]
        wanted = [line.strip() for line in code.splitlines()]
        assert any(lines[i:i + len(wanted)] == wanted for i in range(len(lines))), f"{path} no longer holds:\n{code}"
