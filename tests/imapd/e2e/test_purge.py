# SPDX-License-Identifier: BSL-1.0
"""The server gives back the space of expunged mail by itself, and nobody who reads notices."""

import pathlib
import time
import unittest

from client import Server

SECONDS = 90  # for a few grace periods, on a busy machine


def message(number):
    return b"Subject: %d\r\n\r\n" % number + b"%d " % number * 2000 + b"\r\n"


class Purge(unittest.TestCase):
    def size_of_mail(self):
        size = 0
        for path in pathlib.Path(self.server.root, "alice", "mail").rglob("*"):
            try:
                size += path.stat().st_size if path.is_file() else 0
            except FileNotFoundError:
                pass  # it went just now
        return size

    def test_space_comes_back_while_another_session_reads(self):
        for kind in ("multi", "single"):
            with self.subTest(format=kind), Server("--format", kind, "--durability", "none", "--grace", "4",
                                                   "--purge-interval", "0.1") as self.server:
                kept = {number: message(number) for number in range(10, 101, 10)}
                with self.server.lmtp() as lmtp:
                    for number in range(1, 101):
                        self.assertTrue(lmtp.deliver(message(number), "alice")[0].startswith("250 "))
                before = self.size_of_mail()
                with self.server.selected() as reader, self.server.selected() as other:
                    dead = ",".join(f"{first}:{first + 8}" for first in range(1, 101, 10))
                    other.ok(f"STORE {dead} +FLAGS.SILENT \\Deleted")
                    other.ok("EXPUNGE")
                    deadline = time.monotonic() + SECONDS
                    reads = 0
                    while self.size_of_mail() > before / 4:
                        self.assertLess(time.monotonic(), deadline, self.server.log())
                        for number, expected in kept.items():  # by the numbers of a session that was told nothing yet
                            self.assertEqual(reader.body(number), expected)
                            reads += 1
                    for number, expected in kept.items():
                        self.assertEqual(reader.body(number), expected)
                        self.assertEqual(other.body(number // 10), expected)
                self.assertGreater(reads, 0)
                self.assertRegex(self.server.log(), r"purge of alice: \d+ files with \d+ bytes removed, \d+ messages moved")
                self.assertNotIn("missing", self.server.log())
