"""The fuzzers of model files over their seeds, which are made here: the reader takes them, and both survive changes of them. The
other fuzzers, and that of models in use, have their seeds in the tree and run as ctest cases."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("fuzzer, n_runs", [("gguf", 50_000), ("engine", 5_000)])
def test_model_files(root, build_dir, tmp_path, fuzzer, n_runs):
    seeds = tmp_path / "seeds"
    seeds.mkdir()
    subprocess.run([sys.executable, root / "fuzz" / "make_gguf_corpus.py", seeds], check=True, capture_output=True)
    assert len(list(seeds.iterdir())) > 10
    done = subprocess.run([build_dir / "bin" / f"{fuzzer}_fuzz", f"-runs={n_runs}", "-max_len=8192",
                           f"-dict={root / 'fuzz' / 'gguf.dict'}", seeds], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
