# SPDX-License-Identifier: BSL-1.0
"""dump: every kind of file, whole, cut and damaged."""

import json
import os
import pathlib
import random
import subprocess

import program
from program import Case, client_server, ctl, json_lines, numbered


class Dump(Case):
    def setUp(self):
        super().setUp()
        with client_server(self.store, "--rotate-size", "600") as server:
            for n in range(4):
                server.deliver(numbered(n))
            with server.selected() as c:
                c.ok("STORE 1:3 +FLAGS (\\Seen $Work)")
                for sign in "+-" * 10:
                    c.ok(f"STORE 4 {sign}FLAGS (\\Flagged)")
                c.ok("CREATE Lists/new")
                c.ok("SUBSCRIBE Lists/new")
                c.ok("UID MOVE 2 Lists/new")
                c.ok("STORE 1 FLAGS (\\Deleted)")
                c.ok("EXPUNGE")
                c.ok("RENAME Lists/new Lists/old")
        self.account = self.store / "alice"

    def files(self, pattern):
        return sorted(str(f) for f in self.account.glob(pattern))

    def entries(self, pattern, kind=None, code=0):
        return [e for e in json_lines("dump", "--json", *self.files(pattern), code=code) if kind in (None, e["type"])]

    def test_logs_are_spelled_out(self):
        transactions = self.entries("box/*/log.*", "transaction")
        operations = [o for t in transactions for o in t["operations"]]
        kinds = {o["type"] for o in operations}
        self.assertLessEqual({"append", "flags", "expunge"}, kinds)
        self.assertTrue(all(t["time"].startswith("20") for t in transactions))
        flags = [o for o in operations if o["type"] == "flags"]
        self.assertIn({"type": "flags", "mode": "replace", "flags": ["\\Deleted"], "uids": "1"}, flags)
        self.assertIn("2", [o["uids"] for o in operations if o["type"] == "expunge"])
        self.assertTrue(self.entries("box/*/log.*", "seal"))
        text = ctl("dump", *self.files("box/*/log.*"))
        self.assertIn("log of a mailbox, ", text)
        self.assertRegex(text, r"(?m)^ +append  guid [0-9a-f]{32}, \d+ bytes, ")
        self.assertRegex(text, r"(?m)^ +flags  =\\Deleted, uids 1$")
        self.assertRegex(text, r"(?m)^ +\d+  transaction  \d+ bytes, time 20..-")

    def test_the_tree_is_spelled_out(self):
        operations = [o for t in self.entries("tree/log.*", "transaction") for o in t["operations"]]
        self.assertIn("INBOX", [o.get("name") for o in operations])
        self.assertIn(("Lists/new", "Lists/old"), [(o.get("from"), o.get("to")) for o in operations])
        self.assertIn("subscribe", {o["type"] for o in operations})
        self.assertIn("log of a mailbox tree", ctl("dump", *self.files("tree/log.*")))
        moved = self.folder / "anywhere"  # its contents tell, without its place
        moved.write_bytes(pathlib.Path(self.files("tree/log.1")[0]).read_bytes())
        self.assertIn("log of a mailbox tree", ctl("dump", moved))

    def test_snapshots_are_spelled_out(self):
        snapshots = self.files("box/*/index.*")
        self.assertTrue(snapshots)
        messages = self.entries("box/*/index.*", "message")
        self.assertTrue(any(m["flags"] == ["\\Seen"] and m["keywords"] == ["$Work"] for m in messages), messages)
        self.assertTrue(all(len(m["guid"]) == 32 and m["size"] > 0 and m["received"].startswith("20") and m["mail_offset"] >= 64 for m in messages))
        stored = {e["guid"] for e in self.entries("mail/m.*", "message")}
        self.assertLessEqual({m["guid"] for m in messages}, stored)

    def test_bodies_are_listed(self):
        messages = self.entries("mail/m.*", "message")
        self.assertEqual(sorted(m["size"] for m in messages), sorted(len(numbered(n)) for n in range(4)))
        self.assertTrue(all(m["body_sound"] for m in messages))

    def test_every_golden_file_is_read(self):
        golden = pathlib.Path(__file__).resolve().parents[2] / "format" / "golden"
        magics = (b"mfsLOG", b"mfsIDX", b"mfsTREE", b"\x89mdbox", b"mfsCCH", b"\x89mmark")
        files = [f for f in sorted(golden.glob("**/*")) if f.is_file() and f.read_bytes().startswith(magics)]
        self.assertTrue(files)
        for file in files:
            with self.subTest(file=file):
                entries = json_lines("dump", "--json", file)
                self.assertIn("header", [e["type"] for e in entries])

    def test_a_mark_is_spelled_out(self):
        with client_server(self.store) as server, server.selected() as c:
            c.ok("STORE 1:* +FLAGS (\\Deleted)")
            c.ok("EXPUNGE")
        ctl("purge", self.store, "--quiet")
        entries = self.entries("marks/*")
        self.assertEqual(entries[0]["kind"], "mark of a purge")
        self.assertTrue(any(e["type"] == "marked" and e["live"] < e["size"] for e in entries))

    def test_other_files_are_told(self):
        (self.folder / "x").write_text("hello")
        self.assertIn("no file of mailfs", ctl("dump", self.folder / "x", code=1))
        self.assertIn("no file of mailfs, 0 bytes", ctl("dump", os.devnull, self.folder / "x", code=2) + ctl("dump", self.empty(), code=1))
        self.assertIn("No such file", ctl("dump", self.folder / "missing", code=2))

    def empty(self):
        (self.folder / "empty").write_bytes(b"")
        return self.folder / "empty"

    def test_a_log_without_its_header_is_read_by_its_records(self):
        log = pathlib.Path(self.files("box/*/log.*")[0])
        whole = json_lines("dump", "--json", log)
        damaged = self.folder / log.name
        damaged.write_bytes(bytes(128) + log.read_bytes()[128:])
        left = json_lines("dump", "--json", "--log-of", "mailbox", damaged, code=1)
        keep = ("transaction", "seal")
        strip = lambda entries: [{k: v for k, v in e.items() if k != "file"} for e in entries if e["type"] in keep]  # noqa: E731
        self.assertTrue(strip(whole))
        self.assertEqual(strip(left), strip(whole))

    def test_damage_is_told_with_its_range_and_the_rest_is_read(self):
        budget = int(os.environ.get("MAILFS_DUMP_DAMAGE", "40"))
        dice = random.Random(1)
        kinds = ["tree/log.*", "box/*/log.*", "box/*/index.*", "mail/m.*"]
        for n in range(budget):
            original = pathlib.Path(dice.choice(self.files(kinds[n % len(kinds)])))
            data = bytearray(original.read_bytes())
            where = dice.randrange(len(data))
            if n % 8 < 4:
                data[where] ^= 1 << dice.randrange(8)
            else:
                del data[where:]
            broken = self.folder / original.name
            broken.write_bytes(data)
            with self.subTest(file=str(original), where=where, cut=n % 8 >= 4):
                done = subprocess.run([program.PROGRAM, "dump", "--json", broken], capture_output=True, timeout=60)
                self.assertIn(done.returncode, (0, 1), done.stderr)
                lines = [json.loads(line) for line in done.stdout.splitlines()]
                told = [e for e in lines if e["type"] == "damage" and e["offset"] <= where <= e["end"]]
                whole = json_lines("dump", "--json", original)
                same = [{k: v for k, v in e.items() if k != "file"} for e in lines[1:]] == [{k: v for k, v in e.items() if k != "file"} for e in whole[1:]]
                self.assertTrue(told or same or done.returncode == 0 and n % 8 >= 4, (told, lines))


__all__ = ["Dump"]
