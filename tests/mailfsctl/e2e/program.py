# SPDX-License-Identifier: BSL-1.0
"""mailfsctl as a process, stores with mail in them, and what is in a store, by what the tool exports."""

import contextlib
import hashlib
import json
import mailbox
import os
import pathlib
import subprocess
import tempfile
import unittest

PROGRAM = None  # mailfsctl and imapd, set by the runner
IMAPD = None
SECONDS = 120  # for any one command
REAL_MAIL = pathlib.Path(__file__).resolve().parents[4] / "shared" / "mail"


def ctl(*arguments, code=0, program=None):
    """What it printed. Fails when it ends with another code; None: with none but 0 and 1."""
    command = [program or PROGRAM, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, timeout=SECONDS)
    out, err = done.stdout.decode(errors="surrogateescape"), done.stderr.decode(errors="surrogateescape")
    assert done.returncode in ((0, 1) if code is None else (code,)), f"{command} ended with {done.returncode} instead of {code}:\n{out[-2000:]}{err[-2000:]}"
    return out + err


def json_lines(*arguments, code=0):
    return [json.loads(line) for line in ctl(*arguments, code=code).splitlines() if line.startswith("{")]


def maildir(path):
    for part in ("cur", "new", "tmp"):
        os.makedirs(path / part, exist_ok=True)
    return path


def put(path, name, content, when=1_700_000_000):
    """A file of a Maildir folder, with its modification time."""
    file = path / name
    file.write_bytes(content)
    os.utime(file, (when, when))


def contents(store, account):
    """{(mailbox, digest, flags and keywords, seconds): how often} of an account, read with Python's own eyes."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        target = pathlib.Path(folder) / "out"
        ctl("export", store, account, target, "--layout", "fs", "--quiet", "--no-sync")
        for cur in target.glob("**/cur"):
            letters, words = {}, {}
            with contextlib.suppress(FileNotFoundError):
                for line in (cur.parent / "dovecot-keywords").read_text().splitlines():
                    number, name = line.split(" ", 1)
                    letters["abcdefghijklmnopqrstuvwxyz"[int(number)]] = name
            with contextlib.suppress(FileNotFoundError):
                for line in (cur.parent / "mailfs-keywords").read_text().splitlines():
                    base, *more = line.split("\t")
                    words[base] = more
            for file in cur.iterdir():
                base, info = file.name.rsplit(":2,", 1)
                marks = frozenset([letters.get(c, c) for c in info] + words.get(base, []))
                digest = hashlib.sha256(file.read_bytes()).hexdigest()
                key = (str(cur.parent.relative_to(target)), digest, marks, int(file.stat().st_mtime))
                found[key] = found.get(key, 0) + 1
    return found


def client_server(store, *options):
    """An imapd on the store."""
    import client
    return client.Server(*options, root=str(store))


class Case(unittest.TestCase):
    """A folder for each test."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="mailfsctl-e2e-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.store = self.folder / "store"

    def messages(self, account="alice", store=None):
        return sum(contents(store or self.store, account).values())


def numbered(n, more=b""):
    return b"Message-ID: <%d@test>\r\nSubject: number %d\r\n\r\nbody %d\r\n" % (n, n, n) + more


__all__ = ["Case", "contents", "ctl", "json_lines", "mailbox", "maildir", "numbered", "put"]
