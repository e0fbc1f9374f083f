"""--activations: what is said, written down and refused. What it computes: test_model.py."""

import json
import subprocess


def test_activations_of_eight_bits(lazyfill, smollm2):
    def run(*flags):
        return subprocess.run([lazyfill, "run", "-m", smollm2, "-p", "The three primary colours are", "-n", "2", "--temp", "0", *flags,
                               "--json", "-"], capture_output=True, text=True, timeout=600, check=False)

    def record(*flags):
        done = run(*flags)
        assert done.returncode == 0 and ("8-bit activations" in done.stderr) == ("8" in flags)
        return json.loads(done.stdout)

    assert record()["activation_bits"] == record("--activations", "16")["activation_bits"] == 16
    assert record("--activations", "8")["activation_bits"] == 8
    wrong = run("--activations", "4")
    assert wrong.returncode == 2 and "--activations is one of 16, 8, not '4'" in wrong.stderr
