// SPDX-License-Identifier: BSL-1.0
#include "backup/plan.hpp"

#include <mailfs/format/mailbox_operations.hpp>

#include <doctest/doctest.h>

using namespace mailfsctl;
namespace f = mailfs::format;

namespace {

/// A log of these transactions, and where each ends.
struct made_log {
    std::vector<std::byte> bytes;
    std::vector<std::uint64_t> ends;

    explicit made_log(std::vector<f::mailbox_transaction> const& transactions) {
        f::log_header h;
        h.number = 1;
        h.nonce = 0x0123'4567'89ab'cdef;
        h.checksum = f::log_header_checksum(h);
        bytes.assign(f::view_of(h).begin(), f::view_of(h).end());
        for (auto const& t : transactions) {
            f::record_header r;
            r.kind = static_cast<std::uint8_t>(f::record_kind::transaction);
            r.counter = ends.size() + 1;
            f::encode_record(bytes, r, t.bytes(), f::record_seed(h.nonce));
            ends.push_back(bytes.size());
        }
    }
};

f::mailbox_transaction flags() {
    f::mailbox_transaction t;
    t.change_flags(mailfs::uid_set::one(1), {mailfs::flag_mode::add, mailfs::flag::seen, {}, {}});
    return t;
}
f::mailbox_transaction expunge() {
    f::mailbox_transaction t;
    t.append({}).expunge(mailfs::uid_set::one(1), true);
    return t;
}

}  // namespace

TEST_CASE("backup: a file is kept, grown, compared or replaced by its size and time") {
    CHECK(step_for({10, 5}, {}) == copy_step::replace);
    CHECK(step_for({10, 5}, file_facts{10, 5}) == copy_step::keep);
    CHECK(step_for({10, 5}, file_facts{10, 4}) == copy_step::compare);
    CHECK(step_for({10, 5}, file_facts{9, 5}) == copy_step::append);
    CHECK(step_for({10, 5}, file_facts{11, 5}) == copy_step::replace);
}

TEST_CASE("backup: an expunge among what is new asks for another look, one that was there before does not") {
    made_log const log({flags(), expunge(), flags(), flags()});
    CHECK(removes_messages(log.bytes, 0));
    CHECK(removes_messages(log.bytes, log.ends[0]));
    CHECK(removes_messages(log.bytes, log.ends[1] - 1));  // it had been copied in part
    CHECK_FALSE(removes_messages(log.bytes, log.ends[1]));
    CHECK_FALSE(removes_messages(log.bytes, log.ends[3]));
    CHECK_FALSE(removes_messages(made_log({flags()}).bytes, 0));
    CHECK_FALSE(removes_messages({}, 0));
    auto damaged = log.bytes;
    damaged[20] ^= std::byte{1};
    CHECK(removes_messages(damaged, log.ends[3]));  // nothing tells
    auto torn = log.bytes;
    torn[log.ends[0] + 8] ^= std::byte{1};
    CHECK_FALSE(removes_messages(torn, 0));  // no reader sees that expunge
}

TEST_CASE("backup: logs whose ends were never copied go, those that lead up to the newest stay") {
    using numbers = std::vector<std::uint64_t>;
    auto const end = f::record_size(0);
    CHECK(cut_logs({}).empty());
    CHECK(cut_logs({{1, 500 + end, 0, false}, {2, 900, 500, true}}).empty());
    CHECK(cut_logs({{1, 499 + end, 0, false}, {2, 900, 500, true}}) == numbers{1});
    CHECK(cut_logs({{1, 500 + end, 0, false}, {2, 300, 500, false}, {3, 900, 700, true}}) == numbers{2, 1});
    CHECK(cut_logs({{1, 999, 0, false}, {3, 900, 500, true}}) == numbers{1});  // log.2 is missing
    CHECK(cut_logs({{1, 400, 0, true}, {2, 900, 500, true}}).empty());         // it is being copied
    CHECK(cut_logs({{7, 900, 500, false}}) == numbers{7});
}

TEST_CASE("backup: files in the making are passed over, and files that went are noticed") {
    CHECK(is_passed_over(".tmp-1"));
    CHECK_FALSE(is_passed_over("log.1"));
    CHECK(all_are_left({}, {"a"}));
    CHECK(all_are_left({"a"}, {"a", "b"}));
    CHECK_FALSE(all_are_left({"a", "b"}, {"b"}));
}
