#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""What posix_fs costs in system calls, and which it never makes:  posix_calls.py PROGRAM

Two runs under strace differ by what COUNT rounds cost: an append is two calls, a read at the end one, a read that is
satisfied one. Exits with 77 (skipped) where strace is missing or may not trace.
"""
import re
import subprocess
import sys
import tempfile

COUNT = 1000
EXPECTED = {"write": 1.0, "lseek": 1.0, "pread64": 2.0}  # calls for each round
NEVER = re.compile(r"^\d+ +(flock|rename\w*|ftruncate|truncate|pwrite\w*)\(|F_(OFD_)?SETLK", re.M)


def trace(program, count):
    with tempfile.NamedTemporaryFile(mode="r") as log:
        subprocess.run(["strace", "-f", "-o", log.name, *program, str(count)], check=True, timeout=60)
        return log.read()


def calls(text):
    found = {}
    for name in re.findall(r"^\d+ +(\w+)\(", text, re.M):
        found[name] = found.get(name, 0) + 1
    return found


def main(program):
    try:
        subprocess.run(["strace", "-o", "/dev/null", "true"], check=True, timeout=60, stderr=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError):
        print("strace is missing or may not trace here")
        return 77
    few, many = trace(program, 0), trace(program, COUNT)
    before, after = calls(few), calls(many)
    # A few calls more or less are the system's (memory, wake-ups on a busy machine); ours come with each round.
    cost = {name: round((n - before.get(name, 0)) / COUNT, 1) for name, n in after.items()}
    cost = {name: n for name, n in cost.items() if n != 0}
    never = NEVER.search(many)
    print(f"{COUNT} rounds of one append and two reads: {cost}")
    if never:
        print("a call that posix_fs must not make:", never.group(0))
    return 0 if cost == EXPECTED and not never else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
