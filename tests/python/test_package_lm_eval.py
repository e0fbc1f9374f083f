"""The adapter for lm_eval. By default against what its interface is, without the package; --long also runs a task of a local
file through the package itself, where that is installed."""

import dataclasses
import importlib
import json
import math
import subprocess
import sys
import types

import pytest

from package import lazyfill as lf


class LM:
    """The part of lm_eval's base class that models get."""


@dataclasses.dataclass
class Instance:
    args: tuple


@pytest.fixture
def adapter(monkeypatch):
    registered = {}

    def register_model(name):
        return lambda cls: registered.setdefault(name, cls)

    monkeypatch.setitem(sys.modules, "lm_eval", types.ModuleType("lm_eval"))
    for name, contents in {"api": {}, "api.model": {"LM": LM}, "api.registry": {"register_model": register_model}}.items():
        module = types.ModuleType(f"lm_eval.{name}")
        vars(module).update(contents)
        monkeypatch.setitem(sys.modules, f"lm_eval.{name}", module)
    monkeypatch.delitem(sys.modules, "lazyfill.lm_eval", raising=False)
    importlib.import_module("lazyfill.lm_eval")
    yield registered["lazyfill"]
    sys.modules.pop("lazyfill.lm_eval", None)


@pytest.fixture(scope="module")
def engine(smollm2):
    return lf.Engine.load(smollm2)


def forced(engine, context, continuation, lazy):
    """The same by a request that is made to say the continuation."""
    n_vocab = engine.info["n_tokens"]
    answer = engine.generate(context, forced_tokens=continuation, max_tokens=len(continuation), top_logprobs=n_vocab, lazy=lazy,
                             stop_at_end_token=False)
    logprobs = [{one.id: one.logprob for one in candidates}[token]
                for token, candidates in zip(continuation, answer.top_logprobs, strict=True)]
    greedy = all(candidates[0].id == token for token, candidates in zip(continuation, answer.top_logprobs, strict=True))
    return sum(logprobs), greedy


@pytest.mark.parametrize("lazy", ["off", "9:0.5+15:0.5"])
def test_continuations_are_scored_as_a_forced_answer(adapter, engine, root, lazy):
    model = adapter(engine=engine, lazy=lazy)
    context = (root / "examples" / "persuasion-1-2.txt").read_text(encoding="utf-8")[:900]
    continuations = [" Sir Walter Elliot", " the book of honours", " x", " Anne"]
    results = model.loglikelihood([Instance((context, text)) for text in continuations] + [Instance(("Rome, Paris", ""))])
    assert results[-1] == (0.0, True)
    ids = engine.tokenize(context)
    for text, (total, greedy) in zip(continuations, results[:-1], strict=True):
        wanted, wanted_greedy = forced(engine, ids, engine.tokenize(context + text)[len(ids):], lazy.replace("+", ","))
        assert total == pytest.approx(wanted, abs=1e-4)  # both from the same logits: roundings of sums
        assert greedy == wanted_greedy
    answer = engine.generate(context, max_tokens=6, temperature=0, lazy=lazy.replace("+", ","))
    assert model.loglikelihood([Instance((context, answer.text))])[0][1]  # what it would say itself


def test_spaces_go_to_the_continuation(adapter, engine):
    model = adapter(engine=engine, lazy="off")
    assert model.loglikelihood([Instance(("Rome, Paris, ", "London"))]) == model.loglikelihood(
        [Instance(("Rome, Paris,", " London"))])
    assert model.loglikelihood([Instance(("", "London"))])[0][0] < 0


def test_a_whole_text_in_windows(adapter, engine, monkeypatch):
    model = adapter(engine=engine)
    text = "Rome, Paris, London, Berlin, Madrid and Oslo are cities."
    whole, = model.loglikelihood_rolling([Instance((text,))])
    ids = engine.tokenize(text)
    prefix = engine.tokenize("<|endoftext|>", special=True)
    assert whole == pytest.approx(float(engine.token_logprobs(prefix + ids).sum()), abs=1e-3)
    monkeypatch.setattr(type(model), "max_length", 6)
    windows, = model.loglikelihood_rolling([Instance((text,))])
    parts = [engine.token_logprobs((prefix if i == 0 else [ids[i - 1]]) + ids[i:i + 5]).sum() for i in range(0, len(ids), 5)]
    assert windows == pytest.approx(float(sum(parts)), abs=1e-3)
    assert windows < whole
    assert not math.isinf(windows)


def test_answers_end_where_the_task_says(adapter, lazyfill, smollm2, engine, tmp_path, monkeypatch):
    from package import record_of_program
    model = adapter(engine=engine, lazy="off")
    prompts = ["The three primary colours are", "Rome, Paris, London,"]
    settings = {"until": ["\n"], "max_gen_toks": 12, "do_sample": False, "temperature": 0.7}
    answers = model.generate_until([Instance((prompt, settings)) for prompt in prompts])
    for prompt, answer in zip(prompts, answers, strict=True):
        record = record_of_program(lazyfill, smollm2, tmp_path, "-n", "12", "--stop", "\n", "--lazy", "off", "-p", prompt)
        assert answer == record["text"]
    assert model.generate_until([Instance(("", {"until": "\n", "max_gen_toks": 3}))])[0] is not None
    monkeypatch.setattr(type(model), "max_length", 24)  # of a longer prompt its end is what counts
    cut, = model.generate_until([Instance(("Rome " * 40 + prompts[1], {"max_gen_toks": 4, "temperature": 0}))])
    ids = engine.tokenize("Rome " * 40 + prompts[1])[-20:]
    assert cut == engine.generate(ids, max_tokens=4, temperature=0, lazy="off").text


def test_a_wrong_schedule_is_told_at_once(adapter, engine):
    with pytest.raises(lf.InvalidArgument, match="99"):
        adapter(engine=engine, lazy="99:0.5")


def test_the_template_is_the_models_own(adapter, engine):
    model = adapter(engine=engine)
    messages = [{"role": "user", "content": "Hello"}]
    text = model.apply_chat_template(messages)
    assert text == engine.apply_chat_template(messages)
    assert model._tokens(text) == engine.tokenize_chat(messages)
    assert model.tokenizer_name


@pytest.mark.long
def test_a_task_of_a_local_file_with_the_package_itself(smollm2, tmp_path):
    pytest.importorskip("lm_eval")
    (tmp_path / "data.jsonl").write_text("".join(json.dumps({"q": q, "a": a}) + "\n" for q, a in [
        ("Rome is the capital of", 0), ("Paris is the capital of", 1), ("The capital of Italy is Rome. Rome lies in", 0)]))
    (tmp_path / "cities.yaml").write_text(f"""
task: cities
dataset_path: json
dataset_kwargs: {{data_files: {{test: {tmp_path / 'data.jsonl'}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{q}}}}"
doc_to_choice: ["Italy", "France"]
doc_to_target: a
metric_list: [{{metric: acc}}]
""")
    done = subprocess.run([sys.executable, "-m", "lazyfill.lm_eval", "--model", "lazyfill", "--model_args",
                           f"path={smollm2},lazy=off", "--tasks", "cities", "--include_path", tmp_path, "--output_path",
                           tmp_path / "out"], capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(next((tmp_path / "out").rglob("results*.json")).read_text(encoding="utf-8"))
    assert result["results"]["cities"]["acc,none"] == 1
