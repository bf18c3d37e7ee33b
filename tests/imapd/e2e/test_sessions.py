# SPDX-License-Identifier: BSL-1.0
"""Several sessions on one mailbox, on the same thread of the server and on different ones."""

import time
import unittest

from client import Server


class Sessions(unittest.TestCase):
    OPTIONS = ("--durability", "none", "--rotate-size", "2048", "--threads", "1")

    def setUp(self):
        self.server = Server(*self.OPTIONS)
        self.addCleanup(self.server.__exit__)
        for n in range(1, 6):
            self.server.deliver(b"Subject: %d\r\n\r\n" % n)
        self.one, self.two = self.server.selected(), self.server.selected()
        self.addCleanup(self.one.close)
        self.addCleanup(self.two.close)

    def expunge(self, client, numbers):
        client.ok(f"STORE {numbers} +FLAGS.SILENT \\Deleted")
        client.ok("EXPUNGE")

    def test_new_mail_flags_and_expunges_reach_the_other_session(self):
        self.server.deliver(b"Subject: 6\r\n\r\n")
        self.one.ok("STORE 2 +FLAGS \\Flagged")
        told = self.two.ok("NOOP")
        self.assertIn(b"* 6 EXISTS", told.untagged)
        self.assertIn(b"* 2 FETCH (FLAGS (\\Flagged))", told.untagged)
        self.expunge(self.one, "1,3")
        self.assertEqual(self.two.ok("CHECK").having("EXPUNGE"), [b"* 3 EXPUNGE", b"* 1 EXPUNGE"])
        self.assertEqual(self.two.ok("NOOP").untagged, [])

    def test_numbers_hold_while_expunges_may_not_be_told(self):
        self.expunge(self.one, "1,4")
        two = self.two
        for line in ("FETCH 1:5 (UID)", "SEARCH ALL", "STORE 2 +FLAGS x", "FETCH 5 (UID)"):
            self.assertEqual(two.ok(line).having("EXPUNGE"), [], line)
        self.assertEqual(two.ok("FETCH 1:5 (UID)").having("FETCH"), [b"* 2 FETCH (UID 2)", b"* 3 FETCH (UID 3)", b"* 5 FETCH (UID 5)"])
        self.assertEqual(two.search("UID 3:*"), [3, 5])
        self.server.deliver(b"Subject: 6\r\n\r\n")
        self.assertEqual(two.ok("FETCH 5 (UID)").untagged, [b"* 5 FETCH (UID 5)", b"* 6 EXISTS"])
        self.assertEqual(two.ok("UID SEARCH ALL").having("EXPUNGE"), [b"* 4 EXPUNGE", b"* 1 EXPUNGE"])
        self.assertEqual(two.ok("FETCH 1:4 (UID)").having("FETCH")[3], b"* 4 FETCH (UID 6)")

    def test_silent_still_tells_what_another_changed(self):
        self.one.ok("STORE 1 +FLAGS \\Flagged")
        self.assertEqual(self.two.ok("STORE 2 +FLAGS.SILENT \\Seen").having("FETCH"), [b"* 1 FETCH (FLAGS (\\Flagged))"])
        self.one.ok("STORE 3 +FLAGS.SILENT (\\Answered other)")
        told = self.two.ok("STORE 3:4 +FLAGS.SILENT \\Seen")
        self.assertEqual(told.having("FETCH"), [b"* 3 FETCH (FLAGS (\\Answered other))"])

    def test_unchangedsince_loses_against_a_change_not_yet_seen(self):
        modseq = int(self.two.ok("SELECT INBOX (CONDSTORE)").code("HIGHESTMODSEQ"))
        self.one.ok("STORE 3 +FLAGS \\Flagged")
        answer = self.two.ok(f"STORE 2:3 (UNCHANGEDSINCE {modseq}) +FLAGS.SILENT \\Seen")
        self.assertEqual(answer.code("MODIFIED"), "3")
        self.assertEqual(self.two.flags(3), {"\\Flagged"})
        self.assertEqual(self.two.flags(2), {"\\Seen"})

    def test_idle_wakes_for_mail_flags_and_expunges(self):
        two = self.two
        two.idle()
        self.server.deliver(b"Subject: 6\r\n\r\n")
        start = time.monotonic()
        self.assertEqual(two.response(), b"* 6 EXISTS")
        self.assertLess(time.monotonic() - start, 5)
        self.one.ok("STORE 2 +FLAGS \\Flagged")
        self.assertEqual(two.response(), b"* 2 FETCH (FLAGS (\\Flagged))")
        self.expunge(self.one, "2")
        while (line := two.response()) != b"* 2 EXPUNGE":  # its \\Deleted may be told before, or not at all
            self.assertIn(b"\\Deleted", line)
        self.assertEqual(two.done().status, "OK")
        tag = two.begin("IDLE\r\nDONE")  # all at once
        self.assertEqual(two.finish(tag).status, "OK")
        two.idle()
        two.send(b"NOOP\r\n")
        self.assertEqual(two.finish(two.idle_tag).status, "BAD")
        two.ok("NOOP")

    def test_idle_without_a_mailbox(self):
        with self.server.imap() as imap:
            imap.idle()
            self.assertEqual(imap.done().status, "OK")

    def test_a_mailbox_deleted_by_another_session(self):
        self.one.ok("CREATE gone")
        self.one.append("gone", b"Subject: x\r\n\r\n")
        with self.server.selected("gone") as three:
            self.one.ok("DELETE gone")
            for line in ("STORE 1 +FLAGS x", "FETCH 1 BODY[]", "NOOP", "UNSELECT"):
                three.command(line)  # any answer, but an answer
            three.ok("SELECT INBOX")

    def test_many_sessions_agree_in_the_end(self):
        clients = [self.server.selected() for _ in range(6)]
        for round_ in range(10):
            for index, client in enumerate(clients):
                client.ok(f"UID STORE 1:* {'+-'[(round_ + index) % 2]}FLAGS.SILENT (k{index} \\Seen)")
                client.append("INBOX", b"Subject: r%d\r\n\r\n" % round_)
            clients[round_ % 6].ok("STORE 1 +FLAGS.SILENT \\Deleted")
            clients[round_ % 6].ok("EXPUNGE")
        states = set()
        for client in clients:
            client.ok("NOOP")
            states.add(tuple(client.ok("FETCH 1:* (UID FLAGS)").having("FETCH")))
            client.close()
        self.assertEqual(len(states), 1)
        self.assertEqual(len(states.pop()), 5 + 60 - 10)


class SessionsOnThreads(Sessions):
    OPTIONS = ("--durability", "none", "--rotate-size", "2048", "--threads", "3")


class SessionsInMemory(Sessions):
    OPTIONS = ("--fs", "memory", "--format", "single", "--threads", "3")
