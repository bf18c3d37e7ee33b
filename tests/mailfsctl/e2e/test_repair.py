# SPDX-License-Identifier: BSL-1.0
"""verify, rebuild, purge and as-of, on stores that servers wrote."""

import os
import pathlib
import time

from program import Case, client_server, contents, ctl, json_lines, maildir, numbered, put


class Repair(Case):
    def setUp(self):
        super().setUp()
        with client_server(self.store, "--rotate-size", "600", "--threads", "1") as server:
            for n in range(20):
                server.deliver(numbered(n))
            with server.selected() as c:
                c.ok("STORE 1:10 +FLAGS (\\Seen $Work)")
                c.ok("CREATE Archive")
                c.ok("UID COPY 1:3 Archive")
        self.before = contents(self.store, "alice")

    def box(self, name="INBOX"):
        [account] = json_lines("info", self.store, "alice", "--json")
        return pathlib.Path(next(b["directory"] for b in account["mailboxes"] if b["name"] == name))

    def test_what_is_sound_is_told_so(self):
        self.assertIn("23 messages in 2 mailboxes", ctl("verify", self.store))
        [summary] = [line for line in json_lines("verify", self.store, "--json") if line["type"] == "account"]
        self.assertEqual((summary["sound"], summary["messages"], summary["losses"]), (True, 23, 0))
        self.assertEqual(ctl("verify", self.store, "alice", "--quiet"), "")
        self.assertIn("there is no account", ctl("verify", self.store, "bob", code=2))

    def test_damage_is_found_and_mended(self):
        [mail] = list((self.store / "alice/mail").glob("m.*"))
        data = bytearray(mail.read_bytes())
        at = data.index(b"body 7")
        data[at] ^= 1
        mail.write_bytes(data)
        told = ctl("verify", self.store, "alice", code=1)
        self.assertRegex(told, r"(?m)^(loss|damage) .*mail/m\.[0-9a-f]{16}, offset \d+")
        self.assertIn("NOT SOUND", told)
        findings = [line for line in json_lines("verify", self.store, "--json", code=1) if line["type"] == "finding"]
        self.assertTrue(any(f["severity"] == "loss" and f["file"].endswith(mail.name) for f in findings), findings)

    def test_an_index_that_is_gone_comes_back(self):
        for file in self.box().iterdir():
            if file.name.startswith(("log.", "index.")):
                file.unlink()
        self.assertIn("loss", ctl("verify", self.store, code=1))
        self.assertIn("INBOX: rebuilt", ctl("rebuild", self.store, "alice", "--settle", "0"))
        self.assertIn("all sound", ctl("verify", self.store))
        self.assertEqual({key[:2] for key in contents(self.store, "alice")}, {key[:2] for key in self.before})
        self.assertIn("2 mailboxes fine", ctl("rebuild", self.store, "alice"))
        self.assertIn("there is no account", ctl("rebuild", self.store, "bob", code=2))

    def test_one_generation_is_enough_for_uids_and_flags(self):
        box = self.box()
        newest = max(int(file.name[4:]) for file in box.glob("log.*"))
        (box / f"log.{newest}").write_bytes(b"")
        for file in box.glob(f"index.{newest}"):
            file.unlink()
        self.assertIn("INBOX: rebuilt; ", ctl("rebuild", self.store, "alice", "--settle", "0", "--remove-old"))
        self.assertIn("all sound", ctl("verify", self.store))
        self.assertEqual({key[:2] for key in contents(self.store, "alice")}, {key[:2] for key in self.before})

    def test_the_past_is_listed_exported_and_brought_back(self):
        self.assertRegex(ctl("as-of", self.store, "alice", "INBOX"), r"(?m)^ +\d+  20..-")
        time.sleep(1.1)  # moments are told to the millisecond, but people think in seconds
        then = f"@{time.time():.3f}"
        time.sleep(0.1)
        with client_server(self.store) as server, server.selected() as c:
            c.ok("STORE 5:9 +FLAGS (\\Deleted)")
            c.ok("EXPUNGE")
        listed = ctl("as-of", self.store, "alice", "INBOX", then)
        self.assertIn(": 20 messages", listed)
        self.assertEqual(listed.count("GONE"), 5)
        gone = json_lines("as-of", self.store, "alice", "INBOX", then, "--gone", "--json")
        self.assertEqual([(m["uid"], m["there_now"]) for m in gone], [(n, False) for n in range(5, 10)])
        self.assertEqual(gone[0]["flags"], ["\\Seen", "$Work"])
        self.assertIn("exported 5 messages", ctl("as-of", self.store, "alice", "INBOX", then, "--gone", "--export", self.folder / "old"))
        self.assertEqual(len(os.listdir(self.folder / "old/cur")), 5)
        self.assertIn("1 message brought back", ctl("as-of", self.store, "alice", "INBOX", then, "--uids", "7", "--undo"))
        self.assertIn("4 messages brought back", ctl("as-of", self.store, "alice", "INBOX", then, "--undo"))
        self.assertIn("0 messages brought back", ctl("as-of", self.store, "alice", "INBOX", then, "--undo"))
        self.assertEqual(contents(self.store, "alice"), self.before)
        self.assertIn("is no moment", ctl("as-of", self.store, "alice", "INBOX", "tomorrow", code=2))
        self.assertIn("is no set of UIDs", ctl("as-of", self.store, "alice", "INBOX", then, "--uids", "x", code=2))
        self.assertIn("not kept", ctl("as-of", self.store, "alice", "INBOX", "2001-01-01", code=2))

    def test_a_purge_gives_back_space_and_takes_nothing_else(self):
        with client_server(self.store) as server:
            with server.selected() as c:
                c.ok("STORE 4:20 +FLAGS (\\Deleted)")
                c.ok("EXPUNGE")
            after = contents(self.store, "alice")
        self.assertIn("out of use", ctl("purge", self.store))
        self.assertIn("0 files removed", ctl("purge", self.store))
        size = sum(f.stat().st_size for f in (self.store / "alice/mail").iterdir())
        told = ctl("purge", self.store, "alice", "--grace", "0")
        self.assertIn("file removed", told)
        self.assertIn("3 messages written anew", told)
        self.assertLess(sum(f.stat().st_size for f in (self.store / "alice/mail").iterdir()), size / 3)
        self.assertEqual(contents(self.store, "alice"), after)
        self.assertIn("all sound", ctl("verify", self.store))



