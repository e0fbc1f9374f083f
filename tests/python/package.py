"""What the tests of the Python package share. Without the package they are skipped: scripts/test.sh installs it."""

import json
import subprocess

import pytest

lazyfill = pytest.importorskip("lazyfill", reason="the package is not installed: 'pip install .' (scripts/test.sh does)")

QUESTION = "\n\nWho is Sir Walter Elliot?"


def record_of_program(program, model, tmp_path, *args):
    """What `lazyfill run` answers, as its record."""
    path = tmp_path / "record.json"
    subprocess.run([program, "run", "-m", model, "--temp", "0", "--json", path, *args], check=True, capture_output=True,
                   timeout=300)
    return json.loads(path.read_text(encoding="utf-8"))


def document(root, n_characters=6000):
    return (root / "examples" / "persuasion-1-2.txt").read_text(encoding="utf-8")[:n_characters]
