// SPDX-License-Identifier: BSL-1.0
// A table of SQLite in WAL mode.
#include "mailbox.hpp"
#include "peers.hpp"

#include <fmt/format.h>
#include <sqlite3.h>

namespace bench {

namespace {

class statement {
public:
    statement(sqlite3* db, char const* text) : db_(db) {
        if (::sqlite3_prepare_v2(db, text, -1, &s_, nullptr) != SQLITE_OK) throw std::runtime_error(::sqlite3_errmsg(db));
    }
    ~statement() { ::sqlite3_finalize(s_); }
    statement(statement const&) = delete;
    statement& operator=(statement const&) = delete;

    statement& bind(int at, std::uint64_t value) {
        ::sqlite3_bind_int64(s_, at, static_cast<sqlite3_int64>(value));
        return *this;
    }
    statement& bind(int at, mailfs::guid const& id) {
        ::sqlite3_bind_blob(s_, at, id.octets.data(), 16, SQLITE_TRANSIENT);
        return *this;
    }
    /// True: there is a row.
    bool step() {
        auto const code = ::sqlite3_step(s_);
        if (code != SQLITE_ROW && code != SQLITE_DONE) throw std::runtime_error(::sqlite3_errmsg(db_));
        return code == SQLITE_ROW;
    }
    void run() {
        step();
        ::sqlite3_reset(s_);
    }
    std::uint64_t column(int at) const { return static_cast<std::uint64_t>(::sqlite3_column_int64(s_, at)); }
    void reset() { ::sqlite3_reset(s_); }

private:
    sqlite3* db_;
    sqlite3_stmt* s_ = nullptr;
};

class sqlite_peer final : public peer {
public:
    sqlite_peer(std::filesystem::path const& directory, char const* synchronous) {
        auto const path = directory / "rows.sqlite";
        if (::sqlite3_open(path.c_str(), &db_) != SQLITE_OK) throw std::runtime_error("cannot open " + path.string());
        ::sqlite3_busy_timeout(db_, 60'000);
        execute("PRAGMA journal_mode=WAL");
        execute(fmt::format("PRAGMA synchronous={}", synchronous));
        execute("CREATE TABLE IF NOT EXISTS m(uid INTEGER PRIMARY KEY, flags INTEGER, modseq INTEGER, size INTEGER, "
                "received INTEGER, guid BLOB, file INTEGER, place INTEGER)");
        insert_ = std::make_unique<statement>(db_, "INSERT INTO m VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)");
        update_ = std::make_unique<statement>(db_, "UPDATE m SET flags = (flags | 8) - (flags & 8), modseq = ?2 WHERE uid = ?1");
        select_ = std::make_unique<statement>(db_, "SELECT uid, flags FROM m ORDER BY uid");
    }
    ~sqlite_peer() override {
        insert_.reset();
        update_.reset();
        select_.reset();
        ::sqlite3_close(db_);
    }
    void fill(std::uint64_t first, std::uint64_t last) override {
        execute("BEGIN IMMEDIATE");
        for (auto n = first; n < last; ++n) put(n, n);
        execute("COMMIT");
    }
    std::uint64_t change_flags(load l) override {
        std::uint64_t done = 0;
        for (; l.more(); ++done) update_->bind(1, l.uid()).bind(2, done).run();
        return done;
    }
    std::uint64_t append(load l, std::uint64_t first) override {
        std::uint64_t done = 0;
        for (; l.more(); ++done) put(first + done, done);
        return done;
    }
    std::uint64_t sum_unseen() override {
        std::uint64_t sum = 0;
        while (select_->step())
            if ((select_->column(1) & std::uint64_t(mailfs::flag::seen)) == 0) sum += select_->column(0);
        select_->reset();
        return sum;
    }

private:
    void execute(std::string const& text) {
        if (::sqlite3_exec(db_, text.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) throw std::runtime_error(::sqlite3_errmsg(db_));
    }
    void put(std::uint64_t uid, std::uint64_t modseq) {
        auto const m = message(uid);
        insert_->bind(1, uid).bind(2, std::uint64_t(m.flags)).bind(3, modseq).bind(4, m.size).bind(5, m.received_ms).bind(6, m.id);
        insert_->bind(7, m.where.file).bind(8, m.where.offset).run();
    }

    sqlite3* db_ = nullptr;
    std::unique_ptr<statement> insert_, update_, select_;
};

std::unique_ptr<peer> off(std::filesystem::path const& d) { return std::make_unique<sqlite_peer>(d, "OFF"); }
std::unique_ptr<peer> normal(std::filesystem::path const& d) { return std::make_unique<sqlite_peer>(d, "NORMAL"); }
std::unique_ptr<peer> full(std::filesystem::path const& d) { return std::make_unique<sqlite_peer>(d, "FULL"); }
peer_registration const registered_off{{"sqlite_off", lasting::unsafe, off}};
peer_registration const registered_normal{{"sqlite_normal", lasting::killed, normal}};
peer_registration const registered_full{{"sqlite_full", lasting::stored, full}};

}  // namespace
}  // namespace bench
