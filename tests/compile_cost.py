#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""What does `#include <mailfs/mailfs.hpp>` cost a build, beside `#include <asio.hpp>`?

    compile_cost.py INCLUDE_DIRECTORY COMPILER...

Compiles both in turns, takes the least processor time and peak memory of each (what else runs only adds to them), and
prints compile.time.ratio and compile.memory.ratio. Fails above MAILFS_COMPILE_RATIO_MAX (2.5). MAILFS_COMPILE_RUNS (9) is the number of turns.
Without the umbrella header it is skipped (exit code 77).
"""

import os
import subprocess
import sys
import tempfile

RUNS = int(os.environ.get("MAILFS_COMPILE_RUNS", "9"))
RATIO_MAX = float(os.environ.get("MAILFS_COMPILE_RATIO_MAX", "2.5"))
HEADERS = {"asio": "asio.hpp", "mailfs": "mailfs/mailfs.hpp"}


def cost(command):
    """(processor seconds, peak MiB) of one run, the compiler's own children included."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"FAILED: {' '.join(command)}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main():
    include, compiler = sys.argv[1], [word for word in sys.argv[2:] if os.path.basename(word) != "ccache"]
    if not os.path.exists(os.path.join(include, HEADERS["mailfs"])):
        print("there is no mailfs/mailfs.hpp yet")
        return 77
    costs = {name: [] for name in HEADERS}
    with tempfile.TemporaryDirectory() as folder:
        for name, header in HEADERS.items():
            with open(os.path.join(folder, f"{name}.cpp"), "w") as source:
                # config.hpp gives Asio the same coroutines under clang in both
                source.write(f"#include <mailfs/config.hpp>\n#include <{header}>\nint main() {{}}\n")
        for turn in range(RUNS + 1):
            for name in HEADERS:
                sample = cost([*compiler, "-std=c++20", "-O0", f"-I{include}", "-c", f"{folder}/{name}.cpp", "-o", "/dev/null"])
                if turn > 0:  # the first only warms the page cache
                    costs[name].append(sample)
    worst = 0.0
    for column, (what, unit) in enumerate((("time", "s"), ("memory", "MiB"))):
        least = {name: min(sample[column] for sample in costs[name]) for name in HEADERS}
        ratio = least["mailfs"] / least["asio"]
        worst = max(worst, ratio)
        for name in HEADERS:
            print(f"compile.{what}.{name} {least[name]:.2f} {unit}")
        print(f"compile.{what}.ratio {ratio:.2f} x")
    if worst > RATIO_MAX:
        print(f"FAILED: <mailfs/mailfs.hpp> costs more than {RATIO_MAX} times what <asio.hpp> costs")
    return int(worst > RATIO_MAX)


if __name__ == "__main__":
    sys.exit(main())
