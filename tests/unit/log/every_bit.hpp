// SPDX-License-Identifier: BSL-1.0
// Each bit of a journal's files flipped, each cut, by the path that a program takes: open, read all, write, rotate, open
// again.
//   A trial says with Machine what it reads and writes: see mailbox_trial and tree_trial in the tests of index and store.
//   MAILFS_DAMAGE_STRIDE: every how-manieth bit is tried (1, as by default: all).
#pragma once

#include <mailfs/error.hpp>
#include <mailfs/fs/memory_fs.hpp>
#include <mailfs/log/lockless_log.hpp>
#include <mailfs/replication/standalone.hpp>

#include "support/run.hpp"
#include "unit/log/log_fixture.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <cstdlib>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace mailfs::test {

/// What a state says, a line for each thing: a mail with all of its row, a mailbox in the tree.
using facts = std::set<std::string>;

inline std::uint64_t damage_stride(std::uint64_t otherwise) {
    auto const* text = std::getenv("MAILFS_DAMAGE_STRIDE");
    return text != nullptr ? std::max<std::uint64_t>(1, std::strtoull(text, nullptr, 10)) : otherwise;
}

/// Trial: machine, make(journal) (writes two generations, then a few records more), facts_of(machine), write(n) (operations
/// that leave all facts alone and add the n-th of their own), is_own(fact), snapshot_in_parts (damage may be met late).
template <class Trial>
class every_bit {
public:
    using machine = typename Trial::machine;
    using journal = basic_standalone<test_host>::on<lockless_log, memory_fs, machine>;

    every_bit() {
        test::run([&]() -> asio::awaitable<void> {
            auto box = open_on(fs_);
            co_await Trial::make(box);
        });
        for (std::uint64_t n = 1; n <= 3; ++n) read_records(fs_.bytes_of(log_path(n)), n);
        whole_ = replayed(~std::size_t{0}, records_.size());
    }

    /// Damages `name` in a directory of nothing but `kept`, at each bit and each length.
    void damage(std::string const& name, std::vector<std::string> const& kept) {
        memory_fs without = fs_.clone();
        test::run([&]() -> asio::awaitable<void> {
            for (auto const& path : without.paths()) {
                bool const keep = std::find(kept.begin(), kept.end(), path.substr(path.find('/') + 1)) != kept.end();
                if (!keep) co_await without.remove(path);
            }
        });
        auto const bytes = without.bytes_of("box/" + name);
        auto const stride = damage_stride(Trial::stride);
        for (std::size_t bit = 0; bit < bytes.size() * 8; bit += stride) {
            auto damaged = bytes;
            damaged[bit / 8] ^= static_cast<std::byte>(1U << bit % 8);
            try_one(without, name, damaged, bit / 8, false, "bit " + std::to_string(bit));
        }
        for (std::size_t size = 0; size < bytes.size(); size += (stride + 7) / 8)
            try_one(without, name, {bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size)}, size, true,
                    "cut at " + std::to_string(size));
    }

    std::size_t whole() const { return count_[0]; }    ///< trials that ended with all there was
    std::size_t less() const { return count_[1]; }     ///< with all but what one record said
    std::size_t refused() const { return count_[2]; }  ///< with an error that names the place
    std::size_t parts() const { return count_[3]; }    ///< with some read, and an error that names the place for the rest

