#!/usr/bin/env python3
"""Two builds of lazyfill at the same work, one awake at a time: a ratio that holds on a machine whose speed changes by the minute.

    python bench/by_turns.py [--rounds 3] OLD/lazyfill NEW/lazyfill [-- bench --lengths 64 --lazy off -n 1500 --threads 2 --repeat 1 --quiet]

Both programs run; SIGSTOP and SIGCONT hand the processor to the other one every 80 milliseconds, in random order. Each one's waking time until
its end is added up. Loading counts too, so let the work be long. Prints a line a round.
"""

import argparse
import random
import signal
import subprocess
import time

SLICE_S = 0.08
WORK = ["bench", "--lengths", "64", "--lazy", "off", "-n", "1500", "--threads", "2", "--repeat", "1", "--quiet"]


def play(programs, work):
    """Seconds that each was awake."""
    processes = [subprocess.Popen([program, *work], stdout=subprocess.DEVNULL) for program in programs]
    for process in processes:
        process.send_signal(signal.SIGSTOP)
    awake = [0.0] * len(processes)
    left = list(range(len(processes)))
    while left:
        for i in random.sample(left, len(left)):
            begin = time.perf_counter()
            processes[i].send_signal(signal.SIGCONT)
            try:
                processes[i].wait(SLICE_S)
                left.remove(i)
            except subprocess.TimeoutExpired:
                processes[i].send_signal(signal.SIGSTOP)
            awake[i] += time.perf_counter() - begin
    if any(process.returncode for process in processes):
        raise SystemExit("a program failed: try its command alone")
    return awake


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old")
    parser.add_argument("new")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("work", nargs="*", help="what both do")
    args = parser.parse_args()
    for _ in range(args.rounds):
        old, new = play([args.old, args.new], args.work or WORK)
        print(f"old {old:.2f} s, new {new:.2f} s: {old / new:.3f} times as fast", flush=True)


if __name__ == "__main__":
    main()
