// SPDX-License-Identifier: BSL-1.0
// How many messages a second can one session put into a mailbox's index, and how many flag changes, one after another?
//   The index alone, without bodies, at durability none; the log is rotated and snapshots are written as by default.
#include "bench.hpp"
#include "mailbox.hpp"

namespace {

using namespace mailfs;

asio::awaitable<void> append(bench::mailbox_index& box, std::uint64_t count) {
    for (std::uint64_t n = 0; n < count; ++n) {
        format::mailbox_transaction t;
        t.append(bench::message(n));
        auto const done = co_await box.propose(t.bytes(), durability::none);
        if (done.first_uid != n + 1) throw std::runtime_error("a message was refused");
    }
}
asio::awaitable<void> change(bench::mailbox_index& box, std::uint64_t messages, std::uint64_t count) {
    for (std::uint64_t n = 0; n < count; ++n) {
        format::mailbox_transaction t;
        auto const mode = n / messages % 2 == 0 ? flag_mode::add : flag_mode::remove;
        t.change_flags(uid_set::one(static_cast<uid_t>(1 + n % messages)), {mode, flag::flagged, {}, {}});
        auto const done = co_await box.propose(t.bytes(), durability::none);
        if (done.changed.empty()) throw std::runtime_error("a change had no effect");
    }
}

void appends(bench::run& run) {
    auto const count = run.size(50'000);
    bench::mailbox_index box(posix_fs(run.directory().string()), "box", standalone{});
    bench::run_to_end(bench::make(box));
    auto const seconds = bench::seconds([&] { bench::run_to_end(append(box, count)); });
    run.figure("mailbox.append", static_cast<double>(count) / seconds, "messages/s");
    run.digest(box.state().digest() == 0 ? 0 : box.state().counters().messages);  // modseqs are the same, identities not
}
void flags(bench::run& run) {
    auto const count = run.size(100'000);
    constexpr std::uint64_t messages = 1000;
    bench::mailbox_index box(posix_fs(run.directory().string()), "box", standalone{});
    bench::run_to_end(bench::make(box));
    bench::run_to_end(append(box, messages));
    auto const seconds = bench::seconds([&] { bench::run_to_end(change(box, messages, count)); });
    run.figure("mailbox.flags", static_cast<double>(count) / seconds, "changes/s");
    run.digest(box.state().digest());
}
bench::entry const appends_entry{"mailbox.append", "How many messages a second go into a mailbox's index?", appends};
bench::entry const flags_entry{"mailbox.flags", "How many flag changes a second does a mailbox's index take?", flags};

}  // namespace
