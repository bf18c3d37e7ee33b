# SPDX-License-Identifier: BSL-1.0
"""What SEARCH returns and remembers (RFC 4731, 5182, 5032, 8514), and names that never change (RFC 8474)."""

import re
import time
import unittest

from client import Server


class Search(unittest.TestCase):
    def setUp(self):
        self.server = Server("--fs", "memory")
        self.addCleanup(self.server.__exit__)
        for n in range(1, 21):
            self.server.deliver(b"Subject: %d\r\n\r\n%s\r\n" % (n, b"x" * n))
        self.imap = self.server.selected()
        self.addCleanup(self.imap.close)
        self.imap.ok("STORE 3,5:7,20 +FLAGS.SILENT (\\Flagged)")

    def esearch(self, line, status="OK"):
        """The one ESEARCH response, behind its tag; None when there is none."""
        tag = self.imap.begin(line)
        answer = self.imap.finish(tag)
        self.assertEqual(answer.status, status, answer)
        found = [u for u in answer.untagged if u.startswith(b"* ESEARCH")]
        self.assertLess(len(found), 2)
        self.assertFalse([u for u in answer.untagged if u.startswith(b"* SEARCH")])
        if not found:
            return None
        begin = b'* ESEARCH (TAG "%s")' % (tag if isinstance(tag, bytes) else tag.encode())
        self.assertTrue(found[0].startswith(begin), found)
        return found[0][len(begin):].strip().decode()

    def test_what_is_asked_for_is_returned(self):
        self.assertEqual(self.esearch("SEARCH RETURN () FLAGGED"), "ALL 3,5:7,20")
        self.assertEqual(self.esearch("SEARCH RETURN (ALL) CHARSET UTF-8 FLAGGED"), "ALL 3,5:7,20")
        self.assertEqual(self.esearch("SEARCH RETURN (MIN MAX COUNT) FLAGGED"), "MIN 3 MAX 20 COUNT 5")
        self.assertEqual(self.esearch("SEARCH RETURN (MIN COUNT ALL) DELETED"), "COUNT 0")
        self.assertEqual(self.esearch("SEARCH RETURN (MIN) DELETED"), "")
        self.imap.ok("STORE 1:2 +FLAGS.SILENT (\\Deleted)")
        self.imap.ok("EXPUNGE")
        self.assertEqual(self.esearch("UID SEARCH RETURN (MIN MAX ALL) FLAGGED"), "UID MIN 3 MAX 20 ALL 3,5:7,20")
        self.assertEqual(self.esearch("SEARCH RETURN (ALL) FLAGGED"), "ALL 1,3:5,18")
        self.assertEqual(self.esearch("SEARCH RETURN (ALL) TEXT xxxxxxxxxxxxxxxxxx"), "ALL 16:18")
        self.imap.bad("SEARCH RETURN (MOST) ALL")
        self.imap.bad("SEARCH RETURN (ALL")
        self.assertEqual(self.imap.ok("SEARCH FLAGGED").untagged, [b"* SEARCH 1 3 4 5 18"])  # as ever

    def test_mod_sequences_are_those_of_what_is_returned(self):
        self.imap.ok("ENABLE CONDSTORE")
        self.imap.ok("STORE 5 +FLAGS.SILENT ($five)")
        of = {n: int(re.search(rb"MODSEQ \((\d+)\)", self.imap.ok(f"FETCH {n} (MODSEQ)").untagged[0])[1]) for n in (3, 5, 20)}
        self.assertEqual(self.esearch("SEARCH RETURN (MIN) FLAGGED MODSEQ 1"), f"MIN 3 MODSEQ {of[3]}")
        self.assertEqual(self.esearch("SEARCH RETURN (MIN MAX) FLAGGED MODSEQ 1"), f"MIN 3 MAX 20 MODSEQ {max(of[3], of[20])}")
        self.assertEqual(self.esearch("SEARCH RETURN (COUNT) FLAGGED MODSEQ 1"), f"COUNT 5 MODSEQ {of[5]}")

    def test_a_result_is_remembered(self):
        self.assertIsNone(self.esearch("SEARCH RETURN (SAVE) FLAGGED"))
        self.assertEqual(len(self.imap.ok("FETCH $ (UID)").untagged), 5)
        self.assertEqual(self.esearch("SEARCH RETURN (ALL) $ SMALLER 25"), "ALL 3,5:7")
        self.assertEqual(self.esearch("UID SEARCH RETURN (ALL) NOT UID $ UID 1:8"), "UID ALL 1:2,4,8")
        self.imap.ok("UID STORE $ +FLAGS.SILENT ($kept)")
        self.imap.ok("CREATE Kept")
        self.assertEqual(self.imap.ok("COPY $ Kept").code("COPYUID").split()[1:], ["3,5:7,20", "1:5"])
        self.assertEqual(self.esearch("SEARCH RETURN (SAVE MIN) FLAGGED"), "MIN 3")
        self.assertEqual(self.esearch("SEARCH RETURN (COUNT) $"), "COUNT 1")
        self.assertEqual(self.esearch("SEARCH RETURN (SAVE MIN MAX COUNT) FLAGGED"), "MIN 3 MAX 20 COUNT 5")
        self.assertEqual(self.esearch("SEARCH RETURN (COUNT) $"), "COUNT 5")
        self.imap.ok("UID STORE 5 +FLAGS.SILENT (\\Deleted)")
        self.imap.ok("EXPUNGE")
        self.assertEqual(self.esearch("UID SEARCH RETURN (ALL) $"), "UID ALL 3,6:7,20")
        self.imap.bad("SEARCH RETURN (SAVE) NONSENSE")
        self.assertEqual(self.esearch("SEARCH RETURN (COUNT) $"), "COUNT 4")
        self.imap.no("SEARCH RETURN (SAVE) CHARSET KLINGON ALL")
        self.assertEqual(self.esearch("SEARCH RETURN (COUNT) $"), "COUNT 0")
        self.assertEqual(self.imap.ok("FETCH $ (FLAGS)").untagged, [])
        self.esearch("SEARCH RETURN (SAVE) FLAGGED")
        self.imap.ok("SELECT Kept")
        self.assertEqual(self.esearch("SEARCH RETURN (COUNT) $"), "COUNT 0")
        self.imap.bad("FETCH $,1 (FLAGS)")

    def test_ages_and_dates_of_saving(self):
        begun = time.time()
        self.imap.ok('APPEND INBOX "01-Feb-2001 10:00:00 +0000" {3+}\r\nold')
        days = {time.strftime("%e-%b-%Y", time.gmtime(t)) for t in (begun, time.time())}
        self.assertEqual(self.esearch("SEARCH RETURN (ALL) OLDER 86400"), "ALL 21")
        self.assertEqual(self.esearch("SEARCH RETURN (ALL) YOUNGER 86400"), "ALL 1:20")
        self.imap.bad("SEARCH OLDER 0")
        self.assertEqual(self.esearch("SEARCH RETURN (COUNT) SAVEDSINCE 1-Jan-2020"), "COUNT 21")
        self.assertEqual(self.esearch("SEARCH RETURN (COUNT) SAVEDBEFORE 1-Jan-2020"), "COUNT 0")
        self.assertEqual(self.esearch("SEARCH RETURN (COUNT) SAVEDATESUPPORTED"), "COUNT 21")
        line = self.imap.ok("FETCH 21 (INTERNALDATE SAVEDATE)").untagged[0].decode()
        self.assertIn('INTERNALDATE " 1-Feb-2001', line)
        self.assertTrue(any(f'SAVEDATE "{day} ' in line for day in days), line)

    def test_names_that_stay(self):
        made = self.imap.ok("CREATE One").code("MAILBOXID")
        self.assertRegex(made, r"^\([0-9a-f]{32}\)$")
        self.assertIn(b"MAILBOXID " + made.encode(), self.imap.ok("STATUS One (MAILBOXID)").untagged[0])
        self.imap.ok("RENAME One Two")
        told = self.imap.ok("SELECT Two").untagged
        self.assertTrue(any(b"[MAILBOXID " + made.encode() + b"]" in u for u in told), told)
        self.imap.ok("SELECT INBOX")
        [line] = self.imap.ok("FETCH 3 (EMAILID THREADID)").untagged
        email = re.fullmatch(rb"\* 3 FETCH \(EMAILID \(([0-9a-f]{32})\) THREADID NIL\)", line)[1].decode()
        self.assertEqual(self.esearch(f"SEARCH RETURN (ALL) EMAILID {email}"), "ALL 3")
        self.assertEqual(self.esearch("SEARCH RETURN (COUNT) THREADID x"), "COUNT 0")
        self.imap.ok("COPY 3 Two")
        self.imap.ok("SELECT Two")
        self.assertEqual(self.esearch(f"SEARCH RETURN (ALL) EMAILID {email}"), "ALL 1")

    def test_what_a_message_may_be_long_is_told(self):
        with Server("--fs", "memory", "--message-size-max", "5000") as server, server.imap() as imap:
            self.assertIn(b" APPENDLIMIT=5000", imap.ok("CAPABILITY").untagged[0])
            self.assertIn(b"APPENDLIMIT 5000", imap.ok("STATUS INBOX (APPENDLIMIT)").untagged[0])
            imap.no("APPEND INBOX {5001+}\r\n" + "x" * 5001)


__all__ = ["Search"]
