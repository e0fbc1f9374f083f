"""Instruction sets as the program names, chooses and refuses them."""
import ctypes
import json
import os
import struct
import subprocess

import pytest


@pytest.fixture
def run(lazyfill):
    def call(*args, isa):
        return subprocess.run([lazyfill, *map(str, args)], capture_output=True, text=True, timeout=300, check=False,
                              env={**os.environ, "LAZYFILL_ISA": isa})
    return call


@pytest.mark.parametrize("wanted", ["reference", ""])
def test_inspect_names_the_kernels_and_what_the_machine_lacks(run, smollm2, wanted):
    kernels = json.loads(run("inspect", smollm2, "--json", isa=wanted).stdout)["kernels"]
    lacking = [entry["isa"] for entry in kernels["lacking"]]
    assert kernels["can_run"] and kernels["isa"] not in lacking and "reference" not in lacking
    assert kernels["isa"] == wanted or not wanted
    line = next(line for line in run("inspect", smollm2, isa=wanted).stdout.splitlines() if line.startswith("kernels "))
    assert line.split()[1].rstrip(";") == kernels["isa"]
    assert all(entry["reason"] and f"no {entry['isa']}: {entry['reason']}" in line for entry in kernels["lacking"])


def test_an_unknown_instruction_set_is_refused_with_those_there_are(run, smollm2):
    done = run("run", "-m", smollm2, "-p", "x", isa="sse9")
    assert done.returncode == 1 and done.stdout == "" and len(done.stderr.strip().splitlines()) == 1
    assert '"sse9"' in done.stderr and "reference" in done.stderr
    assert "reference" in json.loads(run("inspect", smollm2, "--json", isa="sse9").stdout)["kernels"]["reason"]


ASK_FOR_TILES = (158, 0x1023)  # arch_prctl(ARCH_REQ_XCOMP_PERM, ...) on x86-64


def refuse_tiles():
    """Makes the system refuse this process the use of tiles, as a container's filter of system calls may."""
    def instruction(code, k, if_so=0, if_not=0):
        return struct.pack("HBBI", code, if_so, if_not, k)

    load, jump_if_equal, give = 0x20, 0x15, 0x06
    program = b"".join([
        instruction(load, 0), instruction(jump_if_equal, ASK_FOR_TILES[0], 0, 3),
        instruction(load, 16), instruction(jump_if_equal, ASK_FOR_TILES[1], 0, 1),
        instruction(give, 0x00050001),  # SECCOMP_RET_ERRNO | EPERM
        instruction(give, 0x7FFF0000),  # SECCOMP_RET_ALLOW
    ])
    held = ctypes.create_string_buffer(program)
    whole = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(held)))
    libc = ctypes.CDLL(None, use_errno=True)
    for call in [(38, 1, 0, 0, 0), (22, 2, ctypes.addressof(whole), 0, 0)]:  # no new privileges, then the filter
        if libc.prctl(*map(ctypes.c_ulong, call)) != 0:
            raise OSError(ctypes.get_errno(), "no filter of system calls")


def test_where_the_system_refuses_tiles_other_kernels_run(lazyfill, smollm2):
    environment = {key: value for key, value in os.environ.items() if key != "LAZYFILL_ISA"}

    def call(*args, isa="", before=None):
        return subprocess.run([lazyfill, *map(str, args)], capture_output=True, text=True, timeout=300, check=False,
                              preexec_fn=before, env={**environment, "LAZYFILL_ISA": isa})

    if not json.loads(call("inspect", smollm2, "--json", isa="amx").stdout)["kernels"]["can_run"]:
        pytest.skip("this machine is without tiles, or refuses them by itself")
    try:
        done = call("inspect", smollm2, before=refuse_tiles)
    except subprocess.SubprocessError:
        pytest.skip("this system has no filter of system calls")
    line = next(line for line in done.stdout.splitlines() if line.startswith("kernels "))
    assert line.split()[1].rstrip(";") == "avx512" and "no amx: its system refuses the use of AMX tiles" in line
    answer = call("run", "-m", smollm2, "-p", "One, two,", "-n", "2", before=refuse_tiles)
    assert answer.returncode == 0 and answer.stdout
    assert call("run", "-m", smollm2, "-p", "One, two,", "-n", "2", isa="amx").returncode == 0
    asked = call("run", "-m", smollm2, "-p", "One, two,", "-n", "2", isa="amx", before=refuse_tiles)
    assert asked.returncode == 1 and len(asked.stderr.strip().splitlines()) == 1
    assert "refuses the use of AMX tiles" in asked.stderr
