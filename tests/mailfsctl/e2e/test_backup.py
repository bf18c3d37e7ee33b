# SPDX-License-Identifier: BSL-1.0
"""backup, and rsync in three calls, while several processes deliver, change flags, expunge, move, rotate and purge.

MAILFS_BACKUP_SECONDS: how long backups are taken for each of the two, 6 unless told.
"""

import contextlib
import itertools
import os
import random
import re
import shutil
import subprocess
import tempfile
import threading
import time

from program import Case, client_server, contents, ctl, json_lines, numbered

SECONDS = float(os.environ.get("MAILFS_BACKUP_SECONDS", "6"))
BOXES = ["INBOX", "A", "B/C"]
MESSAGE_ID = re.compile(rb"Message-ID: <(\d+)@test>")


class Writers:
    """Two servers and a purge on one store, and clients that write down what was acknowledged, and what may be gone."""

    def __init__(self, store):
        self.store = store
        options = ["--rotate-size", "400", "--durability", "none"]
        self.servers = [client_server(store, *options), client_server(store, *options)]
        self.numbers = itertools.count(1)
        self.acknowledged, self.doomed, self.moving = set(), set(), set()
        self.lock = threading.Lock()
        self.stop, self.failures, self.counts = threading.Event(), [], {}
        with self.servers[0].imap() as c:
            for box in BOXES[1:]:
                c.ok(f"CREATE {box}")
        work = [self.deliver, self.deliver, self.flag, self.expunge, self.move, self.move, self.churn, self.purge]
        self.threads = [threading.Thread(target=self.loop, args=(one, n)) for n, one in enumerate(work)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        time.sleep(0.5)
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join()
        for server in self.servers:
            server.__exit__()

    def loop(self, work, n):
        dice = random.Random(n)
        try:
            with self.servers[n % 2].imap() as c:
                while not self.stop.is_set():
                    work(c, dice)
                    self.counts[work.__name__] = self.counts.get(work.__name__, 0) + 1
        except Exception as error:  # noqa: BLE001  # told to the test, whatever it is
            self.failures.append((work.__name__, repr(error)))

    def deliver(self, c, dice):
        with self.lock:
            n = next(self.numbers)
        c.append(dice.choice(BOXES), numbered(n, b"x" * dice.randrange(3000) + b"\r\n"))
        self.acknowledged.add(n)
        time.sleep(0.002)

    def chosen(self, c, dice):
        """A few messages of a mailbox, (UID, number)."""
        c.ok(f"SELECT {dice.choice(BOXES)}")
        uids = c.search("ALL", uid=True)
        if len(uids) < 20:
            time.sleep(0.02)
            return []
        found = []
        for uid in dice.sample(uids, 3):
            with contextlib.suppress(IndexError, TypeError):  # expunged since
                found.append((uid, int(MESSAGE_ID.search(c.body(uid, uid=True))[1])))
        return found

    def flag(self, c, dice):
        if some := self.chosen(c, dice):
            c.ok(f"UID STORE {','.join(str(u) for u, _ in some)} {dice.choice('+-')}FLAGS (\\Seen $Work)")
        time.sleep(0.005)

    def expunge(self, c, dice):
        some = self.chosen(c, dice)
        self.doomed.update(n for _, n in some)
        if some:
            uids = ",".join(str(u) for u, _ in some)
            c.ok(f"UID STORE {uids} +FLAGS (\\Deleted)")
            c.ok(f"UID EXPUNGE {uids}")
        time.sleep(0.02)

    def move(self, c, dice):
        some = self.chosen(c, dice)
        with self.lock:
            self.moving.update(n for _, n in some)
        if some:
            c.command(f"UID MOVE {','.join(str(u) for u, _ in some)} {dice.choice(BOXES)}")
        time.sleep(0.002)

    def churn(self, c, dice):
        name = f"Churn{dice.randrange(1000)}"
        if c.command(f"CREATE {name}").status == "OK":
            c.ok(f"RENAME {name} {name}x")
            c.ok(f"DELETE {name}x")
        time.sleep(0.05)

    def purge(self, _c, _dice):
        ctl("purge", self.store, "--grace", "1", "--dead-percent", "20", "--quiet")
        time.sleep(0.2)


def numbers_in(store):
    """Numbers of all messages that can be read, by an export."""
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "out")
        ctl("export", store, "alice", out, "--layout", "fs", "--quiet", "--no-sync", code=None)
        found = []
        for path, _, files in os.walk(out):
            if path.endswith("/cur"):
                for name in files:
                    with open(os.path.join(path, name), "rb") as file:
                        found.append(int(MESSAGE_ID.search(file.read())[1]))
        return found


