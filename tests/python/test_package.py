"""The Python package: the same answers as the program through every door, and what is known of them."""

import asyncio
import dataclasses
import gc
import json
import typing

import numpy
import pytest

from chain_model import CONTROL, ChainModel
from package import QUESTION, document, lazyfill as lf, record_of_program

WAYS = {
    "dense": ["--lazy", "off"],
    "auto": [],
    "schedule": ["--lazy", "9:0.5,15:0.5,22:0.5"],
    "window": ["--lazy", "15:0.3", "--policy", "window"],
    "snapkv": ["--lazy", "15:0.3", "--policy", "snapkv"],
}


def lazy_of(args):
    given = dict(zip(args[::2], args[1::2], strict=True))
    return lf.LazyOptions(schedule=given.get("--lazy", "auto"), policy=given.get("--policy"))


@pytest.fixture(scope="module")
def engine(smollm2):
    return lf.Engine.load(smollm2)


async def _joined(stream):
    return "".join([piece async for piece in stream])


@pytest.mark.parametrize("way", WAYS)
def test_every_door_gives_the_answer_of_the_program(lazyfill, smollm2, engine, root, tmp_path, way):
    prompt = document(root, 3000) + QUESTION
    record = record_of_program(lazyfill, smollm2, tmp_path, "-n", "12", "-p", prompt, *WAYS[way])
    asked = lf.GenerateOptions(max_tokens=12, temperature=0, lazy=lazy_of(WAYS[way]), top_logprobs=20)

    called = engine.generate(prompt, asked)
    stream = engine.stream(prompt, asked)
    assert "".join(stream) == record["text"]
    from_loop = engine.stream(prompt, asked)
    assert asyncio.run(_joined(from_loop)) == record["text"]
    awaited = asyncio.run(engine.agenerate(prompt, asked))
    session = engine.start_session(lazy=asked.lazy)
    for answer in (called, stream.answer, from_loop.answer, awaited, session.generate(prompt, asked)):
        assert answer.token_ids == record["token_ids"]
        assert answer.text == record["text"]
        assert answer.prompt_token_ids == record["prompt_token_ids"]
        assert answer.finish_reason == record["finish_reason"]
        lazy = record["lazy"] or {"kept": [], "computed_fraction": []}
        assert [kept.tolist() for kept in answer.kept] == [stage["positions"] for stage in lazy["kept"]]
        if record["lazy"]:
            assert answer.computed_fraction.tolist() == lazy["computed_fraction"]
            assert [stage.layer for stage in answer.schedule] == [stage["layer"] for stage in lazy["schedule"]]
        ids = [[one["id"] for one in candidates] for candidates in record["top_logprobs"]]
        assert [[one.id for one in candidates] for candidates in answer.top_logprobs] == ids


def test_messages_tools_and_variables_are_those_of_the_program(lazyfill, tmp_path):
    chain = ChainModel()
    end = chain.add("<fin>", CONTROL)
    chain.say(ord(":"), [ord("o"), ord("k"), end])
    chain.values.update({"tokenizer.ggml.eos_token_id": end, "tokenizer.chat_template":
                         "{{ mood }} {{ tools | tojson }}{% for m in messages %}{{ m.role }}: {{ m.content }}{% endfor %}:"})
    model = chain.write(tmp_path / "model.gguf", n_context=1024)
    messages = [{"role": "user", "content": "Say <fin> in \u00e9."}]
    tools = [{"type": "function", "function": {"name": "look", "description": "", "parameters": {"type": "object"}}}]
    (tmp_path / "messages.json").write_text(json.dumps(messages), encoding="utf-8")
    (tmp_path / "tools.json").write_text(json.dumps(tools), encoding="utf-8")
    record = record_of_program(lazyfill, model, tmp_path, "-n", "5", "--chat", "--messages", tmp_path / "messages.json",
                               "--tools", tmp_path / "tools.json", "--template-vars", '{"mood": "calm"}')
    with lf.Engine.load(model) as engine:
        answer = engine.generate(messages=messages, tools=tools, template_variables={"mood": "calm"}, max_tokens=5,
                                 temperature=0)
        assert answer.prompt_token_ids == record["prompt_token_ids"]
        assert answer.text == record["text"] == "ok"
        assert answer.finish_reason == "stop"
        assert end not in answer.prompt_token_ids
        assert end in engine.generate(messages=messages, tools=tools, special=True, max_tokens=1).prompt_token_ids
        assert engine.apply_chat_template(messages, tools=tools).endswith("user: Say <fin> in \u00e9.:")


def test_stop_texts_end_every_door_alike(engine):
    whole = engine.generate("Rome, Paris, London,", max_tokens=20, temperature=0).text
    stop = whole[9:14]
    answer = engine.generate("Rome, Paris, London,", max_tokens=20, temperature=0, stop=[stop])
    stream = engine.stream("Rome, Paris, London,", max_tokens=20, temperature=0, stop=[stop])
    assert answer.text == whole[: whole.index(stop)] == "".join(stream)
    assert answer.finish_reason == "stop"
    never = engine.stream("Rome, Paris, London,", max_tokens=20, temperature=0, stop=[whole[-3:] + "\u2603"])
    assert "".join(never) == whole  # the end was held back for a stop text that did not come