class Compressed(Case):
    def setUp(self):
        super().setUp()
        if "compressed by zstd" not in ctl("import", "--help"):
            self.skipTest("built without zstd")
        mail = maildir(self.folder / "mail")
        for n in range(40):
            put(mail / "cur", f"{1_700_000_000 + n}.m{n}.host:2,", numbered(n, b"words that come again\r\n" * 200), 1_700_000_000 + n)
        ctl("import", self.store, "alice", mail, "--compress", "3")
        self.before = contents(self.store, "alice")

    def size(self):
        return sum(file.stat().st_size for file in (self.store / "alice/mail").iterdir())

    def test_it_is_read_checked_and_rebuilt_like_any_other(self):
        self.assertEqual(len(self.before), 40)
        self.assertLess(self.size(), 40 * 1000)
        self.assertIn("all sound", ctl("verify", self.store))
        for _ in range(2):
            self.assertNotIn("out of use", ctl("purge", self.store, "alice", "--grace", "0"))
        for file in (self.store / "alice/box").glob("*/log.*"):
            file.unlink()
        ctl("rebuild", self.store, "alice", "--settle", "0")
        self.assertEqual({key[:2] for key in contents(self.store, "alice")}, {key[:2] for key in self.before})

    def test_what_a_purge_moves_stays_compressed(self):
        before = self.size()
        with client_server(self.store) as server, server.selected() as c:
            c.ok("STORE 1:30 +FLAGS (\\Deleted)")
            c.ok("EXPUNGE")
        ctl("purge", self.store, "alice", "--grace", "0")
        ctl("purge", self.store, "alice", "--grace", "0")
        self.assertEqual(self.messages(), 10)
        self.assertLess(self.size(), before / 2)
        self.assertIn("all sound", ctl("verify", self.store))


__all__ = ["Compressed", "Repair"]
