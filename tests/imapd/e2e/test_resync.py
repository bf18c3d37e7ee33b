# SPDX-License-Identifier: BSL-1.0
"""A client that comes back learns what happened meanwhile, and nothing else (QRESYNC, RFC 7162)."""

import random
import re
import unittest

from client import Server


def in_set(text):
    """The numbers of a sequence set."""
    out = set()
    for part in text.split(","):
        first, _, last = part.partition(":")
        out.update(range(int(first), int(last or first) + 1))
    return out


class Mirror:
    """What a client knows: UID -> flags. It listens to untagged responses alone."""

    def __init__(self):
        self.known, self.validity, self.modseq = {}, 0, 0

    def take(self, answer, test):
        for line in answer.untagged:
            if found := re.fullmatch(rb"\* VANISHED (?:\(EARLIER\) )?([0-9:,]+)", line):
                for uid in in_set(found[1].decode()):
                    self.known.pop(uid, None)
            elif b" FETCH (" in line:
                uid = re.search(rb"UID (\d+)", line)
                test.assertTrue(uid, line)
                if flags := re.search(rb"FLAGS \(([^)]*)\)", line):
                    self.known[int(uid[1])] = frozenset(flags[1].decode().split())
                if modseq := re.search(rb"MODSEQ \((\d+)\)", line):
                    self.modseq = max(self.modseq, int(modseq[1]))
            test.assertNotRegex(line, rb"^\* \d+ EXPUNGE")
        if answer.code("UIDVALIDITY"):
            self.validity = int(answer.code("UIDVALIDITY"))
        if answer.code("HIGHESTMODSEQ"):
            self.modseq = max(self.modseq, int(answer.code("HIGHESTMODSEQ")))


