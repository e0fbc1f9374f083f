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
        "settings": {"threads": 2, "n_decode": 16, "repeats": 2},
        "models": [{"model": "m.gguf", "cells": report.summarize(RUNS), "failures": {"ik_llama.cpp": "not\ninstalled"}}],
    }
    page = report.markdown(result)
    assert "| 511 | OpenVINO | 200 | 2555 | 40.0 | 1.00 | 0.80 |" in page
    assert sum(line.startswith("| 511 |") for line in page.splitlines()) == 4
    assert "ik_llama.cpp could not be measured: not installed" in page
    assert "a processor" in page


def test_a_worker_that_is_missing_its_package_is_a_sentence(root, tmp_path, monkeypatch):
    import engines

    script = tmp_path / "peer_none.py"
    script.write_text("import a_package_that_does_not_exist\n")
    monkeypatch.setattr(engines, "HERE", tmp_path)
    with pytest.raises(engines.Failed, match="process ended with code 1"):
        engines.Worker("peer_none.py", {})


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
        "worker.serve(Echo)\n"
    )
    monkeypatch.setattr(engines, "HERE", tmp_path)
    echo = engines.Worker("peer_echo.py", {"model": "m"})
    assert echo.measure(engines.Prompt("", [5, 6, 7]), 2) == {"token_ids": [5, 6], "model": "m"}
    with pytest.raises(engines.Failed, match="ValueError: nothing to decode"):
        echo.measure(engines.Prompt("", [5]), 0)
    echo.close()
    assert echo.process.returncode == 0
