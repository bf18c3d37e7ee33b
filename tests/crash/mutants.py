#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""Does the crash test find what it is there for? The library is broken in one way after another, and each must be found.

    mutants.py [--points N] [NAME...]      by hand; CXX says which compiler, half a minute for each mutant
"""
import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

# name: file below include/mailfs, the text that is there, what takes its place
MUTANTS = {
    "the record before the body is synced": (
        "dbox/detail/dbox_appender.hpp", "if (d == durability::stored) co_await sync(mine->file, mine->end);", ""),
    "a stored record is not synced": (
        "replication/standalone.hpp", "if (wanted == durability::stored) co_await make_stored();", ""),
    "rotation without a sync of the old log": (
        "log/lockless_log.hpp", "co_await sync_now(*old);  // that the next file exists proves this one whole", ""),
    "a restart leaves no UIDs behind": ("log/lockless_log.hpp", "p.margin = unsynced_ids_max;", "p.margin = 0;"),
    "a restart opens no epoch": ("log/stream_state.hpp", "boot = new_boot;\n        open_epoch();", "boot = new_boot;"),
    "a restart voids nothing": ("log/log_replay.hpp", "add_void(p.void_from, it.first);", ""),
    "nobody writes a restart": (
        "log/lockless_log.hpp",
        "if (!segment_->replay.sealed() && machine_.stream().boot != host_.boot()) co_await append_restart();",
        "machine_.stream().boot = host_.boot();"),
    "nobody syncs behind the restart": (
        "log/lockless_log.hpp", "segment_->known_durable() >= segment_->replay.restart_end();", "true;"),
    "no scar": ("log/lockless_log.hpp", "if (damage.empty()) co_return;", "if (damage.empty() || true) co_return;"),
    "the next log is not stored": (
        "log/lockless_log.hpp", "bool const made = co_await fs_.create(name, bytes, durability::stored);",
        "bool const made = co_await fs_.create(name, bytes, durability::none);"),
    "a move expunges before it copies": (
        "store/mailbox.hpp", "auto result = co_await copy(std::move(uids), target, durability::stored);",
        "co_await expunge(uids, false);\n        auto result = co_await copy(std::move(uids), target, durability::stored);"),
    "a move does not store its copy": (
        "store/mailbox.hpp", "auto result = co_await copy(std::move(uids), target, durability::stored);",
        "auto result = co_await copy(std::move(uids), target, durability_wanted());"),
    "the tree names a mailbox before its log is there": (
        "store/detail/name_placer.hpp", "co_await make_logs();\n            auto const operations = transaction_.bytes();  // if this throws it may have happened: the logs stay\n"
        "            auto const outcome = co_await core_->tree.propose(operations, durability::stored);",
        "auto const operations = transaction_.bytes();\n"
        "            auto const outcome = co_await core_->tree.propose(operations, durability::stored);\n            co_await make_logs();"),
    "a name that is not stored takes stored messages": (
        "store/detail/account_core.hpp", "if (wanted == durability::stored) co_await sync_tree();", ""),
    "a mailbox loses its log before its name": (
        "store/account.hpp", "auto const outcome = co_await core_->tree.propose(operations, durability::stored);\n        if (outcome.verdict != tree_verdict::applied)\n"
        "            core_->fail(detail::to_errc(outcome.verdict), canonical, \"was removed or became INBOX\");",
        "co_await core_->discard_mailbox(id);\n        auto const outcome = co_await core_->tree.propose(operations, durability::stored);\n        if (outcome.verdict != tree_verdict::applied)\n"
        "            core_->fail(detail::to_errc(outcome.verdict), canonical, \"was removed or became INBOX\");"),
    "a payload is not checked": (
        "format/log_record.hpp", r"re:if \([^;]*payload_checksum[^;]*return[^;]*;", ";"),
}


def mutate(root, name):
    path, old, new = MUTANTS[name]
    file = root / "mailfs" / path
    text = file.read_text()
    changed = re.sub(old[3:], lambda _: new, text, count=1) if old.startswith("re:") else text.replace(old, new, 1)
    if changed == text:
        sys.exit(f"mutant \"{name}\": {path} no longer has that text")
    file.write_text(changed)


def build_and_run(project, name, points):
    with tempfile.TemporaryDirectory() as work:
        root = pathlib.Path(work)
        shutil.copytree(project / "include", root / "include")
        mutate(root / "include", name)
        tests = project / "tests"
        subprocess.run([*os.environ.get("CXX", "clang++-16").split(), "-std=c++20", "-O1", "-w", f"-I{root}/include", f"-I{tests}",
                        str(tests / "crash/main.cpp"), str(tests / "crash/journal.cpp"), "-lfmt", "-lpthread", "-o", f"{root}/crash"], check=True)
        return subprocess.run([f"{root}/crash", "--points", str(points)], capture_output=True, text=True, timeout=1800).stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=5000)
    parser.add_argument("names", nargs="*", default=list(MUTANTS))
    arguments = parser.parse_args()
    project = pathlib.Path(__file__).resolve().parents[2]
    missed = 0
    for name in arguments.names:
        told = build_and_run(project, name, arguments.points)
        first = re.search(r"the first violation came with case (\d+)", told)
        what = re.search(r"violation: (.*)", told)
        missed += first is None
        print(f"{name}: " + (f"case {first[1]}: {what[1][:100]}" if first else "NOT FOUND"), flush=True)
    print(f"{len(arguments.names) - missed} found, {missed} not found")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
