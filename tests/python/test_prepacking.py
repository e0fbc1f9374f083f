"""`python3 -m evals prepacking` and the prompts that it measures with; the last line of `run --jsonl`."""

import json
import math
import re
import statistics
import subprocess
import sys

from evals import experiments, prepacking


def test_lengths_are_log_normal_and_cut():
    found = prepacking.lengths(64)
    assert found == prepacking.lengths(64) and found != sorted(found)
    assert sorted(found) == sorted(prepacking.lengths(64, seed=1)) and found != prepacking.lengths(64, seed=1)
    assert abs(statistics.median(found) - 120) <= 3 and min(found) >= 20 and max(found) == 600
    inside = [math.log(n / 120) / 0.8 for n in found if 20 < n < 600]
    assert 0.85 < statistics.stdev(inside) < 1  # of a normal distribution without its ends
    assert prepacking.lengths(8, 0) == [120] * 8
    assert min(prepacking.lengths(64, 2)) == 20


def test_the_command_makes_prompts_of_these_lengths(root, lazyfill, smollm2, tmp_path):
    command = [sys.executable, "-m", "evals.prepacking", "-m", smollm2, "--lazyfill", lazyfill, "-n", "12", "--spread", "0.6"]
    made = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True, timeout=120).stdout
    assert subprocess.run(command, cwd=root, check=True, capture_output=True, text=True, timeout=120).stdout == made
    lines = [json.loads(line) for line in made.splitlines()]
    assert [line["id"] for line in lines] == list(range(12)) and len({line["prompt"][:40] for line in lines}) == 12
    path = tmp_path / "lines.jsonl"
    path.write_text(made, encoding="utf-8")
    done = subprocess.run([lazyfill, "run", "-m", smollm2, "--jsonl", path, "-n", "1", "--batch", "12"], check=True, capture_output=True, text=True, timeout=300)
    records = [json.loads(line) for line in done.stdout.splitlines()]
    wanted = prepacking.lengths(12, 0.6)
    assert all(abs(record["prompt_tokens"] - n) <= 1 for record, n in zip(records, wanted, strict=True))
    last = done.stderr.splitlines()[-1]
    total = sum(record["prompt_tokens"] for record in records)
    assert re.fullmatch(rf"12 answers, {total:,} prompt tokens and 12 generated, in \d+\.\d{{3}} s, \d+\.\d{{3}} s of processor time", last)
    seconds, cpu_seconds = prepacking.seconds_of(done.stderr)
    assert seconds > 0 and cpu_seconds > 0


def test_the_last_line_counts_answers_only(lazyfill, smollm2, tmp_path):
    path = tmp_path / "lines.jsonl"
    path.write_text('nonsense\n{"document": "Anna lives in Rome.", "questions": ["Where?", "Who?"]}\n', encoding="utf-8")
    done = subprocess.run([lazyfill, "run", "-m", smollm2, "--jsonl", path, "-n", "1"], check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("2 answers, ")


def test_forms_are_flags_of_the_program():
    whole, part = prepacking.Point(64, 64, 0.8), prepacking.Point(64, 16, 0.8)
    assert whole.flags("packed") == ["--batch", "64"] and part.flags("packed") == ["--batch", "16"]
    assert whole.flags("padded") == ["--batch", "64", "--batch-form", "padded"]
    assert whole.flags("sorted") == ["--batch", "8", "--batch-form", "sorted"]  # eight batches of eight
    assert part.flags("sorted") == ["--batch", "16", "--batch-form", "sorted"]
    assert whole.flags("one by one") == part.flags("one by one") == ["--batch", "1"]


def test_the_set_of_the_middle_belongs_to_both_pictures():
    by_size, by_spread = prepacking.points_of(experiments.Size())
    assert set(by_size) & set(by_spread) == {prepacking.Point(64, 64, prepacking.SPREAD)}


def test_figures_of_the_table():
    def results(seconds, cpu, peak):
        return [{"seconds": s, "cpu_seconds": c, "peak_bytes": p, "prompt_tokens": 1234} for s, c, p in zip(seconds, cpu, peak, strict=True)]

    forms = {"packed": results((2, 1, 3), (1.5, 1.6, 1.4), (1e8, 2e8, 3e8)), "padded": results((4, 5, 6), (7, 7, 7), (9e8, 9e8, 9e8)),
             "sorted": results((1.5, 2, 2), (2.1, 2.2, 2.3), (1e8, 1e8, 1e8)), "one by one": results((8, 8, 8), (8, 8, 8), (1e8, 1e8, 1e8))}
    points = [prepacking.Point(64, 64, 0.8), prepacking.Point(64, 2, 0.8)]
    flat = {(form, f"{points[0].id}, {n}"): result | {"point": points[0].id} for form, rs in forms.items() for n, result in enumerate(rs)}
    flat["packed", f"{points[1].id}, 0"] = forms["packed"][0] | {"point": points[1].id}
    found = prepacking.by_point(flat)
    assert list(found) == [points[0].id]  # the other one lacks three forms
    assert prepacking.table(points, found).splitlines()[2:] == [
        "| batch 64, spread 0.8 | 1,234 | 8.00 (8.00) / 8.00 | 1.00 (2.00) / 1.40 | 1.50 (2.00) / 2.10 | 4.00 (5.00) / 7.00 | "
        "4.00 / 5.00 | 1.50 / 1.50 | 100 | 200 | 100 | 900 |"]


def test_the_experiment_measures_every_form(root, lazyfill, smollm2, data_dir, tmp_path):
    command = [sys.executable, "-m", "evals", "prepacking", "--small", "-m", smollm2, "--lazyfill", lazyfill, "--data", data_dir, "--out", tmp_path]
    subprocess.run(command, cwd=root, check=True, capture_output=True, timeout=600)
    results = [json.loads(line) for line in (tmp_path / "prepacking-smollm2-135m-instruct.jsonl").read_text(encoding="utf-8").splitlines()]
    by_size, by_spread = prepacking.points_of(experiments.SMALL)
    points = {point.id for point in by_size + by_spread}
    assert {(r["form"], r["point"]) for r in results} == {(form, point) for form in prepacking.FORMS for point in points}
    page = (tmp_path / "evals.md").read_text(encoding="utf-8")
    assert all(f"| batch {point.batch}, spread {point.spread:g} | " in page for point in by_size + by_spread)
    padded, packed = ([r["peak_bytes"] for r in results if r["form"] == form and r["point"] == prepacking.Point(8, 8, 0.8).id] for form in ("padded", "packed"))
    assert padded > packed  # what pads takes room
    again = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True, timeout=600)
    assert "min left" not in again.stderr
