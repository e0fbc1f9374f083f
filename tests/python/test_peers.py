"""The comparison with other engines: its table and its protocol, without the engines."""

import sys

import pytest


@pytest.fixture(scope="module", autouse=True)
def peers_on_path(root):
    sys.path.insert(0, str(root / "bench" / "peers"))
    yield
    sys.path.remove(str(root / "bench" / "peers"))


def run(length, engine, ttft_ms, decode_ms):
    return {"length": length, "n_tokens": length - 1, "engine": engine, "ttft_ms": ttft_ms, "decode_ms_per_token": decode_ms}


RUNS = [
    run(512, "lazyfill", 100.0, 5.0),
    run(512, "lazyfill 9:0.5", 50.0, 4.0),
    run(512, "llama.cpp", 400.0, 20.0),
    run(512, "OpenVINO", 220.0, 25.0),
    run(512, "lazyfill", 120.0, 4.0),
    run(512, "OpenVINO", 200.0, 30.0),
]


def test_the_best_repeat_counts_and_ratios_are_to_the_best_peer():
    import report

    cells = {cell["engine"]: cell for cell in report.summarize(RUNS)}
    assert list(cells) == ["lazyfill", "lazyfill 9:0.5", "llama.cpp", "OpenVINO"]
    dense = cells["lazyfill"]
    assert (dense["ttft_ms"], dense["ttft_ms_median"], dense["repeats"]) == (100.0, 110.0, 2)
    assert dense["decode_tokens_per_s"] == 250.0
    assert dense["prefill_tokens_per_s"] == pytest.approx(5110.0)
    assert dense["ttft_against_best_peer"] == 2.0  # OpenVINO's 200 ms
    assert dense["decode_against_best_peer"] == 5.0  # llama.cpp's 50 tokens/s
    assert cells["lazyfill 9:0.5"]["ttft_against_dense"] == 2.0
    assert cells["llama.cpp"]["ttft_against_best_peer"] == 0.5


def test_no_peer_leaves_the_ratios_out():
    import report

    (cell,) = report.summarize([run(512, "lazyfill", 100.0, 5.0)])
    assert cell["ttft_against_best_peer"] is None and cell["decode_against_best_peer"] is None
    assert cell["ttft_against_dense"] == 1.0


def test_the_page_has_every_cell_and_names_what_failed():
    import report

    result = {
        "machine": {"processor": "a processor", "peak": "1"},
        "settings": {"threads": 2, "n_decode": 16, "repeats": 2, "isa": "best"},
        "models": [
            {"model": "m.gguf", "cells": report.summarize(RUNS), "failures": {"ik_llama.cpp": "not\ninstalled"}, "loss": []}
        ],
    }
    page = report.markdown(result)
    assert "| 511 | OpenVINO | 200 | 2555 | 40.0 | 1.00 | 0.80 |" in page
    assert sum(line.startswith("| 511 |") for line in page.splitlines()) == 4
    assert "ik_llama.cpp could not be measured: not installed" in page
    assert "a processor" in page and "AVX2" not in page and "KL" not in page


def test_the_page_says_how_the_engines_were_held_to_avx2():
    import report

    result = {"machine": {}, "settings": {"threads": 2, "n_decode": 16, "repeats": 2, "isa": "avx2"}, "models": []}
    page = report.markdown(result)
    assert "LAZYFILL_ISA=avx2" in page and "ONEDNN_MAX_CPU_ISA=AVX2" in page and "whatever more the machine has" in page


def test_a_build_with_more_than_avx2_is_refused():
    import isa

    isa.check_build("avx2", "llama.cpp", "AVX2 = 1 | FMA = 1 | ")
    isa.check_build("best", "llama.cpp", "AVX2 = 1 | AVX512 = 1 | ")
    isa.check_build("avx2", "ik_llama.cpp", "AVX2 = 1 | AVX512 = 0 | ")
    with pytest.raises(RuntimeError, match="llama.cpp was built with AVX-512"):
        isa.check_build("avx2", "llama.cpp", "AVX2 = 1 | AVX512 = 1 | ")


def test_the_aims_are_a_row_each():
    import report

    runs = [*RUNS, run(512, "OpenVINO, XATTENTION", 150.0, 25.0), run(1024, "lazyfill", 200.0, 5.0)]
    cells = report.summarize(runs)
    cells[0] |= {"decode_bytes": 110e6, "decode_bandwidth_share": 0.75, "prefill_peak_share": 1.5}
    rows = {line.split(" | ")[0]: line.split(" | ")[1:] for line in report.aims(cells)}
    assert rows["| dense prefill, times the best dense engine"] == ["2.00", " |"]  # 200 ms, not XATTENTION's 150
    assert rows["| dense prefill, times llama.cpp"] == ["4.00", " |"]
    assert rows["| lazyfill 9:0.5: prefill, times XATTENTION"] == ["3.00", " |"]
    assert rows["| lazyfill 9:0.5: prefill, times llama.cpp"] == ["8.00", " |"]
    assert rows["| dense decode, MB read a token"] == ["110.00", " |"]
    assert rows["| dense decode, share of the read bandwidth"] == ["0.75", " |"]


