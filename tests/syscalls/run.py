#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""What do our programs ask of the kernel?  run.py FLAG_CHANGES MANY_WRITERS

No lock of any kind, no rename, no truncation, no write that is not an append; at most 3 system calls for a flag change
on an open mailbox. Skipped (exit 77) where strace is missing or may not trace.
"""
import os
import re
import subprocess
import sys
import tempfile

CALLS_PER_CHANGE_MAX = 3
CHANGES = 500
FORBIDDEN = re.compile(r"^(flock|renameat2?|rename|ftruncate|truncate|pwrite64|pwritev2?|lockf)\(")
RECORD_LOCK = re.compile(r"^fcntl\(\d+(<[^>]*>)?, F_(OFD_)?SETLKW?")
OPEN_TO_WRITE = re.compile(r"^openat\(.*\"(?P<name>[^\"]*)\".*O_(WRONLY|RDWR)")


def trace(arguments):
    """The system calls of a run, with their threads' and children's, without process ids."""
    with tempfile.NamedTemporaryFile(mode="r", suffix=".strace") as out:
        run = subprocess.run(["strace", "-f", "-o", out.name, *arguments], capture_output=True, text=True, timeout=300)
        if run.returncode != 0:
            print(run.stdout, run.stderr, sep="\n")
            if "PTRACE" in run.stderr or "Operation not permitted" in run.stderr:
                print("skipped: strace may not trace here")
                sys.exit(77)
            sys.exit(f"{arguments[0]} failed under strace")
        return [re.sub(r"^\d+\s+", "", line) for line in out]


def complaints(calls):
    """Calls that lock, rename, truncate or overwrite."""
    found = []
    for call in calls:
        opened = OPEN_TO_WRITE.match(call)
        if FORBIDDEN.match(call) or RECORD_LOCK.match(call):
            found.append(call)
        elif opened and re.search(r"(log|index|m)\.[0-9a-f]+$", opened["name"]) and "O_APPEND" not in call:
            found.append(call)  # a file of ours that could be written to elsewhere than at its end
    return found


def main():
    flag_changes, many_writers = sys.argv[1:3]
    try:
        calls = trace([flag_changes, str(CHANGES)])
    except FileNotFoundError:
        print("skipped: strace is not installed")
        sys.exit(77)
    marks = [i for i, call in enumerate(calls) if "mailfs-mark-" in call]
    assert len(marks) == 2, "the marks are missing"
    per_change = (marks[1] - marks[0] - 1) / CHANGES
    print(f"syscalls.flag_change {per_change:.2f} calls")

    writers = trace([many_writers, "2", "3", "4096"])
    bad = complaints(calls) + complaints(writers)
    for call in bad[:10]:
        print("forbidden:", call.strip())
    print(f"syscalls.traced {len(calls) + len(writers)} calls, {len(bad)} forbidden")
    assert len(writers) > 1000, "the writers did nothing"
    if bad or per_change > CALLS_PER_CHANGE_MAX:
        sys.exit(1)


main()
