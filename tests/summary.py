#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""Counts what `meson test` ran: doctest's cases one by one, every other test as one.

    summary.py BUILD/meson-logs/testlog.json

Ends with "N passed, N failed" and exits 1 when anything failed, or when nothing ran at all.
"""

import json
import re
import sys

CASES = re.compile(r"^\[doctest\] test cases: +(\d+) \| +(\d+) passed \| +(\d+) failed(?: \| +(\d+) skipped)?", re.M)
ASSERTIONS = re.compile(r"^\[doctest\] assertions: +(\d+) \| +(\d+) passed \| +(\d+) failed", re.M)


def total(runs, column):
    return sum(int(run[column] or 0) for run in runs)


def count(test):
    """(passed, failed) of one Meson test."""
    if test["result"] in ("SKIP", "IGNORED"):
        return 0, 0
    good = test["result"] in ("OK", "EXPECTEDFAIL")
    runs = CASES.findall(test.get("stdout") or "")
    passed, failed = (total(runs, 1), total(runs, 2)) if runs else (int(good), 0)
    # A runner that counts no failed case and yet fails (a crash, a sanitizer, a time-out) is one failure more.
    if not good and failed == 0:
        failed = 1
    return passed, failed


def main():
    try:
        with open(sys.argv[1], encoding="utf-8", errors="replace") as log:
            tests = [json.loads(line) for line in log if line.strip()]
    except OSError as error:
        print(f"no test ran: {error}\n0 passed, 1 failed")
        return 1
    counts = [count(test) for test in tests]
    for test, (passed, failed) in zip(tests, counts):
        said = (test.get("stdout") or "").strip().splitlines()
        if test["result"] == "SKIP":
            print(f"skipped: {test['name']}: {said[-1] if said else 'no reason given'}")
        elif failed:
            print(f"FAILED: {test['name']}: {failed} failed, {test['result']}")
    texts = [test.get("stdout") or "" for test in tests]
    cases = [run for text in texts for run in CASES.findall(text)]
    assertions = [run for text in texts for run in ASSERTIONS.findall(text)]
    print(f"doctest: {total(cases, 1)} cases passed, {total(cases, 2)} failed, {total(cases, 3)} skipped; "
          f"{total(assertions, 1)} assertions held, {total(assertions, 2)} did not")
    results = [test["result"] for test in tests]
    print(f"Meson: {len(tests)} tests, {results.count('OK')} passed, {results.count('SKIP')} skipped")
    passed, failed = sum(p for p, _ in counts), sum(f for _, f in counts)
    if passed + failed == 0:
        failed = 1  # a run that tested nothing is no success
    print(f"{passed} passed, {failed} failed")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
