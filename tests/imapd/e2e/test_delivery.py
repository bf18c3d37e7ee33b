# SPDX-License-Identifier: BSL-1.0
"""Mail goes in by LMTP and comes out by IMAP, byte for byte; and what LMTP says besides."""

import imaplib
import random
import signal
import smtplib
import subprocess
import tempfile
import unittest

import client
from client import HOST, PASSWORD, Lmtp, Server

COMPOSITIONS = [("posix", "multi", "stored"), ("posix", "single", "none"), ("memory", "multi", "none"), ("memory", "single", "stored"),
                ("pooled", "multi", "stored"), ("uring", "multi", "stored"), ("uring", "single", "none")]


def messages():
    """Ordinary ones and odd ones; all lines end in CRLF, as LMTP has it."""
    chosen = random.Random(1)
    yield b"Subject: one\r\n\r\nbody\r\n"
    yield b"Subject: no body\r\n\r\n"
    yield b"no header at all\r\n"
    yield b"\r\nno header, but a body\r\n"
    yield b"X: y\r\n\r\n.\r\n..\r\n.dots\r\n\r\n.\r\n"
    yield b"X: 8bit \xc3\xa9 \xff\r\n\r\n\x01\x02 bare \n and \r ends\r\n"
    yield b"Subject: long line\r\n\r\n" + b"x" * 100_000 + b"\r\n"
    yield b"Subject: big\r\n\r\n" + b"".join(chosen.randbytes(60).replace(b"\n", b"_").replace(b"\r", b"_") + b"\r\n" for _ in range(40_000))
    yield b"From nobody Thu Jan  1 00:00:00 1970\r\nSubject: mbox\r\n\r\n>From x\r\n"


class Delivery(unittest.TestCase):
    def test_bytes_come_back_from_every_composition(self):
        for fs, kind, durability in COMPOSITIONS:
            if not Server.knows(fs):
                print(f"skipped: --fs {fs}, which this server or this kernel has not")
                continue
            with self.subTest(fs=fs, format=kind), Server("--fs", fs, "--format", kind, "--durability", durability) as server:
                sent = list(messages())
                with server.lmtp() as lmtp:
                    for message in sent:
                        self.assertTrue(lmtp.deliver(message, "alice")[0].startswith("250 2.0.0"))
                with server.selected() as imap:
                    for number, message in enumerate(sent, 1):
                        self.assertEqual(imap.body(number), message)
                        self.assertEqual(imap.body(number, "RFC822"), message)
                        self.assertEqual(imap.body(number, "BODY.PEEK[HEADER]") + imap.body(number, "BODY.PEEK[TEXT]"), message)
                        self.assertIn(b"RFC822.SIZE %d)" % len(message), imap.ok(f"FETCH {number} RFC822.SIZE").untagged[0])

    def test_pythons_own_clients_work(self):
        with Server() as server:
            with smtplib.LMTP(HOST, server.lmtp_port) as lmtp:
                lmtp.sendmail("a@b", ["alice@x"], b"Subject: x\r\n\r\n.hello\r\n", ["BODY=8BITMIME", "SIZE=20"])
            with imaplib.IMAP4(HOST, server.imap_port) as imap:
                imap.authenticate("PLAIN", lambda _: b"\0alice\0" + PASSWORD.encode())
                imap.select()
                self.assertEqual(imap.fetch("1", "(RFC822)")[1][0][1], b"Subject: x\r\n\r\n.hello\r\n")

    def test_acknowledged_mail_outlives_a_kill_and_a_restart(self):
        for kind in ("multi", "single"):
            with Server("--format", kind, "--durability", "none", "--rotate-size", "512") as server:
                sent = [b"Subject: %d\r\n\r\nx\r\n" % n for n in range(40)]
                with server.lmtp() as lmtp:
                    for message in sent:
                        lmtp.deliver(message, "alice")
                with server.selected() as imap:
                    imap.ok("STORE 1:10 +FLAGS (\\Flagged work)")
                    validity = imap.ok("STATUS INBOX (UIDVALIDITY)").untagged[0]
                server.stop(signal.SIGKILL)
                server.start()
                with server.selected() as imap:
                    self.assertEqual(imap.ok("STATUS INBOX (UIDVALIDITY)").untagged[0], validity)
                    self.assertEqual([imap.body(n) for n in range(1, 41)], sent)
                    self.assertEqual(imap.search("FLAGGED KEYWORD work"), list(range(1, 11)))


