# SPDX-License-Identifier: BSL-1.0
"""Import and export: nothing is lost on the way in, out, and in again."""

import hashlib
import os
import pathlib
import tarfile
import unittest

import program
from program import Case, contents, ctl, mailbox, maildir, numbered, put

EXPORTS = (["--as", "maildir", "--no-sync"], ["--layout", "fs", "--no-sync"], ["--as", "mbox", "--no-sync"])


def real_messages():
    """(source, bytes) of the real mail beside the repository, or the demo's own."""
    if program.REAL_MAIL.is_dir():
        every = int(os.environ.get("MAILFS_REAL_MAIL_EVERY", "8"))  # 1: all 5,664, which takes a minute or more
        n = 0
        for archive in sorted(program.REAL_MAIL.glob("*.tar.xz")):
            with tarfile.open(archive) as files:
                for entry in files:
                    n += entry.isfile()
                    if entry.isfile() and n % every == 0 and not entry.name.endswith("README.md"):
                        yield archive.name.split(".")[0], files.extractfile(entry).read()
        return
    for file in sorted((pathlib.Path(__file__).resolve().parents[3] / "examples" / "mail").glob("*.eml")):
        yield "demo", file.read_bytes()


class Maildir(Case):
    def test_flags_keywords_dates_and_folders(self):
        mail = maildir(self.folder / "mail")
        put(mail / "new", "1700000001.a.host", numbered(1), 1_700_000_001)
        put(mail / "cur", "1700000002.b.host,S=9:2,FSab", numbered(2), 1_700_000_002)
        put(mail / "cur", "1700000003.c.host:2,P", b"Subject: unix\n\nlines\n", 1_800_000_000)  # copied since
        put(mail / "tmp", "1700000004.d.host", b"unfinished")
        (mail / "dovecot-keywords").write_text("0 $Work\n1 NonJunk\n")
        put(maildir(mail / ".Entw&APw-rfe.v1\\2e0") / "cur", "1700000005.e.host:2,DRST", numbered(5), 1_700_000_005)
        put(maildir(mail / "nested" / "deep") / "cur", "1700000006.f.host:2,", numbered(6), 1_000_000_000)
        (mail / "subscriptions").write_text("V\t2\n\nnested\tdeep\n")
        self.assertIn("imported 5 messages into 3 mailboxes", ctl("import", self.store, "alice", mail))

        def sha(data):
            return hashlib.sha256(data).hexdigest()

        self.assertEqual(contents(self.store, "alice"), {
            (".", sha(numbered(1)), frozenset(), 1_700_000_001): 1,
            (".", sha(numbered(2)), frozenset({"F", "S", "$Work", "NonJunk"}), 1_700_000_002): 1,
            (".", sha(b"Subject: unix\r\n\r\nlines\r\n"), frozenset("P"), 1_700_000_003): 1,
            ("Entw&APw-rfe/v1.0", sha(numbered(5)), frozenset("DRST"), 1_700_000_005): 1,
            ("nested/deep", sha(numbered(6)), frozenset(), 1_000_000_000): 1,
        })
        listed = program.json_lines("info", self.store, "alice", "--json")[0]["mailboxes"]
        self.assertEqual([box["name"] for box in listed if box["subscribed"]], ["nested/deep"])

    def test_python_reads_what_is_exported(self):
        mail = maildir(self.folder / "mail")
        for n in range(20):
            put(mail / "cur", f"{1_700_000_000 + n}.m{n}.host:2,{'S' if n % 2 else 'F'}", numbered(n), 1_700_000_000 + n)
        ctl("import", self.store, "alice", mail)
        ctl("export", self.store, "alice", self.folder / "out")
        read = mailbox.Maildir(self.folder / "out", create=False)
        self.assertEqual(sorted(m.get_flags() for m in read), ["F"] * 10 + ["S"] * 10)
        self.assertEqual(len({m["Message-ID"] for m in read}), 20)
        self.assertEqual(list((self.folder / "out/tmp").iterdir()), [])
        ctl("export", self.store, "alice", self.folder / "out.mbox", "--as", "mbox", "--mailbox", "INBOX", "--line-ends", "lf")
        read = mailbox.mbox(self.folder / "out.mbox", create=False)
        self.addCleanup(read.close)
        self.assertEqual(sorted(m.get_flags() for m in read), ["OF"] * 10 + ["RO"] * 10)
        self.assertNotIn(b"\r", (self.folder / "out.mbox").read_bytes())

    def test_repeating_adds_only_what_is_new(self):
        mail = maildir(self.folder / "mail")
        twin = numbered(1)
        for n in range(3):
            put(mail / "cur", f"1700000000.twin{n}.host:2,S", twin)
        ctl("import", self.store, "alice", mail)
        self.assertIn("imported 0 messages into INBOX; 3 there already", ctl("import", self.store, "alice", mail))
        put(mail / "cur", "1700000000.twin4.host:2,S", twin)
        put(mail / "cur", "1700000000.same-size.host:2,S", twin.replace(b"body", b"BODY"))
        self.assertIn("imported 2 messages into INBOX; 3 there already", ctl("import", self.store, "alice", mail))

        out = self.folder / "out"
        ctl("export", self.store, "alice", out)
        before = sorted(os.listdir(out / "cur"))
        self.assertIn("exported 0 messages from 1 mailbox", ctl("export", self.store, "alice", out))
        self.assertEqual(sorted(os.listdir(out / "cur")), before)

    def test_an_export_follows_flags(self):
        with program.client_server(self.store) as server:
            for n in range(3):
                server.deliver(numbered(n))
            ctl("export", self.store, "alice", self.folder / "out")
            with server.selected() as c:
                c.ok("STORE 2 +FLAGS (\\Seen $Later)")
        self.assertIn("exported 0 messages", ctl("export", self.store, "alice", self.folder / "out"))
        flags = sorted(name.rsplit(",", 1)[1] for name in os.listdir(self.folder / "out/cur"))
        self.assertEqual(flags, ["", "", "Sa"])
        self.assertEqual((self.folder / "out/dovecot-keywords").read_text(), "0 $Later\n")

    def test_more_keywords_than_letters(self):
        mail = maildir(self.folder / "mail")
        words = [f"k{n}" for n in range(40)] + ["two%20words"]
        for n, word in enumerate(words):
            put(mail / "cur", f"{1_700_000_000 + n}.m{n}.host:2,S", numbered(n))
        (mail / "mailfs-keywords").write_text("".join(f"{1_700_000_000 + n}.m{n}.host\t{word}\n" for n, word in enumerate(words)))
        ctl("import", self.store, "alice", mail)
        found = {next(iter(marks - {"S"})) for _, _, marks, _ in contents(self.store, "alice")}
        self.assertEqual(found, set(words))
        for n, how in enumerate(EXPORTS):
            ctl("export", self.store, "alice", self.folder / f"out{n}", *how)
            ctl("import", self.folder / "again", f"user{n}", self.folder / f"out{n}")
            self.assertEqual(contents(self.folder / "again", f"user{n}"), contents(self.store, "alice"))

    def test_what_cannot_be_read_is_told_and_the_rest_goes_on(self):
        mail = maildir(self.folder / "mail")
        put(mail / "cur", "1700000000.a.host:2,S", numbered(1))
        (mail / "cur" / "1700000001.b.host:2,S").symlink_to("/nonexistent")
        os.mkfifo(mail / "cur" / "1700000002.c.host:2,S")
        self.assertIn("imported 1 message into INBOX", ctl("import", self.store, "alice", mail))
        for file in (self.store / "alice/mail").iterdir():
            file.write_bytes(file.read_bytes()[:-100])
        told = ctl("export", self.store, "alice", self.folder / "out", code=1)
        self.assertIn("UID 1 cannot be read", told)
        self.assertIn("1 unreadable", told)


