# SPDX-License-Identifier: BSL-1.0
"""Messages from an mbox, a Maildir, a folder of message files or a tar archive, in the form they have on the wire."""

import mailbox
import os
import re
import tarfile

ARCHIVE = (".tar", ".tar.xz", ".tar.gz", ".tgz", ".tar.bz2")
BARE_LF = re.compile(rb"(?<!\r)\n")
HEADER_FIELD = re.compile(rb"[!-9;-~]+[ \t]*:")


def wire(text):
    """`text` as SMTP's DATA carries it: every line ends in CRLF, the last one too. Everything else stays, a bare CR also."""
    text = BARE_LF.sub(b"\r\n", text)
    return text if text.endswith(b"\r\n") else text + b"\r\n"


def read_messages(path):
    """Yields (name, bytes on the wire) for each message under `path`, in an order that does not change between runs."""
    for name, text in raw_messages(path):
        yield name, wire(text)


def raw_messages(path):
    if os.path.isdir(path):
        yield from in_maildir(path) if is_maildir(path) else in_folder(path)
    elif path.endswith(ARCHIVE):
        yield from in_archive(path)
    else:
        with open(path, "rb") as file:
            head = file.read(5)
            if head != b"From ":
                yield path, head + file.read()
                return
        yield from in_mbox(path)


def is_maildir(path):
    return all(os.path.isdir(os.path.join(path, name)) for name in ("cur", "new"))


def in_maildir(path):
    for folder in ("cur", "new"):
        for name in sorted(os.listdir(os.path.join(path, folder))):
            file = os.path.join(path, folder, name)
            if os.path.isfile(file) and not name.startswith("."):
                with open(file, "rb") as opened:
                    yield file, opened.read()


def in_folder(path):
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            file = os.path.join(folder, name)
            if os.path.isfile(file) and not name.startswith(".") and holds_mail(file):
                yield from raw_messages(file)


def holds_mail(file):
    """Whether a file found in a folder is meant: by its name, or because it begins like a message or an mbox."""
    if file.endswith(ARCHIVE + (".eml", ".mbox")):
        return True
    with open(file, "rb") as opened:
        head = opened.read(100)
    return head.startswith(b"From ") or HEADER_FIELD.match(head) is not None


def in_mbox(path):
    box = mailbox.mbox(path, create=False)
    try:
        for key in box.iterkeys():
            yield f"{path}#{key + 1}", box.get_bytes(key)
    finally:
        box.close()


def in_archive(path):
    with tarfile.open(path) as archive:
        for member in archive:
            if member.isfile():
                yield f"{path}/{member.name}", archive.extractfile(member).read()
