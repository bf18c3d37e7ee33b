# SPDX-License-Identifier: BSL-1.0
"""The mailbox tree by IMAP: names, LIST and LSUB, special uses, CREATE, DELETE, RENAME, STATUS, NAMESPACE, ENABLE, ID."""

import base64
import re
import unittest

from client import PASSWORD, Server


def listed(answer, word="LIST"):
    """Name -> set of attributes."""
    out = {}
    for line in answer.having(f"* {word} "):
        found = re.fullmatch(rb"\* " + word.encode() + rb' \(([^)]*)\) "/" "([^"]*)"', line)
        out[found[2].decode()] = set(found[1].decode().split())
    return out


class Mailboxes(unittest.TestCase):
    def setUp(self):
        self.server = Server("--fs", "memory")
        self.addCleanup(self.server.__exit__)
        self.imap = self.server.imap()
        self.addCleanup(self.imap.close)

    def test_capabilities_are_told_in_greeting_login_and_command(self):
        with self.server.imap(None) as imap:
            self.assertIn(b"[CAPABILITY IMAP4rev1 ", imap.greeting)
            told = imap.ok("CAPABILITY").untagged[0].decode().split()
            login = imap.ok(f'LOGIN alice "{PASSWORD}"').code("CAPABILITY").split()
        self.assertEqual(told[2:], login)
        for name in ("LITERAL+ IDLE UIDPLUS MOVE MULTIAPPEND NAMESPACE UNSELECT CHILDREN SPECIAL-USE ENABLE CONDSTORE ID SASL-IR AUTH=PLAIN").split():
            self.assertIn(name, told)

    def test_sasl_plain_with_and_without_an_initial_response(self):
        response = base64.b64encode(b"\0alice\0" + PASSWORD.encode()).decode()
        with self.server.imap(None) as imap:
            imap.no("AUTHENTICATE GSSAPI")
            imap.bad("AUTHENTICATE PLAIN !!!")
            imap.no("AUTHENTICATE PLAIN " + base64.b64encode(b"bob\0alice\0" + PASSWORD.encode()).decode())
            imap.ok("AUTHENTICATE PLAIN " + response)
            imap.bad("AUTHENTICATE PLAIN " + response)
        with self.server.imap(None) as imap:
            tag = imap.begin("AUTHENTICATE PLAIN")
            self.assertEqual(imap.response(), b"+ ")
            imap.send(b"*\r\n")
            self.assertEqual(imap.finish(tag).status, "BAD")
            tag = imap.begin("AUTHENTICATE PLAIN")
            imap.response()
            imap.send(response.encode() + b"\r\n")
            self.assertEqual(imap.finish(tag).status, "OK")

    def test_states_are_kept_apart(self):
        with self.server.imap(None) as imap:
            for line in ("SELECT INBOX", 'LIST "" *', "IDLE", "FETCH 1 FLAGS", "CLOSE", "APPEND x {1+}\r\nx"):
                imap.bad(line)
            imap.ok("NOOP")
        for line in ("FETCH 1 FLAGS", "CLOSE", "UNSELECT", "SEARCH ALL", "EXPUNGE", "LOGIN a b", "STARTTLS", "UID EXPUNGE 1"):
            self.imap.bad(line)

    def test_namespace_id_and_enable(self):
        self.assertEqual(self.imap.ok("NAMESPACE").untagged, [b'* NAMESPACE (("" "/")) NIL NIL'])
        self.assertIn(b"mailfs", self.imap.ok('ID ("name" "x" "version" NIL)').untagged[0])
        self.imap.ok("ID NIL")
        self.assertEqual(self.imap.ok("ENABLE X-NONE CONDSTORE").untagged, [b"* ENABLED CONDSTORE"])
        self.assertEqual(self.imap.ok("ENABLE X-NONE").untagged, [b"* ENABLED"])

    def test_a_tree_is_made_listed_and_taken_down(self):
        imap = self.imap
        for name in ("a/b/c", "a/d", "e"):
            imap.ok(f"CREATE {name}")
        self.assertEqual(imap.no("CREATE a/d").code("ALREADYEXISTS"), "")
        self.assertEqual(imap.no("CREATE INBOX").code("ALREADYEXISTS"), "")
        self.assertEqual(imap.no("CREATE a//b").code("CANNOT"), "")
        everything = listed(imap.ok('LIST "" *'))
        self.assertEqual(list(everything), ["INBOX", "a", "a/b", "a/b/c", "a/d", "e"])
        self.assertIn("\\HasChildren", everything["a"])
        self.assertIn("\\HasNoChildren", everything["a/b/c"])
        self.assertEqual(list(listed(imap.ok('LIST "" %'))), ["INBOX", "a", "e"])
        self.assertEqual(list(listed(imap.ok("LIST a/ %"))), ["a/b", "a/d"])
        self.assertEqual(list(listed(imap.ok('LIST "" %/%/c'))), ["a/b/c"])
        self.assertEqual(list(listed(imap.ok('LIST "" inbox'))), ["INBOX"])
        self.assertEqual(imap.ok('LIST "" ""').untagged, [b'* LIST (\\Noselect) "/" ""'])
        imap.ok("DELETE a/b")
        self.assertIn("\\Noselect", listed(imap.ok('LIST "" a/b'))["a/b"])
        imap.no("SELECT a/b")
        imap.ok("DELETE a/b/c")
        self.assertEqual(list(listed(imap.ok('LIST "" a*'))), ["a", "a/d"])
        self.assertEqual(imap.no("DELETE nothing").code("NONEXISTENT"), "")
        self.assertEqual(imap.no("DELETE INBOX").code("CANNOT"), "")

    def test_rename_takes_children_along_and_empties_inbox(self):
        imap = self.imap
        imap.ok("CREATE a/b/c")
        imap.append("a/b/c", b"Subject: kept\r\n\r\n")
        imap.ok("RENAME a x/y")
        self.assertEqual(list(listed(imap.ok('LIST "" *'))), ["INBOX", "x", "x/y", "x/y/b", "x/y/b/c"])
        imap.ok("SELECT x/y/b/c")
        self.assertEqual(imap.search("SUBJECT kept"), [1])
        imap.append("INBOX", b"Subject: in\r\n\r\n")
        imap.ok("RENAME INBOX old")
        self.assertIn(b"MESSAGES 0", imap.ok("STATUS INBOX (MESSAGES)").untagged[0])
        self.assertIn(b"MESSAGES 1", imap.ok("STATUS old (MESSAGES)").untagged[0])
        imap.no("RENAME nothing y")
        imap.no("RENAME old x")

    def test_subscriptions_need_no_mailbox(self):
        imap = self.imap
        imap.ok("CREATE a/b")
        for name in ("a/b", "ghost/x", "INBOX"):
            imap.ok(f"SUBSCRIBE {name}")
        self.assertEqual(list(listed(imap.ok('LSUB "" *'), "LSUB")), ["INBOX", "a/b", "ghost/x"])
        parents = listed(imap.ok('LSUB "" %'), "LSUB")
        self.assertEqual(parents, {"INBOX": set(), "a": {"\\Noselect"}, "ghost": {"\\Noselect"}})
        extended = listed(imap.ok('LIST (SUBSCRIBED) "" * RETURN (CHILDREN)'))
        self.assertEqual(set(extended), {"INBOX", "a/b", "ghost/x"})
        self.assertIn("\\NonExistent", extended["ghost/x"])
        imap.ok("UNSUBSCRIBE ghost/x")
        self.assertEqual(list(listed(imap.ok('LSUB "" *'), "LSUB")), ["INBOX", "a/b"])

    def test_special_uses(self):
        imap = self.imap
        imap.ok("CREATE Sent (USE (\\Sent))")
        imap.ok("CREATE plain")
        imap.bad("CREATE x (USE (\\Nonsense))")
        self.assertIn("\\Sent", listed(imap.ok('LIST "" *'))["Sent"])
        self.assertEqual(set(listed(imap.ok('LIST (SPECIAL-USE) "" *'))), {"Sent"})
        self.assertIn("\\Sent", listed(imap.ok('LIST "" (Sent plain) RETURN (SPECIAL-USE)'))["Sent"])

    def test_names_are_data(self):
        names = ["..", "a..b", ".hidden", "con", "R&AOQ-ksm&APY-rg&AOU-s", "&2D3c7A-", "with space", "q\\\\b\\\"", "%2F", "~", "&-"]
        for name in names:
            self.imap.ok(f'CREATE "{name}"')
            self.imap.append(f'"{name}"', f"Subject: {len(name)}\r\n\r\n".encode())
        lines = self.imap.ok('LIST "" *').having("* LIST")
        for name in names:
            self.assertTrue(any(line.endswith(f'"{name}"'.encode()) for line in lines), name)
            self.imap.ok(f'SELECT "{name}"')
            self.imap.ok("CLOSE")
            self.imap.ok(f'DELETE "{name}"')
        for bad in ('"caf\xe9"'.encode("latin-1"), b'"&AGE-"', b'"a&"'):
            self.imap.bad(b"CREATE " + bad)
        for no in ("/a", "a//b", "x" * 1025):
            self.imap.no(f"CREATE {no}")

    def test_status_counts(self):
        imap = self.imap
        imap.append("INBOX", b"Subject: 1\r\n\r\n")
        imap.append("INBOX", b"Subject: 2\r\n\r\n", "(\\Seen) ")
        line = imap.ok("STATUS INBOX (MESSAGES RECENT UIDNEXT UIDVALIDITY UNSEEN HIGHESTMODSEQ SIZE)").untagged[-1].decode()
        self.assertRegex(line, r'^\* STATUS "INBOX" \(MESSAGES 2 RECENT 0 UIDNEXT 3 UIDVALIDITY [1-9]\d* UNSEEN 1 HIGHESTMODSEQ [1-9]\d* SIZE 28\)$')
        imap.no("STATUS nothing (MESSAGES)")
        imap.bad("STATUS INBOX ()")

    def test_a_selected_mailbox_is_not_deleted_under_oneself(self):
        self.imap.ok("CREATE x")
        self.imap.ok("SELECT x")
        self.imap.no("DELETE x")
        self.imap.ok("UNSELECT")
        self.imap.ok("DELETE x")


