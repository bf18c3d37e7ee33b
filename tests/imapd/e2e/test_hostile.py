# SPDX-License-Identifier: BSL-1.0
"""What strangers send: the server answers or closes, keeps its memory, and goes on serving others."""

import random
import socket
import struct
import time
import unittest

from client import HOST, SECONDS, Lmtp, Server

MEMORY_MAX = 200 << 20      # bytes, of the whole server
SANITIZED_MAX = 2000 << 20  # the same, where a sanitizer keeps what was freed


class Hostile(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server("--fs", "memory", "--threads", "2", "--message-size-max", "1000000")

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__()

    def tearDown(self):
        with self.server.selected() as imap:
            imap.ok("NOOP")
        with open(f"/proc/{self.server.process.pid}/status") as status:
            resident = next(int(line.split()[1]) << 10 for line in status if line.startswith("VmRSS"))
        self.assertLess(resident, SANITIZED_MAX if self.server.is_sanitized() else MEMORY_MAX)

    def test_literals_that_announce_too_much_cost_nothing(self):
        with self.server.imap(None) as imap:
            self.assertEqual(imap.no("LOGIN {99999999999999999999}").code("TOOBIG"), "")
            self.assertEqual(imap.no("LOGIN {4097}").code("TOOBIG"), "")
            self.assertEqual(imap.no("APPEND INBOX {100000}").code("TOOBIG"), "")  # not before login
            self.assertEqual(imap.no("LOGIN {5000+}\r\n" + "x" * 5000 + " y").code("TOOBIG"), "")
            imap.send(b"x LOGIN {99999999+}\r\n")
            self.assertTrue(imap.response().startswith(b"* BYE [TOOBIG]"))
            self.assertTrue(imap.at_end())
        with self.server.selected() as imap:
            self.assertEqual(imap.no("APPEND INBOX {1000001}").code("TOOBIG"), "")
            imap.append("INBOX", b"x" * 1_000_000)
            self.assertEqual(imap.no("SEARCH SUBJECT {70000}").code("TOOBIG"), "")
            imap.send(b"x APPEND INBOX {1000000}\r\n")  # and then nothing comes

    def test_endless_lines(self):
        for user in (None, "alice"):
            with self.server.imap(user) as imap:
                imap.bad("NOOP " + "x" * 100_000)
                imap.ok("NOOP")
                with self.assertRaises((ConnectionError, socket.timeout)):
                    for _ in range(100):
                        imap.send(b"x" * 100_000)
                        time.sleep(0.001)
                    self.assertTrue(imap.response().startswith(b"* BYE"))
                    raise ConnectionError
        with self.server.lmtp() as lmtp:
            self.assertTrue(lmtp.command("NOOP " + "x" * 10_000).startswith("500"))
            self.assertTrue(lmtp.command("NOOP").startswith("250"))

    def test_garbage_gets_bad_and_in_the_end_bye(self):
        chosen = random.Random(2)
        for seed in range(20):
            chosen.seed(seed)
            client = self.server.imap(None if seed % 2 else "alice")
            garbage = chosen.randbytes(20_000).replace(b"{", b"(")
            try:
                client.send(garbage)
                client.send(b"\r\nzz LOGOUT\r\n")
                while b"BYE" not in client.response():
                    pass
            except (ConnectionError, socket.timeout) as error:
                self.assertNotIsInstance(error, socket.timeout)
            client.close()

    def test_mutated_commands_always_have_an_answer(self):
        chosen = random.Random(3)
        seeds = [b"FETCH 1:* (BODY.PEEK[HEADER.FIELDS (A)]<0.9> MODSEQ) (CHANGEDSINCE 1)", b"SEARCH OR TEXT x NOT (SINCE 1-Jan-2020 UID 1:*)",
                 b"STORE 1 +FLAGS (\\Seen a)", b'LIST "" "*"', b"STATUS INBOX (MESSAGES)", b"UID COPY 1 INBOX", b"CREATE \"x &AOk-\"", b"APPEND INBOX (\\Seen) {3+}\r\nabc"]
        with self.server.selected() as imap:
            for n in range(400):
                line = bytearray(chosen.choice(seeds))
                for _ in range(chosen.randrange(3)):
                    at = chosen.randrange(len(line))
                    line[at:at + chosen.randrange(2)] = bytes([chosen.choice(b" ()[]<>\"\\%*.:,0199abcXYZ-+~&")])
                answer = imap.command(bytes(line) + b"\r\nsync%d NOOP" % n)  # whatever the first became, NOOP ends it
                while True:
                    if imap.response().startswith(b"sync%d OK" % n):
                        break
                self.assertIn(answer.status, ("OK", "NO", "BAD"))

    def test_sockets_closed_halfway_and_reset(self):
        with self.server.imap() as imap:
            imap.send(b"a NOOP\r\nb SELECT INBOX\r\nc LOGOUT\r\n")
            imap.socket.shutdown(socket.SHUT_WR)
            while not imap.response().startswith(b"c OK"):
                pass
        for text in (b"a SELECT INBOX\r\nb IDLE\r\n", b"a APPEND INBOX {10}\r\nabc", b"a SELECT INBOX\r\nb FETCH 1:* BODY[]\r\n" * 20, b""):
            for how in ("reset", "close", "half"):
                imap = self.server.imap()
                imap.send(text)
                if how == "reset":
                    imap.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                if how == "half":
                    imap.socket.shutdown(socket.SHUT_WR)
                    while imap.file.read(65536):
                        pass
                imap.close()

    def test_a_client_that_does_not_read_holds_up_nobody(self):
        with self.server.selected() as other, self.server.imap() as imap:
            imap.append("INBOX", b"y" * 900_000)
            imap.ok("SELECT INBOX")
            for _ in range(200):
                imap.send(b"a FETCH 1:* BODY.PEEK[]\r\n")
            start = time.monotonic()
            other.ok("NOOP")
            self.assertLess(time.monotonic() - start, 5)

    def test_many_malformed_commands_end_the_session(self):
        with self.server.imap(None) as imap:
            for _ in range(10):
                imap.bad("FROB")
            self.assertTrue(imap.response().startswith(b"* BYE"))
            self.assertTrue(imap.at_end())

    def test_deep_and_odd_mime(self):
        deep = b"Content-Type: message/rfc822\r\n\r\n" * 2000
        wide = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\n\r\n" * 30_000
        mixed = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(2000))
        with self.server.imap() as imap:
            imap.ok("CREATE mime")
            for message in (deep, wide, mixed, b"\0" * 100 + b"\r\n", b"From: " + b"<" * 50_000 + b"\r\n\r\n", b"To: " + b"a@b," * 40_000 + b"\r\n\r\n"):
                imap.append("mime", message)
            imap.ok("SELECT mime")
            start = time.monotonic()
            for number in range(1, 7):
                imap.ok(f"FETCH {number} (ENVELOPE BODYSTRUCTURE BODY.PEEK[1.1.1.1])")
                self.assertEqual(imap.body(number, "BODY.PEEK[]")[:1] is not None, True)
            imap.ok("SEARCH TEXT nowhere")
            self.assertLess(time.monotonic() - start, SECONDS)

    def test_lmtp_garbage_and_smuggling(self):
        with self.server.lmtp() as lmtp:
            for _ in range(20):
                self.assertEqual(lmtp.command("FROB")[:3], "500")
            lmtp.send(b"FROB\r\n")
            self.assertTrue(lmtp.reply().startswith("500"))
            self.assertTrue(lmtp.reply().startswith("421"))
            self.assertTrue(lmtp.at_end())
        with self.server.lmtp() as lmtp:
            for line in ("MAIL FROM:<a@b>", "RCPT TO:<smuggled@x>", "DATA"):
                lmtp.command(line)
            lmtp.send(b"Subject: a\r\n\r\nx\n.\r\nMAIL FROM:<evil@x>\r\n\r.\r\nRCPT TO:<x>\r\n.\n\r\n.\r\n")
            self.assertTrue(lmtp.reply().startswith("250"))
            self.assertTrue(lmtp.command("NOOP").startswith("250"))
        with self.server.selected(user="smuggled") as imap:
            self.assertEqual(imap.search("ALL"), [1])

    def test_more_connections_than_allowed_are_told_so(self):
        held = [Lmtp(self.server.lmtp_port, greet=False) for _ in range(100)]
        refused = None
        for _ in range(60):
            extra = socket.create_connection((HOST, self.server.lmtp_port), SECONDS)
            if extra.recv(200).startswith(b"421"):
                refused = True
            extra.close() if refused else held.append(extra)
            if refused:
                break
        for connection in held:
            connection.close()
        self.assertTrue(refused)
        time.sleep(0.2)
        self.server.deliver(b"Subject: again\r\n\r\n")

    def test_nobody_stays_without_logging_in(self):
        with self.server.imap(None) as imap:
            for _ in range(100):
                imap.ok("NOOP")
            imap.begin("NOOP")
            self.assertTrue(imap.response().startswith(b"* BYE"))
            self.assertTrue(imap.at_end())
