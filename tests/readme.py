#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""The program in README.md is examples/quickstart.cpp, line by line, and the files that the page names are there.

    readme.py SOURCE      SOURCE: the folder of mailfs
"""

import os
import re
import sys


def main():
    source = sys.argv[1]
    with open(os.path.join(source, "README.md"), encoding="utf-8") as file:
        readme = file.read()
    with open(os.path.join(source, "examples/quickstart.cpp"), encoding="utf-8") as file:
        program = re.sub(r"\A(//.*\n)+", "", file.read())  # what a file says of itself is not shown
    errors = []
    blocks = re.findall(r"^```cpp\n(.*?)^```$", readme, re.M | re.S)
    if program not in blocks:
        errors.append("README.md does not show examples/quickstart.cpp as it is")
    for target in re.findall(r"\]\(([^)#]+)\)", re.sub(r"^```.*?^```", "", readme, flags=re.M | re.S)):
        if "://" not in target and not os.path.exists(os.path.join(source, target)):
            errors.append(f"README.md names {target}, which is not there")
    for error in errors:
        print(f"FAILED: {error}")
    return int(bool(errors))


if __name__ == "__main__":
    sys.exit(main())