def test_shares_of_the_machine(lazyfill, smollm2):
    """SmolLM2: 96.4 MB of matrices, 23,040 bytes a column of all layers; 106.2 million weights in its layers."""
    import machine

    known = {
        "processor": "any",
        "avx2 read bandwidth of one core and of all, GB/s": "10.0, 15.0",
        "avx2 read bandwidth in huge pages of one core and of all, GB/s": "12.0, 20.0",
        "avx2 fp32 peak of a core, GFLOP/s": "100.0",
    }
    cell = {"n_tokens": 1000, "ttft_ms": 1000.0, "decode_tokens_per_s": 100.0}
    work = machine.Work(lazyfill, smollm2)
    shares = machine.shares(cell, work, 96436224, known, 2, 16)
    assert shares["decode_bytes"] == 96436224 + 1008 * 23040
    assert shares["decode_bandwidth_share"] == pytest.approx(shares["decode_bytes"] * 100 / 15e9)
    assert shares["decode_huge_page_share"] == pytest.approx(shares["decode_bytes"] * 100 / 20e9)
    layer_weights = 30 * (2 * 576 * 576 + 2 * 576 * 192 + 3 * 576 * 1536)
    flops = 2 * 1000 * layer_weights + 30 * 9 * 64 * 2 * 1000**2
    assert shares["prefill_peak_share"] == pytest.approx(flops / 1e9 / 200)
    wider = known | {"avx512 fp32 peak of a core, GFLOP/s": "200.0", "amx fp32 peak of a core, GFLOP/s": "200.0",
                     "amx bf16 tile peak of a core, GFLOP/s": "2000.0"}
    assert machine.shares(cell, work, 96436224, wider, 2, 16)["prefill_peak_share"] == pytest.approx(flops / 1e9 / 400)
    assert machine.within(wider, "avx2") == known and machine.within(wider, "best") == wider
    unknown = machine.shares(cell, work, 96436224, {"peaks": "not measured"}, 2, 16)
    assert unknown["decode_bandwidth_share"] is None and unknown["prefill_peak_share"] is None


def test_windows_leave_less_to_read_and_no_share_of_the_peak(lazyfill, gemma3):
    import machine

    work = machine.Work(lazyfill, gemma3)
    assert work.decode_bytes(0, 4096) == 1024 * (15 * 512 + 3 * 4096)
    assert work.prefill_flops(4096) is None


def test_a_schedule_may_name_an_instruction_set():
    import engines

    assert engines.flags_of("off amx") == ["--lazy", "off"] and engines.flags_of("auto avx512 8bit") == ["--lazy", "auto", "--activations", "8"]
    environment = {schedule: engines.Lazyfill("lazyfill", "m.gguf", schedule, 2).environment.get("LAZYFILL_ISA") for schedule in ("off amx", "auto avx2")}
    assert environment == {"off amx": "amx", "auto avx2": "avx2"}


def test_a_schedule_may_name_its_policy_sparse_attention_and_activations():
    import engines

    assert engines.flags_of("off") == ["--lazy", "off"]
    assert engines.flags_of("9:0.5 focus") == ["--lazy", "9:0.5", "--policy", "focus"]
    assert engines.flags_of("off 0.9") == ["--lazy", "off", "--sparse-attention", "0.9"]
    assert engines.flags_of("off 8bit") == ["--lazy", "off", "--activations", "8"]
    assert engines.flags_of("9:0.5 focus 0.9")[2:] == ["--policy", "focus", "--sparse-attention", "0.9"]


def test_the_divergence_of_two_lists_is_a_lower_bound_of_the_kl():
    import math

    import loss

    p, q = [0.5, 0.3, 0.15, 0.05], [0.25, 0.35, 0.1, 0.3]
    kl = sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    whole = [{i: math.log(x) for i, x in enumerate(values)} for values in (p, q)]
    assert loss.divergence(*whole) == pytest.approx(kl)
    likeliest = [dict(sorted(logprobs.items(), key=lambda item: -item[1])[:2]) for logprobs in whole]
    assert set(likeliest[0]) == {0, 1} and set(likeliest[1]) == {1, 3}
    bound = 0.3 * math.log(0.3 / 0.35) + 0.7 * math.log(0.7 / 0.65)  # token 1, and all others as one
    assert loss.divergence(*likeliest) == pytest.approx(bound)
    assert 0 < bound < kl
    assert loss.divergence(whole[0], whole[0]) == 0


