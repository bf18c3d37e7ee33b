# SPDX-License-Identifier: BSL-1.0
"""A running imapd, a bare IMAP client that hides nothing, and a bare LMTP client that sees every reply."""

import contextlib
import re
import select
import shutil
import signal
import socket
import subprocess
import tempfile

HOST = "127.0.0.1"
SECONDS = 20  # for any one answer
PASSWORD = "pass word"
PROGRAM = None  # set by the runner


class Server:
    """imapd with a root of its own, stopped and removed at the end. Extra options come last."""

    def __init__(self, *options, root=None, users=None):
        self.errors = tempfile.TemporaryFile()
        self.own_root = root is None
        self.root = root or tempfile.mkdtemp(prefix="imapd-e2e-")
        self.options = ["--users", users] if users else ["--any-user", PASSWORD]
        self.options += options
        self.start()

    def start(self):
        command = [PROGRAM, "--root", self.root, "--imap", f"{HOST}:0", "--lmtp", f"{HOST}:0", *self.options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.errors, text=True)
        if not select.select([self.process.stdout], [], [], SECONDS)[0]:
            self.process.kill()
            raise TimeoutError("the server is not ready")
        found = re.fullmatch(r"ready imap=127\.0\.0\.1:(\d+) lmtp=127\.0\.0\.1:(\d+)\n", self.process.stdout.readline())
        self.imap_port, self.lmtp_port = int(found[1]), int(found[2])

    def stop(self, how=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(how)
        code = self.process.wait(SECONDS)
        self.process.stdout.close()
        return code

    def is_sanitized(self):
        with open(PROGRAM, "rb") as program:
            return b"__asan_init" in program.read()

    @staticmethod
    def knows(fs):
        """Whether a server can be had on that; io_uring is not built in everywhere, and some kernels forbid it."""
        if fs != "uring":
            return True
        with tempfile.TemporaryDirectory() as root:
            command = [PROGRAM, "--root", root, "--fs", fs, "--any-user", "x", "--imap", f"{HOST}:0", "--lmtp", f"{HOST}:0"]
            with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
                ready = server.stdout.readline().startswith("ready ")
                server.terminate()
            return ready

    @staticmethod
    def knows_zstd():
        told = subprocess.run([PROGRAM, "--help"], capture_output=True, timeout=SECONDS).stdout
        return b"compressed by zstd" in told

    def log(self):
        self.errors.seek(0)
        return self.errors.read().decode(errors="replace")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(Exception):
            self.stop()
        self.errors.close()
        if self.own_root:
            shutil.rmtree(self.root, ignore_errors=True)

    def imap(self, user="alice"):
        client = Imap(self.imap_port)
        if user:
            client.ok(f'LOGIN {user} "{PASSWORD}"')
        return client

    def selected(self, mailbox="INBOX", user="alice"):
        client = self.imap(user)
        client.ok(f"SELECT {mailbox}")
        return client

    def lmtp(self):
        return Lmtp(self.lmtp_port)

    def deliver(self, message, *users):
        with self.lmtp() as client:
            replies = client.deliver(message, *(users or ("alice",)))
        assert all(r.startswith("250 ") for r in replies), replies


class Wire:
    def __init__(self, port):
        self.socket = socket.create_connection((HOST, port), SECONDS)
        self.file = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.file.close()
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def at_end(self):
        """Whether the server has closed the connection and said nothing more."""
        try:
            return self.file.read(1) == b""
        except ConnectionResetError:
            return True


class Answer:
    def __init__(self, status, text, untagged):
        self.status, self.text, self.untagged = status, text, untagged

    def __repr__(self):
        return f"{self.status} {self.text} {self.untagged}"

    def having(self, word):
        """Untagged responses in which the word stands."""
        return [u for u in self.untagged if word.encode() in u]

    def code(self, name):
        """The argument of a response code, tagged or not."""
        for line in [self.text, *self.untagged]:
            if found := re.search(rb"\[" + name.encode() + rb"(?: ([^\]]*))?\]", line):
                return (found[1] or b"").decode()
        return None


class Imap(Wire):
    def __init__(self, port):
        super().__init__(port)
        self.greeting = self.response()
        self.count = 0

    def response(self):
        """One response with its literals in place, without the last line end."""
        data = b""
        while True:
            line = self.file.readline()
            if not line.endswith(b"\n"):
                raise ConnectionError(f"the server closed after {data + line!r}")
            data += line
            found = re.search(rb"\{(\d+)\}\r\n$", line)
            if not found:
                return data[:-2]
            data += self.file.read(int(found[1]))

    def begin(self, text):
        self.count += 1
        tag = f"t{self.count}".encode()
        self.send(tag + b" " + (text if isinstance(text, bytes) else text.encode()) + b"\r\n")
        return tag

    def finish(self, tag):
        untagged = []
        while True:
            line = self.response()
            if line.startswith(tag + b" "):
                _, status, text = line.split(b" ", 2)
                return Answer(status.decode(), text, untagged)
            untagged.append(line)

    def command(self, text):
        return self.finish(self.begin(text))

    def expect(self, status, text):
        answer = self.command(text)
        assert answer.status == status, (text, answer)
        return answer

    def ok(self, text):
        return self.expect("OK", text)

    def no(self, text):
        return self.expect("NO", text)

    def bad(self, text):
        return self.expect("BAD", text)

    def append(self, mailbox, message, arguments=""):
        return self.ok(f"APPEND {mailbox} {arguments}{{{len(message)}+}}\r\n".encode() + message)

    def append_many(self, mailbox, *messages, arguments=""):
        """One APPEND for all of them (RFC 3502)."""
        each = [f"{arguments}{{{len(m)}+}}\r\n".encode() + m for m in messages]
        return self.ok(f"APPEND {mailbox} ".encode() + b" ".join(each))

    def search(self, keys, uid=False):
        line = self.ok(("UID " if uid else "") + "SEARCH " + keys).having("* SEARCH")[0]
        return [int(n) for n in line.split()[2:]]

    def flags(self, number):
        line = self.ok(f"FETCH {number} FLAGS").having("FETCH")[0]
        return set(re.search(rb"FLAGS \(([^)]*)\)", line)[1].decode().split())

    def body(self, number, section="BODY.PEEK[]", uid=False):
        """The bytes of the one literal or string that a FETCH of one item gives; None for NIL."""
        line = self.ok(f"{'UID ' if uid else ''}FETCH {number} {section}").having("FETCH")[0]
        if found := re.search(rb"\{(\d+)\}\r\n", line):
            return line[found.end():found.end() + int(found[1])]
        return None

    def idle(self):
        self.idle_tag = self.begin("IDLE")
        seen = []
        while not (line := self.response()).startswith(b"+"):
            seen.append(line)
        return seen

    def done(self):
        self.send(b"DONE\r\n")
        return self.finish(self.idle_tag)


class Lmtp(Wire):
    def __init__(self, port, greet=True):
        super().__init__(port)
        self.greeting = self.reply()
        if greet:
            self.extensions = self.command("LHLO test")

    def reply(self):
        lines = []
        while True:
            line = self.file.readline().decode()
            if not line.endswith("\r\n"):
                raise ConnectionError(f"the server closed after {lines + [line]}")
            lines.append(line[:-2])
            if line[3] == " ":
                return "\n".join(lines)

    def command(self, text):
        self.send(text.encode() + b"\r\n")
        return self.reply()

    def deliver(self, message, *users):
        """One reply for each recipient."""
        assert self.command("MAIL FROM:<sender@example.org>").startswith("250")
        for user in users:
            assert self.command(f"RCPT TO:<{user}@example.org>").startswith("250")
        assert self.command("DATA").startswith("354")
        stuffed = re.sub(rb"(?:\A|(?<=\r\n))\.", b"..", message)
        self.send(stuffed + b".\r\n")
        return [self.reply() for _ in users]
