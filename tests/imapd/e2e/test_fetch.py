# SPDX-License-Identifier: BSL-1.0
"""FETCH of parts, of many messages at once, and of many commands in a row, over mail that is far away."""

import time
import unittest

from client import Server

BODIES = [
    b"Subject: small\r\nFrom: a@b\r\n\r\nbody\r\n",
    b"Subject: large\r\nFrom: a@b\r\n\r\n" + b"0123456789abcdef" * 20000,
    b"Subject: long header\r\nX-Long: " + b"l" * 40000 + b"\r\nFrom: a@b\r\n\r\n" + b"tail " * 10000,
    b"Subject: bare line feeds\nFrom: a@b\n\n" + b"body\n" * 5000,
    b"\r\nno header\r\n",
    b"Subject: no body\r\nFrom: a@b\r\n",
    b"no header and no end " * 1000,
]


def header_of(message):
    ends = [at + len(end) for end in (b"\r\n\r\n", b"\n\n") if (at := message.find(end)) >= 0]
    return b"\r\n" if message.startswith(b"\r\n") else message[:min(ends, default=len(message))]


def envelope(imap, items):
    line = imap.ok(f"FETCH 1:* ({items})").having("ENVELOPE")
    return [one[one.index(b"ENVELOPE (") :].split(b" BODY[]")[0].rstrip(b")") for one in line]


class FetchParts(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        compress = ([], ["--compress", "3"]) if Server.knows_zstd() else ([],)
        cls.servers = [Server("--fs", "memory", "--threads", "1", "--format", form, *more) for form in ("multi", "single") for more in compress]
        for server in cls.servers:
            with server.imap() as imap:
                for body in BODIES:
                    imap.append("INBOX", body)

    @classmethod
    def tearDownClass(cls):
        for server in cls.servers:
            server.__exit__()

    def test_parts_are_the_very_bytes_of_the_message(self):
        for server in self.servers:
            with server.selected() as imap:
                for number, body in enumerate(BODIES, 1):
                    self.assertEqual(imap.body(number), body)
                    self.assertEqual(imap.body(number, "BODY.PEEK[HEADER]"), header_of(body))
                    self.assertEqual(imap.body(number, "RFC822.HEADER"), header_of(body))
                    self.assertEqual(imap.body(number, "BODY.PEEK[HEADER]<3.20>"), header_of(body)[3:23])
                    for begin, count in (0, 1), (0, 100), (7, 100000), (39000, 5000), (len(body) - 1, 10), (len(body), 10), (1 << 31, 1):
                        self.assertEqual(imap.body(number, f"BODY.PEEK[]<{begin}.{count}>"), body[begin : begin + count])
                        both = imap.ok(f"FETCH {number} (BODY.PEEK[]<{begin}.{count}> BODY.PEEK[TEXT]<0.5>)").having("FETCH")[0]
                        part = body[begin : begin + count]
                        self.assertIn(b"BODY[]<%d> {%d}\r\n%s BODY[TEXT]<0> " % (begin, len(part), part), both)
                fields = imap.body(2, "BODY.PEEK[HEADER.FIELDS (from)]")
                self.assertEqual(fields, b"From: a@b\r\n\r\n")

    def test_an_envelope_is_the_same_of_the_header_and_of_the_message(self):
        for server in self.servers:
            with server.selected() as imap:
                alone = envelope(imap, "ENVELOPE")
                self.assertEqual(len(alone), len(BODIES))
                self.assertEqual(alone, envelope(imap, "ENVELOPE BODY.PEEK[]"))


class FetchFarAway(unittest.TestCase):
    LATENCY = 0.010

    @classmethod
    def setUpClass(cls):
        cls.server = Server("--fs", "memory", "--threads", "1", "--read-latency", str(cls.LATENCY * 1000))
        with cls.server.selected() as imap:
            for n in range(125):
                imap.append("INBOX", b"Subject: %d\r\n\r\n" % n + b"body " * 400)
            for _ in range(3):
                imap.ok("COPY 1:* INBOX")
            assert b"* 1000 EXISTS" in imap.ok("SELECT INBOX").untagged

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__()

    def best_of(self, limit, work):
        """The shortest of several tries: a machine that has other work to do is late."""
        best = min(self.timed(work) for _ in range(1))
        for _ in range(6):
            if best > limit:
                best = min(best, self.timed(work))
        return best

    def timed(self, work):
        begun = time.monotonic()
        work()
        return time.monotonic() - begun

    def test_a_thousand_messages_take_as_many_reads_as_do_not_fit_side_by_side(self):
        ideal = -(-1000 // 64) * self.LATENCY
        with self.server.selected() as imap:
            for items in "BODY.PEEK[]", "BODY.PEEK[HEADER]", "ENVELOPE":
                took = self.best_of(1.6 * ideal, lambda: self.assertEqual(len(imap.ok(f"FETCH 1:* {items}").untagged), 1000))
                print(f"fetch.imap.latency.ratio {items} {took / ideal:.2f}")
                self.assertLessEqual(took, 1.6 * ideal)

    def test_commands_in_a_row_are_read_ahead(self):
        with self.server.selected() as imap:

            def each(command):
                tags = [imap.begin(f"FETCH {n} {command}") for n in range(200, 264)]
                for tag in tags:
                    self.assertEqual(len(imap.finish(tag).untagged), 1)

            index_alone = self.best_of(0, lambda: each("FLAGS"))  # each command looks for changes
            took = self.best_of(1.2 * index_alone, lambda: each("BODY.PEEK[]"))
            self.assertLessEqual(took, 1.2 * index_alone)