def test_losses_are_means_over_prompts():
    import loss
    import report

    lines = [{"length": 4096, "prompt": str(i), "engine": "OpenVINO, XATTENTION", "first_kl": kl} for i, kl in enumerate([0.1, 0.2, 0.6])]
    (cell,) = loss.summarize(lines)
    assert cell["prompts"] == 3 and cell["first_kl"] == pytest.approx(0.3) and cell["first_kl_median"] == 0.2
    assert "| 4096 | OpenVINO, XATTENTION | 3 | 0.300 | 0.200 |" in report.losses([cell])


def test_prompts_for_the_loss_are_long_ones_of_every_file(lazyfill, smollm2, tmp_path):
    import json

    import loss

    for name, texts in {"a": [" word" * 400, "short", " word" * 500], "b": [" word" * 300]}.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps({"prompt": text}) + "\n" for text in texts))
    prompts = loss.prompts_of(tmp_path, lazyfill, smollm2, 200, 3)
    assert [name for name, _ in prompts] == ["a/2", "b/0", "a/0"]
    assert all(len(text.split()) == 200 for _, text in prompts)
    assert [name for name, _ in loss.prompts_of(tmp_path, lazyfill, smollm2, 450, 3)] == ["a/2"]


def test_a_worker_that_is_missing_its_package_is_a_sentence(root, tmp_path, monkeypatch):
    import engines

    script = tmp_path / "peer_none.py"
    script.write_text("import a_package_that_does_not_exist\n")
    monkeypatch.setattr(engines, "HERE", tmp_path)
    with pytest.raises(engines.Failed, match="process ended with code 1"):
        engines.Worker("peer_none.py", {})


@pytest.mark.parametrize("script, package", [("peer_torch.py", "torch"), ("peer_vllm.py", "vllm"), ("peer_onnx.py", "onnxruntime_genai")])
def test_an_engine_that_few_machines_have_says_what_is_missing(script, package):
    import importlib.util

    import engines

    if importlib.util.find_spec(package):
        pytest.skip(f"{package} is installed")
    with pytest.raises(engines.Failed, match=f"the package {package} is not installed"):
        engines.Worker(script, {"model": "m.gguf", "threads": 1, "context_tokens": 16})


def test_a_worker_that_dies_of_a_signal_says_which(tmp_path, monkeypatch):
    import engines
    import machine

    script = tmp_path / "peer_dies.py"
    monkeypatch.setattr(engines, "HERE", tmp_path)
    for name, has_amx, said in [("SIGILL", True, r"\(SIGILL\); the processor has AMX.*--without-amx"), ("SIGILL", False, r"\(SIGILL\)$"),
                                ("SIGSEGV", True, "ended by SIGSEGV$")]:
        script.write_text(f"import os, signal\nos.kill(os.getpid(), signal.{name})\n")
        monkeypatch.setattr(machine, "has_amx", lambda has_amx=has_amx: has_amx)
        with pytest.raises(engines.Failed, match=said):
            engines.Worker("peer_dies.py", {})


def test_a_worker_answers_line_by_line(root, tmp_path, monkeypatch):
    import engines

    script = tmp_path / "peer_echo.py"
    script.write_text(
        f"import sys\nsys.path.insert(0, {str(root / 'bench' / 'peers')!r})\nimport worker\n"
        "class Echo:\n"
        "    def __init__(self, options): self.options = options\n"
        "    def measure(self, token_ids, n_decode):\n"
        "        print('noise that is no answer', flush=True)\n"
        "        if n_decode == 0: raise ValueError('nothing to decode')\n"
        "        return {'token_ids': token_ids[:n_decode], 'model': self.options['model']}\n"
        "    def first_logprobs(self, token_ids, n_likeliest):\n"
        "        return {'token_ids': token_ids, 'logprobs': [-1.0] * n_likeliest}\n"
        "worker.serve(Echo)\n"
    )
    monkeypatch.setattr(engines, "HERE", tmp_path)
    echo = engines.Worker("peer_echo.py", {"model": "m"})
    assert echo.measure(engines.Prompt("", [5, 6, 7]), 2) == {"token_ids": [5, 6], "model": "m"}
    with pytest.raises(engines.Failed, match="ValueError: nothing to decode"):
        echo.measure(engines.Prompt("", [5]), 0)
    assert echo.first_logprobs([8, 9], 2) == {8: -1.0, 9: -1.0}
    echo.close()
    assert echo.process.returncode == 0
