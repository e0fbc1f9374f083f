"""The simulated fleet (bench/fleet): it must lose nobody, cost what was measured, and give what a person can reckon."""

import json
import pathlib
import subprocess
import sys

import pytest

pytest.importorskip("simpy")
ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
from bench.fleet import model  # noqa: E402
from reference import tiny  # noqa: E402
from bench.fleet.trace import Mix, Request, make_trace  # noqa: E402

PREFILL = [(100, 0.1), (1000, 1.0), (4000, 6.0)]
DECODE = [(100, 0.01), (4000, 0.02)]


def costs(**more):
    return model.Costs(PREFILL, DECODE, **more)


def ask(at, prefix, n_prefix, n_prompt, n_answer=5, kind="document"):
    return Request(at, kind, prefix, n_prefix, n_prompt, n_answer)


@pytest.mark.parametrize("n_prompt, n_held, seconds", [(100, 0, 0.1), (550, 0, 0.55), (4000, 0, 6.0), (4000, 1000, 5.0), (50, 0, 0.05),
                                                       (7000, 4000, 5.0)])
def test_a_prefill_costs_what_was_measured(n_prompt, n_held, seconds):
    assert costs().prefill_s(n_prompt, n_held) == pytest.approx(seconds)


def test_points_that_fall_by_noise_lead_below_nothing():
    noisy = model.Costs([(32, 0.02), (64, 0.01)], [(32, 0.02), (64, 0.01)])
    assert model.Costs(PREFILL, [(32, 0.01), (64, 0.05)]).step_s([8]) == pytest.approx(0.01)
    assert noisy.prefill_s(4000) == noisy.step_s([4000]) == pytest.approx(0.01)


def test_a_prompt_that_is_all_held_costs_a_step():
    assert costs().prefill_s(100, 100) == pytest.approx(0.01)


def test_what_is_held_has_its_price():
    assert costs(held_cost=0.1).prefill_s(4000, 1000) == pytest.approx(5.1)


def test_eight_answers_together_have_the_measured_speed():
    one, eight = costs(rows_8=3.0).step_s([100]), costs(rows_8=3.0).step_s([100] * 8)
    assert 8 * one / eight == pytest.approx(3.0)


def test_one_request_alone_takes_its_prefill_and_its_steps():
    (job,), (replica,) = model.simulate([ask(2.0, "a", 0, 1000, n_answer=4)], costs(), 1)
    assert job.ttft_s == pytest.approx(1.0)
    assert job.latency_s == pytest.approx(1.0 + 3 * costs().step_s([1000]))
    assert replica.busy_s == pytest.approx(job.latency_s)


def test_a_second_question_computes_what_is_new():
    jobs, (replica,) = model.simulate([ask(0, "a", 900, 1000), ask(60, "a", 900, 1000)], costs(), 1)
    assert [job.n_held for job in jobs] == [0, 900]
    assert jobs[1].ttft_s == pytest.approx(0.1)
    assert replica.n_computed == 1100


def test_a_turn_finds_the_turn_before_with_its_answer():
    jobs, _ = model.simulate([ask(0, "talk", 0, 100, 20, "conversation"), ask(60, "talk", 120, 160, 20, "conversation")], costs(), 1)
    assert [job.n_held for job in jobs] == [0, 120]


def test_what_was_not_used_for_longest_leaves_when_the_store_is_full():
    trace = [ask(0, "a", 900, 1000), ask(60, "b", 900, 1000), ask(120, "a", 900, 1000), ask(180, "c", 900, 1000), ask(240, "a", 900, 1000),
             ask(300, "b", 900, 1000)]
    jobs, _ = model.simulate(trace, costs(store_tokens=1900), 1)
    assert [job.n_held for job in jobs] == [0, 0, 900, 0, 900, 0]


def test_a_short_prompt_overtakes_a_long_one_and_answers_get_tokens_meanwhile():
    long, short = ask(0, "long", 0, 4000), ask(1.0, "short", 0, 100, 10)
    jobs, _ = model.simulate([long, short], costs(), 1)
    assert jobs[1].ttft_s < 0.3 and jobs[1].latency_s < 2
    assert jobs[0].ttft_s >= 6.0