private:
    struct transaction {
        std::uint64_t file;
        std::size_t begin, end;  // in its file
        std::vector<std::byte> bytes;
        std::uint32_t seed;

        format::record_view view() const { return format::decode_record(bytes, seed).value(); }
    };
    enum outcome { all, less_one, refusal, some };

    static std::string log_path(std::uint64_t n) { return "box/log." + std::to_string(n); }
    journal open_on(memory_fs fs) const {
        test_host host;
        host.in().seed = 77;
        return journal(std::move(fs), "box", basic_standalone<test_host>(host),
                       {.rotate_size_min = 1U << 20, .generations_kept = 2});
    }

    // --- what is true, told by the records as they were written ------------------------------------------------
    void read_records(std::vector<std::byte> const& file, std::uint64_t number) {
        auto const seed = format::record_seed(format::load<format::log_header>(file).nonce);
        for (std::size_t at = sizeof(format::log_header); at < file.size();) {
            auto const record = format::decode_record(bytes_view(file).subspan(at), seed);
            REQUIRE(record);
            auto const end = at + record->header.size;
            if (record->kind() == format::record_kind::transaction)
                records_.push_back(
                    {number,
                     at,
                     end,
                     {file.begin() + static_cast<std::ptrdiff_t>(at), file.begin() + static_cast<std::ptrdiff_t>(end)},
                     seed});
            at = end;
        }
    }
    // The first `count` transactions without one of them, whose ids and MODSEQ are used up all the same.
    facts replayed(std::size_t without, std::size_t count) const {
        machine m;
        m.reset(Trial::object);
        for (std::size_t n = 0; n < count; ++n) {
            auto const record = records_[n].view();
            if (n == without) {
                m.skip_ids(machine::next_id_after(m.next_id(), record) - m.next_id());
                m.stream().skip(1);
            } else {
                m.apply(record, nullptr);
            }
        }
        return Trial::facts_of(m);
    }
    // What may be left when `file` is damaged at `at`: everything, or all but the record there; a cut takes all behind it.
    std::vector<facts> possible(std::uint64_t file, std::size_t at, bool cut) const {
        std::vector<facts> out{whole_};
        for (std::size_t n = 0; n < records_.size(); ++n) {
            auto const& r = records_[n];
            if (r.file != file || at >= r.end || (!cut && at < r.begin)) continue;
            out.push_back(replayed(n, cut ? n : records_.size()));
            break;
        }
        return out;
    }

    // --- one trial ----------------------------------------------------------------------------------------------
    void try_one(memory_fs const& from, std::string const& name, std::vector<std::byte> const& bytes, std::size_t at,
                 bool cut, std::string const& what) {
        CAPTURE(name);
        CAPTURE(what);
        auto fs = from.clone();
        fs.put("box/" + name, bytes);
        bool const is_log = name.starts_with("log.");
        auto const left =
            is_log ? possible(std::strtoull(name.c_str() + 4, nullptr, 10), at, cut) : std::vector<facts>{whole_};
        outcome const result = test::run([&]() -> asio::awaitable<outcome> { return live(fs, name, left, cut); });
        ++count_[result];
    }

    asio::awaitable<outcome> live(memory_fs fs, std::string const& name, std::vector<facts> const& left, bool cut) {
        auto box = open_on(fs);
        auto const failed = co_await attempt(box.open(), name, fs);
        if (failed) co_return refusal;
        bool complete = false;
        auto found = read(box, name, fs, complete);
        if (!complete) {  // a damaged snapshot: it is mended now, when there is anything to mend it from
            co_await box.catch_up();
            found = read(box, name, fs, complete);
        }
        if (!complete) {
            for (auto const& f : found) CHECK_MESSAGE(whole_.contains(f), f);
            co_await write_to_damaged(box, name, fs);
            co_return some;
        }
        bool known = false;
        for (auto const& possibility : left) known = known || found == possibility;
        CHECK_MESSAGE(known, differences(found));
        co_await go_on(box, found);
        // At the end of a file a broken record looks like one that is being written, until another stands behind it.
        if (found != whole_ && !cut) CHECK(box.log().bytes_lost() > 0);
        co_return found == whole_ ? all : less_one;
    }
    // Life goes on: what is written is there, for others too and in the next generation, and all else stays as it was.
    asio::awaitable<void> go_on(journal& box, facts const& before) {
        for (std::uint64_t n = 1; n <= 2; ++n) {
            auto const operations = Trial::write(n);
            co_await box.propose(operations, durability::stored);
        }
        check_same(box, before, 2);
        auto other = open_on(box.log().fs());
        co_await other.open();
        check_same(other, before, 2);
        co_await other.log().rotate();
        auto const third = Trial::write(3);
        co_await box.propose(third, durability::none);
        check_same(box, before, 3);
        co_await other.catch_up();
        CHECK(other.state().dump() == box.state().dump());
    }
    static void check_same(journal const& box, facts const& before, std::size_t added) {
        auto now = Trial::facts_of(box.state());
        auto const own = std::erase_if(now, Trial::is_own);
        CHECK(own == added);
        CHECK_MESSAGE(now == before, differences(now, before));
    }
    // Nothing can mend it: what does not need the damaged part goes on, all else is told by name and place.
    asio::awaitable<void> write_to_damaged(journal& box, std::string const& name, memory_fs const& fs) {
        auto const operations = Trial::write(1);
        co_await attempt(box.propose(operations, durability::none), name, fs);
        bool complete = false;
        for (auto const& f : read(box, name, fs, complete)) CHECK_MESSAGE((whole_.contains(f) || Trial::is_own(f)), f);
    }

    // True: it failed, and said where.
    template <class T>
    asio::awaitable<bool> attempt(asio::awaitable<T> work, std::string const& name, memory_fs const& fs) {
        try {
            co_await std::move(work);
        } catch (error const& e) {
            check_told(e, name, fs);
            co_return true;
        }
        co_return false;
    }
    static void check_told(error const& e, std::string const& name, memory_fs const& fs) {
        std::string const why = e.what();
        CHECK_MESSAGE(why.find("box/" + name + ", offset ") != std::string::npos, why);
        CHECK_MESSAGE((e.code() == errc::corrupt || e.code() == errc::may_have_happened), why);
        if (e.code() == errc::corrupt && e.file() == "box/" + name)
            CHECK_MESSAGE(e.offset() <= fs.bytes_of("box/" + name).size(), why);
    }
    facts read(journal const& box, std::string const& name, memory_fs const& fs, bool& complete) {
        complete = true;
        return Trial::facts_of(box.state(), [&](error const& e) {
            check_told(e, name, fs);
            complete = false;
        });
    }
    std::string differences(facts const& found) const { return differences(found, whole_); }
    static std::string differences(facts const& found, facts const& expected) {
        std::string out;
        for (auto const& f : found)
            if (!expected.contains(f)) out += "\n + " + f;
        for (auto const& f : expected)
            if (!found.contains(f)) out += "\n - " + f;
        return out;
    }

    memory_fs fs_;
    std::vector<transaction> records_;
    facts whole_;
    std::size_t count_[4]{};
};

}  // namespace mailfs::test
