#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""A program that must not compile, and what the compiler must say:

    must_fail.py SOURCE [--first TEXT] [--text TEXT ...] [--lines N] -- COMPILER ARGUMENT ...

The source is compiled twice. As it stands it must pass, so that it fails later for the one reason that it shows; with
-DMUST_FAIL it must be refused, in at most N lines (default 60) that hold each TEXT, and the first error must hold that of
--first. A failure prints what was said.
"""
import argparse
import os
import re
import subprocess
import sys


def compile_only(command, source, *extra):
    # Plain messages in English, and no colours between the words.
    done = subprocess.run([*command, *extra, "-fsyntax-only", "-fno-diagnostics-color", source], capture_output=True,
                          text=True, timeout=240, env={**os.environ, "LC_ALL": "C"}, check=False)
    return done.returncode, done.stdout + done.stderr


def plain(text):
    """Line breaks and the compilers' kinds of quotes do not matter."""
    return re.sub(r"\s+", " ", re.sub("[‘’`']", "'", text))


def first_error(said):
    return next((line for line in said.splitlines() if " error: " in line), "")


def complaints(source, first, texts, lines_max, command):
    code, said = compile_only(command, source)
    if code != 0:
        return ["it does not compile even without -DMUST_FAIL"], said
    code, said = compile_only(command, source, "-DMUST_FAIL")
    if code == 0:
        return ["it compiles, and must not"], said
    wrong = [f"nothing is said of: {text}" for text in texts if plain(text) not in plain(said)]
    if plain(first) not in plain(first_error(said)):
        wrong.append(f"the first error does not say: {first}")
    if (lines := said.count("\n")) > lines_max:
        wrong.append(f"it takes {lines} lines to say so, more than {lines_max}")
    return wrong, said


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("source")
    parser.add_argument("--first", default="")
    parser.add_argument("--text", action="append", default=[])
    parser.add_argument("--lines", type=int, default=60)
    split = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    options, command = parser.parse_args(sys.argv[1:split]), sys.argv[split + 1:]
    if not command:
        parser.error("no compiler after --")
    wrong, said = complaints(options.source, options.first, options.text, options.lines, command)
    for complaint in wrong:
        print(f"{options.source}: {complaint}")
    if wrong:
        print(said)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
