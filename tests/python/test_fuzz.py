"""The fuzzer of model files over its seeds, which are made here: the reader takes them, and survives changes of them. The
other fuzzers have their seeds in the tree and run as ctest cases."""

import subprocess
import sys


def test_model_files(root, build_dir, tmp_path):
    seeds = tmp_path / "seeds"
    seeds.mkdir()
    subprocess.run([sys.executable, root / "fuzz" / "make_gguf_corpus.py", seeds], check=True, capture_output=True)
    assert len(list(seeds.iterdir())) > 10
    done = subprocess.run([build_dir / "bin" / "gguf_fuzz", "-runs=50000", "-max_len=4096", f"-dict={root / 'fuzz' / 'gguf.dict'}",
                           seeds], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
