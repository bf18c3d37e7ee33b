#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""Kills the demo server in the middle of deliveries, over and over: what it answered with 250 must be there, once.

    kill_test.py IMAPD [--kills N] [--seed N] [--durability none|stored] [--format single|multi]

Each round starts the server on the same files, lets several connections deliver, and ends it with SIGKILL. After
every start the new messages are read, and at the end all of them:
  - answered with 250: there exactly once, byte for byte;
  - the answer was lost: there once or not at all;
  - nothing else is there, UIDs ascend, and a UID once seen still names the same message.
MAILFS_KILLS is the number of kills when --kills is not given (5).
"""

import argparse
import collections
import enum
import os
import random
import smtplib
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../examples/demo"))
from server import Server, digest  # noqa: E402

USER, PASSWORD = "ada", "mailfs"
CONNECTIONS = 4
ROUND_SECONDS_MAX = 0.3
SIZES = (300, 2_000, 20_000, 200_000)


class Fate(enum.Enum):
    ACKNOWLEDGED = "acknowledged"
    LOST_ANSWER = "answer lost"
    NOT_SENT = "not sent"


def make_message(name, rng):
    size = rng.choice(SIZES)
    lines = [b"From: kill@example.org", f"Subject: {name}".encode(), b""]
    while size > 0:
        lines.append(rng.randbytes(35).hex().encode())
        size -= 72
    return b"\r\n".join(lines) + b"\r\n"


class Ledger:
    """What became of each transaction, keyed by the message's digest; filled by the threads of a round."""

    def __init__(self):
        self.fates, self.lock = {}, threading.Lock()

    def note(self, key, fate):
        with self.lock:
            self.fates[key] = fate

    def count(self, fate):
        return sum(1 for each in self.fates.values() if each is fate)


def deliver_until_killed(server, ledger, name, seed):
    rng = random.Random(seed)
    try:
        with server.lmtp() as lmtp:
            for number in range(1_000_000):
                message = make_message(f"{name}.{number}", rng)
                key = digest(message)
                ledger.note(key, Fate.NOT_SENT)
                lmtp.envelope("kill@example.org", f"{USER}@example.org")
                ledger.note(key, Fate.LOST_ANSWER)
                lmtp.data(message)
                ledger.note(key, Fate.ACKNOWLEDGED)
    except smtplib.SMTPResponseException as error:
        if error.smtp_code != -1:  # -1: the connection ended instead of an answer
            print(f"the server refused {name}: {error.smtp_code} {error.smtp_error}")
    except (OSError, smtplib.SMTPException):
        pass


class Mailbox:
    """All that was seen of the inbox so far."""

    def __init__(self):
        self.digests, self.uid_validity, self.errors = {}, None, []

    def read(self, server, first_uid):
        """Reads the messages from `first_uid` on and checks them against what was seen before; returns their digests."""
        with server.inbox(USER) as inbox:
            if self.uid_validity not in (None, inbox.uid_validity):
                self.errors.append(f"UIDVALIDITY went from {self.uid_validity} to {inbox.uid_validity}")
            self.uid_validity = inbox.uid_validity
            sizes = inbox.sizes(first_uid)
            if list(sizes) != sorted(sizes):
                self.errors.append("UIDs do not ascend")
            now = {uid: digest(body) for uid, body in inbox.bodies(sizes)}
        if len(now) != len(sizes):
            self.errors.append(f"{len(sizes)} messages are listed, {len(now)} can be read")
        for uid, was in self.digests.items():
            if uid >= first_uid and now.get(uid) != was:
                self.errors.append(f"UID {uid} {'names another message now' if uid in now else 'is gone'}")
        self.digests.update(now)
        return now

    def last_uid(self):
        return max(self.digests, default=0)


def judge(ledger, now):
    """The sentences that are wrong with the final state `now`."""
    errors, times = [], collections.Counter(now.values())
    for key, fate in ledger.fates.items():
        allowed = {Fate.ACKNOWLEDGED: (1,), Fate.LOST_ANSWER: (0, 1), Fate.NOT_SENT: (0,)}[fate]
        if times[key] not in allowed:
            errors.append(f"a message whose fate was '{fate.value}' is there {times[key]} times")
    strangers = sum(1 for key in times if key not in ledger.fates)
    if strangers:
        errors.append(f"{strangers} messages are there that nobody sent")
    return errors


def kill_round(server, ledger, number, rng):
    threads = [threading.Thread(target=deliver_until_killed, args=(server, ledger, f"{number}.{k}", rng.random()))
               for k in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    time.sleep(rng.uniform(0.01, ROUND_SECONDS_MAX))
    server.kill()
    for thread in threads:
        thread.join()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("imapd")
    parser.add_argument("--kills", type=int, default=int(os.environ.get("MAILFS_KILLS", "5")))
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--durability", default="none")
    parser.add_argument("--format", default="multi")
    chosen = parser.parse_args()
    print(f"seed {chosen.seed}, durability {chosen.durability}, format {chosen.format}")
    rng, ledger, mailbox = random.Random(chosen.seed), Ledger(), Mailbox()
    options = ["--durability", chosen.durability, "--format", chosen.format]
    with tempfile.TemporaryDirectory() as root:
        for number in range(chosen.kills):
            with Server(chosen.imapd, root, PASSWORD, options=options) as server:
                mailbox.read(server, mailbox.last_uid() + 1)
                kill_round(server, ledger, number, rng)
        with Server(chosen.imapd, root, PASSWORD, options=options) as server:
            errors = judge(ledger, mailbox.read(server, 1)) + mailbox.errors
    print(f"{chosen.kills} kills; " + ", ".join(f"{ledger.count(fate)} {fate.value}" for fate in Fate))
    if ledger.count(Fate.ACKNOWLEDGED) == 0:
        errors.append("not one delivery was acknowledged: nothing was tested")
    for error in errors[:20]:
        print(f"FAILED: {error}")
    print(f"{len(errors)} errors")
    return int(bool(errors))


if __name__ == "__main__":
    sys.exit(main())
