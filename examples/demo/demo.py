#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""Fills a mailbox by LMTP, shows how to read it by IMAP, and with --once reads it back and compares every byte."""

import argparse
import collections
import concurrent.futures
import contextlib
import imaplib
import itertools
import os
import queue
import signal
import smtplib
import sys
import time

from messages import read_messages
from server import HOST, Server, digest

try:
    from tqdm import tqdm
except ImportError:  # no Debian, or no rights: the tour works without a picture of its progress
    def tqdm(items, **_):
        return items

HERE = os.path.dirname(os.path.abspath(__file__))
USER, PASSWORD = "ada", "mailfs"
CONNECTIONS = 4
SHOWN_MAX = 10  # names listed of messages that went wrong


def arguments():
    parser = argparse.ArgumentParser(prog="demo.sh", description=__doc__)
    parser.add_argument("path", nargs="?", default=os.path.join(os.path.dirname(HERE), "mail"),
                        help="an mbox, a Maildir, a folder of message files, or a tar archive of such a folder; "
                             "otherwise the messages of examples/mail")
    parser.add_argument("--once", action="store_true", help="read everything back, compare, and exit with 0 or 1")
    parser.add_argument("--data", metavar="DIR", default="demo-data", help="where the server keeps its files (%(default)s)")
    parser.add_argument("--port", type=int, help="of IMAP: 1143, or any free one with --once")
    parser.add_argument("--lmtp-port", type=int, metavar="PORT", help="of LMTP: 1124, or any free one with --once")
    parser.add_argument("--durability", choices=("none", "stored"), default="stored",
                        help="an answered delivery survives kill -9, or also a power cut (%(default)s)")
    parser.add_argument("--format", choices=("single", "multi"), default="multi",
                        help="a file for each message, or for many (%(default)s)")
    parser.add_argument("--imapd", required=True, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    for name, port in (("port", 1143), ("lmtp_port", 1124)):
        if getattr(chosen, name) is None:
            setattr(chosen, name, 0 if chosen.once else port)
    return chosen


def progress(items, total, what, unit="mail"):
    return tqdm(items, total=total, desc=what, unit=unit, disable=None, leave=False)


def found_in(inbox, wanted):
    """How often each wanted digest is in the inbox. Bodies are fetched only where the size fits a wanted message."""
    sizes_wanted = {size for size, _ in wanted}
    sizes = {uid: size for uid, size in inbox.sizes().items() if size in sizes_wanted}
    found = collections.Counter()
    for _, body in progress(inbox.bodies(sizes), len(sizes), "reading back"):
        found[len(body), digest(body)] += 1
    return found & wanted  # what was there before, or twice, is not ours to judge


def not_there(path, there):
    """Yields (name, message) of what is under `path` and not in the counter `there`."""
    there = collections.Counter(there)
    for name, message in read_messages(path):
        key = len(message), digest(message)
        if there[key] > 0:
            there[key] -= 1
        else:
            yield name, message


def deliver_one(lmtps, name, message):
    """None, or why the server refused the message."""
    lmtp = lmtps.get()
    try:
        lmtp.deliver("sender@example.org", f"{USER}@example.org", message)
        return None
    except smtplib.SMTPResponseException as error:
        return name, f"{error.smtp_code} {error.smtp_error.decode(errors='replace')}"
    finally:
        lmtps.put(lmtp)


def deliver(server, path, wanted, there):
    """Delivers what is not there yet, over a few connections so that they share syncs; returns (delivered, refused)."""
    delivered, refused = 0, []
    with contextlib.ExitStack() as opened, concurrent.futures.ThreadPoolExecutor(CONNECTIONS) as pool:
        lmtps = queue.SimpleQueue()
        for _ in range(CONNECTIONS):
            lmtps.put(opened.enter_context(server.lmtp()))
        under_way = collections.deque()

        def settle(count_max):
            nonlocal delivered
            while len(under_way) > count_max:
                why = under_way.popleft().result()
                refused.extend([why] if why else [])
                delivered += why is None

        for name, message in progress(not_there(path, there), wanted.total() - there.total(), "delivering"):
            under_way.append(pool.submit(deliver_one, lmtps, name, message))
            settle(CONNECTIONS)
        settle(0)
    return delivered, refused


def fill(server, chosen):
    """Brings all messages into the INBOX; returns (the digests wanted there, whether all went well)."""
    wanted = collections.Counter((len(message), digest(message)) for _, message in read_messages(chosen.path))
    if not wanted:
        raise RuntimeError(f"{chosen.path}: there is no message in it")
    size = sum(key[0] * times for key, times in wanted.items())
    amount = f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.1f} kB"
    print(f"{wanted.total()} messages, {amount}, in {chosen.path}")
    with server.inbox(USER) as inbox:
        there = found_in(inbox, wanted)
    begin = time.monotonic()
    delivered, refused = deliver(server, chosen.path, wanted, there)
    seconds = time.monotonic() - begin
    rate = f" in {seconds:.1f} s, {delivered / seconds:.0f} a second" if delivered else ""
    print(f"{delivered} delivered by LMTP at durability {chosen.durability}{rate}; {there.total()} were there already")
    for name, why in refused[:SHOWN_MAX]:
        print(f"refused: {name}: {why}")
    if refused:
        print(f"{len(refused)} refused")
    return wanted, not refused


