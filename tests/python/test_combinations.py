"""Every pair of features, as docs/combinations.md lists them: an answer, or the sentence that stands there."""

import itertools
import json
import pathlib
import shlex
import subprocess

import pytest

from reference import tiny

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "combinations.md"
NO_END = ["--logit-bias", "0-inf", "--logit-bias", "2-inf"]  # the end tokens of tiny Llama
PROMPT = "the boat was small and the river was wide. " * 6


def rows_of(head):
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    begin = lines.index(head) + 2
    table = itertools.takewhile(lambda line: line.startswith("|"), lines[begin:])
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


FEATURES = {name: shlex.split(flags.strip("`")) for name, flags, _ in rows_of("| feature | for example | told in |")}
REFUSED = {frozenset((one, other)): said for one, other, said in rows_of("| one | other | what is said |")}
PAIRS = list(itertools.combinations(FEATURES, 2))


@pytest.fixture(scope="module")
def ask(lazyfill, tmp_path_factory):
    folder = tmp_path_factory.mktemp("combinations")
    tiny.write_llama(folder / "llama.gguf", "Q8_0")
    (folder / "lines.jsonl").write_text("".join(json.dumps({"id": i, "prompt": f"{i} {PROMPT}"}) + "\n" for i in range(3)))
    (folder / "before").write_text("def add(a, b):\n    ret")
    (folder / "after").write_text("n a + b\nprint(add(1, 2))\n")

    def run(flags, names=()):
        """The process and its records."""
        record = folder / "record.json"
        record.unlink(missing_ok=True)
        given = ["--prefix-file", folder / "before", "--suffix-file", folder / "after"] if "the middle of a text" in names else []
        if "--batch" in flags:
            given += ["--jsonl", folder / "lines.jsonl"]
        elif not given:
            given = ["-p", f"0 {PROMPT}"]
        lazy = [] if "--lazy" in flags or "--policy" in flags or "--sparse-attention" in flags else ["--lazy", "off"]
        if "--policy" in flags and "--lazy" not in flags:
            lazy = ["--lazy", "50%:0.5"]
        temp = [] if "--temp" in flags else ["--temp", "0"]
        done = subprocess.run([lazyfill, "run", "-m", folder / "llama.gguf", "--quiet", "-n", "6", "--json", record, *given, *lazy, *temp, *NO_END,
                               *flags], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False)
        return done, [json.loads(line) for line in record.read_text().splitlines()] if record.exists() else []

    return run


def flags_of(names):
    """Of both; a flag that both give counts once."""
    flags = []
    for name in names:
        if not (name == "many at a time" and "a prefix store" in names):
            flags += FEATURES[name]
    return flags


def test_the_page_names_each_pair_of_known_features_once():
    assert len(REFUSED) == len(rows_of("| one | other | what is said |"))
    assert all(pair <= set(FEATURES) and len(pair) == 2 for pair in REFUSED)


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: " + ".join(pair))
def test_a_pair_answers_or_says_why_not(ask, pair):
    done, records = ask(flags_of(pair), pair)
    said = REFUSED.get(frozenset(pair))
    if said is not None:
        assert done.returncode in (1, 2) and said in done.stderr and done.stdout == "" and not records
        return
    assert (done.returncode, done.stderr) == (0, "")
    assert len(records) == (3 if "--batch" in flags_of(pair) else 1)
    for record in records:
        assert "error" not in record and record["token_ids"]


DENSE = [name for name in FEATURES if name not in ("lazy prefill", "a rival's policy", "drafts", "sampling", "an endless text")]


@pytest.mark.parametrize("name", DENSE)
def test_drafts_change_no_dense_answer(ask, name):
    plain, drafted = ask(FEATURES[name], (name,))[1], ask([*FEATURES[name], "--draft", "lookup"], (name,))[1]
    assert [one["token_ids"] for one in plain] == [one["token_ids"] for one in drafted] and plain


@pytest.mark.parametrize("name", [name for name in FEATURES if "--batch" not in FEATURES[name] and name != "the middle of a text"])
@pytest.mark.parametrize("batch", ["many at a time", "a prefix store"])
def test_company_changes_no_answer(ask, name, batch):
    alone, beside = ask(FEATURES[name])[1], ask([*FEATURES[name], *FEATURES[batch]])[1]
    assert alone[0]["token_ids"] == beside[0]["token_ids"] and len(beside) == 3