class Mbox(Case):
    def test_a_directory_of_files(self):
        source = self.folder / "mboxes"
        (source / "Local.sbd").mkdir(parents=True)
        (source / "Inbox").write_bytes(b"From - Sat Jan 01 12:30:00 2022\nX-Mozilla-Status: 0001\nX-Mozilla-Status2: 00000000\nX-Mozilla-Keys: $label1    \n"
                                       b"Subject: a\n\n>From the start\n\n")
        (source / "Local.sbd" / "Old").write_bytes(b"From x Sat Jan  1 12:30:00 2022\nSubject: b\n\nx\n")
        (source / "Inbox.msf").write_bytes(b"not an mbox")
        (source / "Empty.mbox").write_bytes(b"")
        self.assertIn("imported 2 messages into 3 mailboxes", ctl("import", self.store, "alice", source))
        found = {box: (digest, marks, seconds) for box, digest, marks, seconds in contents(self.store, "alice")}
        self.assertEqual(found["."], (hashlib.sha256(b"Subject: a\r\n\r\nFrom the start\r\n").hexdigest(), frozenset({"S", "$label1"}), 1_641_040_200))
        self.assertIn("Local/Old", found)

    def test_a_name_that_is_taken_is_refused(self):
        put(maildir(self.folder / "mail") / "cur", "1700000000.a.host:2,S", numbered(1))
        ctl("import", self.store, "alice", self.folder / "mail")
        ctl("export", self.store, "alice", self.folder / "out", "--as", "mbox")
        before = (self.folder / "out/INBOX.mbox").read_bytes()
        self.assertIn("is there already", ctl("export", self.store, "alice", self.folder / "out", "--as", "mbox", code=2))
        self.assertEqual((self.folder / "out/INBOX.mbox").read_bytes(), before)
        self.assertEqual([f.name for f in (self.folder / "out").iterdir()], ["INBOX.mbox"])

    def test_memory_is_bounded_by_a_message(self):
        big = self.folder / "big.mbox"
        with open(big, "wb") as file:
            for n in range(120):
                file.write(b"From x Sat Jan  1 12:30:00 2022\nSubject: %d\n\n" % n + (b"x" * 998 + b"\n") * 1000 + b"\n")
        command = ["sh", "-c", 'ulimit -v 100000; exec "$@"', "sh", program.PROGRAM, "import", str(self.store), "alice", str(big), "--quiet"]
        if b"__asan_init" in program.pathlib.Path(program.PROGRAM).read_bytes():
            self.skipTest("a sanitizer takes memory of its own")
        done = program.subprocess.run(command, capture_output=True, timeout=program.SECONDS)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        self.assertEqual(program.json_lines("info", self.store, "--json")[0]["mailboxes"][0]["messages"], 120)