class Backup(Case):
    def check(self, target, before, w, may_miss=frozenset(), may_be_named=None):
        findings = [line for line in json_lines("verify", target, "--json", code=None) if line["type"] == "finding"]
        wrong = [f for f in findings if f["severity"] != "note" and not (may_be_named and re.search(may_be_named, f["what"]))]
        self.assertEqual(wrong, [])
        there = set(numbers_in(target))
        missing = before - w.doomed - may_miss - there
        self.assertEqual(missing, set())
        return len(there)

    def run_against_writers(self, take, may_be_named=None, moves_count=True):
        taken, seen = 0, 0
        with Writers(self.store) as w:
            deadline = time.monotonic() + SECONDS
            while time.monotonic() < deadline or taken < 2:
                target = self.folder / ("copy" if taken % 3 else f"copy{taken}")  # a new one each third time, else the same
                with w.lock:
                    w.moving.clear()
                before = set(w.acknowledged)
                take(target)
                with w.lock:
                    moved = set() if moves_count else set(w.moving)
                seen = self.check(target, before, w, moved, may_be_named)
                taken += 1
                if target.name != "copy":
                    shutil.rmtree(target)
            self.assertEqual(w.failures, [])
        print(f"{taken} copies while {w.counts} went on; {seen} messages in the last")

    def test_each_backup_holds_what_was_acknowledged(self):
        self.run_against_writers(lambda target: ctl("backup", self.store, target, "--prune"))

    def test_rsync_does_it_in_three_calls(self):
        if shutil.which("rsync") is None:
            self.skipTest("rsync is not there")

        def rsync(target):
            for left_out in (("box", "mail"), ("tree", "mail"), ("tree", "box")):
                for _ in range(100):
                    command = ["rsync", "-a", "--delete-delay", *[f"--exclude=/**/{name}/" for name in left_out], f"{self.store}/", target]
                    done = subprocess.run(command, capture_output=True, timeout=60)
                    if done.returncode != 24:  # a file went meanwhile
                        break
                self.assertEqual(done.returncode, 0, done.stderr)

        self.run_against_writers(rsync, may_be_named="Churn", moves_count=False)

    def test_repeating_copies_tails_alone(self):
        with client_server(self.store) as server:
            for n in range(50):
                server.deliver(numbered(n, b"x" * 10_000 + b"\r\n"))
            target = self.folder / "copy"
            ctl("backup", self.store, target)
            self.assertIn("0 bytes in 0 files", ctl("backup", self.store, target))
            server.deliver(numbered(50))
            told = ctl("backup", self.store, target)
            self.assertLess(int(re.search(r": (\d+) bytes in", told)[1]), 1000)
        self.assertEqual(contents(target, "alice"), contents(self.store, "alice"))
        self.assertEqual(subprocess.run(["diff", "-r", self.store, target]).returncode, 0)

    def test_a_copy_that_is_not_the_beginning_is_replaced(self):
        target = self.folder / "copy"
        with client_server(self.store) as server:
            for n in range(3):
                server.deliver(numbered(n))
        ctl("backup", self.store, target)
        for file in (f for f in target.glob("**/*") if f.is_file()):
            data = bytearray(file.read_bytes())
            data[len(data) // 2] ^= 1
            file.write_bytes(data + b"longer")
        ctl("backup", self.store, target)
        self.assertEqual(subprocess.run(["diff", "-r", self.store, target]).returncode, 0)
        for file in (f for f in target.glob("**/*") if f.is_file()):  # as a power cut leaves one: the length, and zeros
            file.write_bytes(bytes(file.stat().st_size))
        ctl("backup", self.store, target)
        self.assertEqual(subprocess.run(["diff", "-r", self.store, target]).returncode, 0)

    def test_prune_removes_what_is_gone_and_nothing_else_does(self):
        target = self.folder / "copy"
        with client_server(self.store) as server:
            server.deliver(numbered(1), "alice", "bob")
        ctl("backup", self.store, target)
        shutil.rmtree(self.store / "bob")
        ctl("backup", self.store, target)
        self.assertTrue(list((target / "bob/mail").iterdir()))
        self.assertIn("removed", ctl("backup", self.store, target, "--prune"))
        self.assertFalse((target / "bob/tree").exists())
        self.assertEqual(self.messages(store=target), 1)

    def test_wrong_targets_are_refused(self):
        with client_server(self.store) as server:
            server.deliver(numbered(1))
        self.assertIn("lies within the other", ctl("backup", self.store, self.store / "copy", code=2))
        os.mkdir(self.folder / "empty")
        self.assertIn("has no account", ctl("backup", self.folder / "empty", self.folder / "copy", code=2))
        self.assertIn("is no directory", ctl("backup", self.folder / "missing", self.folder / "copy", code=2))


__all__ = ["Backup"]
