#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""The small examples do what they say: quickstart files and reads, watch tells what deliver brings.

    examples.py QUICKSTART DELIVER WATCH
"""

import os
import select
import signal
import subprocess
import sys
import tempfile
import time

LINE_SECONDS = 20


def run(*command, code=0, **more):
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, **more)
    expect(f"{os.path.basename(command[0])} ends with", done.returncode, code)
    return done.stdout


def expect(what, said, wanted):
    if said != wanted:
        sys.exit(f"FAILED: {what} {said!r} instead of {wanted!r}")


def next_line(process):
    deadline = time.monotonic() + LINE_SECONDS
    if not select.select([process.stdout], [], [], deadline - time.monotonic())[0]:
        sys.exit(f"FAILED: watch said nothing for {LINE_SECONDS} seconds")
    return process.stdout.readline().decode()


def main():
    quickstart, deliver, watch = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        root = os.path.join(folder, "store")
        first = run(quickstart, root)
        size = len("Subject: hello\r\n\r\nFiled without a lock.\r\n")
        expect("the first quickstart said", first, f"filed as uid 1\nuid 1: {size} bytes\n")
        expect("the second quickstart said", run(quickstart, root), f"filed as uid 2\nuid 1: {size} bytes\nuid 2: {size} bytes\n")

        message = os.path.join(folder, "message.eml")
        with open(message, "w") as file:
            file.write("Subject: lines\n\nwith bare line feeds")
        size = len("Subject: lines\r\n\r\nwith bare line feeds\r\n")
        watching = subprocess.Popen([watch, root, "alice"], stdout=subprocess.PIPE, bufsize=0)
        try:
            expect("watch began with", next_line(watching), "INBOX: 2 messages\n")
            expect("deliver said", run(deliver, root, "alice", message, message, "--seen"),
                   f"{message}: uid 3 in INBOX\n{message}: uid 4 in INBOX\n")
            for uid in (3, 4):
                expect("watch said", next_line(watching), f"+ uid {uid}: {size} bytes, flags: seen\n")
            watching.send_signal(signal.SIGINT)
            expect("watch ended with", watching.wait(10), 0)
        finally:
            watching.kill()
            watching.wait()
        expect("deliver by standard input said", run(deliver, root, "bob", "-", "--mailbox", "Lists/new", "--create", input="\n"),
               "-: uid 1 in Lists/new\n")
        run(deliver, root, "bob", message, "--mailbox", "missing", code=1)
        run(deliver, root, "bob", os.path.join(folder, "missing"), code=1)


if __name__ == "__main__":
    main()