class Resync(unittest.TestCase):
    def setUp(self):
        self.server = Server("--fs", "memory")
        self.addCleanup(self.server.__exit__)
        self.fill(12)

    def fill(self, count):
        for n in range(count):
            self.server.deliver(b"Subject: %d\r\n\r\nx\r\n" % n)

    def client(self, enabled=True):
        imap = self.server.imap()
        self.addCleanup(imap.close)
        if enabled:
            self.assertEqual(imap.ok("ENABLE QRESYNC").untagged[0], b"* ENABLED QRESYNC")
        return imap

    def listing(self):
        with self.server.selected() as imap:
            lines = imap.ok("UID FETCH 1:* (FLAGS)").having("FETCH")
        found = [re.search(rb"UID (\d+) FLAGS \(([^)]*)\)", line) for line in lines]
        return {int(f[1]): frozenset(f[2].decode().split()) for f in found}

    def test_it_must_be_enabled_and_spelled(self):
        imap = self.client(enabled=False)
        imap.bad("SELECT INBOX (QRESYNC (1 1))")
        imap.ok("SELECT INBOX")
        imap.bad("UID FETCH 1:* (FLAGS) (CHANGEDSINCE 1 VANISHED)")
        self.assertEqual(imap.ok("ENABLE CONDSTORE QRESYNC QRESYNC NONSENSE").having("ENABLED"), [b"* ENABLED CONDSTORE QRESYNC"])
        imap.bad("FETCH 1:* (FLAGS) (CHANGEDSINCE 1 VANISHED)")
        imap.bad("UID FETCH 1:* (FLAGS) (VANISHED)")
        for line in ("QRESYNC", "QRESYNC (0 1)", "QRESYNC (1)", "QRESYNC (1 1 (1))", "QRESYNC (1 1 1 (1 1)", "QRESYNC (1 1 1 (1 1)) X"):
            imap.bad(f"SELECT INBOX ({line})")

    def test_what_happened_meanwhile_is_told(self):
        imap = self.client()
        mirror = Mirror()
        told = imap.ok("SELECT INBOX")
        mirror.take(told, self)
        modseq = mirror.modseq
        with self.server.selected() as other:
            other.ok("STORE 2,5 +FLAGS.SILENT (\\Seen)")
            other.ok("STORE 3:4,10 +FLAGS.SILENT (\\Deleted)")
            other.ok("EXPUNGE")
            self.fill(1)
        again = imap.ok(f"SELECT INBOX (QRESYNC ({mirror.validity} {modseq} 1:12 (1,5,9 1,5,9)))")
        self.assertEqual(again.having("VANISHED"), [b"* VANISHED (EARLIER) 3:4,10"])
        lines = again.having(" FETCH (")
        self.assertEqual([re.search(rb"UID (\d+)", line)[1] for line in lines], [b"2", b"5"])
        self.assertTrue(all(b"FLAGS (\\Seen)" in line and b"MODSEQ (" in line for line in lines), lines)
        everything = imap.ok(f"EXAMINE INBOX (QRESYNC ({mirror.validity} {modseq}))")
        self.assertEqual(len(everything.having(" FETCH (")), 3)  # and the one that came
        self.assertEqual(imap.ok(f"SELECT INBOX (QRESYNC ({mirror.validity} {modseq} 1:3))").having("VANISHED"), [b"* VANISHED (EARLIER) 3"])
        another = imap.ok(f"SELECT INBOX (QRESYNC ({mirror.validity + 1} {modseq}))")
        self.assertFalse(another.having("VANISHED") + another.having(" FETCH ("))
        since = imap.ok(f"UID FETCH 1:6 (FLAGS) (CHANGEDSINCE {modseq} VANISHED)")
        self.assertEqual(since.having("VANISHED"), [b"* VANISHED (EARLIER) 3:4"])
        self.assertEqual(len(since.having(" FETCH (")), 2)

    def test_a_mod_sequence_of_no_history_is_answered_in_full(self):
        with self.server.selected() as other:
            other.ok("STORE 3 +FLAGS.SILENT (\\Deleted)")
            other.ok("EXPUNGE")
        imap = self.client()
        validity = imap.ok("SELECT INBOX").code("UIDVALIDITY")
        for modseq in (1 << 62, 77 << 32 | 1, 0):
            told = imap.ok(f"SELECT INBOX (QRESYNC ({validity} {modseq}))")
            self.assertEqual(told.having("VANISHED"), [b"* VANISHED (EARLIER) 3"])
            self.assertEqual(len(told.having(" FETCH (")), 11)

    def test_vanished_takes_the_place_of_expunge(self):
        imap = self.client()
        imap.ok("SELECT INBOX")
        imap.ok("CREATE Other")
        imap.ok("STORE 1:2,7 +FLAGS.SILENT (\\Deleted)")
        gone = imap.ok("EXPUNGE")
        self.assertEqual(gone.having("VANISHED"), [b"* VANISHED 1:2,7"])
        self.assertTrue(gone.code("HIGHESTMODSEQ"))
        self.assertEqual(imap.ok("UID MOVE 3:4 Other").having("VANISHED"), [b"* VANISHED 3:4"])
        with self.server.selected() as other:
            other.ok("STORE 1 +FLAGS.SILENT (\\Deleted)")
            other.ok("EXPUNGE")
            other.ok("STORE 1 +FLAGS.SILENT (\\Answered)")
        for line in ("FETCH 2 (UID)", "STORE 2 +FLAGS (x)", "SEARCH ALL"):
            self.assertFalse(imap.ok(line).having("VANISHED"), line)
        told = imap.ok("NOOP")
        self.assertEqual(told.having("VANISHED"), [b"* VANISHED 5"])
        self.assertTrue(all(b"UID" in line for line in told.having(" FETCH (")))
        self.assertFalse(imap.ok("NOOP").untagged)

    def test_a_client_that_comes_and_goes_ends_equal_to_one_that_lists_all(self):
        chosen = random.Random(7)
        mirror = Mirror()
        for _ in range(60):
            imap = self.client()
            what = f" (QRESYNC ({mirror.validity} {mirror.modseq}))" if mirror.validity else ""
            mirror.take(imap.ok("SELECT INBOX" + what), self)
            if not what:
                mirror.take(imap.ok("UID FETCH 1:* (FLAGS)"), self)
            self.assertEqual(mirror.known, self.listing())
            last, began, touched = max(mirror.known, default=0), mirror.modseq, False
            with self.server.selected() as other:
                for _ in range(chosen.randrange(4)):
                    there = sorted(self.listing())
                    uid = chosen.choice(there) if there else 1
                    deed = chosen.randrange(4)
                    if deed == 0:
                        self.fill(2)
                    elif deed == 1:
                        other.ok(f"UID STORE {uid} {chosen.choice('+-')}FLAGS.SILENT (\\Seen w{chosen.randrange(3)})")
                    elif deed == 2:
                        other.ok(f"UID STORE {uid} +FLAGS.SILENT (\\Deleted)")
                        other.ok(f"UID EXPUNGE {uid}")
                    else:
                        mirror.take(imap.ok("NOOP"), self)
                        mirror.take(imap.ok(f"UID STORE {uid} +FLAGS (own)"), self)
                        touched = True
            if chosen.randrange(2):  # else it is cut off, and has heard of nothing since
                mirror.take(imap.ok("NOOP"), self)
                mirror.take(imap.ok(f"UID FETCH {last + 1}:* (FLAGS)"), self)  # what came, before its MODSEQ counts
            elif touched:
                mirror.modseq = began
            imap.close()


__all__ = ["Resync"]
