"""What the machine is and can do at most, and an engine's figures as shares of that."""

import json
import os
import pathlib
import platform
import subprocess


def facts(benchmark):
    """Name -> text or number. The peaks are those that the kernel benchmark measures."""
    known = {"processor": processor(), "cores": os.cpu_count()}
    command = [benchmark, "--benchmark_filter=rows/.*", "--benchmark_min_time=0.01", "--benchmark_format=json"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        return known | {"peaks": f"not measured ({error})"}
    context = json.loads(done.stdout)["context"]
    return known | {name: value for name, value in context.items() if "peak" in name or "bandwidth" in name}


def within(known, isa):
    """The facts without what an instruction set does that the engines are not allowed."""
    return {name: value for name, value in known.items() if isa == "best" or not name.startswith(("avx512", "amx"))}


def processor():
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def has_amx():
    try:
        return " amx_tile" in pathlib.Path("/proc/cpuinfo").read_text()
    except OSError:
        return False


def read_gbytes_per_s(known, huge_pages):
    """The highest read bandwidth of all cores together that was measured, in small or in huge pages; None: not measured."""
    figures = [
        value.split(",")[-1] for name, value in known.items() if "bandwidth" in name and ("huge" in name) == huge_pages
    ]
    return max(map(float, figures), default=None)


def fp32_gflops(known):
    """The fp32 peak of one core; None: not measured."""
    return max((float(value) for name, value in known.items() if "fp32 peak" in name), default=None)


class Work:
    """What one token of a model costs, from `lazyfill inspect`."""

    def __init__(self, binary, model):
        self.inspect = [binary, "inspect", "-m", model, "--json"]
        described = self.ask("--tensors", "--metadata")
        self.n_layers = described["model"]["n_layers"]
        self.q_dim = described["model"]["n_heads"] * described["model"]["head_dim"]
        # A token uses some of the experts only, and no file says how many bytes those are.
        self.has_experts = any(tensor["name"].endswith("_exps.weight") for tensor in described["tensors"])
        self.layer_weights = sum(
            tensor["shape"][0] * tensor["shape"][1]
            for tensor in described["tensors"]
            if tensor["name"].startswith("blk.") and len(tensor["shape"]) == 2
        )

    def ask(self, *flags):
        return json.loads(subprocess.run(self.inspect + list(flags), capture_output=True, text=True, check=True).stdout)

    def at(self, context_tokens):
        return self.ask("--ctx", str(context_tokens))["memory"]["at"][0]

    def decode_bytes(self, weights_bytes, context_tokens):
        """Read for one token decoded at this context: the packed weights once, and the columns it sees."""
        return None if self.has_experts else weights_bytes + self.at(context_tokens)["seen_bytes"]

    def prefill_flops(self, n_tokens):
        """Of the linear layers and of causal attention; None where windows or experts make it less."""
        at = self.at(n_tokens)
        if self.has_experts or at["seen_bytes"] != at["kv_bytes"]:
            return None
        # Queries times keys and weights times values: two of two operations each, over half of the square.
        return 2 * self.layer_weights * n_tokens + 2 * self.n_layers * self.q_dim * n_tokens**2


def shares(cell, work, weights_bytes, known, n_threads, n_decode):
    """Of what the machine can do at most, what a dense lazyfill cell reaches; None where a share cannot be told."""
    n_bytes = work.decode_bytes(weights_bytes, cell["n_tokens"] + n_decode // 2)
    flops, gflops = work.prefill_flops(cell["n_tokens"]), fp32_gflops(known)

    def bandwidth_share(huge_pages):
        gbytes = read_gbytes_per_s(known, huge_pages)
        return n_bytes and gbytes and n_bytes * cell["decode_tokens_per_s"] / (gbytes * 1e9)

    return {
        "decode_bytes": n_bytes,
        "decode_bandwidth_share": bandwidth_share(huge_pages=False),
        "decode_huge_page_share": bandwidth_share(huge_pages=True),
        "prefill_peak_share": flops and gflops and flops / cell["ttft_ms"] / 1e6 / (gflops * n_threads),
    }
