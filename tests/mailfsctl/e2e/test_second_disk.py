# SPDX-License-Identifier: BSL-1.0
"""Old mail on a second disk: the server moves it there, and all programs find it."""

import os
import pathlib
import shutil
import subprocess
import time

from program import Case, client_server, contents, ctl, numbered

SECONDS = 60  # for some grace periods, on a busy machine
OLD = ("--grace", "2", "--purge-interval", "0.05", "--alt-after", "0.00001")  # days


class SecondDisk(Case):
    def setUp(self):
        super().setUp()
        self.alt = self.folder / "alt"

    def mail_in(self, root):
        return sorted(p.relative_to(root) for p in pathlib.Path(root).glob("*/mail/**/*") if p.is_file())

    def test_the_server_moves_old_mail_and_every_program_finds_it(self):
        for kind in ("multi", "single"):
            for fs in ("posix", "pooled"):
                with self.subTest(format=kind, fs=fs):
                    self.check(kind, fs)
                    shutil.rmtree(self.store)
                    shutil.rmtree(self.alt)

    def check(self, kind, fs):
        options = ("--format", kind, "--fs", fs)
        with client_server(self.store, *options) as server:
            for n in range(20):
                server.deliver(numbered(n))
        before = contents(self.store, "alice")
        files = self.mail_in(self.store)
        with client_server(self.store, *options, "--alt", str(self.alt), *OLD) as server:
            deadline = time.monotonic() + SECONDS
            while self.mail_in(self.alt) != files or self.mail_in(self.store):
                self.assertLess(time.monotonic(), deadline, server.log())
                with server.selected() as c:
                    for n in (1, 10, 20):
                        self.assertEqual(c.body(n), numbered(n - 1))
                time.sleep(0.05)
            server.deliver(numbered(20))
            self.assertRegex(server.log(), r"\d+ files of alice moved to the second disk")
        self.assertEqual(len(self.mail_in(self.store)), 1)  # new mail
        with client_server(self.store, *options) as server, server.selected() as c:  # it knows where
            self.assertEqual([c.body(n) for n in range(1, 22)], [numbered(n - 1) for n in range(1, 22)])
        self.assertIn("all sound", ctl("verify", self.store))
        self.assertEqual({key: n for key, n in contents(self.store, "alice").items() if key in before}, before)
        copy = self.folder / "copy"
        ctl("backup", self.store, copy)
        self.assertEqual(len(self.mail_in(copy)), len(files) + 1)
        self.assertIn("all sound", ctl("verify", copy))
        self.assertEqual(contents(copy, "alice"), contents(self.store, "alice"))
        shutil.rmtree(copy)

    def test_a_disk_that_is_not_mounted_is_not_taken_for_an_empty_one(self):
        with client_server(self.store, "--alt", str(self.alt)) as server:
            server.deliver(numbered(1))
        os.rename(self.alt, self.folder / "elsewhere")
        for there in (False, True):
            if there:
                os.mkdir(self.alt)  # the mount point alone
            self.assertIn("is the disk mounted?", ctl("verify", self.store, code=2))
            self.assertIn("is the disk mounted?", self.refused())
            self.assertEqual(list(self.alt.iterdir()) if there else self.alt.exists(), [] if there else False)
        os.rmdir(self.alt)
        os.rename(self.folder / "elsewhere", self.alt)
        self.assertIn("all sound", ctl("verify", self.store))
        self.assertIn("lies in", self.refused("--alt", str(self.folder / "another")))

    def refused(self, *options):
        import client
        command = [client.PROGRAM, "--root", self.store, "--any-user", "x", "--imap", "127.0.0.1:0", "--lmtp", "127.0.0.1:0", *options]
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
        self.assertEqual(done.returncode, 1)
        return done.stderr

    def test_a_long_message_to_several_accounts_is_one_file(self):
        long = b"Subject: long\r\n\r\n" + b"x" * 70 + b"\r\n" * 50_000
        for kind in ("multi", "single"):
            with self.subTest(format=kind):
                with client_server(self.store, "--format", kind) as server:
                    server.deliver(long, "alice", "bob", "carol")
                    for user in ("alice", "bob", "carol"):
                        with server.selected(user=user) as c:
                            self.assertEqual(c.body(1), long)
                names = [self.store / name for name in self.mail_in(self.store)]
                shared = [name for name in names if name.stat().st_nlink == 3]
                self.assertEqual(len(shared), 3, names)
                self.assertEqual(len({name.stat().st_ino for name in shared}), 1)
                self.assertIn("all sound", ctl("verify", self.store))
                shutil.rmtree(self.store)


__all__ = ["SecondDisk"]
