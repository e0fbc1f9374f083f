"""The layering check itself: what it lets pass and what it finds."""

import subprocess
import sys

import pytest


@pytest.fixture
def check(root, tmp_path):
    def run(**files):
        for name, text in files.items():
            path = tmp_path / name.replace("__", "/").replace("_h", ".h").replace("_cc", ".cc")
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


def test_include_from_an_unknown_folder_is_found(check):
    result = check(src__misc__a_h="", src__base__b_h='#include "misc/a.h"\n')
    assert result.returncode == 1
    assert "src/base/b.h:1: base/ must not know misc/" in result.stdout and "'misc' has no place" in result.stdout


def test_conversation_lies_between_the_engine_and_the_programs(check):
    assert check(src__engine__a_h="", src__conversation__b_h='#include "engine/a.h"\n',
                 src__cli__c_h='#include "conversation/b.h"\n', src__server__d_h='#include "conversation/b.h"\n',
                 src__python__e_h='#include "conversation/b.h"\n').returncode == 0
    assert check(src__engine__f_h='#include "conversation/b.h"\n').returncode == 1


def test_a_tree_without_some_of_the_folders_passes(check):
    assert check(src__base__a_h="").returncode == 0


def test_include_from_a_folder_that_is_not_there_yet_is_found(check):
    assert "src/engine/a.h:1:" in check(src__engine__a_h='#include "decoding/draft.h"\n').stdout


def test_long_file_is_found(check):
    assert check(src__base__a_h="\n" * 499).returncode == 0
    result = check(src__base__a_h="\n" * 500)
    assert result.returncode == 1 and "500 lines are too many" in result.stdout


def test_files_of_the_core_are_shorter(check):
    assert check(src__engine__a_h="\n" * 350, src__cli__a_h="\n" * 351).returncode == 0
    for folder in ("engine", "cache", "model"):
        result = check(**{f"src__{folder}__b_h": "\n" * 351, f"src__{folder}__b_test_cc": "\n" * 351})
        assert result.returncode == 1
        for name in ("b.h", "b_test.cc"):
            assert f"src/{folder}/{name}:351: 351 lines are too many" in result.stdout


def body(n_lines, indentation):
    return "".join(f"{indentation}call({i});\n" for i in range(n_lines))


@pytest.mark.parametrize("function, first, n_around", [
    ("int f(int a) {\n%s}\n", 3, 2),
    ("Result<void> f(int a,\n               int b) {\n%s}\n", 3, 3),
    ("A::A(int a)\n    : a_(a),\n      b_(a) {\n%s}\n", 3, 4),
    ("template <class T>\nint f(T a) {\n%s}\n", 4, 2),
    ("class A {\n public:\n  // Says it.\n  int f() const {\n    for (;;) {\n%s    }\n  }\n\n private:\n  int a_;\n};\n", 6, 4),
    ("int f() {\n#ifdef A\n\n%s#endif\n}\n", 3, 5),
])
def test_long_function_of_the_core_is_found(check, function, first, n_around):
    text = "namespace a {\n\n%s\n}  // namespace a\n"
    just = text % (function % body(60 - n_around, " " * 6))
    assert check(src__engine__a_cc=just).returncode == 0
    long = text % (function % body(61 - n_around, " " * 6))
    result = check(src__engine__a_cc=long)
    assert result.returncode == 1
    assert result.stdout == f"src/engine/a.cc:{first}: a function of 61 lines (limit 60); split it\n"
    assert check(src__engine__a_cc="", src__cli__a_cc=long).returncode == 0


def test_many_short_functions_and_a_long_table_pass(check):
    functions = "".join(f"int f{i}() {{\n{body(20, '  ')}}}\n\n" for i in range(9))
    table = "constexpr int kTable[] = {\n" + "    1,\n" * 100 + "};\n"
    assert check(src__model__a_cc=functions + table).returncode == 0