def test_a_piece_for_each_token_also_within_a_character(engine):
    ids = engine.tokenize("\u2603\U0001f600 snow")
    stream = engine.stream("A", forced_tokens=ids, max_tokens=len(ids))
    pieces = list(stream)
    assert [piece.token_id for piece in pieces] == ids == stream.answer.token_ids
    assert "".join(pieces) == stream.answer.text == "\u2603\U0001f600 snow"
    assert "" in pieces


def test_timings_add_up(engine):
    answer = engine.generate("Rome, Paris, London,", max_tokens=6, temperature=0)
    timings = answer.timings
    assert timings["load_ms"] == engine.load_ms > 0
    assert len(answer.token_ms) == len(answer.token_ids)
    assert numpy.all(numpy.diff(answer.token_ms) >= 0)
    assert timings.decode_tokens_per_s == pytest.approx(5000 / timings.decode_ms)
    with pytest.raises(KeyError):
        timings["text"]


def test_arrays_are_the_engines_memory_and_outlive_the_answer(engine, root):
    answer = engine.generate(document(root), lazy="9:0.5,15:0.5", max_tokens=2, temperature=0)
    kept, again = answer.kept[1], answer._generation.kept[1]
    assert kept.dtype == numpy.int32
    assert not kept.flags.owndata and not kept.flags.writeable
    assert kept.ctypes.data == again.ctypes.data
    values = kept.copy()
    fractions = answer.computed_fraction
    del answer, again
    gc.collect()
    engine.generate(document(root, 3000), lazy="9:0.5,15:0.5", max_tokens=2)  # would use the memory again
    assert numpy.array_equal(kept, values)
    assert fractions.shape == (30,) and fractions[0] == 1


def test_logits_stay_while_the_session_goes_on(engine):
    session = engine.start_session(lazy="off")
    session.append(engine.tokenize("Rome, Paris, London,"))
    assert session.logits.shape == (0,)
    kept, copies = [], []
    for _ in range(3):
        session.step()
        assert session.logits.ctypes.data == session.logits.ctypes.data
        kept.append(session.logits)
        copies.append(kept[-1].copy())
        assert session.sample(temperature=0) == int(numpy.argmax(copies[-1]))
    session.rewind(2)
    del session
    gc.collect()
    for logits, copy in zip(kept, copies, strict=True):
        assert not logits.flags.owndata and not logits.flags.writeable
        assert numpy.array_equal(logits, copy)
    assert not numpy.array_equal(copies[0], copies[1])


def test_a_session_in_small_steps_answers_as_generate(engine):
    prompt = "Anna lives in Rome. Bert lives in Oslo. Anna lives in"
    wanted = engine.generate(prompt, max_tokens=5, temperature=0, lazy="15:0.5").token_ids
    session = engine.start_session(lazy="15:0.5")
    assert session.sync(engine.tokenize(prompt)) == 0
    tokens = []
    for _ in range(5):
        session.step()
        tokens.append(session.sample(temperature=0))
    assert tokens == wanted
    assert len(session) == len(session.tokens) == len(engine.tokenize(prompt)) + 5
    assert session.sync(session.tokens[:4]) == 3
    session.set_lazy("off")
    session.append([1], generated=True)
    assert session.tokens[-1] == 1


def test_equal_seeds_draw_equal_answers(engine):
    first, second = (engine.generate("Once upon a time", max_tokens=12, seed=7).text for _ in range(2))
    assert first == second != engine.generate("Once upon a time", max_tokens=12, seed=8).text


def test_a_second_question_finds_what_the_first_computed(engine, root):
    text = document(root)
    first = engine.generate(text + "\n\nWho is Anne?", max_tokens=1, cache_prompt=True)
    second = engine.generate(text + "\n\nWho is Mary?", max_tokens=1, cache_prompt=True)
    stranger = engine.generate(text + "\n\nWho is Mary?", max_tokens=1, cache_prompt=True, cache_salt="other")
    assert first.cached_tokens == stranger.cached_tokens == 0
    assert second.cached_tokens > 0.9 * len(second.prompt_token_ids)


def test_options_have_the_names_and_defaults_of_the_engine():
    from lazyfill import _core, _options
    for name, defaults in _core.default_options().items():
        options = getattr(_options, name)
        fields = {field.name: getattr(options(), field.name) for field in dataclasses.fields(options)}
        assert fields.keys() == defaults.keys(), name
        for field, default in fields.items():
            if field == "cache_prompt":  # an answer is that of `lazyfill run`, to the bit, unless somebody asks otherwise
                assert not default
                continue
            assert (list(default) if isinstance(default, tuple) else default) == (
                pytest.approx(defaults[field]) if isinstance(default, float) else defaults[field]), (name, field)
        keywords = getattr(_options, name.replace("Options", "Keywords"), None)
        if keywords is not None:
            assert typing.get_type_hints(keywords).keys() == fields.keys(), name


