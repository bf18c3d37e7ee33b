// SPDX-License-Identifier: BSL-1.0
// How many bytes does a mailbox's snapshot take for each message, all columns and tables counted?
//   Mails of 4 KiB in files of 8 MiB, delivered by processes that take turns and live for 20 000 messages each; every
//   fourth message has one of 64 sets of keywords; some are expunged, and some flags were changed since.
#include "bench.hpp"
#include "mailbox.hpp"

namespace {

using namespace mailfs;

constexpr std::uint64_t deliverers = 4, life = 20'000, mail_size = 4096, file_size = 8U << 20;

class stream {
public:
    explicit stream(mailbox_state& state) : state_(state) {}

    void tell(format::mailbox_transaction const& t, std::uint32_t node, std::uint64_t incarnation) {
        format::record_header h;
        h.kind = static_cast<std::uint8_t>(format::record_kind::transaction);
        h.node = node;
        h.incarnation = incarnation;
        h.counter = ++counter_;  // grows for each of them, as processes that change flags in between would have it
        h.stamp = stamp::at(1'700'000'000'000 + counter_ * 1000).value;
        record_.clear();
        format::encode_record(record_, h, t.bytes(), 0);
        state_.apply(format::decode_record(record_, 0).value(), nullptr);
    }

private:
    mailbox_state& state_;
    std::vector<std::byte> record_;
    std::uint64_t counter_ = 1ULL << 40;
};

void deliver(mailbox_state& state, std::uint64_t messages) {
    stream s(state);
    for (std::uint64_t n = 0; n < messages; ++n) {
        auto m = bench::message(n);
        auto const deliverer = n % deliverers, nth = n / deliverers;  // each has files of its own
        constexpr auto per_file = file_size / mail_size;
        m.where = {(nth / per_file * deliverers + deliverer) * 0x9e37'79b9'7f4a'7c15U, 64 + nth % per_file * mail_size};
        if (n % 4 == 0)
            for (std::uint64_t k = 0; k < 6; ++k)
                if ((n / 4 >> k & 1) != 0) m.keywords.push_back("$keyword" + std::to_string(k));
        format::mailbox_transaction t;
        t.append(m);
        if (n % 100 == 99) t.expunge(uid_set::one(static_cast<uid_t>(n - 50)), false);
        if (n % 10 == 9) t.change_flags(uid_set::one(static_cast<uid_t>(n)), {flag_mode::add, flag::flagged, {}, {}});
        s.tell(t, static_cast<std::uint32_t>(deliverer), 1 + nth / life);
    }
}

void index_bytes(bench::run& run) {
    mailbox_state state;
    state.reset(bench::mailbox_object);
    deliver(state, run.size(1'000'000));
    auto const bytes = state.dump();
    run.figure("index.bytes_per_message", static_cast<double>(bytes.size()) / static_cast<double>(state.counters().messages),
               "bytes");
    run.digest(crc32c(bytes));
}
bench::entry const here{"index.bytes_per_message", "How many bytes does a snapshot take for each message?", index_bytes};

}  // namespace
