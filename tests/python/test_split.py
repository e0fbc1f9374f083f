"""Models in several files, split by the gguf package: they must be what they were in one."""

import shutil
import subprocess

import pytest

from reference import tiny


def run(program, *arguments):
    return subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """Paths of the parts of a tiny model, in order."""
    folder = tmp_path_factory.mktemp("split")
    tiny.write_llama(folder / "model.gguf", split_max_tensors=20)
    paths = sorted(folder.glob("model-0000?-of-0000?.gguf"))
    assert len(paths) == 3
    return paths


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "model.gguf"
    tiny.write_llama(path)
    return path


def test_any_part_gives_the_answer_of_the_whole(lazyfill, parts, whole):
    def answer(path):
        done = run(lazyfill, "run", "-m", path, "-p", "The dog", "-n", 8, "--temp", 0, "--ctx", 64, "--quiet")
        assert done.returncode == 0, done.stderr
        return done.stdout

    expected = answer(whole)
    for path in parts:
        assert answer(path) == expected


def test_inspect_shows_the_whole(lazyfill, parts):
    done = run(lazyfill, "inspect", parts[1], "--tensors")
    assert done.returncode == 0, done.stderr
    assert "in 3 parts" in done.stdout
    for name in ("token_embd.weight", "output_norm.weight", "blk.5.ffn_down.weight"):
        assert name in done.stdout


def test_a_missing_part_is_named(lazyfill, parts, tmp_path):
    for path in (parts[0], parts[2]):
        shutil.copy(path, tmp_path)
    for command in ("inspect", "run"):
        done = run(lazyfill, command, "-m", tmp_path / parts[0].name, *(["-p", "a"] if command == "run" else []))
        assert done.returncode == 1
        assert "part 2 of 3 of the model cannot be used: cannot open" in done.stderr
        assert parts[1].name in done.stderr