def test_every_policy_can_be_asked_for(engine):
    for name in lf.policies():
        answer = engine.generate("Rome, Paris, London, Oslo, Bern", max_tokens=1, temperature=0,
                                 lazy=lf.LazyOptions(schedule="15:0.5", policy=name))
        assert answer.lazy_choice.policy == name and [stage.layer for stage in answer.schedule] == [15]


def test_log_probabilities_are_those_that_the_answers_have(engine):
    ids = engine.tokenize("Rome, Paris, London")
    logprobs = engine.token_logprobs(ids)
    assert logprobs.shape == (len(ids),) and logprobs[0] == 0 and not logprobs.flags.owndata
    answer = engine.generate(ids[:-1], forced_tokens=ids[-1:], max_tokens=1, top_logprobs=engine.info["n_tokens"], lazy="off")
    by_id = {one.id: one.logprob for one in answer.top_logprobs[0]}
    assert by_id[ids[-1]] == pytest.approx(logprobs[-1], abs=0.05)  # one prefill against another way through the layers


def test_penalties_biases_and_log_probabilities_of_what_was_chosen(engine):
    plain = engine.generate("Rome, Paris, London,", max_tokens=4, temperature=0, with_logprobs=True, top_logprobs=2)
    assert plain.token_logprobs.tolist() == [candidates[0].logprob for candidates in plain.top_logprobs]
    assert not plain.token_logprobs.flags.owndata
    other = engine.generate("Rome, Paris, London,", max_tokens=4, temperature=0, logit_bias={plain.token_ids[0]: -100})
    assert other.token_ids[0] == plain.top_logprobs[0][1].id
    again = engine.generate([5] * 40, max_tokens=6, temperature=0, repeat_penalty=100)
    assert 5 not in again.token_ids
    assert engine.generate("Rome, Paris, London,", max_tokens=9, temperature=0, stop=["x", plain.text[-2:]]).stop_text == plain.text[-2:]


@pytest.mark.parametrize("guide, flags", [
    (lf.Guide(regex="[A-Z][a-z]{2,8} and [A-Z][a-z]{2,8}"), ["--regex", "[A-Z][a-z]{2,8} and [A-Z][a-z]{2,8}"]),
    (lf.Guide(choices=["Rome", "Berlin"]), ["--choice", "Rome", "--choice", "Berlin"]),
    (lf.Guide(grammar='root ::= "a" [0-9]+ "."', canonical=False), ["--grammar", "GRAMMAR", "--guide", "any"]),
    (lf.Guide(json_schema={"enum": ["\u00e9", 1]}), ["--json-schema", "SCHEMA"]),
], ids=lambda value: value.kind if isinstance(value, lf.Guide) else "")
def test_guided_answers_are_those_of_the_program(lazyfill, smollm2, engine, tmp_path, guide, flags):
    for name in ("GRAMMAR", "SCHEMA"):
        if name in flags:
            (tmp_path / name).write_text(guide.source, encoding="utf-8")
            flags = [str(tmp_path / name) if flag == name else flag for flag in flags]
    record = record_of_program(lazyfill, smollm2, tmp_path, "-n", "16", "-p", "Two cities:", *flags)
    answer = engine.generate("Two cities:", max_tokens=16, temperature=0, guide=guide)
    assert answer.text == record["text"] and answer.token_ids == record["token_ids"]
    assert engine.start_session().generate("Two cities:", max_tokens=16, temperature=0, guide=guide).text == answer.text


def test_drafts_change_no_answer(engine):
    prompt = "one two three four five six seven eight nine ten. " * 6
    plain = engine.generate(prompt, max_tokens=24, temperature=0, lazy="off")
    drafted = engine.generate(prompt, max_tokens=24, temperature=0, lazy="off", draft="lookup")
    assert drafted.token_ids == plain.token_ids
    assert drafted.drafts["accepted"] > 0 == plain.drafts["proposed"]


def test_a_text_without_an_end(lazyfill, smollm2, engine, tmp_path):
    text = "Rome, Paris, London. " * 60
    record = record_of_program(lazyfill, smollm2, tmp_path, "-n", "8", "-p", text, "--stream", "sinks=4,window=64", "--lazy", "off")
    endless = lf.StreamOptions(sinks=4, window=64)
    answer = engine.generate(text, max_tokens=8, temperature=0, lazy="off", endless=endless)
    assert answer.token_ids == record["token_ids"]
    session = engine.start_session(lazy="off", endless=endless)
    assert session.generate(text, max_tokens=8, temperature=0).token_ids == record["token_ids"]
    assert len(session) > len(session.tokens)
    ids = engine.tokenize(text)
    assert engine.token_logprobs(ids, endless=endless).shape == (len(ids),)


def test_text_and_ids_of_any_kind(engine):
    ids = engine.tokenize("Rome, Paris")
    for same in (ids, tuple(ids), numpy.array(ids), numpy.array(ids, dtype=numpy.uint16)):
        assert engine.detokenize(same) == "Rome, Paris"
        assert engine.generate(same, max_tokens=2, temperature=0).prompt_token_ids == ids
    assert b"".join(map(engine.piece, engine.tokenize("\u2603"))) == "\u2603".encode()
