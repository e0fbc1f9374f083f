"""The middle of a text: by models with tokens for it in their own format, and by whole lines with any model."""

import json
import subprocess

import pytest

from chain_model import CONTROL, NORMAL, USER_DEFINED, ChainModel

FAMILIES = [("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"), ("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),
            ("<PRE>", "<SUF>", "<MID>"), ("<|fim_begin|>", "<|fim_hole|>", "<|fim_end|>"),
            ("<|code_prefix|>", "<|code_suffix|>", "<|code_middle|>"), ("<\uff5cfim\u2581begin\uff5c>", "<\uff5cfim\u2581hole\uff5c>", "<\uff5cfim\u2581end\uff5c>")]
SAMPLE = "def add(a, b):\n    return a + b\n\nn\u00e9 = add(1,\t2)\r\nprint(n\u00e9)"


@pytest.fixture
def infill(lazyfill, tmp_path):
    """The record of a run, or with ok=False what it says."""

    def run(model, prefix, suffix, *flags, ok=True):
        (tmp_path / "prefix").write_bytes(prefix.encode())
        (tmp_path / "suffix").write_bytes(suffix.encode())
        record = tmp_path / "record.json"
        result = subprocess.run([lazyfill, "run", "-m", model, "--prefix-file", tmp_path / "prefix", "--suffix-file", tmp_path / "suffix", "--quiet",
                                 "--json", record, *flags], stdin=subprocess.DEVNULL, capture_output=True, timeout=300, check=False)
        assert (result.returncode == 0) == ok, result.stderr
        if not ok:
            return result.stderr.decode()
        found = json.loads(record.read_text())
        assert result.stdout.decode() == found["text"]
        return found

    return run


def model_of(names, kind, say=b"xy", end="<|endoftext|>", **values):
    model = ChainModel()
    ids = [model.add(name, kind) for name in names]
    stop = model.add(end, CONTROL)
    model.say(ids[2], [*say, stop])
    model.values.update({"tokenizer.ggml.eos_token_id": stop, **values})
    return model, ids


@pytest.mark.parametrize("kind", [NORMAL, CONTROL, USER_DEFINED])
@pytest.mark.parametrize("names", FAMILIES)
def test_a_model_is_asked_in_its_own_format(infill, tmp_path, names, kind):
    model, (prefix, suffix, middle) = model_of(names, kind)
    record = infill(model.write(tmp_path / "model.gguf"), "ab\nc", "d\ne", "--temp", "0", "-n", "8")
    assert record["prompt_token_ids"] == [prefix, *b"ab", model.tokens.index("\u010a"), *b"c", suffix, *b"d", model.tokens.index("\u010a"), *b"e", middle]
    assert record["text"] == "xy" and record["finish_reason"] == "stop"


@pytest.mark.parametrize("keys", [("prefix", "suffix", "middle"), ("fim_pre", "fim_suf", "fim_mid")])
def test_ids_that_a_file_states_come_before_names(infill, tmp_path, keys):
    model, _ = model_of(("<one>", "<two>", "<three>"), CONTROL)
    first = len(model.tokens) - 4
    model.values.update({f"tokenizer.ggml.{key}_token_id": first + i for i, key in enumerate(keys)})
    record = infill(model.write(tmp_path / "model.gguf"), "a", "b", "--temp", "0", "-n", "8")
    assert record["prompt_token_ids"] == [first, *b"a", first + 1, *b"b", first + 2]
    assert record["text"] == "xy"


@pytest.mark.parametrize("name", ["<|fim_pad|>", "<|repo_name|>", "<|file_sep|>", "<file_sep>"])
def test_tokens_between_files_end_the_middle(infill, tmp_path, name):
    model, (_, _, middle) = model_of(FAMILIES[0], CONTROL)
    model.say(middle, [*b"xy", model.add(name, CONTROL), *b"zz"])
    record = infill(model.write(tmp_path / "model.gguf"), "a", "b", "--temp", "0", "-n", "8")
    assert record["text"] == "xy" and record["finish_reason"] == "stop"


def test_text_that_spells_a_token_stays_text(infill, tmp_path):
    model, ids = model_of(FAMILIES[0], USER_DEFINED)
    record = infill(model.write(tmp_path / "model.gguf"), "<|fim_suffix|>", "<|fim_middle|>", "--temp", "0", "-n", "8")
    assert [id for id in record["prompt_token_ids"] if id in ids] == ids


def test_a_model_without_such_tokens_says_which_flag_helps(infill, tmp_path):
    model, _ = model_of(("<a>", "<b>", "<c>"), CONTROL)
    sentence = infill(model.write(tmp_path / "model.gguf"), "a", "b", ok=False)
    assert "--fim constrained" in sentence.splitlines()[0]


@pytest.mark.parametrize("names", [FAMILIES[0], ("<a>", "<b>", "<c>")])
def test_at_every_place_whole_lines_begin_and_end_as_they_were_cut(infill, tmp_path, names):
    model, _ = model_of(names, CONTROL)
    path = model.write(tmp_path / "model.gguf", n_context=2048)
    reasons = set()
    for place in range(len(SAMPLE) + 1):
        prefix, suffix = SAMPLE[:place], SAMPLE[place:]
        record = infill(path, prefix, suffix, "--fim", "constrained", "--temp", "1", "--top-k", "0", "--top-p", "1", "--min-p", "0", "-s", str(place + 1), "-n", "6")
        output = b"".join(bytes([byte]) for id in record["token_ids"] for byte in piece(model, id)).decode(errors="replace")
        begin = prefix[prefix.rfind("\n") + 1:]
        end = suffix[:suffix.find("\n") + 1] or suffix
        assert output.lstrip("\r\n \t").startswith(begin.lstrip("\r\n \t"))
        if record["finish_reason"] == "stop" and end:
            assert output.endswith(begin + record["text"] + end)
        reasons.add(record["finish_reason"])
    assert reasons <= {"stop", "length"}


def piece(model, id):
    spelling = model.tokens[id]
    return bytes([id]) if id < 256 else spelling.encode()


@pytest.mark.parametrize("flags, part", [(["-p", "x"], "leave -p"), (["--chat"], "--chat"), (["-n", "0"], "-n 0"),
                                         (["--fim", "constrained", "--regex", "a"], "--regex")])
def test_what_cannot_stand_beside_it_is_said(lazyfill, tmp_path, flags, part):
    (tmp_path / "prefix").write_text("a")
    result = subprocess.run([lazyfill, "run", "-m", "none.gguf", "--prefix-file", tmp_path / "prefix", *flags], stdin=subprocess.DEVNULL,
                            capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 2 and part in result.stderr


@pytest.mark.parametrize("place", [5, 24, 31, 50])
def test_a_real_model_completes_a_cut_line(infill, smollm2, place):
    prefix, suffix = SAMPLE[:place], SAMPLE[place:]
    record = infill(smollm2, prefix, suffix, "--fim", "constrained", "--temp", "0", "-n", "24")
    assert (prefix + record["text"] + suffix).startswith(prefix)
    end = suffix[:suffix.find("\n") + 1] or suffix
    assert end not in record["text"]
