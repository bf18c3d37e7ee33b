#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""The whole server, from outside:  e2e.py IMAPD [TEST...]"""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import client  # noqa: E402

client.PROGRAM = sys.argv.pop(1)
from test_fetch import *  # noqa: E402,F401,F403
from test_delivery import *  # noqa: E402,F401,F403
from test_hostile import *  # noqa: E402,F401,F403
from test_mailboxes import *  # noqa: E402,F401,F403
from test_messages import *  # noqa: E402,F401,F403
from test_purge import *  # noqa: E402,F401,F403
from test_resync import *  # noqa: E402,F401,F403
from test_search import *  # noqa: E402,F401,F403
from test_sessions import *  # noqa: E402,F401,F403

if __name__ == "__main__":
    unittest.main(verbosity=2)