class Shared(unittest.TestCase):
    """What everyone has: a namespace of its own (RFC 2342), and messages that go from account to account."""

    def setUp(self):
        self.server = Server("--fs", "memory", "--shared", "team")
        self.addCleanup(self.server.__exit__)
        self.alice, self.bob = self.server.imap("alice"), self.server.imap("bob")
        self.addCleanup(self.alice.close)
        self.addCleanup(self.bob.close)

    def test_it_is_told_and_listed(self):
        self.assertEqual(self.alice.ok("NAMESPACE").untagged[0], b'* NAMESPACE (("" "/")) NIL (("Shared/" "/"))')
        self.alice.ok("CREATE Own")
        self.alice.ok("CREATE Shared/Plans/2030")
        for imap, own in ((self.alice, {"Own"}), (self.bob, set())):
            names = listed(imap.ok('LIST "" *'))
            self.assertEqual(set(names), own | {"INBOX", "Shared", "Shared/INBOX", "Shared/Plans", "Shared/Plans/2030"})
            self.assertEqual(names["Shared"], {"\\Noselect", "\\HasChildren"})
            self.assertEqual(set(listed(imap.ok('LIST "" %'))), own | {"INBOX", "Shared"})
            self.assertEqual(set(listed(imap.ok('LIST "Shared/" %'))), {"Shared/INBOX", "Shared/Plans"})

    def test_messages_go_between_accounts(self):
        self.alice.ok("CREATE Shared/Plans")
        sent = [b"Subject: %d\r\n\r\nbody %d\r\n" % (n, n) for n in range(1, 81)]
        for message in sent:
            self.server.deliver(message)
        self.alice.ok("SELECT INBOX")
        self.alice.ok("STORE 1 +FLAGS (\\Flagged $Word)")
        copied = self.alice.ok("COPY 1:70 Shared/Plans").code("COPYUID").split()
        self.assertEqual(copied[1:], ["1:70", "1:70"])
        moved = self.alice.ok("MOVE 71:80 Shared/Plans")
        self.assertEqual(sum(line.endswith(b" EXPUNGE") for line in moved.untagged), 10)
        self.assertIn(b"MESSAGES 70", self.alice.ok("STATUS INBOX (MESSAGES)").untagged[0])
        with self.server.selected("Shared/Plans", "bob") as bob:
            self.assertEqual([bob.body(n) for n in range(1, 81)], sent)
            self.assertIn(b"FLAGS (\\Flagged $Word)", bob.ok("FETCH 1 FLAGS").untagged[0])
            bob.ok("COPY 5 INBOX")
            bob.ok("STORE 1:* +FLAGS.SILENT (\\Deleted)")
            bob.ok("EXPUNGE")
        with self.server.selected("INBOX", "bob") as bob:
            self.assertEqual(bob.body(1), sent[4])
        with self.server.selected("Shared/Plans", "alice") as alice:
            self.assertEqual(alice.ok("SEARCH ALL").untagged[0], b"* SEARCH")
        self.alice.ok("APPEND Shared/Plans {3+}\r\nx\r\n")
        self.assertIn(b"MESSAGES 1", self.bob.ok("STATUS Shared/Plans (MESSAGES)").untagged[0])

    def test_names_stay_in_their_namespace(self):
        self.alice.ok("CREATE Own")
        self.alice.ok("CREATE Shared/Plans")
        for line in ("RENAME Own Shared/Own", "RENAME Shared/Plans Plans", "CREATE Shared", "DELETE Shared", "SELECT Shared", "DELETE Shared/INBOX"):
            self.alice.no(line)
        self.bob.ok("RENAME Shared/Plans Shared/Ideas")
        self.alice.ok("STATUS Shared/Ideas (UIDNEXT)")
        self.alice.ok("SUBSCRIBE Shared/Ideas")
        self.assertEqual(set(listed(self.alice.ok('LSUB "" *'), "LSUB")), {"Shared/Ideas"})
        self.assertEqual(set(listed(self.bob.ok('LSUB "" *'), "LSUB")), set())
        self.assertIn("\\Subscribed", listed(self.alice.ok('LIST "" * RETURN (SUBSCRIBED)'))["Shared/Ideas"])
        self.bob.ok("DELETE Shared/Ideas")
        self.alice.no("STATUS Shared/Ideas (UIDNEXT)")

    def test_without_the_option_it_is_a_name_like_any(self):
        with Server("--fs", "memory") as server, server.imap("alice") as alice:
            alice.ok("CREATE Shared/x")
            with server.imap("bob") as bob:
                self.assertEqual(set(listed(bob.ok('LIST "" *'))), {"INBOX"})
