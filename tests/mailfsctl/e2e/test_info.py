# SPDX-License-Identifier: BSL-1.0
"""What info tells, what wrong usage is told, and what a terminal is shown."""

import os
import pty
import select
import subprocess
import time

import program
from program import Case, ctl, json_lines, maildir, numbered, put


class Info(Case):
    def setUp(self):
        super().setUp()
        self.mail = maildir(self.folder / "mail")
        for n in range(3):
            put(self.mail / "cur", f"{1_700_000_000 + n}.m{n}.host:2,{'S' if n else ''}", numbered(n))
        put(maildir(self.mail / ".Sent.2023") / "cur", "1700000000.x.host:2,ST", numbered(9))
        ctl("import", self.store, "alice", self.mail)

    def test_accounts_mailboxes_and_one(self):
        self.assertIn("1 account ", ctl("info", self.store))
        listed = ctl("info", self.store, "alice")
        self.assertRegex(listed, r"(?m)^ +3 +1 +0 .* INBOX$")
        self.assertRegex(listed, r"(?m)^ +1 +0 +1 .* Sent/2023$")
        one = ctl("info", self.store, "alice", "INBOX")
        self.assertRegex(one, r"UIDNEXT +4\n")
        self.assertRegex(one, r"log\.1 ")

    def test_json_is_the_same(self):
        [account] = json_lines("info", self.store, "--json")
        self.assertEqual(account["account"], "alice")
        boxes = {box["name"]: box for box in account["mailboxes"]}
        self.assertEqual((boxes["INBOX"]["messages"], boxes["INBOX"]["unseen"], boxes["INBOX"]["uid_next"]), (3, 1, 4))
        self.assertEqual(boxes["INBOX"]["index"][0]["name"], "log.1")
        self.assertTrue(os.path.isfile(os.path.join(boxes["INBOX"]["directory"], "log.1")))

    def test_wrong_usage_is_told_and_makes_nothing(self):
        self.assertIn("is no directory", ctl("info", self.folder / "nothing", code=2))
        self.assertFalse((self.folder / "nothing").exists())
        self.assertIn("there is no account", ctl("info", self.store, "bob", code=2))
        self.assertIn("has no mailbox", ctl("info", self.store, "alice", "x", code=2))
        self.assertIn("no such file", ctl("import", self.store, "alice", self.folder / "nothing", code=2))
        self.assertIn("there is no account", ctl("export", self.store, "bob", self.folder / "out", code=2))
        for wrong in ([], ["nothing"], ["info"], ["dump"], ["info", self.store, "--format", "x"]):
            ctl(*wrong, code=2)
        for command in ("info", "dump", "import", "export"):
            self.assertIn("Examples:", ctl(command, "--help"))

    def test_single_format_is_recognised(self):
        ctl("import", self.folder / "single", "alice", self.mail, "--format", "single")
        self.assertTrue([d for d in (self.folder / "single/alice/mail").iterdir() if len(d.name) == 2])
        ctl("export", self.folder / "single", "alice", self.folder / "out")
        self.assertEqual(len(list((self.folder / "out/cur").iterdir())), 3)

    def test_damage_of_one_mailbox_is_told(self):
        [account] = json_lines("info", self.store, "--json")
        box = next(box for box in account["mailboxes"] if box["name"] == "Sent/2023")
        with open(os.path.join(box["directory"], "log.1"), "r+b") as log:
            log.write(b"\0" * 64)
        self.assertIn("cannot be read", ctl("info", self.store, "alice", code=1))
        self.assertIn("failure", next(b for b in json_lines("info", self.store, "--json", code=1)[0]["mailboxes"] if b["name"] == "Sent/2023"))


class Terminal(Case):
    def test_a_bar_is_drawn_on_a_terminal_alone(self):
        mail = maildir(self.folder / "mail")
        for n in range(2000):
            put(mail / "cur", f"{1_700_000_000 + n}.m{n}.host:2,S", numbered(n) + b"x" * 20_000)
        shown, own = pty.openpty()
        process = subprocess.Popen([program.PROGRAM, "import", self.store, "alice", mail], stdout=subprocess.DEVNULL, stderr=own)
        os.close(own)
        seen, deadline = b"", time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            if select.select([shown], [], [], 0.1)[0]:
                try:
                    seen += os.read(shown, 65536)
                except OSError:
                    break
        self.assertEqual(process.wait(60), 0)
        os.close(shown)
        self.assertRegex(seen, rb"import INBOX +\d+% \[=* *\]  [\d,]+/2,000 messages  [\d,]+/s")
        self.assertNotIn("%", ctl("import", self.store, "alice", mail))


__all__ = ["Info", "Terminal"]
