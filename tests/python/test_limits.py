"""Where the system gives few threads or little memory: an answer, or one sentence and exit code 1; no crash and no hang."""

import os
import re
import resource
import shutil
import signal
import subprocess
import tempfile

import pytest

from reference import tiny

UID = 54_321  # nobody else's: the limit of processes counts all that a user runs
KIB = 1024
GREEDY = ["-p", "a", "-n", "2", "--temp", "0", "--ctx", "64"]
SECONDS = 120  # a hang is a failure; everything here takes far less than one


@pytest.fixture(scope="module")
def folder(lazyfill):
    """The program and a model where every user may read them."""
    path = tempfile.mkdtemp(prefix="lazyfill-limits-")
    os.chmod(path, 0o755)
    shutil.copy(lazyfill, f"{path}/lazyfill")
    tiny.write_llama(f"{path}/model.gguf", n_layers=2)
    for name in os.listdir(path):
        os.chmod(f"{path}/{name}", 0o755)
    yield path
    shutil.rmtree(path)


def call(folder, args, limit):
    environment = {key: value for key, value in os.environ.items() if not key.startswith("LAZYFILL_")}
    done = subprocess.run([f"{folder}/lazyfill", *args], capture_output=True, timeout=SECONDS, preexec_fn=limit, cwd=folder,
                          stdin=subprocess.DEVNULL, env=environment | {"HOME": folder})
    return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")


def run(folder, args, limit):
    return call(folder, ["run", "-m", "model.gguf", "--quiet", *GREEDY, *args], limit)


def is_a_sentence(stderr):
    return re.fullmatch(r"lazyfill[^\n]*: [^\n]+\n", stderr) is not None and "report it" not in stderr


# Of address space.


def address_space(n_kib):
    return lambda: resource.setrlimit(resource.RLIMIT_AS, (n_kib * KIB, n_kib * KIB))


@pytest.fixture(scope="module")
def little_memory(folder):
    if call(folder, ["--version"], address_space(300_000))[0] != 0:
        pytest.skip("this build needs more address space than any limit leaves (sanitizers)")


def test_more_threads_than_fit_are_a_sentence(folder, little_memory):
    code, _, stderr = run(folder, ["--threads", "200"], address_space(300_000))
    assert code == 1
    assert is_a_sentence(stderr), stderr
    assert re.search(r"only \d+ of the 200 threads could be started", stderr), stderr


@pytest.mark.parametrize("command", [["chat"], ["bench"], ["explain", "-p", "a"], ["calibrate"]])
def test_every_command_says_it(folder, little_memory, command):
    code, _, stderr = call(folder, [*command, "-m", "model.gguf", "--quiet", "--threads", "200"], address_space(300_000))
    assert code == 1 and is_a_sentence(stderr) and "threads could be started" in stderr, stderr


def test_memory_may_end_anywhere(folder, little_memory):
    """From too little for the program's first steps to enough for the answer."""
    seen = set()
    for n_kib in [*range(10_000, 100_000, 2_500), *range(100_000, 400_000, 15_000), 1_000_000]:
        code, _, stderr = run(folder, ["--threads", "3"], address_space(n_kib))
        if code == 127 or code == -signal.SIGKILL or "error while loading shared libraries" in stderr:
            continue  # not even the loader had enough
        assert code in (0, 1), (n_kib, code, stderr)
        if code == 1:
            assert is_a_sentence(stderr), (n_kib, stderr)
        seen.add(code)
    assert seen == {0, 1}


# Of processes, which threads are to the kernel.


def processes(n):
    def limit():
        os.setgroups([])
        os.setresgid(UID, UID, UID)
        os.setresuid(UID, UID, UID)
        resource.setrlimit(resource.RLIMIT_NPROC, (n, n))

    return limit


@pytest.fixture(scope="module")
def few_processes(folder):
    if os.geteuid() != 0:
        pytest.skip("only root can become a user who runs nothing else")
    try:
        code, _, stderr = call(folder, ["--version"], processes(1))
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"cannot become another user here: {error}")
    if code != 0:
        pytest.skip(f"another user cannot run the program here: {stderr}")


def test_without_a_thread_to_be_had_one_does_all(folder, few_processes):
    code, stdout, stderr = run(folder, [], processes(1))
    assert code == 0, stderr
    assert stdout == run(folder, ["--threads", "1"], None)[1]
    if os.cpu_count() > 1:
        assert re.search(r"^warning: only 1 of \d+ threads could be started", stderr), stderr


@pytest.mark.parametrize("n", [1, 2, 3, 6])
def test_named_threads_beyond_the_limit_are_a_sentence(folder, few_processes, n):
    code, _, stderr = run(folder, ["--threads", "16"], processes(n))
    assert code == 1
    assert is_a_sentence(stderr), stderr
    assert re.search(r"only \d of the 16 threads could be started", stderr), stderr


def test_fewer_threads_than_the_limit_answer(folder, few_processes):
    code, stdout, stderr = run(folder, ["--threads", "3"], processes(6))
    assert (code, stderr) == (0, "")
    assert stdout == run(folder, ["--threads", "3"], None)[1]


@pytest.mark.skipif(os.cpu_count() == 1, reason="nothing tells that the program has started")
def test_a_signal_still_ends_the_program(folder, few_processes):
    """Though no thread is left that could wait for it."""
    # It waits for lines once it has loaded.
    process = subprocess.Popen([f"{folder}/lazyfill", "run", "-m", "model.gguf", "--jsonl", "-"], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=processes(1), cwd=folder)
    try:
        assert b"threads could be started" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        process.wait(timeout=SECONDS)
    finally:
        process.kill()
    assert process.returncode == -signal.SIGINT
