"""The layering check itself: what it lets pass and what it finds."""

import subprocess
import sys

import pytest


@pytest.fixture
def check(root, tmp_path):
    def run(**files):
        for name, text in files.items():
            path = tmp_path / name.replace("__", "/").replace("_h", ".h")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return subprocess.run([sys.executable, root / "scripts" / "check_layers.py", tmp_path],
                              capture_output=True, text=True, check=False)
    return run


def test_downward_and_public_includes_pass(check):
    result = check(src__base__a_h="", src__model__b_h='#include "base/a.h"\n#include "lazyfill/error.h"\n#include <map>\n')
    assert (result.returncode, result.stdout) == (0, "")


def test_upward_include_is_found(check):
    result = check(src__model__b_h="", src__base__a_h='\n#include "model/b.h"\n')
    assert result.returncode == 1
    assert result.stdout == "src/base/a.h:2: base/ must not know model/, which lies above it or beside it\n"


def test_sideways_include_is_found(check):
    result = check(src__cli__b_h="", src__server__a_h='#include "cli/b.h"\n')
    assert result.returncode == 1


def test_include_relative_to_the_own_folder_is_found(check):
    result = check(src__base__b_h="", src__base__a_h='#include "b.h"\n')
    assert "not written relative to src/" in result.stdout


def test_unknown_folder_is_found(check):
    assert "'misc' has no place" in check(src__misc__a_h="").stdout


def test_long_file_is_found(check):
    assert check(src__base__a_h="\n" * 499).returncode == 0
    result = check(src__base__a_h="\n" * 500)
    assert result.returncode == 1 and "500 lines are too many" in result.stdout
