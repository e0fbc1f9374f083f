"""What goes wrong in the package: a kind and a sentence each; threads, tasks and signals that come in between."""

import asyncio
import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading

import pytest

from package import document, lazyfill as lf

LONG = {"max_tokens": 8000, "stop_at_end_token": False, "temperature": 0, "lazy": "off"}  # would take a minute


@pytest.fixture(scope="module")
def engine(smollm2):
    return lf.Engine.load(smollm2)


@pytest.fixture
def broken(tmp_path):
    path = tmp_path / "broken.gguf"
    path.write_bytes(b"no model at all " * 4)
    return path


@pytest.fixture
def ancient(tmp_path):
    path = tmp_path / "ancient.gguf"
    path.write_bytes(b"GGUF" + (1).to_bytes(4, "little") + bytes(40))
    return path


def test_every_kind_of_error_is_an_exception_of_its_own(engine, broken, ancient):
    cases = {
        lf.NotFound: lambda: lf.Engine.load("/no/such.gguf"),
        lf.InvalidFile: lambda: lf.Engine.load(broken),
        lf.ContextExceeded: lambda: engine.generate([5] * 9000),
        lf.InvalidArgument: lambda: engine.generate("Rome", lazy="99:0.5"),
        lf.Unsupported: lambda: lf.Engine.load(ancient),
    }
    for kind, call in cases.items():
        with pytest.raises(lf.Error) as caught:
            call()
        assert type(caught.value) is kind
        assert len(str(caught.value)) > 20 and "\n" not in str(caught.value)
        assert caught.value.code
    with pytest.raises(FileNotFoundError):
        lf.Engine.load("/no/such.gguf")
    with pytest.raises(ValueError, match="99"):
        engine.generate("Rome", lazy="99:0.5")


def test_errors_are_the_engines_sentences(lazyfill, engine, broken):
    told = subprocess.run([lazyfill, "run", "-m", broken, "-p", "x"], capture_output=True, text=True, timeout=60)
    with pytest.raises(lf.InvalidFile) as caught:
        lf.Engine.load(broken)
    assert str(caught.value) in told.stderr


@pytest.mark.parametrize("keywords, words", [
    ({"max_tokens": -1}, "max_tokens must be a whole number"),
    ({"max_tokens": "many"}, "max_tokens must be a whole number"),
    ({"max_tokens": 2**70}, "max_tokens must be a whole number"),
    ({"temperature": "hot"}, "temperature must be a number"),
    ({"stop": "text"}, "stop must be a list of texts"),
    ({"forced_tokens": ["a"]}, "forced_tokens must be a list of token ids"),
    ({"lazy": 3}, "lazy is a schedule"),
    ({"logit_bias": [1, 2]}, "logit_bias must be a dict"),
    ({"draft": "best"}, "draft is one of"),
    ({"guide": "[0-9]"}, "guide is a Guide"),
    ({"guide": lf.Guide(regex="(")}, "."),
    ({"guide": lf.Guide(choices="ab")}, "choice_texts must be a list of texts"),
    ({"endless": 5}, "endless is StreamOptions"),
    ({"cache_salt": "\ud800"}, "cache_salt must be a text"),
])
def test_options_that_cannot_be_are_refused_by_name(engine, keywords, words):
    with pytest.raises(lf.InvalidArgument, match=words):
        engine.generate("Rome", **keywords)


def test_other_arguments_that_cannot_be(engine):
    for call, words in [
        (lambda: engine.generate(), "give a prompt or messages"),
        (lambda: engine.generate("a", messages=[]), "not both"),
        (lambda: engine.generate(""), "empty"),
        (lambda: engine.generate([]), "empty"),
        (lambda: engine.generate("\ud800"), "surrogate"),
        (lambda: engine.generate(messages=[{"role": "user", "content": "\ud800"}]), "surrogate"),
        (lambda: engine.generate(messages=[{"role": "user", "content": float("nan")}]), "JSON"),
        (lambda: engine.generate("a", tools=[]), "go with messages"),
        (lambda: engine.generate([1.5]), "whole numbers"),
        (lambda: engine.generate([[1], [2]]), "whole numbers"),
        (lambda: engine.generate([[1], [2, 3]]), "whole numbers"),
        (lambda: engine.generate([2**40]), "no token has the id"),
        (lambda: engine.generate([-1]), "-1"),
        (lambda: engine.tokenize("\udcff"), "surrogate"),
        (lambda: engine.generate("a", lazy=lf.LazyOptions(schedule="15:0.5", policy="best")), "best"),
        (lambda: engine.generate("a", lazy=lf.LazyOptions(schedule="15:0.5", revive="some")), "revive"),
        (lambda: engine.generate("a", lazy=lf.LazyOptions(schedule="15:0.5", pooling="some")), "pooling"),
        (lambda: engine.start_session().sample(), "no logits"),
        (lambda: engine.start_session().rewind(3), "rewind"),
        (lambda: lf.Guide(), "one of regex"),
        (lambda: lf.Guide(regex="a", grammar="b"), "one of regex"),
    ]:
        with pytest.raises(lf.InvalidArgument, match=words):
            call()
    with pytest.raises(TypeError, match="max_token"):
        engine.generate("a", max_token=3)


