// SPDX-License-Identifier: BSL-1.0
// An LMDB database with integer keys.
#include "mailbox.hpp"
#include "peers.hpp"

#include <lmdb.h>

#include <cstring>

namespace bench {

namespace {

void check(int code) {
    if (code != MDB_SUCCESS) throw std::runtime_error(::mdb_strerror(code));
}

struct lmdb_row {
    std::uint64_t modseq, received, file, place;
    std::uint32_t flags, size;
    mailfs::guid id;
};

class lmdb_peer final : public peer {
public:
    lmdb_peer(std::filesystem::path const& directory, unsigned flags) {
        check(::mdb_env_create(&env_));
        check(::mdb_env_set_mapsize(env_, std::size_t{1} << 30));
        check(::mdb_env_open(env_, directory.c_str(), flags, 0644));
        auto* const txn = begin(0);
        check(::mdb_dbi_open(txn, nullptr, MDB_INTEGERKEY | MDB_CREATE, &rows_));
        check(::mdb_txn_commit(txn));
    }
    ~lmdb_peer() override { ::mdb_env_close(env_); }

    void fill(std::uint64_t first, std::uint64_t last) override {
        auto* const txn = begin(0);
        for (auto n = first; n < last; ++n) put(txn, n, n);
        check(::mdb_txn_commit(txn));
    }
    std::uint64_t change_flags(load l) override {
        std::uint64_t done = 0;
        for (; l.more(); ++done) change(l.uid(), done);
        return done;
    }
    std::uint64_t append(load l, std::uint64_t first) override {
        std::uint64_t done = 0;
        for (; l.more(); ++done) {
            auto* const txn = begin(0);
            put(txn, first + done, done);
            check(::mdb_txn_commit(txn));
        }
        return done;
    }
    std::uint64_t sum_unseen() override {
        auto* const txn = begin(MDB_RDONLY);
        MDB_cursor* cursor = nullptr;
        check(::mdb_cursor_open(txn, rows_, &cursor));
        std::uint64_t sum = 0;
        MDB_val key, value;
        while (::mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == MDB_SUCCESS) {
            auto const row = read(value);
            std::uint32_t uid = 0;
            std::memcpy(&uid, key.mv_data, sizeof uid);
            if ((row.flags & std::uint32_t(mailfs::flag::seen)) == 0) sum += uid;
        }
        ::mdb_cursor_close(cursor);
        ::mdb_txn_abort(txn);
        return sum;
    }

private:
    MDB_txn* begin(unsigned flags) {
        MDB_txn* txn = nullptr;
        check(::mdb_txn_begin(env_, nullptr, flags, &txn));
        return txn;
    }
    static lmdb_row read(MDB_val const& value) {
        lmdb_row row;
        std::memcpy(&row, value.mv_data, sizeof row);
        return row;
    }
    void put(MDB_txn* txn, std::uint64_t n, std::uint64_t modseq) {
        auto const m = message(n);
        lmdb_row row{modseq, m.received_ms, m.where.file, m.where.offset, static_cast<std::uint32_t>(m.flags), m.size, m.id};
        auto uid = static_cast<std::uint32_t>(n);
        MDB_val key{sizeof uid, &uid}, value{sizeof row, &row};
        check(::mdb_put(txn, rows_, &key, &value, MDB_APPEND));
    }
    void change(std::uint32_t uid, std::uint64_t modseq) {
        auto* const txn = begin(0);
        MDB_val key{sizeof uid, &uid}, value;
        check(::mdb_get(txn, rows_, &key, &value));
        auto row = read(value);
        row.flags ^= std::uint32_t(mailfs::flag::flagged);
        row.modseq = modseq;
        value = {sizeof row, &row};
        check(::mdb_put(txn, rows_, &key, &value, 0));
        check(::mdb_txn_commit(txn));
    }

    MDB_env* env_ = nullptr;
    MDB_dbi rows_ = 0;
};

std::unique_ptr<peer> sync(std::filesystem::path const& d) { return std::make_unique<lmdb_peer>(d, 0); }
std::unique_ptr<peer> nosync(std::filesystem::path const& d) { return std::make_unique<lmdb_peer>(d, MDB_NOSYNC); }
std::unique_ptr<peer> writemap(std::filesystem::path const& d) {
    return std::make_unique<lmdb_peer>(d, MDB_NOSYNC | MDB_WRITEMAP);
}
peer_registration const registered_sync{{"lmdb_sync", lasting::stored, sync}};
peer_registration const registered_nosync{{"lmdb_nosync", lasting::killed, nosync}};
peer_registration const registered_writemap{{"lmdb_writemap", lasting::unsafe, writemap}};

}  // namespace
}  // namespace bench
