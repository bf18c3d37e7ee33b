# SPDX-License-Identifier: BSL-1.0
"""A running demo server, and how a program talks to it: LMTP in, IMAP out, with Python's own libraries."""

import ctypes
import hashlib
import imaplib
import re
import select
import signal
import smtplib
import subprocess
import time

HOST = "127.0.0.1"
START_SECONDS, STOP_SECONDS, ANSWER_SECONDS = 30, 10, 60
READY = re.compile(r"ready imap=(\S+):(\d+) lmtp=(\S+):(\d+)")
FETCH_BYTES_MAX = 8 << 20  # asked for in one FETCH; more only for a single message that is larger

# imaplib gives up on response lines beyond a limit of its own
imaplib._MAXLINE = 10_000_000


LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1


def end_with_parent():
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def digest(message):
    return hashlib.sha256(message).digest()


class Server:
    """imapd as a child process; `with Server(...) as server` stops it cleanly at the end."""

    def __init__(self, program, root, password, imap_port=0, lmtp_port=0, options=()):
        self.password = password
        command = [program, "--root", root, "--any-user", password,
                   "--imap", f"{HOST}:{imap_port}", "--lmtp", f"{HOST}:{lmtp_port}", *options]
        # In a session of its own: Ctrl-C reaches this program alone, which then stops the server in order.
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                                        start_new_session=True, preexec_fn=end_with_parent)
        try:
            self.imap_port, self.lmtp_port = self.wait_ready()
        except BaseException:
            self.kill()
            raise

    def wait_ready(self):
        deadline = time.monotonic() + START_SECONDS
        while (left := deadline - time.monotonic()) > 0:
            if not select.select([self.process.stdout], [], [], left)[0]:
                break
            line = self.process.stdout.readline()
            if not line:
                raise RuntimeError(f"the server ended at once with exit code {self.process.wait()}")
            if found := READY.search(line):
                return int(found[2]), int(found[4])
        raise RuntimeError(f"the server was not ready within {START_SECONDS} seconds")

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def stop(self):
        """SIGTERM; returns the exit code, or None when it had to be killed."""
        self.process.terminate()
        try:
            code = self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            return None
        self.process.stdout.close()
        return code

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.stop()

    def lmtp(self):
        return Lmtp(self.lmtp_port)

    def inbox(self, user):
        return Inbox(self.imap_port, user, self.password)


class Lmtp:
    """One LMTP connection; each deliver() is one transaction with one recipient."""

    def __init__(self, port):
        self.client = smtplib.LMTP(HOST, port, local_hostname="localhost")
        self.client.sock.settimeout(ANSWER_SECONDS)
        self.client.ehlo_or_helo_if_needed()
        self.options = ["BODY=8BITMIME"] if self.client.has_extn("8bitmime") else []

    def envelope(self, sender, recipient):
        """MAIL and RCPT: as long as this has not returned, nothing can have been delivered."""
        for code, text in (self.client.mail(sender, self.options), self.client.rcpt(recipient)):
            if code // 100 != 2:
                self.client.rset()
                raise smtplib.SMTPResponseException(code, text)

    def data(self, message):
        """The message itself; returns once the server answered 2xx, raises SMTPResponseException for any other answer."""
        code, text = self.client.data(message)
        if code // 100 != 2:
            raise smtplib.SMTPResponseException(code, text)

    def deliver(self, sender, recipient, message):
        self.envelope(sender, recipient)
        self.data(message)

    def close(self):
        self.client.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Inbox:
    """A user's INBOX, opened read-only over IMAP."""

    def __init__(self, port, user, password):
        self.client = imaplib.IMAP4(HOST, port, timeout=ANSWER_SECONDS)
        self.client.login(user, password)
        self.command("select", "INBOX", True)
        self.uid_validity = int(self.client.response("UIDVALIDITY")[1][0])

    def command(self, name, *arguments):
        status, data = getattr(self.client, name)(*arguments)
        if status != "OK":
            raise RuntimeError(f"IMAP {name}: {status} {data}")
        return data

    def sizes(self, first_uid=1):
        """{uid: bytes} of all messages from `first_uid` on, ascending as the server sent them."""
        found = {}
        for item in self.command("uid", "FETCH", f"{first_uid}:*", "(UID RFC822.SIZE)"):
            if item is None:
                continue
            uid, size = (int(re.search(word + rb" (\d+)", item)[1]) for word in (rb"UID", rb"RFC822\.SIZE"))
            if uid >= first_uid:  # "n:*" names the last message even when n lies beyond it
                found[uid] = size
        return found

    def bodies(self, sizes):
        """Yields (uid, bytes) for each uid of `sizes`, many of them a FETCH."""
        batch, held = [], 0
        for uid, size in sizes.items():
            if batch and held + size > FETCH_BYTES_MAX or len(batch) == 500:
                yield from self.fetch(batch)
                batch, held = [], 0
            batch.append(uid)
            held += size
        if batch:
            yield from self.fetch(batch)

    def fetch(self, uids):
        data = self.command("uid", "FETCH", ",".join(map(str, uids)), "(UID BODY.PEEK[])")
        for at, item in enumerate(data):
            if isinstance(item, tuple):
                after = data[at + 1] if at + 1 < len(data) and isinstance(data[at + 1], bytes) else b""
                yield int(re.search(rb"UID (\d+)", item[0] + b" " + after)[1]), item[1]

    def close(self):
        self.client.logout()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.shutdown()