class Protocol(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.users = tempfile.NamedTemporaryFile("w", suffix=".users")
        cls.users.write(f"# users\nalice:{PASSWORD}\nbob:{{PLAIN}}{PASSWORD}\n")
        cls.users.flush()
        cls.server = Server("--durability", "none", "--message-size-max", "5000", users=cls.users.name)

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__()
        cls.users.close()

    def test_each_recipient_has_a_reply_of_its_own(self):
        with self.server.lmtp() as lmtp:
            lmtp.command("MAIL FROM:<>")
            self.assertTrue(lmtp.command("RCPT TO:<nobody@x>").startswith("550 5.1.1"))
            self.assertTrue(lmtp.command("DATA").startswith("503"))
            lmtp.command("RSET")
            replies = lmtp.deliver(b"Subject: both\r\n\r\n", "alice", "bob", "alice+detail")
            self.assertEqual([r[:3] for r in replies], ["250"] * 3)
        for user in ("alice", "bob"):
            with self.server.selected(user=user) as imap:
                self.assertEqual(len(imap.search("SUBJECT both")), 1)

    def test_commands_out_of_order_are_refused_and_change_nothing(self):
        with Lmtp(self.server.lmtp_port, greet=False) as lmtp:
            self.assertTrue(lmtp.greeting.startswith("220 "))
            for line, reply in (("MAIL FROM:<a@b>", "503"), ("EHLO x", "500"), ("FROB", "500"), ("LHLO x", "250"), ("RCPT TO:<alice>", "503"),
                                ("MAIL FROM:<a@b> SIZE=5001", "552"), ("MAIL FROM:<a@b> X=Y", "555"), ("MAIL FROM:<a@b>", "250"),
                                ("MAIL FROM:<a@b>", "503"), ("VRFY x", "252"), ("NOOP", "250"), ("QUIT", "221")):
                self.assertTrue(lmtp.command(line).startswith(reply), line)
            self.assertTrue(lmtp.at_end())

    def test_pipelined_commands_are_answered_in_order(self):
        with self.server.lmtp() as lmtp:
            lmtp.send(b"MAIL FROM:<a@b>\r\nRCPT TO:<alice>\r\nRCPT TO:<nobody>\r\nDATA\r\n")
            self.assertEqual([lmtp.reply()[:3] for _ in range(4)], ["250", "250", "550", "354"])
            lmtp.send(b"Subject: x\r\n\r\n\r\n.\r\nNOOP\r\nQUIT\r\n")
            self.assertEqual([lmtp.reply()[:3] for _ in range(3)], ["250", "250", "221"])

    def test_a_message_that_is_too_big_is_refused_and_the_session_goes_on(self):
        with self.server.lmtp() as lmtp:
            self.assertIn("SIZE 5000", lmtp.extensions)
            self.assertTrue(lmtp.deliver(b"x" * 6000 + b"\r\n", "alice")[0].startswith("552 5.3.4"))
            self.assertTrue(lmtp.deliver(b"x" * 4000 + b"\r\n", "alice")[0].startswith("250"))

    def test_half_a_message_is_no_message(self):
        with self.server.lmtp() as lmtp:
            for line in ("MAIL FROM:<a@b>", "RCPT TO:<bob>", "DATA"):
                lmtp.command(line)
            lmtp.send(b"Subject: half\r\n\r\nnever ended\r\n")
        with self.server.selected(user="bob") as imap:
            self.assertEqual(imap.search("SUBJECT half"), [])

    def test_only_users_of_the_file_may_log_in(self):
        with self.server.imap(None) as imap:
            self.assertEqual(imap.no(f'LOGIN carol "{PASSWORD}"').code("AUTHENTICATIONFAILED"), "")
            imap.no("LOGIN alice wrong")
            imap.ok(f'LOGIN alice "{PASSWORD}"')

    def test_some_failed_logins_end_it(self):
        with self.server.imap(None) as imap:
            for _ in range(3):
                imap.no("LOGIN alice wrong")
            self.assertTrue(imap.response().startswith(b"* BYE"))
            self.assertTrue(imap.at_end())


class Program(unittest.TestCase):
    def test_sigterm_tells_idle_and_quiet_sessions_and_ends_in_time(self):
        with Server("--fs", "memory", "--threads", "3") as server:
            clients = [server.selected() for _ in range(5)] + [server.imap(None)]
            clients[0].idle()
            lmtp = server.lmtp()
            self.assertEqual(server.stop(), 0)
            for client in clients:
                self.assertTrue(client.response().startswith(b"* BYE"))
                client.close()
            self.assertTrue(lmtp.reply().startswith("421"))
            lmtp.close()

    def test_what_cannot_work_is_said_in_one_line(self):
        for arguments, words in ((["--root", "/proc/nothing", "--any-user", "x"], "/proc/nothing"), (["--any-user", "x"], "--root is required"),
                                 (["--root", "x"], "--any-user"), (["--root", "x", "--any-user", ""], "empty"),
                                 (["--root", "x", "--users", ""], "cannot be read"), (["--root", "x", "--users", "/nonexistent"], "/nonexistent"),
                                 (["--root", tempfile.gettempdir(), "--any-user", "x", "--imap", "127.0.0.1"], "HOST:PORT"),
                                 (["--root", tempfile.gettempdir(), "--any-user", "x", "--fs", "tape"], "tape")):
            ran = subprocess.run([client.PROGRAM, *arguments], capture_output=True, text=True, timeout=20)
            self.assertNotEqual(ran.returncode, 0, arguments)
            self.assertIn(words, ran.stderr + ran.stdout)
