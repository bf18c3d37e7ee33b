// SPDX-License-Identifier: BSL-1.0
// The index of a mailbox as a table of rows.
#include "mailbox.hpp"
#include "peers.hpp"

#include <numeric>

namespace bench {

namespace {

using namespace mailfs;

asio::awaitable<void> open_or_make(mailbox_index& box) {
    bool const there = co_await box.open();
    if (!there) co_await make(box);
}
asio::awaitable<void> fill_by_thousands(mailbox_index& box, std::uint64_t first, std::uint64_t last) {
    for (auto n = first; n < last;) {
        format::mailbox_transaction t;
        for (auto const end = std::min(last, n + 1000); n < end; ++n) t.append(message(n));
        co_await box.propose(t.bytes(), durability::none);
    }
}
asio::awaitable<void> change(mailbox_index& box, load l, durability d, std::uint64_t& done) {
    for (; l.more(); ++done) {
        auto const uid = l.uid();
        auto const row = box.state().find(uid);
        if (!row) throw std::runtime_error("a row is missing");
        bool const on = has(static_cast<flag>(box.state().rows().flags[*row]), flag::flagged);
        format::mailbox_transaction t;
        t.change_flags(uid_set::one(uid), {on ? flag_mode::remove : flag_mode::add, flag::flagged, {}, {}});
        co_await box.propose(t.bytes(), d);
    }
}
asio::awaitable<void> append_some(mailbox_index& box, load l, std::uint64_t first, durability d, std::uint64_t& done) {
    for (; l.more(); ++done) {
        format::mailbox_transaction t;
        t.append(message(first + done));
        co_await box.propose(t.bytes(), d);
    }
}

template <durability D>
class mailfs_peer final : public peer {
public:
    explicit mailfs_peer(std::filesystem::path const& directory) : box_(posix_fs(directory.string()), "box", standalone{}) {
        run_to_end(open_or_make(box_));
    }
    void fill(std::uint64_t first, std::uint64_t last) override { run_to_end(fill_by_thousands(box_, first, last)); }
    std::uint64_t change_flags(load l) override {
        std::uint64_t done = 0;
        run_to_end(change(box_, std::move(l), D, done));
        return done;
    }
    std::uint64_t append(load l, std::uint64_t first) override {
        std::uint64_t done = 0;
        run_to_end(append_some(box_, std::move(l), first, D, done));
        return done;
    }
    std::uint64_t sum_unseen() override {
        auto const& rows = box_.state().rows();
        auto const sum = [](std::span<uid_t const> uids, std::span<std::uint8_t const> flags) {
            std::uint64_t total = 0;
            for (std::size_t n = 0; n < uids.size(); ++n) total += (flags[n] & std::uint8_t(flag::seen)) == 0 ? uids[n] : 0U;
            return total;
        };
        return sum(rows.uid.mapped(), rows.flags.mapped()) + sum(rows.uid.added(), rows.flags.added());
    }

private:
    mailbox_index box_;
};

template <durability D>
std::unique_ptr<peer> open(std::filesystem::path const& directory) {
    return std::make_unique<mailfs_peer<D>>(directory);
}
peer_registration const none{{"mailfs", lasting::killed, open<durability::none>}};
peer_registration const stored{{"mailfs_stored", lasting::stored, open<durability::stored>}};

}  // namespace
}  // namespace bench