def names_of(missing, path):
    names = (name for name, message in read_messages(path) if missing[len(message), digest(message)] > 0)
    return itertools.islice(names, SHOWN_MAX)


def read_back(server, chosen, wanted):
    """Compares the INBOX with what was sent; True when nothing is missing."""
    begin = time.monotonic()
    with server.inbox(USER) as inbox:
        found = found_in(inbox, wanted)
    missing = wanted - found
    for name in names_of(missing, chosen.path) if missing else ():
        print(f"did not come back as it was sent: {name}")
    print(f"{found.total()} of {wanted.total()} messages came back by IMAP byte for byte, "
          f"in {time.monotonic() - begin:.1f} s; {missing.total()} did not")
    return not missing


def explain(server, chosen):
    print(f"""
The server listens until Ctrl-C; its files are in {chosen.data}. Any mail client can read the INBOX:

    IMAP server {HOST}, port {server.imap_port}, no encryption, user {USER}, password {PASSWORD}
    curl --user {USER}:{PASSWORD} 'imap://{HOST}:{server.imap_port}/INBOX;MAILINDEX=1'
    mutt -e 'set ssl_starttls=no ssl_force_tls=no' -f imap://{USER}:{PASSWORD}@{HOST}:{server.imap_port}/INBOX

More mail goes in by LMTP at {HOST}, port {server.lmtp_port}, to any name at example.org. Each name is an account
of its own with the same password.""", flush=True)


def tour(chosen):
    options = ["--durability", chosen.durability, "--format", chosen.format]
    with Server(chosen.imapd, chosen.data, PASSWORD, chosen.port, chosen.lmtp_port, options) as server:
        wanted, well = fill(server, chosen)
        if chosen.once:
            well = read_back(server, chosen, wanted) and well
            code = server.stop()
            if code != 0:
                print(f"the server did not stop cleanly: exit code {code}")
            return well and code == 0
        explain(server, chosen)
        code = server.process.wait()
        print(f"the server ended by itself with exit code {code}")
        return False


def stop(*_):
    raise KeyboardInterrupt


def main():
    chosen = arguments()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    try:
        return 0 if tour(chosen) else 1
    except KeyboardInterrupt:
        print("\nstopped")
        return 1 if chosen.once else 0
    except (OSError, RuntimeError, smtplib.SMTPException, imaplib.IMAP4.error) as error:
        print(f"demo.sh: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)
    sys.exit(main())