def test_a_full_queue_is_busy_and_a_closed_scheduler_cancels(engine):
    scheduler = engine.start_scheduler(max_sequences=1, max_queue=1)
    running = scheduler.stream("Rome,", **LONG)
    next(running)
    waiting = scheduler.stream("Oslo,", **LONG)
    with pytest.raises(lf.Busy):
        scheduler.stream("Bern,", **LONG)
    scheduler.close()
    for stream in (running, waiting):
        with pytest.raises(lf.Cancelled):
            stream.result()
    with pytest.raises(lf.InvalidArgument, match="closed"):
        scheduler.generate("Rome,")


def test_a_closed_engine_says_so(smollm2):
    with lf.Engine.load(smollm2) as engine:
        stream = engine.stream("Rome,", **LONG)
        next(stream)
    with pytest.raises(lf.Cancelled):
        stream.result()
    with pytest.raises(lf.InvalidArgument, match="closed"):
        engine.generate("Rome,")


def test_threads_share_one_engine_and_get_what_each_gets_alone(engine, root):
    text = document(root, 4000)
    prompts = [text[100 * i:100 * i + 900] for i in range(12)]
    alone = [engine.generate(prompt, max_tokens=12, temperature=0).token_ids for prompt in prompts]
    together = [None] * len(prompts)

    def ask(i):
        together[i] = engine.generate(prompts[i], max_tokens=12, temperature=0).token_ids

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(len(prompts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == alone


def test_threads_share_one_session(engine):
    session = engine.start_session(lazy="off")
    threads = [threading.Thread(target=lambda: session.generate(" Rome", max_tokens=3, temperature=0)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(session) == 4 * len(engine.tokenize(" Rome")) + 4 * 3


def test_other_threads_run_while_the_engine_works(engine):
    stream = engine.stream("Rome,", **LONG)
    threading.Thread(target=stream.close).start()  # only runs if result() lets go of the interpreter
    try:
        reason = stream.result().finish_reason
    except lf.Cancelled:
        reason = "cancelled"
    except lf.InvalidArgument:  # closed before result() looked
        reason = "cancelled"
    assert reason == "cancelled"


def test_tasks_share_one_engine(engine):
    async def ask_all():
        streams = [engine.stream(f"{city},", max_tokens=6, temperature=0) for city in ("Rome", "Oslo", "Bern", "Paris")]
        return await asyncio.gather(*streams)

    answers = asyncio.run(ask_all())
    assert [answer.token_ids for answer in answers] == [
        engine.generate(f"{city},", max_tokens=6, temperature=0).token_ids for city in ("Rome", "Oslo", "Bern", "Paris")]


@pytest.mark.parametrize("way", ["iterate", "await"])
def test_a_cancelled_task_stops_the_engine(engine, way):
    scheduler = engine.start_scheduler()

    async def read():
        if way == "await":
            await scheduler.agenerate("Rome,", **LONG)
        async for _ in scheduler.stream("Rome,", **LONG):
            pass

    async def cancel():
        task = asyncio.create_task(read())
        while scheduler.status()["n_decoding"] == 0:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        while scheduler.status()["n_ended"] == 0:
            await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(cancel(), 60))
    assert scheduler.status()["n_generated_tokens"] < 7000


@pytest.mark.parametrize("way", ["close", "with", "forget", "break"])
def test_a_stream_that_is_left_stops_the_engine(engine, way):
    scheduler = engine.start_scheduler()
    stream = scheduler.stream("Rome,", **LONG)
    next(stream)
    if way == "close":
        stream.close()
        with pytest.raises(lf.InvalidArgument, match="closed"):
            next(stream)
    elif way == "with":
        with stream:
            next(stream)
    elif way == "break":
        for _ in stream:
            break
    del stream
    gc.collect()
    ended = threading.Event()
    while scheduler.status()["n_ended"] == 0:
        ended.wait(0.01)
    assert scheduler.status()["n_generated_tokens"] < 7000


def test_what_a_progress_function_raises_ends_the_call(engine, root):
    def refuse(progress):
        raise LookupError("enough")

    for call in (lambda: engine.generate(document(root, 6000), progress=refuse, max_tokens=1),
                 lambda: engine.start_session().generate(document(root, 6000), on_progress=refuse, max_tokens=1)):
        with pytest.raises(LookupError, match="enough"):
            call()
    assert engine.generate("Rome,", max_tokens=2, temperature=0).token_ids  # all is well again


def test_a_session_refuses_to_be_used_by_its_own_progress_function(engine, root):
    session = engine.start_session()
    session.append(engine.tokenize(document(root, 6000)))
    with pytest.raises(lf.InvalidArgument, match="progress"):
        session.step(on_progress=lambda progress: session.tokens)
    session.step()  # as it was before
    assert session.logits.size > 0


def test_progress_is_told(engine, root):
    seen = []
    engine.generate(document(root, 6000), progress=seen.append, max_tokens=1, lazy="off")
    session = engine.start_session(lazy="off")
    in_steps = []
    session.append(engine.tokenize(document(root, 6000)))
    session.step(in_steps.append)
    for progress in (seen, in_steps):
        fractions = [one.fraction for one in progress]
        assert fractions == sorted(fractions) and 0 <= fractions[0] and fractions[-1] <= 1


def run_python(code, model, **keywords):
    return subprocess.run([sys.executable, "-c", textwrap.dedent(code), model], capture_output=True, text=True, timeout=120,
                          **keywords)


@pytest.mark.parametrize("call", [
    "engine.generate('Rome,', **long)",
    "list(engine.stream('Rome,', **long))",
    "engine.generate('Rome,', **{**long, 'lazy': lf.LazyOptions(schedule='15:0.5', policy='snapkv')})",
    "engine.start_session(lazy='off').generate('Rome,', **long)",
    "engine.generate([5, 6, 7] * 2700, max_tokens=1, lazy='off')",
    "[engine.start_session(lazy='off').generate([5, 6, 7] * 2700, max_tokens=1) for _ in range(3)]",
    "asyncio.run(engine.agenerate('Rome,', **long))",
])
def test_ctrl_c_stops_the_engine(smollm2, call):
    code = f"""
        import asyncio, os, signal, sys, threading
        import lazyfill as lf
        engine = lf.Engine.load(sys.argv[1])
        long = {LONG!r}
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
        try:
            {call}
            print("ended by itself")
        except KeyboardInterrupt:
            print("stopped", engine.generate("Rome,", max_tokens=2, temperature=0).finish_reason)
    """
    done = run_python(code, smollm2)
    assert done.stdout == "stopped length\n", done.stderr


@pytest.mark.parametrize("how", ["sys.exit(3)", "os.kill(os.getpid(), signal.SIGTERM)", "raise SystemExit(3)"])
def test_a_program_may_end_while_the_engine_works(smollm2, how):
    code = f"""
        import os, signal, sys, threading
        import lazyfill as lf
        engine = lf.Engine.load(sys.argv[1])
        scheduler = engine.start_scheduler()
        streams = [scheduler.stream("Rome,", **{LONG!r}), engine.stream("Oslo,", **{LONG!r})]
        next(streams[0])
        thread = threading.Thread(target=lambda: list(streams[1]), daemon=True)
        thread.start()
        {how}
    """
    done = run_python(code, smollm2)
    assert done.returncode == (-signal.SIGTERM if "SIGTERM" in how else 3), done.stderr
    assert "Fatal" not in done.stderr


def test_a_child_process_may_end_with_all_that_it_got(smollm2):
    code = f"""
        import os, sys
        import lazyfill as lf
        engine = lf.Engine.load(sys.argv[1])
        scheduler = engine.start_scheduler()
        session = engine.start_session()
        rival = lf.LazyOptions(schedule="15:0.5", policy="snapkv")
        long = {LONG!r}
        streams = [scheduler.stream("Rome,", **long), engine.stream("Oslo,", **long), engine.stream("Bern,", **{{**long, "lazy": rival}})]
        for stream in streams:
            next(stream)
        child = os.fork()
        if child == 0:
            streams.pop().close()
            sys.exit(5)  # takes everything apart
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), len(next(streams[0])) >= 0)
    """
    done = run_python(code, smollm2)
    assert done.stdout == "5 True\n", done.stderr


def test_an_engine_of_the_parent_process_says_so(engine):
    engine.generate("Rome,", max_tokens=1)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:  # must leave by _exit: pytest is here twice
        try:
            engine.generate("Rome,", max_tokens=1)
        except lf.Unsupported as error:
            os.write(write, str(error).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as told:
        assert "another process" in told.read()
    os.waitpid(child, 0)