class RealMail(Case):
    def test_in_out_and_in_again_loses_nothing(self):
        mail = maildir(self.folder / "mail")
        count = 0
        for count, (source, data) in enumerate(real_messages(), 1):
            folder = maildir(mail / ("." + source))
            (folder / "dovecot-keywords").write_text("0 $Work\n1 NonJunk\n2 $label1\n")
            digest = hashlib.sha256(data).digest()
            letters = "".join(letter for letter, octet in zip("DFPRSTabc", digest) if octet < 64)
            when = 900_000_000 + count * 1000
            put(folder / "cur", f"{when}.m{count}.host:2,{letters}", data, when)
        ctl("import", self.store, "alice", mail)
        first = contents(self.store, "alice")
        self.assertEqual(sum(first.values()), count)
        for n, how in enumerate(EXPORTS):
            with self.subTest(how=how):
                out, again = self.folder / f"out{n}", self.folder / "again"
                ctl("export", self.store, "alice", out, *how)
                ctl("import", again, f"user{n}", out)
                self.assertEqual(contents(again, f"user{n}"), first)
                self.assertIn("imported 0 messages", ctl("import", again, f"user{n}", out))
        print(f"{count} messages in, out and in again, by {len(EXPORTS)} ways")
        if not program.REAL_MAIL.is_dir():
            raise unittest.SkipTest("the real mail is not there; it was done with the demo's")


__all__ = ["Maildir", "Mbox", "RealMail"]
