#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""The operator's tool, from outside:  e2e.py MAILFSCTL IMAPD [TEST...]"""

import pathlib
import sys
import unittest

here = pathlib.Path(__file__).parent
sys.path[:0] = [str(here), str(here.parents[1] / "imapd" / "e2e")]

import client  # noqa: E402
import program  # noqa: E402

program.PROGRAM = sys.argv.pop(1)
client.PROGRAM = program.IMAPD = sys.argv.pop(1)
from test_backup import *  # noqa: E402,F401,F403
from test_dump import *  # noqa: E402,F401,F403
from test_exchange import *  # noqa: E402,F401,F403
from test_info import *  # noqa: E402,F401,F403
from test_repair import *  # noqa: E402,F401,F403
from test_second_disk import *  # noqa: E402,F401,F403

if __name__ == "__main__":
    unittest.main(verbosity=2)
