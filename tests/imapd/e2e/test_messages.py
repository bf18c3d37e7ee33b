# SPDX-License-Identifier: BSL-1.0
"""One session and its messages: SELECT, FETCH, STORE, SEARCH, COPY, MOVE, EXPUNGE, APPEND, CONDSTORE."""

import re
import unittest

from client import Server

MULTIPART = (b"From: \"Smith, J\" <j@x.org>\r\nTo: group: a@b, c@d;\r\nSubject: =?utf-8?q?=C3=A9?=\r\nDate: Mon, 1 Jan 2024 23:00:00 -0500\r\n"
             b"Content-Type: multipart/mixed; boundary=b\r\n\r\npreamble\r\n--b\r\nContent-Type: text/plain; charset=iso-8859-1\r\n"
             b"Content-Transfer-Encoding: quoted-printable\r\n\r\ncaf=E9 one\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n"
             b"Subject: inner\r\n\r\ntwo\r\n--b--\r\n")


class Messages(unittest.TestCase):
    def setUp(self):
        self.server = Server("--fs", "memory", "--threads", "1")
        self.addCleanup(self.server.__exit__)
        self.imap = self.server.imap()
        self.addCleanup(self.imap.close)

    def fill(self, count):
        for n in range(1, count + 1):
            self.imap.append("INBOX", b"Subject: m%d\r\n\r\nbody %d\r\n" % (n, n))
        return self.imap.ok("SELECT INBOX")

    def modseq(self, number):
        return int(re.search(rb"MODSEQ \((\d+)\)", self.imap.ok(f"FETCH {number} MODSEQ").having("FETCH")[0])[1])

    def test_select_tells_all_that_a_client_needs(self):
        self.imap.append("INBOX", b"a\r\n", "(\\Seen) ")
        self.imap.append("INBOX", b"b\r\n", "(\\Draft $Label) ")
        answer = self.imap.ok("SELECT INBOX")
        self.assertIn(b"* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft $Label)", answer.untagged)
        self.assertIn("\\*", answer.code("PERMANENTFLAGS"))
        self.assertIn(b"* 2 EXISTS", answer.untagged)
        self.assertIn(b"* 0 RECENT", answer.untagged)
        self.assertEqual(answer.code("UNSEEN"), "2")
        self.assertEqual(answer.code("UIDNEXT"), "3")
        self.assertGreater(int(answer.code("UIDVALIDITY")), 0)
        self.assertGreater(int(answer.code("HIGHESTMODSEQ")), 0)
        self.assertEqual(answer.code("READ-WRITE"), "")
        examined = self.imap.ok("EXAMINE INBOX")
        self.assertEqual(examined.code("CLOSED"), "")
        self.assertEqual(examined.code("READ-ONLY"), "")
        self.assertEqual(examined.code("PERMANENTFLAGS"), "()")
        self.assertEqual(self.imap.no("SELECT nothing").code("NONEXISTENT"), "")
        self.imap.bad("FETCH 1 FLAGS")  # a SELECT that failed leaves none selected

    def test_one_append_of_several_messages_is_all_or_none(self):
        sent = [b"Subject: m%d\r\n\r\n%s" % (n, b"x" * n * 100) for n in range(40)]
        answer = self.imap.append_many("INBOX", *sent, arguments="(\\Flagged) ")
        self.assertRegex(answer.code("APPENDUID"), r"^\d+ 1:40$")
        self.imap.ok("SELECT INBOX")
        self.assertEqual([self.imap.body(n) for n in range(1, 41)], sent)
        self.assertEqual(self.imap.flags(7), {"\\Flagged"})
        self.assertEqual(self.imap.append("INBOX", b"one").code("APPENDUID").split()[1], "41")
        several = b" ".join(b"{%d+}\r\n%s" % (len(m), m) for m in (b"a", b"b"))
        self.assertEqual(self.imap.no(b"APPEND nowhere " + several).code("TRYCREATE"), "")
        self.imap.bad(b"APPEND INBOX " + several + b" (\\Seen)")
        self.assertEqual(self.imap.no(b"APPEND INBOX " + b" ".join([b"{1+}\r\nz"] * 257)).code("LIMIT"), "")
        self.imap.no(b"APPEND INBOX {1+}\r\nz {0+}\r\n")  # the client cancels
        self.imap.ok("NOOP")
        self.assertIn(b"MESSAGES 41", self.imap.ok("STATUS INBOX (MESSAGES)").untagged[0])

    def test_envelope_and_structure(self):
        imap = self.imap
        imap.append("INBOX", MULTIPART)
        imap.ok("SELECT INBOX")
        line = imap.ok("FETCH 1 (ENVELOPE BODYSTRUCTURE BODY)").having("FETCH")[0]
        self.assertIn(b'ENVELOPE ("Mon, 1 Jan 2024 23:00:00 -0500" "=?utf-8?q?=C3=A9?=" (("Smith, J" NIL "j" "x.org"))', line)
        self.assertIn(b'((NIL NIL "group" NIL)(NIL NIL "a" "b")(NIL NIL "c" "d")(NIL NIL NIL NIL))', line)
        self.assertIn(b'("TEXT" "PLAIN" ("CHARSET" "iso-8859-1") NIL NIL "QUOTED-PRINTABLE" 10 0 NIL NIL NIL NIL)', line)
        self.assertIn(b'("MESSAGE" "RFC822" NIL NIL NIL "7BIT" 21 (NIL "inner" NIL NIL NIL NIL NIL NIL NIL NIL)', line)

    def test_body_sections_are_the_very_bytes(self):
        imap = self.imap
        imap.append("INBOX", MULTIPART)
        imap.ok("SELECT INBOX")
        for section, expected in (("1", b"caf=E9 one"), ("1.MIME", b"Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"),
                                  ("2", b"Subject: inner\r\n\r\ntwo"), ("2.HEADER", b"Subject: inner\r\n\r\n"), ("2.1", b"two"), ("3", None), ("1.HEADER", None),
                                  ("HEADER.FIELDS (subject x)", b"Subject: =?utf-8?q?=C3=A9?=\r\n\r\n"), ("", MULTIPART)):
            self.assertEqual(imap.body(1, f"BODY.PEEK[{section}]"), expected, section)
        self.assertEqual(imap.body(1, "BODY.PEEK[]<5.10>"), MULTIPART[5:15])
        self.assertIn(b"BODY[]<5> {10}", imap.ok("FETCH 1 BODY.PEEK[]<5.10>").untagged[0])
        self.assertEqual(imap.body(1, "BODY.PEEK[]<9999.10>"), b"")

    def test_reading_marks_as_seen_and_peeking_does_not(self):
        self.fill(3)
        imap = self.imap
        for item in ("BODY.PEEK[]", "RFC822.HEADER", "ENVELOPE", "BODY", "RFC822.SIZE"):
            imap.ok(f"FETCH 1 {item}")
            self.assertEqual(imap.flags(1), set())
        answer = imap.ok("FETCH 1 BODY[TEXT]")
        self.assertEqual(len(answer.having("FETCH")), 1)  # told with the body, once
        self.assertIn(b"FLAGS (\\Seen)", answer.untagged[0])
        self.assertNotIn(b"FLAGS", imap.ok("FETCH 1 BODY[TEXT]").untagged[0])
        imap.ok("FETCH 2 RFC822")
        self.assertEqual(imap.search("UNSEEN"), [3])
        imap.ok("EXAMINE INBOX")
        imap.ok("FETCH 3 BODY[]")
        self.assertEqual(imap.search("UNSEEN"), [3])

    def test_store_adds_removes_replaces(self):
        self.fill(3)
        imap = self.imap
        self.assertEqual(len(imap.ok("STORE 1:2 +FLAGS (\\Flagged work)").having("FETCH")), 2)
        self.assertEqual(imap.flags(1), {"\\Flagged", "work"})
        imap.ok("STORE 1 -FLAGS work")
        self.assertEqual(imap.flags(1), {"\\Flagged"})
        imap.ok("STORE 1 FLAGS (\\Seen other)")
        self.assertEqual(imap.flags(1), {"\\Seen", "other"})
        self.assertEqual(imap.ok("STORE 1 +FLAGS.SILENT \\Draft").having("FETCH"), [])
        self.assertIn("\\Draft", imap.flags(1))
        self.assertIn(b"UID 2", imap.ok("UID STORE 2 +FLAGS x").having("FETCH")[0])
        self.assertEqual(len(imap.ok("STORE 2 +FLAGS x").having("FETCH")), 1)  # no change, but an answer
        imap.bad("STORE 4 +FLAGS x")
        imap.ok("UID STORE 99 +FLAGS x")
        imap.ok("EXAMINE INBOX")
        imap.no("STORE 1 +FLAGS x")

    def test_new_keywords_are_announced(self):
        self.fill(1)
        self.assertIn(b"$New", self.imap.ok("STORE 1 +FLAGS $New").having("* FLAGS")[0])

    def test_search_finds_by_index_and_by_content(self):
        imap = self.imap
        imap.append("INBOX", MULTIPART, '(\\Seen) "02-Feb-2020 10:00:00 +0000" ')
        self.fill(3)
        imap.ok("STORE 3 +FLAGS (\\Deleted tag)")
        for keys, expected in (("ALL", [1, 2, 3, 4]), ("UNSEEN", [2, 3, 4]), ("KEYWORD tag", [3]), ("BEFORE 3-Feb-2020", [1]), ("LARGER 100", [1]),
                               ("SUBJECT m2", [3]), ("FROM smith", [1]), ("BODY body", [2, 3, 4]), ("TEXT \"body 3\"", [4]), ("NOT SEEN 2:3", [2, 3]),
                               ("OR DELETED SUBJECT m1", [2, 3]), ("SENTON 1-Jan-2024", [1]), ("UID 2,4", [2, 4]), ("HEADER Subject \"\"", [1, 2, 3, 4]),
                               ("(DELETED) (SUBJECT x)", []), ("CHARSET UTF-8 BODY {5+}\r\ncaf\xe9", [1]), ("9:*", [4])):
            self.assertEqual(imap.search(keys), expected, keys)
        self.assertEqual(imap.search("DELETED", uid=True), [3])
        self.assertIn("UTF-8", imap.no("SEARCH CHARSET KOI8-R ALL").code("BADCHARSET"))
        imap.bad("SEARCH NONSENSE")

    def test_copy_and_move_tell_the_new_uids(self):
        self.fill(4)
        imap = self.imap
        imap.ok("STORE 2 +FLAGS (\\Flagged k)")
        self.assertEqual(imap.no("COPY 1 Other").code("TRYCREATE"), "")
        imap.ok("CREATE Other")
        validity = re.search(rb"UIDVALIDITY (\d+)", imap.ok("STATUS Other (UIDVALIDITY)").untagged[0])[1].decode()
        self.assertEqual(imap.ok("COPY 1:2 Other").code("COPYUID"), f"{validity} 1:2 1:2")
        moved = imap.ok("MOVE 2,4 Other")
        self.assertEqual(moved.code("COPYUID"), f"{validity} 2,4 3:4")
        self.assertEqual(moved.having("EXPUNGE"), [b"* 4 EXPUNGE", b"* 2 EXPUNGE"])
        self.assertEqual(imap.ok("UID MOVE 1 Other").having("EXPUNGE"), [b"* 1 EXPUNGE"])
        self.assertIsNone(imap.ok("UID COPY 77 Other").code("COPYUID"))
        imap.ok("COPY 1 INBOX")
        self.assertEqual(imap.search("ALL", uid=True), [3, 5])
        imap.ok("SELECT Other")
        self.assertEqual(imap.search("KEYWORD k FLAGGED"), [2, 3])
        self.assertEqual(imap.body(4), b"Subject: m4\r\n\r\nbody 4\r\n")

    def test_expunge_all_some_and_on_close(self):
        self.fill(6)
        imap = self.imap
        imap.ok("STORE 1,3,5,6 +FLAGS.SILENT \\Deleted")
        self.assertEqual(imap.ok("UID EXPUNGE 1:3").having("EXPUNGE"), [b"* 3 EXPUNGE", b"* 1 EXPUNGE"])
        self.assertEqual(len(imap.ok("EXPUNGE").having("EXPUNGE")), 2)
        self.assertEqual(imap.search("ALL", uid=True), [2, 4])
        imap.ok("STORE 1 +FLAGS.SILENT \\Deleted")
        imap.ok("UNSELECT")
        self.assertIn(b"* 2 EXISTS", imap.ok("SELECT INBOX").untagged)
        self.assertEqual(imap.ok("CLOSE").having("EXPUNGE"), [])
        self.assertIn(b"* 1 EXISTS", imap.ok("EXAMINE INBOX").untagged)
        imap.no("EXPUNGE")

    def test_append_keeps_flags_date_and_bytes(self):
        imap = self.imap
        self.assertEqual(imap.no("APPEND nothing {3+}\r\nabc").code("TRYCREATE"), "")
        message = b"Subject: \xff\xfe\r\n\r\nbare \n lf, no end"
        code = imap.append("INBOX", message, '(\\Answered $k) "02-Feb-2020 10:00:00 +0130" ').code("APPENDUID")
        self.assertEqual(code.split()[1], "1")
        selected = imap.ok("SELECT INBOX")
        self.assertEqual(code.split()[0], selected.code("UIDVALIDITY"))
        line = imap.ok("FETCH 1 (FLAGS INTERNALDATE RFC822.SIZE)").untagged[0]
        self.assertIn(b'INTERNALDATE "02-Feb-2020 08:30:00 +0000"', line.replace(b'" 2', b'"02'))
        self.assertIn(b"FLAGS (\\Answered $k)", line)
        self.assertEqual(imap.body(1), message)
        self.assertIn(b"* 2 EXISTS", imap.append("INBOX", b"x\r\n").untagged)
        tag = imap.begin("APPEND INBOX {3}")
        self.assertTrue(imap.response().startswith(b"+"))
        imap.send(b"abc\r\n")
        self.assertEqual(imap.finish(tag).status, "OK")

    def test_condstore(self):
        highest = int(self.fill(3).code("HIGHESTMODSEQ"))
        imap = self.imap
        self.assertNotIn(b"MODSEQ", imap.ok("STORE 1 +FLAGS a").having("FETCH")[0])
        before = self.modseq(1)
        self.assertGreater(before, highest)
        changed = imap.ok("STORE 2 +FLAGS b").having("FETCH")[0]
        self.assertIn(b"MODSEQ", changed)
        self.assertEqual([line.split()[1] for line in imap.ok(f"FETCH 1:* FLAGS (CHANGEDSINCE {before})").having("FETCH")], [b"2"])
        refused = imap.ok(f"STORE 1:3 (UNCHANGEDSINCE {before}) +FLAGS c")
        self.assertEqual(refused.code("MODIFIED"), "2")
        self.assertEqual(imap.ok(f"UID STORE 1:3 (UNCHANGEDSINCE {highest}) +FLAGS d").code("MODIFIED"), "1:3")
        self.assertNotIn("c", imap.flags(2))
        silent = imap.ok("STORE 3 +FLAGS.SILENT e").having("FETCH")[0]
        self.assertRegex(silent, rb"^\* 3 FETCH \(MODSEQ \(\d+\)\)$")
        found = imap.ok(f"SEARCH MODSEQ {self.modseq(3)}").having("SEARCH")[0]
        self.assertRegex(found, rb"^\* SEARCH 3 \(MODSEQ \d+\)$")
        imap.ok("STORE 1 +FLAGS \\Deleted")
        self.assertGreater(int(imap.ok("EXPUNGE").code("HIGHESTMODSEQ")), self.modseq(2))

    def test_many_messages_stream_in_order(self):
        with self.server.lmtp() as lmtp:
            for n in range(300):
                lmtp.deliver(b"Subject: %d\r\n\r\n" % n + b"x" * (n * 97 % 5000) + b"\r\n", "alice")
        self.imap.ok("SELECT INBOX")
        lines = self.imap.ok("UID FETCH 1:* (BODY.PEEK[HEADER.FIELDS (SUBJECT)] RFC822.SIZE)").having("FETCH")
        self.assertEqual([int(re.search(rb"Subject: (\d+)", line)[1]) for line in lines], list(range(300)))
        self.assertEqual([int(line.split()[1]) for line in lines], list(range(1, 301)))