@pytest.mark.parametrize("router", sorted(model.ROUTERS))
@pytest.mark.parametrize("n_replicas", [1, 2, 5])
def test_everybody_is_answered_once_and_nobody_before_asking(router, n_replicas):
    trace = make_trace(300, 3.0, 7)
    jobs, replicas = model.simulate(trace, costs(), n_replicas, router)
    assert [job.request for job in jobs] == trace
    for job in jobs:
        assert job.n_left == 0 and job.request.arrival_s < job.first_s <= job.end_s and 0 <= job.n_held < job.request.n_prompt
    assert sum(one.n_computed for one in replicas) == sum(job.request.n_prompt - job.n_held for job in jobs)
    assert all(one.n_open() == 0 for one in replicas)
    assert model.summary(jobs, replicas)["busy_share"] <= 1 + 1e-9


def test_the_same_seed_gives_the_same_figures_and_another_one_others():
    def figures(seed):
        return model.summary(*model.simulate(make_trace(200, 1.0, seed), costs(), 3, "two", seed))
    assert figures(1) == figures(1) != figures(2)


def test_another_rate_only_stretches_a_trace():
    slow, fast = make_trace(50, 1.0, 3), make_trace(50, 4.0, 3)
    assert [one.arrival_s for one in slow] == pytest.approx([4 * one.arrival_s for one in fast])
    assert [one.n_prompt for one in slow] == [one.n_prompt for one in fast]


def test_affinity_finds_documents_that_chance_does_not():
    trace = make_trace(800, 2.0, 5, Mix(n_documents=64))
    found = {router: model.summary(*model.simulate(trace, costs(), 8, router))["held_share"] for router in ("prefix", "two")}
    assert found["prefix"] > 1.5 * found["two"]


def test_the_router_leaves_a_replica_where_too_much_waits():
    trace = [ask(0, "a", 900, 1000)] + [ask(60 + i * 1e-3, "a", 900, 1000, 300) for i in range(60)]
    jobs, _ = model.simulate(trace, costs(), 2, "prefix")
    assert {job.replica for job in jobs} == {0, 1}
    jobs, _ = model.simulate(trace, costs(), 2, "hash")
    assert len({job.replica for job in jobs}) == 1


@pytest.mark.parametrize("share, value", [(0.5, 5), (0.95, 10), (0.9, 9), (0.0, 1), (1.0, 10)])
def test_percentiles_are_of_the_values(share, value):
    assert model.percentile(range(10, 0, -1), share) == value


def bench_record(tmp_path):
    path = tmp_path / "costs.json"
    path.write_text(json.dumps({"cases": [{"lazy": "auto", "prompt_tokens": n, "ttft_ms": {"median": s * 1000}, "decode_tokens_per_s": {"median": 50.0}}
                                          for n, s in PREFILL]}))
    return path


def run(*words):
    return subprocess.run([sys.executable, "-m", "bench.fleet.simulate", *map(str, words)], cwd=ROOT, capture_output=True, text=True,
                          timeout=120)


def test_the_command_prints_a_table(tmp_path):
    done = run(bench_record(tmp_path), "--replicas", 1, 2, "--requests", 40)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 2 + 1 + 3


def test_the_command_finds_the_smallest_fleet(tmp_path):
    done = run(bench_record(tmp_path), "--needed", 4, "--requests", 200, "--ttft-ms", 8000)
    assert done.returncode == 0, done.stderr
    n = int(done.stdout.splitlines()[2].split("|")[3])
    record = json.loads(bench_record(tmp_path).read_text())
    trace = make_trace(480, 4, 1, Mix(n_documents=32))
    measured = model.Costs.of_bench(record, "auto", held_cost=0.075)
    assert model.summary(*model.simulate(trace, measured, n, "prefix", 1))["ttft_p95_s"] <= 8
    assert n == 1 or model.summary(*model.simulate(trace, measured, n - 1, "prefix", 1))["ttft_p95_s"] > 8


def test_a_record_of_the_bench_is_what_the_command_reads(lazyfill, tmp_path):
    tiny.write_llama(tmp_path / "llama.gguf", "Q8_0")
    record = tmp_path / "costs.json"
    subprocess.run([lazyfill, "bench", "-m", tmp_path / "llama.gguf", "--lengths", "32,64", "-n", "4", "--repeat", "1", "--lazy", "off",
                    "--json", record], check=True, capture_output=True, timeout=120)
    measured = model.Costs.of_bench(json.loads(record.read_text()), "off")
    assert 0 < measured.prefill_s(32) and 0 < measured.step_s([40])
    done = run(record, "--lazy", "off", "--replicas", 1, "--requests", 20)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("text", ["", "{", '{"cases": []}'])
def test_a_record_without_cases_is_refused_in_a_sentence(tmp_path, text):
    path = tmp_path / "bad.json"
    path.write_text(text)
    done = run(path)
    assert done.returncode != 0 and "lazyfill bench --json" in done.stderr and "Traceback" not in done.stderr
